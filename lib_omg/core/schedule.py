"""Time is noise: starts and ends as noise levels that mean the same under every sampler, schedule and step count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

REFERENCE_STEPS = 50
"""The paper samples with 50 uniform timesteps."""


def sigmas_from_alphas(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Noise level of every training timestep.

    Args:
        alphas_cumprod: (T,), falling, in 0..1.

    Returns:
        (T,) float64, rising: sqrt((1 - a) / a).
    """
    alphas = alphas_cumprod.detach().double().cpu().clamp(min=1e-12)
    return ((1 - alphas) / alphas).sqrt()


def sigma_at_timestep(sigmas: torch.Tensor, timestep: float) -> float:
    """Noise level at a (fractional) timestep, log-linear between the table's entries.

    Args:
        sigmas: (T,) rising, see `sigmas_from_alphas`.
        timestep: 0..T-1; outside is clamped.
    """
    last = len(sigmas) - 1
    position = min(max(timestep, 0.0), float(last))
    low = math.floor(position)
    high = min(low + 1, last)
    part = position - low
    return math.exp((1 - part) * math.log(float(sigmas[low])) + part * math.log(float(sigmas[high])))


def fraction_to_sigma(fraction: float, sigmas: torch.Tensor) -> float:
    """Noise level at a fraction of the reference schedule of 50 uniform timesteps (999, 978.6, ... 0).

    The paper's start, after 16 of 50 steps, is 0.32: timestep 673, sigma 3.0 for Stable Diffusion's schedule.

    Args:
        fraction: 0..1; 0 is before the first call (infinite noise), 1 is never (no noise).
        sigmas: (T,) rising, see `sigmas_from_alphas`.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction from 0 to 1, found {fraction}")
    if fraction == 0:
        return math.inf
    if fraction == 1:
        return 0.0
    last = len(sigmas) - 1
    return sigma_at_timestep(sigmas, last * (1 - fraction * REFERENCE_STEPS / (REFERENCE_STEPS - 1)))


def first_call(sigmas: Sequence[float], threshold: float) -> int:
    """Index of the first denoiser call at or below a noise level; `len(sigmas)` when there is none."""
    for call, sigma in enumerate(sigmas):
        if reached(sigma, threshold):
            return call
    return len(sigmas)


def reached(sigma: float, threshold: float) -> bool:
    """Whether a call at `sigma` is at or below `threshold` (a rounding error above still counts)."""
    return sigma <= threshold * (1 + 1e-5)
