"""A concept's rows see a window with the concept in its middle."""

from __future__ import annotations

from typing import Any

import harness
import pytest
import torch
from omg_tools import LEFT, boxed, concept, pair, predicts

SAMPLERS = ["Euler", "DDIM", "DDIM CFG++"]
"""One whose denoiser gives the picture, one whose gives the noise, and one that goes by the uncond row."""
QUARTER = harness.CELLS // 4
"""How far the middle of a half is from the middle."""


def _alone(word: str, lora: str, box: list[float], **fields: Any) -> dict[str, Any]:
    return {"concepts": [boxed(word, lora, box)], **fields}


def _concept_rows(calls: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the first call of the concepts and those of the call before it, everybody's."""
    first = next(n for n, x in enumerate(calls.inputs) if n and torch.equal(calls.timesteps[n], calls.timesteps[n - 1]))
    return calls.inputs[first], calls.inputs[first - 1]


@pytest.mark.parametrize(
    ("box", "turn"), [(LEFT, QUARTER), ([0.5, 0.0, 1.0, 1.0], -QUARTER), ([0.25, 0.5, 0.75, 1.0], 0)]
)
def test_rows_see_their_concept_in_the_middle(box: list[float], turn: int) -> None:
    with harness.unet_calls() as calls:
        harness.run(_alone("man", "rex", box, feather_px=0.0), sampler_name="Euler")
    shown, seen_by_all = _concept_rows(calls)
    # column by column, not by the code's own roll
    expected = torch.stack([seen_by_all[..., (column - turn) % harness.CELLS] for column in range(harness.CELLS)], -1)
    assert torch.equal(shown, expected)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_rows_make_comes_back_to_its_place(sampler: str) -> None:
    """With a model that sees each cell alone the turn must not change a thing, with others hidden as well."""
    with predicts(lambda x: torch.sin(2 * x)):
        centred = harness.latents(pair(), sampler_name=sampler)
        whole = harness.latents(pair(view="whole"), sampler_name=sampler)
    torch.testing.assert_close(centred, whole, rtol=0, atol=1e-4)


def test_in_a_wide_picture_rows_see_a_square() -> None:
    fields = {"width": 3 * harness.SIZE, "steps": 3, "sampler_name": "Euler"}
    with harness.unet_calls() as calls:
        harness.run(_alone("man", "rex", [0.5, 0.0, 0.75, 1.0], feather_px=0.0), **fields)
    first = next(n for n, x in enumerate(calls.inputs) if x.shape[-1] == harness.CELLS)
    everything = calls.inputs[first - 1]
    left = 15 - QUARTER * 2  # of 24 columns the box has those from 12 to 18
    assert torch.equal(calls.inputs[first], everything[..., left : left + harness.CELLS])


def test_the_picture_shows_it() -> None:
    omg = {"concepts": [concept("man", "rex"), concept("woman", "ida")]}
    assert float((harness.latents(omg) - harness.latents({**omg, "view": "whole"})).abs().max()) > 0.1


def test_the_hires_pass_turns_by_its_own_cells() -> None:
    fields = {"enable_hr": True, "hr_scale": 2.0, "denoising_strength": 0.5, "hr_upscaler": "Latent"}
    with harness.unet_calls() as calls:
        harness.run(_alone("man", "rex", LEFT, feather_px=0.0), sampler_name="Euler", **fields)
    big = [n for n, x in enumerate(calls.inputs) if x.shape[-1] == 2 * harness.CELLS]
    assert torch.equal(calls.timesteps[big[0]], calls.timesteps[big[1]])
    assert torch.equal(calls.inputs[big[1]], torch.roll(calls.inputs[big[0]], 2 * QUARTER, -1))


def test_a_concept_that_owns_the_whole_picture_is_in_the_middle_as_it_is() -> None:
    omg = _alone("man", "rex", [0.0, 0.0, 1.0, 1.0])
    assert torch.equal(harness.latents(omg), harness.latents({**omg, "view": "whole"}))
