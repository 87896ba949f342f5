"""Rows, splits and callbacks of one denoiser call."""

from __future__ import annotations

import harness
import pytest
import torch

STEPS = harness.DEFAULTS["steps"]
TWICE = 2 * STEPS - 1
"""Calls of a second-order sampler, whose last step is a simple one."""
LONG = ", ".join(["a man and a woman in the park"] * 12)


def _cond(text: str) -> torch.Tensor:
    from modules import shared

    with torch.no_grad():
        return shared.sd_model.get_learned_conditioning([text])[0]


def test_cond_rows_come_first_and_uncond_rows_last() -> None:
    with harness.unet_calls() as calls:
        harness.run(prompt=["a man", "a dog"], negative_prompt=["blue", "red"], batch_size=2, steps=1)
    wanted = torch.stack([_cond(text) for text in ("a man", "a dog", "blue", "red")])
    assert calls.rows == [4]
    torch.testing.assert_close(calls.contexts[0], wanted, rtol=0, atol=1e-5)


def test_each_part_of_and_has_its_row_before_uncond() -> None:
    with harness.unet_calls() as calls, harness.denoiser_calls() as seen:
        harness.run(prompt="a man AND a dog :0.5", negative_prompt="blue", steps=1)
    wanted = torch.stack([_cond(text) for text in ("a man ", " a dog", "blue")])
    torch.testing.assert_close(calls.contexts[0], wanted, rtol=0, atol=1e-5)
    assert seen[0].x.shape[0] == 3
    assert seen[0].text_cond.shape[0] == 2
    assert seen[0].text_uncond.shape[0] == 1


def test_and_weights_scale_each_part_around_uncond() -> None:
    outputs, results = [], []

    def denoised(params: object) -> None:
        outputs.append(params.x.clone())

    def after(params: object) -> None:
        results.append(params.x.clone())

    with harness.callback("cfg_denoised", denoised), harness.callback("cfg_after_cfg", after):
        harness.run(prompt="a man AND a dog :0.5", steps=1)
    one, two, uncond = outputs[0]
    torch.testing.assert_close(results[0][0], uncond + 5 * (one - uncond) + 2.5 * (two - uncond), rtol=0, atol=1e-4)


def test_skip_early_cond_drops_uncond_after_the_callback() -> None:
    with harness.options(skip_early_cond=0.5), harness.unet_calls() as calls, harness.denoiser_calls() as seen:
        made = harness.run(steps=4)
    assert [params.denoiser is not None for params in seen] == [True] * 4
    assert calls.rows == [1, 1, 1, 2]  # calls 0, 1, 2 of 4 are within the first half, its end included
    assert made.p.extra_generation_params["Skip Early CFG"] == 0.5


def test_ngms_drops_uncond_on_odd_calls_below_its_sigma() -> None:
    with harness.unet_calls() as calls:
        harness.run(steps=6, s_min_uncond=3.0)
    assert calls.rows[0] == 2
    assert 1 in calls.rows
    assert all(rows == 2 for rows in calls.rows[::2])


def test_dropped_uncond_means_scale_one() -> None:
    outputs, results = [], []

    def denoised(params: object) -> None:
        outputs.append(params.x.clone())

    def after(params: object) -> None:
        results.append(params.x.clone())

    with (
        harness.options(skip_early_cond=1.0),
        harness.callback("cfg_denoised", denoised),
        harness.callback("cfg_after_cfg", after),
    ):
        harness.run(steps=1)
    assert outputs[0].shape[0] == 2  # the cond row stands in for the uncond row too
    assert torch.equal(results[0], outputs[0][:1])


def test_batch_cond_uncond_off_calls_the_model_in_pieces() -> None:
    together = harness.latents()
    with harness.options(batch_cond_uncond=False), harness.unet_calls() as calls:
        apart = harness.latents()
    assert calls.rows == [1] * (2 * STEPS)
    torch.testing.assert_close(apart, together, rtol=0, atol=1e-3)


def test_unequal_token_counts_split_the_call() -> None:
    with harness.unet_calls() as calls:
        harness.run(prompt=LONG, steps=1)
    assert [context.shape[1] for context in calls.contexts] == [77 * 2, 77]


