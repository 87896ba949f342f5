"""Noise, stopping, batches, and a second sampling run inside the first."""

from __future__ import annotations

import copy

import harness
import pytest
import torch

STEPS = harness.DEFAULTS["steps"]
REPLAYABLE = [
    "Euler",
    "Euler a",
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 3M SDE",
    "Heun",
    "DPM2 a",
    "Restart",
    "LCM",
    "DDIM",
    "UniPC",
]


def test_ancestral_noise_comes_from_the_runs_own_generators() -> None:
    drawn, wanted = [], harness.latents(sampler_name="Euler a")

    def watch(p: object, **kwargs: object) -> None:
        original = p.rng.next

        def following() -> torch.Tensor:
            drawn.append(1)
            return original()

        p.rng.next = following

    with harness.script(process_before_every_sampling=watch):
        made = harness.latents(sampler_name="Euler a")
    assert len(drawn) == STEPS - 1
    assert torch.equal(made, wanted)


def test_start_noise_is_the_first_draw_of_an_image_rng() -> None:
    from modules import rng

    seen = []
    with harness.script(
        process_before_every_sampling=lambda p, **kw: seen.append((kw["x"], kw["noise"], kw["c"], kw["uc"]))
    ):
        made = harness.run(batch_size=2)
    again = rng.ImageRNG((4, harness.CELLS, harness.CELLS), [1, 2]).next()
    assert torch.equal(seen[0][0], again)
    assert torch.equal(seen[0][1], again)
    assert len(made.latents[0]) == 2


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ SDE", "DDIM", "LCM"])
def test_a_batch_of_two_is_two_singles(sampler: str) -> None:
    both = harness.latents(sampler_name=sampler, batch_size=2)
    singles = [harness.latents(sampler_name=sampler, seed=seed)[0] for seed in (1, 2)]
    torch.testing.assert_close(both, torch.stack(singles), rtol=0, atol=2e-3)


def test_interrupt_ends_the_job_with_the_latest_x0() -> None:
    from modules import shared

    with harness.denoiser_calls() as seen, harness.callback("cfg_after_cfg", lambda _: shared.state.interrupt()):
        made = harness.run(n_iter=3)
    assert len(seen) == 1
    assert len(made.processed.images) == 1
    assert torch.isfinite(made.latents[0]).all()
    assert shared.state.interrupted is True  # stays until the next job begins


def test_skip_ends_one_batch_only() -> None:
    from modules import shared

    counts = []

    def skip(params: object) -> None:
        counts.append(params.denoiser.p.iteration)
        if params.denoiser.p.iteration == 0:
            shared.state.skip()

    with harness.callback("cfg_denoiser", skip):
        made = harness.run(n_iter=2)
    assert counts.count(0) == 1
    assert counts.count(1) == STEPS
    assert len(made.processed.images) == 2


def test_stop_generating_lets_the_batch_finish() -> None:
    from modules import shared

    with harness.denoiser_calls() as seen, harness.callback("cfg_after_cfg", lambda _: shared.state.stop_generating()):
        made = harness.run(n_iter=3)
    assert len(seen) == STEPS
    assert len(made.processed.images) == 1


def test_interrupted_exception_is_no_exception() -> None:
    from modules.sd_samplers_common import InterruptedException

    assert issubclass(InterruptedException, BaseException)
    assert not issubclass(InterruptedException, Exception)


@pytest.mark.parametrize("sampler", REPLAYABLE)
def test_a_second_run_can_replay_the_first(sampler: str) -> None:
    """The method stands on this: recorded denoised, given back, make x bit-equal and cost no UNet call."""
    from modules import rng, sd_samplers

    recorded, replayed, unet = [], [], []

    def second_run(p: object, x: torch.Tensor, c: object, uc: object, **kwargs: object) -> None:
        denoiser = p.sampler.model_wrap_cfg
        _wrap(denoiser, recorded, None)
        start, original = x.clone(), p.rng
        p.rng = _fresh(rng, p)
        p.sampler.sample(p, start, copy.copy(c), copy.copy(uc), image_conditioning=p.txt2img_image_conditioning(x))
        p.rng = _fresh(rng, p)
        assert original is not p.rng
        p.sampler = sd_samplers.create_sampler(p.sampler_name, p.sd_model)
        _wrap(p.sampler.model_wrap_cfg, replayed, [entry[1] for entry in recorded])
        unet.append(1)

    with harness.script(process_before_every_sampling=second_run), harness.unet_calls() as calls:
        made = harness.run(sampler_name=sampler)
    assert unet == [1]
    assert len(calls.rows) == len(recorded) == len(replayed)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(recorded, replayed, strict=True))
    assert torch.isfinite(made.latents[0]).all()


def _fresh(rng: object, p: object) -> object:
    shape = (4, harness.CELLS, harness.CELLS)
    made = rng.ImageRNG(shape, p.seeds, subseeds=p.subseeds, subseed_strength=p.subseed_strength)
    made.next()
    return made


def _wrap(denoiser: object, into: list, replay: list | None) -> None:
    original = denoiser.forward

    def forward(x: torch.Tensor, sigma: torch.Tensor, **kwargs: object) -> torch.Tensor:
        out = original(x, sigma, **kwargs) if replay is None else replay[len(into)].clone()
        into.append((x.clone(), out.clone()))
        return out

    denoiser.forward = forward


def test_hires_pass_samples_again_at_the_larger_size() -> None:
    sizes, passes = [], []

    def watch(p: object, x: torch.Tensor, noise: torch.Tensor, **kwargs: object) -> None:
        sizes.append((tuple(x.shape), tuple(noise.shape)))
        passes.append(p.is_hr_pass)

    with harness.script(process_before_every_sampling=watch), harness.unet_calls() as calls:
        made = harness.run(
            enable_hr=True, hr_scale=1.5, hr_upscaler="Latent (nearest)", hr_second_pass_steps=4, denoising_strength=0.6
        )
    assert sizes == [((1, 4, 8, 8), (1, 4, 8, 8)), ((1, 4, 12, 12), (1, 4, 12, 12))]
    assert passes == [False, True]
    assert made.images[0].shape == (96, 96, 3)
    assert [shape[2] for shape in calls.x_shapes] == [8] * STEPS + [12] * 4


def test_progress_is_told() -> None:
    from modules import shared

    seen = []
    with harness.callback("cfg_after_cfg", lambda p: seen.append((p.sampling_step, shared.state.sampling_steps))):
        harness.run(n_iter=1)
    assert [total for _, total in seen] == [STEPS] * STEPS
    assert [step for step, _ in seen] == [0, *range(STEPS - 1)]  # set by the sampler after each step: one behind
    assert shared.state.job_no == 1
