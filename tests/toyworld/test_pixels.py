"""Pictures to tensors and back, and the schedule that the trainers add noise by."""

from __future__ import annotations

import numpy as np
import torch

from toyworld.models import TIMESTEPS, alphas_cumprod
from toyworld.pixels import to_images, to_pixels


def test_every_level_comes_back_and_rows_stay_rows() -> None:
    image = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    pixels = to_pixels([image, image[::-1]])

    assert pixels.shape == (2, 3, 16, 16)
    assert pixels.is_contiguous()
    assert (float(pixels.min()), float(pixels.max())) == (-1.0, 1.0)
    assert float(pixels[0, 1, 2, 5]) == float(np.float32(image[2, 5, 1]) / np.float32(127.5) - np.float32(1))
    for found, expected in zip(to_images(pixels), (image, image[::-1]), strict=True):
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected)


def test_masks_may_come_with_pictures_and_pictures_may_be_read_only() -> None:
    image = np.full((4, 6, 4), 255, np.uint8)
    image.flags.writeable = False
    pixels = to_pixels([image])
    assert pixels.shape == (1, 4, 4, 6)
    assert (image == 255).all()


def test_what_is_too_bright_or_too_dark_is_cut() -> None:
    (found,) = to_images(torch.tensor([-3.0, 0.0, 3.0]).expand(1, 3, 1, 3))
    assert found[0, :, 0].tolist() == [0, 128, 255]


def test_the_noise_schedule_is_stable_diffusions() -> None:
    kept = 1.0
    for step, found in enumerate(alphas_cumprod().tolist()):
        root = 0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * step / (TIMESTEPS - 1)
        kept *= 1 - root**2
        assert abs(found - kept) < 1e-6 * kept + 1e-9
    assert step == TIMESTEPS - 1
    assert alphas_cumprod() is alphas_cumprod()
