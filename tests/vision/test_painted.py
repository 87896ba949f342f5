"""Painted masks: every form gives the same (H, W) array, and the packed text keeps it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_omg.core.errors import SettingsError
from lib_omg.vision import painted

HEIGHT, WIDTH = 20, 50  # never square: (H, W) and PIL's (W, H) must not be told apart by luck


def left_top_mask() -> np.ndarray:
    """(20, 50), 1 in the top 5 rows of the left 30 columns."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    mask[:5, :30] = 1
    return mask


def as_picture(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray((mask * 255).astype(np.uint8))
    assert image.size == (mask.shape[1], mask.shape[0])
    return image


def as_base64(image: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def blank(colour: str = "black") -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), colour)


def see_through(mask: np.ndarray) -> Image.Image:
    image = Image.new("RGBA", (WIDTH, HEIGHT), "black")
    image.putalpha(as_picture(mask))
    return image


FORMS = {
    "strokes over a white picture": lambda m: {"image": blank("white"), "mask": as_picture(m).convert("RGB")},
    "strokes as a see-through layer": lambda m: {"image": blank(), "mask": see_through(m)},
    "no strokes, the picture is the mask": lambda m: {"image": as_picture(m), "mask": blank()},
    "no mask at all": lambda m: {"image": as_picture(m), "mask": None},
    "raw dict of the API": lambda m: {"image": as_base64(blank()), "mask": as_base64(as_picture(m))},
    "grey picture": as_picture,
    "opaque RGBA picture": lambda m: as_picture(m).convert("RGBA"),
    "opacity of a picture": see_through,
    "palette picture": lambda m: as_picture(m).convert("P"),
    "one bit picture": lambda m: as_picture(m).convert("1"),
    "16 bit picture": lambda m: Image.fromarray((m * 65535).astype(np.uint16)),
    "base64 PNG": lambda m: as_base64(as_picture(m)),
    "data URL": lambda m: "data:image/png;base64," + as_base64(as_picture(m)),
    "base64 with line ends": lambda m: "\n".join(as_base64(as_picture(m))[i : i + 20] for i in range(0, 2000, 20)),
    "bool array": lambda m: m > 0,
    "byte array": lambda m: (m * 255).astype(np.uint8),
    "RGB array": lambda m: np.repeat((m[..., None] * 255).astype(np.uint8), 3, axis=2),
    "0..255 float array": lambda m: m * 255,
    "packed": painted.pack,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_gives_the_same_array(form):
    array = painted.to_array(form(left_top_mask()))
    assert array.shape == (HEIGHT, WIDTH)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, left_top_mask(), atol=1e-6)


def test_a_jpeg_is_nearly_the_same():
    array = painted.to_array("data:image/jpeg;base64," + as_base64(as_picture(left_top_mask()).convert("RGB"), "JPEG"))
    np.testing.assert_array_equal(array > 0.5, left_top_mask() > 0.5)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        7,
        {},
        {"image": None, "mask": None},
        "not base64!",
        base64.b64encode(b"not a picture").decode(),
        "bits:",
        "bits:2x2:",
        "bits:2x2:AAAA",
        "bits:0x5:eJwDAAAAAAE=",
        np.zeros((2, 3, 7)),
        np.zeros((0, 3)),
    ],
)
def test_anything_else_says_what_was_expected_and_found(value):
    with pytest.raises(SettingsError, match=r"expected .* found"):
        painted.to_array(value)


def test_a_packed_text_of_another_size_is_refused_without_inflating_it():
    body = painted.pack(np.zeros((64, 64), dtype=np.float32)).split(":")[2]
    with pytest.raises(SettingsError, match="expected 2 bytes"):
        painted.unpack(f"bits:2x8:{body}")


masks = st.tuples(st.integers(1, 64), st.integers(1, 64), st.integers(0, 2**32 - 1)).map(
    lambda t: (np.random.default_rng(t[2]).random(t[:2]) > 0.5).astype(np.float32)
)


@given(masks)
def test_small_masks_come_back_bit_by_bit(mask):
    np.testing.assert_array_equal(painted.unpack(painted.pack(mask)), mask)


@given(masks)
def test_the_picture_of_a_packed_mask_is_that_mask(mask):
    packed = painted.pack(mask)
    image = painted.picture(packed)
    side = max(1, 512 // max(mask.shape))
    assert image.size == (mask.shape[1] * side, mask.shape[0] * side)
    np.testing.assert_array_equal(painted.to_array(image), np.kron(mask, np.ones((side, side))))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_packing_is_the_area_mean(height, width, longest, seed):
    mask = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    found = painted.unpack(painted.pack(mask, longest))
    assert max(found.shape) <= longest or max(found.shape) == max(height, width)
    rows, columns = found.shape
    # Slow oracle: cut every pixel into rows x columns equal parts, whole parts make up a cell.
    fine = np.kron(mask.astype(np.float64), np.ones((rows, columns)))
    mean = fine.reshape(rows, height, columns, width).mean(axis=(1, 3))
    sure = abs(mean - 0.5) > 1e-6
    np.testing.assert_array_equal(found[sure], (mean >= 0.5)[sure])


def test_a_wide_mask_stays_wide():
    mask = np.zeros((128, 512), dtype=np.float32)
    mask[:, :256] = 1
    found = painted.unpack(painted.pack(mask))
    assert found.shape == (64, 256)
    assert found[:, :128].all()
    assert not found[:, 128:].any()


def test_packing_keeps_the_text_short():
    mask = np.random.default_rng(0).random((1024, 768)).astype(np.float32)
    assert len(painted.pack(mask)) < 9000, "noise can't be packed"
    rows, columns = np.mgrid[:1024, :768]
    disc = ((rows - 512) ** 2 + (columns - 384) ** 2 < 300**2).astype(np.float32)
    assert len(painted.pack(disc)) < 1000


def test_only_a_mask_can_be_packed():
    with pytest.raises(SettingsError, match=r"height, width.*\(2, 3, 4\)"):
        painted.pack(np.zeros((2, 3, 4), dtype=np.float32))
