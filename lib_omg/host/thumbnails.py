"""Small pictures of the LoRAs, from the previews that lie beside their files."""

from __future__ import annotations

import base64
import binascii
import io
import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from modules import shared

logger = logging.getLogger(__name__)

SIDE_PX = 192
"""Longest side of a thumbnail."""

_EXTENSIONS = ("png", "jpg", "jpeg", "webp", "gif")
_QUALITY = 82
_BACKGROUND = (64, 64, 64)
"""Under see-through pictures."""
_COVERS = "ssmd_cover_images"


def find_preview(on_disk: Any, beside: Collection[str] | None = None) -> Path | None:
    """The picture file that the host shows for a LoRA: `name.png` or `name.preview.png`, and so for other formats.

    Args:
        on_disk: the host's `NetworkOnDisk`.
        beside: the names of the files in its folder, to ask the disk once for many LoRAs.
    """
    file = Path(on_disk.filename)
    wanted = (str(getattr(shared.opts, "samples_format", "") or "png").lower(), *_EXTENSIONS)
    for extension in dict.fromkeys(wanted):
        for name in (f"{file.stem}.{extension}", f"{file.stem}.preview.{extension}"):
            path = file.with_name(name)
            if name in beside if beside is not None else path.is_file():
                return path
    return None


def has_cover(on_disk: Any) -> bool:
    """Whether the LoRA's file holds a preview in its own metadata."""
    return bool(on_disk.metadata.get(_COVERS))


class Thumbnails:
    """Makes thumbnails once for every state of a file; a picture that can't be read is told once and left out."""

    def __init__(self, most: int = 2000) -> None:
        self._most = most
        self._made: dict[str, tuple[tuple[int, int], str | None]] = {}

    def of(self, on_disk: Any) -> str | None:
        """A LoRA's thumbnail as a `data:` URL of a JPEG, at most `SIDE_PX` wide and high; None when it has none.

        Args:
            on_disk: the host's `NetworkOnDisk`.
        """
        path = find_preview(on_disk)
        if path is None and not has_cover(on_disk):
            return None
        source = path or Path(on_disk.filename)
        try:
            status = source.stat()
        except OSError:
            return None
        state = status.st_mtime_ns, status.st_size
        known = self._made.get(str(source))
        if known is None or known[0] != state:
            known = state, _thumbnail(path, on_disk)
            while len(self._made) >= self._most:
                self._made.pop(next(iter(self._made)), None)
            self._made[str(source)] = known
        return known[1]


def _thumbnail(path: Path | None, on_disk: Any) -> str | None:
    from PIL import Image

    try:
        with Image.open(path if path is not None else _cover(on_disk)) as picture:
            return _encoded(picture)
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        logger.warning("OMG can't read the preview %s: %s", path or f"inside {on_disk.filename}", error)
        return None


def _encoded(picture: Any) -> str:
    from PIL import Image, ImageOps

    picture.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))  # a JPEG of 20 megapixels needn't be read in full
    turned = ImageOps.exif_transpose(picture).convert("RGBA")
    turned.thumbnail((SIDE_PX, SIDE_PX))
    flat = Image.new("RGB", turned.size, _BACKGROUND)
    flat.paste(turned, mask=turned.getchannel("A"))
    file = io.BytesIO()
    flat.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _cover(on_disk: Any) -> io.BytesIO:
    """The first picture in a file's metadata: a list of base64 texts, as JSON or read already.

    Raises:
        ValueError: there is none.
    """
    covers = on_disk.metadata[_COVERS]
    covers = json.loads(covers) if isinstance(covers, str) else covers
    first = next((cover for cover in covers if cover and isinstance(cover, str)), "")
    try:
        data = base64.b64decode(first)
    except binascii.Error as error:
        raise ValueError(f"not base64 ({error})") from error
    if not data:
        raise ValueError("expected a list of pictures, found none")
    return io.BytesIO(data)
