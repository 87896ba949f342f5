"""Noise levels: the paper's start, falling fractions, and the first call that a start takes part in."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.schedule import (
    first_call,
    fraction_to_sigma,
    reached,
    sigma_at_timestep,
    sigmas_from_alphas,
)


def stable_diffusion_alphas() -> torch.Tensor:
    """Scaled-linear betas, as in SD1, SD2 and SDXL."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


SIGMAS = sigmas_from_alphas(stable_diffusion_alphas())
FRACTIONS = st.floats(0, 1)


def test_sigmas_are_stable_diffusions():
    assert float(SIGMAS[0]) == pytest.approx(0.0292, abs=1e-4)
    assert float(SIGMAS[-1]) == pytest.approx(14.6146, abs=1e-3)


def test_sigmas_of_a_schedule_that_ends_in_pure_noise_stay_finite():
    sigmas = sigmas_from_alphas(torch.tensor([0.9, 0.5, 0.0], dtype=torch.float16))
    assert torch.isfinite(sigmas).all()
    assert sigmas.dtype == torch.float64
    assert sigmas[1] == pytest.approx(1.0)


def test_the_papers_start():
    assert 2.9 < fraction_to_sigma(0.32, SIGMAS) < 3.1


@pytest.mark.parametrize("step", [1, 7, 16, 40, 49])
def test_a_fraction_is_a_step_of_fifty_uniform_timesteps(step):
    timestep = [999 - 999 * k / 49 for k in range(50)][step]
    assert fraction_to_sigma(step / 50, SIGMAS) == pytest.approx(sigma_at_timestep(SIGMAS, timestep), rel=1e-9)


@pytest.mark.parametrize(("timestep", "sigma"), [(-5, SIGMAS[0]), (7, SIGMAS[7]), (2000, SIGMAS[-1])])
def test_whole_timesteps_are_the_tables_own_and_others_are_clamped(timestep, sigma):
    assert sigma_at_timestep(SIGMAS, timestep) == pytest.approx(float(sigma))


def test_between_timesteps_the_logarithm_is_linear():
    expected = float(SIGMAS[10]) ** 0.75 * float(SIGMAS[11]) ** 0.25
    assert sigma_at_timestep(SIGMAS, 10.25) == pytest.approx(expected)


@given(FRACTIONS, FRACTIONS)
def test_noise_falls_with_the_fraction(one, other):
    low, high = sorted((one, other))
    assert fraction_to_sigma(low, SIGMAS) >= fraction_to_sigma(high, SIGMAS)


def test_the_ends_are_always_and_never():
    assert fraction_to_sigma(0, SIGMAS) == math.inf
    assert fraction_to_sigma(1, SIGMAS) == 0
    assert reached(14.6, math.inf)
    assert not reached(0.03, 0.0)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, math.nan])
def test_no_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match="from 0 to 1"):
        fraction_to_sigma(fraction, SIGMAS)


SECOND_ORDER = [14.6, 9.0, 9.0, 5.0, 5.0, 2.0, 2.0, 0.5]
RESTART = [14.6, 6.0, 2.0, 0.5, 6.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("sigmas", "threshold", "call"),
    [
        (SECOND_ORDER, 9.0, 1),
        (SECOND_ORDER, 4.9, 5),
        (RESTART, 3.0, 2),
        (RESTART, math.inf, 0),
        (RESTART, 0.0, 7),
        ([], 3.0, 0),
        ([10.0, 3.0 * (1 + 1e-6)], 3.0, 1),
        ([10.0, 3.0 * (1 + 1e-3)], 3.0, 2),
    ],
)
def test_first_call(sigmas, threshold, call):
    assert first_call(sigmas, threshold) == call
