"""Pictures at the border: height before width, one rounding, and a clear word about what is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib_omg.vision.pixels import checked, to_bytes


def test_a_picture_becomes_bytes() -> None:
    picture = torch.rand(3, 10, 30, generator=torch.Generator().manual_seed(0))
    made = to_bytes(picture, 30)
    assert (made.shape, made.dtype) == ((10, 30, 3), np.uint8)
    assert made[2, 25].tolist() == [round(float(value) * 255) for value in picture[:, 2, 25]]


def test_a_large_picture_is_averaged() -> None:
    picture = torch.zeros(3, 16, 64)
    picture[:, ::2] = 1
    assert to_bytes(picture, 32).shape == (8, 32, 3)
    assert set(to_bytes(picture, 32).flatten().tolist()) == {128}


def test_rounding_over_the_edge_is_no_error() -> None:
    assert to_bytes(torch.full((3, 8, 8), 1.005), 8).max() == 255


def nowhere(value: float) -> torch.Tensor:
    picture = torch.full((3, 16, 24), 0.5)
    picture[1, 3, 7] = value
    return picture


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (nowhere(float("nan")), "nan"),
        (nowhere(float("inf")), "inf"),
        (nowhere(-3), "-3"),
        (torch.full((3, 16, 16), 255.0), "255"),
        (torch.zeros(16, 16, 3), r"\(16, 16, 3\)"),
        (torch.zeros(1, 3, 16, 16), r"\(1, 3, 16, 16\)"),
        (torch.zeros(3, 0, 16), "height 0, width 16"),
        (torch.zeros(3, 4, 16), "height 4, width 16"),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), "uint8"),
        (np.zeros((3, 16, 16)), r"\(3, 16, 16\)"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_picture(picture: object, said: str) -> None:
    with pytest.raises(ValueError, match=rf"picture: expected .*found.*{said}"):
        checked(picture)


def test_nothing_is_left_of_a_strip() -> None:
    with pytest.raises(ValueError, match="height 8 and width 4096"):
        to_bytes(torch.zeros(3, 8, 4096), 1024)
