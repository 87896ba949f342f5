"""Layouts with a name on disk: one small file each, with all that makes the layout again but no attention."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lib_omg.core.errors import OmgError, SettingsError
from lib_omg.core.settings import OmgSettings
from lib_omg.vision.found import Instance
from lib_omg.vision.overlay import to_image
from lib_omg.vision.painted import pack, unpack

from .shelf import KeptLayout

logger = logging.getLogger(__name__)

VERSION = 1
_ID = re.compile(r"[0-9a-f]{1,32}")


@dataclass(frozen=True)
class LayoutFolder:
    """A folder with a file for each layout; see `shelf.Disk`.

    Attributes:
        given: the folder; None: in the WebUI's folder for its user's data, beside its models.
    """

    given: Path | None = None

    @property
    def path(self) -> Path:
        """The folder."""
        from modules import paths_internal

        return self.given or Path(paths_internal.data_path) / "omg" / "layouts"

    def write(self, layout: KeptLayout) -> None:
        """Put a layout on disk, or put it there again.

        Raises:
            OmgError: the disk refuses.
        """
        target = _file(self.path, layout.id)
        half = target.with_suffix(".part")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            half.write_text(json.dumps(_data(layout)), encoding="utf8")
            half.replace(target)  # a crash leaves the old file or the new one, never half of one
        except OSError as error:
            raise OmgError(f"OMG: the layout can't be written to {self.path}: {error}") from error

    def read_all(self) -> list[KeptLayout]:
        """All layouts on disk, the oldest first; a damaged file is told of and left where it is."""
        made = []
        for file in sorted(self.path.glob("*.json"), key=lambda one: one.stat().st_mtime):
            try:
                made.append(_read(json.loads(file.read_text(encoding="utf8"))))
            except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
                logger.warning("OMG: the layout %s can't be read (%s: %s)", file, type(error).__name__, error)
        return made

    def delete(self, layout_id: str) -> None:
        """Take a layout off the disk; one that isn't there is gone already."""
        _file(self.path, layout_id).unlink(missing_ok=True)


def _data(layout: KeptLayout) -> dict[str, Any]:
    return {
        "version": VERSION,
        "id": layout.id,
        "name": layout.name,
        "fields": dict(layout.fields),
        "seed": layout.seed,
        "subseed": layout.subseed,
        "size_px": list(layout.size_px),
        "size": list(layout.size),
        "picture": picture_url(layout.picture),
        "instances": [described(one) for one in layout.instances],
        "owners": list(layout.owners),
        "settings": layout.settings.to_dict(complete=True),
        "board": layout.board,
        "likeness": None if layout.likeness is None else layout.likeness.tolist(),
    }


def picture_url(picture: torch.Tensor, longest_px: int | None = None) -> str:
    """A picture (3, H, W) in 0..1 as a data URL; in PNG, or where it is made smaller in JPEG."""
    image = to_image(picture.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)
    kind = "png"
    if longest_px is not None:
        image.thumbnail((longest_px, longest_px))
        kind = "jpeg"
    return data_url(image, kind)


def data_url(image: Image.Image, kind: str) -> str:
    """A picture as a data URL, "png" or "jpeg"."""
    stream = io.BytesIO()
    image.save(stream, kind)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def described(instance: Instance) -> dict[str, Any]:
    """An instance as JSON has it."""
    return {
        "label": instance.label,
        "score": round(instance.score, 4),
        "mask": pack(instance.mask.float().numpy()),
        "box": list(instance.box),
    }


def _file(folder: Path, layout_id: str) -> Path:
    if not _ID.fullmatch(layout_id):
        raise SettingsError(f"layout: expected an id, found {layout_id[:40]!r}")
    return folder / f"{layout_id}.json"


def _read(data: Any) -> KeptLayout:
    if not isinstance(data, Mapping) or data.get("version") != VERSION:
        raise ValueError("it is from another version of OMG")
    if not _ID.fullmatch(data["id"]):
        raise ValueError(f"expected an id, found {data['id'][:40]!r}")
    instances = tuple(_instance(one) for one in data["instances"])
    owners = tuple(None if owner is None else int(owner) for owner in data["owners"])
    if any(owner is not None and not 0 <= owner < len(instances) for owner in owners):
        raise ValueError(f"expected owners among {len(instances)} instances, found {owners}")
    likeness = data.get("likeness")
    return KeptLayout(
        dict(data["fields"]), int(data["seed"]), int(data["subseed"]),
        (int(data["size_px"][0]), int(data["size_px"][1])), (int(data["size"][0]), int(data["size"][1])),
        _picture(data["picture"]), instances, owners, OmgSettings.from_complete(data["settings"]),
        likeness=None if likeness is None else torch.tensor(likeness), id=data["id"], name=str(data["name"]),
        board=data.get("board"),
    )  # fmt: skip


def _instance(data: Mapping[str, Any]) -> Instance:
    left, top, right, bottom = (float(side) for side in data["box"])
    return Instance(str(data["label"]), float(data["score"]), torch.from_numpy(unpack(data["mask"])).float(),
                    (left, top, right, bottom))  # fmt: skip


def _picture(url: str) -> torch.Tensor:
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1], validate=True))).convert("RGB")
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255  # (H, W, 3) -> (3, H, W)
