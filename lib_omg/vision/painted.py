"""Painted masks: every form in which one reaches us as a float array (H, W) in 0..1, and the text settings keep."""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_omg.core.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Mask = NDArray[np.float32]

LONGEST_CELLS = 256
"""Cells on the long side of a packed mask: as fine as the latent of a picture of 2048 px."""

_PREFIX = "bits:"
_PACKED = re.compile(r"bits:(\d{1,4})x(\d{1,4}):([A-Za-z0-9+/=]*)")
_DATA_URL = re.compile(r"data:[\w./+-]*(?:;[\w=.-]+)*;base64,", re.IGNORECASE)
_PICTURE_PX = 512
_EXPECTED = "a painted mask (a picture, base64 of a PNG or JPEG, or bits:HxW:...)"


def is_packed(value: object) -> bool:
    """Whether `value` is a text in the packed form of `pack`."""
    return isinstance(value, str) and value.startswith(_PREFIX)


def to_array(value: object) -> Mask:
    """Read a painted mask in any form.

    Args:
        value: what a sketch `gr.Image` gives ({"image", "mask"}: the strokes if there are any, else the picture
            itself), a PIL picture, an array (H, W) or (H, W, channels), base64 of a PNG or JPEG with or without `data:`
            in front, or `pack`'s text. A picture with transparent places is read by its opacity, any other by its
            brightness.

    Returns:
        (H, W), 0..1; 1 is the concept.

    Raises:
        SettingsError: the value is none of these.
    """
    if is_packed(value):
        return unpack(str(value))
    if isinstance(value, str) and value.strip():
        return _from_picture(_decode(value))
    if isinstance(value, Mapping):
        return _from_sketch(value)
    if isinstance(value, np.ndarray):
        return _from_channels(value)
    if hasattr(value, "getbands"):
        return _from_picture(value)
    raise SettingsError(f"mask: expected {_EXPECTED}, found {_short(value)}")


def pack(array: Mask, longest: int = LONGEST_CELLS) -> str:
    """Turn a mask into a short text: area mean over cells, 1 where at least half of a cell is the concept.

    Args:
        array: (H, W), 0..1.
        longest: cells on the long side at most; a smaller mask keeps its size.

    Returns:
        `bits:HxW:` and the base64 of the zlib stream of the bits, row by row.

    Raises:
        SettingsError: the array isn't a mask.
    """
    if array.ndim != 2 or not array.size:
        raise SettingsError(f"mask: expected an array (height, width), found the shape {array.shape}")
    height, width = array.shape
    scale = min(1.0, longest / max(height, width))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    cells = _area(rows, height) @ array.astype(np.float64) @ _area(columns, width).T
    bits = np.packbits(cells >= 0.5 - 1e-9)
    return f"{_PREFIX}{rows}x{columns}:{base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode('ascii')}"


def unpack(text: str) -> Mask:
    """Read the text of `pack` back.

    Returns:
        (H, W), each 0 or 1.

    Raises:
        SettingsError: the text is damaged.
    """
    found = _PACKED.fullmatch(text.strip())
    if not found:
        raise SettingsError(f"mask: expected bits:HxW:<base64>, found {_short(text)}")
    rows, columns = int(found[1]), int(found[2])
    expected = (rows * columns + 7) // 8
    try:
        stream = zlib.decompressobj()
        # One byte more than expected is asked for, so that a longer stream is noticed but never inflated.
        data = stream.decompress(base64.b64decode(found[3], validate=True), expected + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise SettingsError(f"mask: expected a packed mask, found damaged text {_short(text)} ({error})") from error
    if not expected or len(data) != expected:
        raise SettingsError(f"mask: expected {expected} bytes for {rows}x{columns} cells, found {len(data)} or more")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=rows * columns)
    return bits.reshape(rows, columns).astype(np.float32)


def picture(text: str) -> Image.Image:
    """A packed mask as a picture to look at and paint on, each cell a square, about 512 px on the long side.

    Raises:
        SettingsError: the text is damaged.
    """
    from PIL import Image

    cells = unpack(text)
    side = max(1, _PICTURE_PX // max(cells.shape))
    pixels = np.kron(cells, np.ones((side, side), dtype=np.float32)) * 255
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def _area(cells: int, size: int) -> NDArray[np.float64]:
    """(cells, size): how much of each cell every pixel makes up; each row sums to 1."""
    edges = np.linspace(0, size, cells + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    overlap = np.clip(overlap, 0, None)
    weights: NDArray[np.float64] = overlap / overlap.sum(axis=1, keepdims=True)
    return weights


def _from_sketch(value: Mapping[Any, Any]) -> Mask:
    strokes = value.get("mask")
    if strokes is not None and not (isinstance(strokes, str) and not strokes):
        painted = to_array(strokes)
        if painted.any():
            return painted
    if value.get("image") is None:
        raise SettingsError(f"mask: expected {_EXPECTED}, found {_short(dict(value))}")
    return to_array(value["image"])


def _from_picture(image: Any) -> Mask:
    """PIL's size is (W, H); its arrays are (H, W)."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_channels(np.asarray(image))
    if "transparency" in image.info or "A" in image.getbands():
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < alpha.max():
            return _from_channels(alpha)
    return _from_channels(np.asarray(image.convert("L")))


def _from_channels(array: NDArray[Any]) -> Mask:
    if array.ndim not in (2, 3) or not array.size or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise SettingsError(
            f"mask: expected an array (height, width) or (height, width, 1, 3 or 4), found {array.shape}"
        )
    top = 1.0 if array.dtype.kind in "bf" else 255.0 if array.dtype.itemsize == 1 else 65535.0
    values = array.astype(np.float32)
    if array.dtype.kind == "f" and values.max() > 1:
        top = 255.0
    values = np.nan_to_num(np.clip(values / top, 0, 1))
    if values.ndim == 2:
        return values
    opacity = values[..., 3] if values.shape[2] == 4 else None
    if opacity is not None and opacity.min() < opacity.max():
        return opacity
    brightness: Mask = values[..., :3].mean(axis=2)
    return brightness


def _decode(text: str) -> Any:
    from PIL import Image

    body = _DATA_URL.sub("", text.strip(), count=1)
    try:
        image = Image.open(io.BytesIO(base64.b64decode("".join(body.split()), validate=True)))
        image.load()
    except (binascii.Error, ValueError, OSError, Image.DecompressionBombError) as error:
        raise SettingsError(f"mask: expected {_EXPECTED}, found {_short(text)} ({error})") from error
    return image


def _short(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
