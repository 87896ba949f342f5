"""What the page's scripts may ask of the server about layouts; the other side is javascript/omg_board.js."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib_omg.core.errors import SettingsError
from lib_omg.host.clicks import Clicks, final_masks
from lib_omg.host.kept_layouts import data_url, described, picture_url
from lib_omg.ui.inputs import ASSIGNMENTS
from lib_omg.ui.values import values_from_settings
from lib_omg.vision.painted import pack

if TYPE_CHECKING:
    import torch

    from lib_omg.host.shelf import KeptLayout, Shelf

THUMBNAIL_PX = 96
LONGEST_NAME = 200
UNNAMED_CLASS = "?"
"""Stands for a class word that a mask's preview doesn't need."""


@dataclass(frozen=True)
class BoardCalls:
    """The calls, by name in `methods`; each takes the page's params and gives what JSON can hold."""

    shelf: Shelf
    clicks: Clicks = field(default_factory=Clicks)

    def methods(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """For the channel."""
        return {
            "layout.get": lambda params: self._told(self._kept(params)),
            "layout.latest": self.latest,
            "layout.list": lambda params: self.summaries(),
            "layout.keep": self.keep,
            "layout.rename": self.rename,
            "layout.delete": self.delete,
            "masks.final": self.final,
            "sam.click": self.click,
        }

    def latest(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The newest layout."""
        everything = self.shelf.all()
        return self._told(everything[0]) if everything else None

    def summaries(self) -> list[dict[str, Any]]:
        """All layouts in short, the newest first."""
        return [
            {**_head(one), "thumbnail": picture_url(one.picture, THUMBNAIL_PX), "prompt": one.fields.get("Prompt", "")}
            for one in self.shelf.all()
        ]

    def keep(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Give a layout a name, and keep it with what the board has made of it."""
        board = params.get("board")
        if board is not None and not isinstance(board, dict):
            raise SettingsError(f"board: expected an object, found {str(board)[:60]!r}")
        kept = self._kept(params)
        kept.board = board
        return self._named(kept, params)

    def rename(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Give a layout another name."""
        return self._named(self._kept(params), params)

    def delete(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Forget a layout, on disk as well."""
        self.shelf.remove(_text(params, "id"))
        return self.summaries()

    def final(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The masks that will really be used, at latent size."""
        concepts = params.get("concepts")
        if not isinstance(concepts, list) or not all(isinstance(one, Mapping) for one in concepts):
            raise SettingsError(f"concepts: expected a list of objects, found {str(concepts)[:60]!r}")
        plain = {
            "concepts": [_concept(one) for one in concepts],
            **{name: params[name] for name in ("feather_px", "dilation_px") if name in params},
        }
        if "assign_by" in params:  # as the panel shows it, or plain
            shown = params["assign_by"]
            plain["assign_by"] = ASSIGNMENTS[shown].value if shown in ASSIGNMENTS else shown
        kept = self._kept(params)
        masks = final_masks(kept, plain)
        return {"size": list(kept.size), "masks": [_grey_url(mask) for mask in masks]}

    def click(self, params: Mapping[str, Any]) -> dict[str, str]:
        """What Segment Anything sees at the clicks."""
        mask = self.clicks.outline(self._kept(params), params.get("points"), params.get("box"))
        return {"mask": pack(mask.numpy())}

    def _kept(self, params: Mapping[str, Any]) -> KeptLayout:
        return self.shelf.get(_text(params, "id"))

    def _named(self, kept: KeptLayout, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        name = " ".join(_text(params, "name").split())
        if not name or len(name) > LONGEST_NAME:
            raise SettingsError(f"name: expected 1 to {LONGEST_NAME} letters, found {len(name)}")
        self.shelf.name(kept, name)
        return self.summaries()

    def _told(self, kept: KeptLayout) -> dict[str, Any]:
        return {
            **_head(kept),
            "latent": list(kept.size),
            "picture": picture_url(kept.picture),
            "instances": [described(one) for one in kept.instances],
            "owners": list(kept.owners),
            "labels": [concept.label for concept in kept.settings.concepts],
            "fields": dict(kept.fields),
            "board": kept.board,
            "settings": values_from_settings(kept.settings) | {"layout_only": False, "layout": kept.id},
        }


def _head(kept: KeptLayout) -> dict[str, Any]:
    height, width = kept.size_px
    return {
        "id": kept.id, "name": kept.name, "seed": kept.seed, "width": width, "height": height,
        "ready": kept.trace is not None, "kept": bool(kept.name),
    }  # fmt: skip


def _concept(given: Mapping[str, Any]) -> dict[str, Any]:
    """One concept's plain settings, as far as its mask goes."""
    known = ("instance", "mask", "depth", "mask_source", "box", "class_word")
    made = {name: given[name] for name in known if given.get(name) not in (None, "")}
    return {"class_word": UNNAMED_CLASS, **made}


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise SettingsError(f"{name}: expected a text, found {str(value)[:60]!r}")
    return value


def _grey_url(mask: torch.Tensor) -> str:
    from PIL import Image

    return data_url(Image.fromarray((mask.clamp(0, 1) * 255).round().byte().numpy()), "png")
