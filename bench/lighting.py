"""Lighting coherence: what light falls on a person, what light on the scene, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from toyworld.drawing import Stand, draw_identity
from toyworld.identity import CAST
from toyworld.instruments.crops import dilated, eroded
from toyworld.scene import LIGHTS, PLACES

if TYPE_CHECKING:
    from toyworld.identity import Identity

LEAST_PIXELS = 40
"""With fewer pixels no light is estimated."""
_SIDE_PX, _FIGURE_PX = 256, 200
_LEAST_SHARE = 0.01
_MOST_PIXELS = 500
_ROUNDS = 11
_WIDEST, _NARROWING = 3.0, 0.3
_SCALE_SHARE, _LEAST_SCALE = 0.12, 6.0
_SATURATED = 252
_GAINS = (0.15, 1.6)


@cache
def palette(identity: Identity) -> np.ndarray:
    """Daylight colours of an individual, (K, 3) in 0..255: those that cover a hundredth of it or more."""
    layer = Image.new("RGBA", (_SIDE_PX, _SIDE_PX))
    draw_identity(layer, identity, Stand(_SIDE_PX / 2, _SIDE_PX - 12, _FIGURE_PX))
    pixels = np.asarray(layer).reshape(-1, 4)
    colours, counts = np.unique(pixels[pixels[:, 3] == 255, :3], axis=0, return_counts=True)
    return colours[counts >= _LEAST_SHARE * counts.sum()].astype(np.float64)


def fit_gain(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray | None:
    """The light that turns daylight colours into pixels: a gain per channel.

    Every pixel is laid to the nearest lit colour and the gains are fitted anew by least squares, in which far pixels
    (another colour, a border) weigh nothing. Begun from each light of the world; the best fit is kept.

    Args:
        pixels: (P, 3) in 0..255. colours: (K, 3) in 0..255, by daylight.

    Returns:
        Gains (3,); None for fewer than `LEAST_PIXELS` pixels.
    """
    if len(pixels) < LEAST_PIXELS:
        return None
    seen = pixels[:: -(-len(pixels) // _MOST_PIXELS)].astype(np.float64)
    scale = max(_LEAST_SCALE, _SCALE_SHARE * float(seen.mean()))
    fits = [_fit_from(np.array(light), seen, colours, scale) for light in LIGHTS.values()]
    return min(fits, key=lambda fit: fit[0])[1]


def _fit_from(gain: np.ndarray, seen: np.ndarray, colours: np.ndarray, scale: float) -> tuple[float, np.ndarray]:
    """Cost (0 is perfect, 1 is nothing fits) and gains of a fit that begins at `gain`."""
    for turn in range(_ROUNDS):
        width = scale * max(1.0, _WIDEST - turn * _NARROWING)
        squares = _squares(gain, seen, colours)
        nearest = colours[squares.argmin(1)]
        # A saturated channel says nothing of its light.
        weights = (1 + squares.min(1) / width**2)[:, None] ** -2 * (seen < _SATURATED)
        power = (weights * nearest**2).sum(0)
        fitted = (weights * seen * nearest).sum(0) / np.maximum(power, 1e-9)
        gain = np.where(power > 1e-6, fitted, gain).clip(*_GAINS)
    least = _squares(gain, seen, colours).min(1)
    return float((least / (least + scale**2)).mean()), gain


def _squares(gain: np.ndarray, seen: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Squared distances (P, K) of pixels to lit colours."""
    return ((seen[:, None] - gain * colours) ** 2).sum(-1)


def scene_gain(image: np.ndarray, masks: Sequence[np.ndarray], place: str) -> np.ndarray | None:
    """The scene's light, from what its background shows of the place's sky and ground.

    Args:
        image: uint8 (H, W, 3). masks: bool (H, W) of everybody in it. place: one of `PLACES`.

    Returns:
        Gains (3,); None where there is too little background.
    """
    people = np.zeros(image.shape[:2], bool)
    for mask in masks:
        people |= mask
    return fit_gain(image[~dilated(dilated(people))], np.array(PLACES[place], np.float64))


def person_gain(image: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray | None:
    """The light on one member of the cast.

    Args:
        image: uint8 (H, W, 3). mask: bool (H, W). name: whom the mask shows.

    Returns:
        Gains (3,); None where there is too little of it.
    """
    inner = eroded(mask)
    return fit_gain(image[inner if inner.sum() >= LEAST_PIXELS else mask], palette(CAST[name].identity))


def tint_error(person: np.ndarray | None, scene: np.ndarray | None) -> float:
    """Mean absolute difference of log gains (3,) over the channels: 0.1 is about 10 % off; NaN without both."""
    if person is None or scene is None:
        return float("nan")
    return float(np.abs(np.log(person / scene)).mean())