def test_padding_makes_token_counts_equal() -> None:
    with harness.options(pad_cond_uncond=True), harness.unet_calls() as calls:
        harness.run(prompt=LONG, steps=1)
    assert calls.rows == [2]
    assert torch.equal(calls.contexts[0][1, :77], calls.contexts[0][1, 77:])


@pytest.mark.parametrize("category", ["cfg_denoiser", "cfg_denoised", "cfg_after_cfg"])
def test_what_a_callback_raises_is_swallowed(category: str) -> None:
    wanted = harness.latents()

    def fail(params: object) -> None:
        raise ValueError("on purpose")

    with harness.callback(category, fail):
        assert torch.equal(harness.latents(), wanted)


def test_after_cfg_may_replace_the_result() -> None:
    def blank(params: object) -> None:
        params.x = torch.zeros_like(params.x)

    with harness.callback("cfg_after_cfg", blank):
        assert harness.latents().abs().max() < 1e-4  # Euler ends on the last denoised


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [("Euler", STEPS), ("Heun", TWICE), ("DPM2", TWICE), ("DPM++ 2M", STEPS), ("DPM++ SDE", TWICE)],
)
def test_second_order_samplers_call_twice_a_step(sampler: str, calls: int) -> None:
    steps, denoiser_steps = [], []

    def record(params: object) -> None:
        steps.append(params.sampling_step)
        denoiser_steps.append(params.denoiser.step)

    with harness.callback("cfg_denoiser", record):
        harness.run(sampler_name=sampler)
    assert len(steps) == calls
    assert denoiser_steps == list(range(calls))
    assert max(steps) < STEPS


def test_the_denoiser_knows_its_run_and_its_call_count() -> None:
    with harness.denoiser_calls() as seen:
        made = harness.run(sampler_name="Heun")
    denoiser = seen[0].denoiser
    assert denoiser.p is made.p
    assert (denoiser.steps, denoiser.total_steps) == (STEPS, 2 * STEPS)
    assert denoiser.sampler.model_wrap_cfg is denoiser
    assert [params.denoiser for params in seen] == [denoiser] * len(seen)


def test_forward_can_be_wrapped_on_one_instance() -> None:
    wanted, seen = harness.latents(), []

    def wrap(p: object, **kwargs: object) -> None:
        denoiser = p.sampler.model_wrap_cfg
        original = denoiser.forward

        def forward(x: torch.Tensor, sigma: torch.Tensor, **more: object) -> torch.Tensor:
            seen.append((tuple(x.shape), sorted(more)))
            return original(x, sigma, **more)

        denoiser.forward = forward

    with harness.script(process_before_every_sampling=wrap):
        assert torch.equal(harness.latents(), wanted)
    shape = (1, 4, harness.CELLS, harness.CELLS)
    assert seen == [(shape, ["cond", "cond_scale", "image_cond", "s_min_uncond", "uncond"])] * STEPS


@pytest.mark.parametrize(("sampler", "first"), [("DDIM", 751.0), ("PLMS", 751.0), ("UniPC", 999.0)])
def test_timestep_samplers_give_the_denoiser_timesteps(sampler: str, first: float) -> None:
    with harness.denoiser_calls() as seen:
        harness.run(sampler_name=sampler)
    assert seen[0].sigma[0].item() == pytest.approx(first, abs=0.01)
    assert seen[0].denoiser.mask_before_denoising is True


@pytest.mark.parametrize(
    "name", ["None", "sdp - scaled dot product", "Doggettx", "InvokeAI", "sub-quadratic", "V1 - original v1"]
)
def test_every_attention_optimisation_calls_projections_as_modules(name: str) -> None:
    from modules import sd_hijack, shared

    wanted, calls = harness.latents(), []
    layers = [
        m for n, m in shared.sd_model.model.named_modules() if n.endswith(("attn2.to_q", "attn2.to_k", "attn1.to_v"))
    ]
    handles = [layer.register_forward_hook(lambda *_: calls.append(1)) for layer in layers]
    try:
        sd_hijack.model_hijack.apply_optimizations(name)
        made = harness.latents()
    finally:
        sd_hijack.model_hijack.apply_optimizations()
        for handle in handles:
            handle.remove()
    assert len(calls) == len(layers) * STEPS
    torch.testing.assert_close(made, wanted, rtol=0, atol=2e-3)
