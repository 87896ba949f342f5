"""A concept's rows don't see the other concepts."""

from __future__ import annotations

from typing import Any

import harness
import pytest
import torch
from omg_tools import alpha_at, boxed, concept, predicts, spy

LEFT, RIGHT = [0.0, 0.0, 0.3, 1.0], [0.7, 0.0, 1.0, 1.0]
SAMPLERS = ["Euler", "DDIM"]
"""One whose denoiser gives the picture, one whose gives the noise."""


def _pair(**fields: Any) -> dict[str, Any]:
    return {"concepts": [boxed("man", "rex", LEFT), boxed("woman", "ida", RIGHT)], "view": "whole", **fields}


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_in_the_others_places_a_concept_sees_what_lies_around(sampler: str) -> None:
    """The clean picture in a row's input, worked out anew from what the UNet was given and gave."""
    with harness.options(omg_rows_per_batch=32), spy() as seen, harness.unet_calls() as calls:
        harness.run(_pair(), sampler_name=sampler)
    first = next(n for n, x in enumerate(calls.inputs) if x.shape[0] == 4)  # rex' cond and uncond, ida's
    seen_by_all, alpha = calls.inputs[first - 1][0], alpha_at(calls.timesteps[first - 1][:1]).view(1, 1, 1)
    cond, uncond = calls.outputs[first - 1]
    eps = uncond + harness.DEFAULTS["cfg_scale"] * (cond - uncond)
    # every UNet input is sqrt(alpha) x0 + sqrt(1 - alpha) noise
    x0 = (seen_by_all - (1 - alpha).sqrt() * eps) / alpha.sqrt()
    masks = [plan.masks[0] for plan in seen.plans]
    between = x0[:, (masks[0] + masks[1]) <= 0.05]
    assert between.shape[1] > 16
    low, high = between.amin(1)[:, None], between.amax(1)[:, None]
    for own, row in ((0, 0), (1, 2)):
        there = masks[1 - own] > 0.999
        shown = calls.inputs[first][row] / alpha.sqrt()  # without noise there
        assert torch.equal(calls.inputs[first][row], calls.inputs[first][row + 1])
        around = shown[:, there]
        slack = 0.02 * (high - low)
        assert ((around >= low - slack) & (around <= high + slack)).all()
        assert float((around - x0[:, there]).abs().mean()) > 0.1, "there was nobody to hide: the test proves nothing"
        free = masks[1 - own] == 0
        torch.testing.assert_close(calls.inputs[first][row][:, free], seen_by_all[:, free], rtol=0, atol=1e-6)


def test_everybody_is_seen_when_asked_for() -> None:
    with harness.options(omg_rows_per_batch=32), harness.unet_calls() as calls:
        harness.run(_pair(hide_others=False))
    first = next(n for n, x in enumerate(calls.inputs) if x.shape[0] == 4)
    assert torch.equal(calls.inputs[first], calls.inputs[first - 1][:1].expand(4, -1, -1, -1))


@pytest.mark.parametrize("sampler", [*SAMPLERS, "UniPC", "Euler a", "DDIM CFG++"])
def test_a_concept_that_predicts_the_same_picture_draws_the_same_picture(sampler: str) -> None:
    """What is hidden changes what rows see; where they would say the same all the same, the picture must not change."""
    picture = torch.randn(4, harness.CELLS, harness.CELLS, generator=torch.Generator().manual_seed(3))
    with predicts(lambda _x: picture):
        hidden = harness.latents(_pair(feather_px=24.0), sampler_name=sampler)
        seen = harness.latents(_pair(feather_px=24.0, hide_others=False), sampler_name=sampler)
    torch.testing.assert_close(hidden, seen, rtol=0, atol=5e-3)


def test_one_concept_alone_has_nobody_to_hide() -> None:
    alone = {"concepts": [boxed("man", "rex", LEFT)]}
    shown = harness.latents({**alone, "hide_others": False})
    assert torch.equal(harness.latents(alone), shown)


@pytest.mark.usefixtures("large")
def test_the_hires_pass_hides_too() -> None:
    fields = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.5, "hr_upscaler": "Latent"}
    with harness.options(omg_rows_per_batch=32), harness.unet_calls() as calls:
        harness.run(_pair(), **fields)
    concepts = [x for x in calls.inputs if x.shape == (4, 4, 24, 24)]
    assert concepts
    for rows in concepts:
        changed = (rows[0] - rows[2]).abs().amax(0) > 1e-6
        assert changed[:, :4].all()
        assert changed[:, 20:].all()
        assert not changed[:, 11:13].any()


def test_found_people_are_hidden_and_the_picture_shows_it() -> None:
    omg = {"concepts": [concept("man", "rex"), concept("woman", "ida")]}
    shown = harness.latents({**omg, "hide_others": False})
    assert float((harness.latents(omg) - shown).abs().max()) > 0.1
