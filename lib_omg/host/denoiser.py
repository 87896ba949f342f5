"""The host's CFGDenoiser, wrapped on one instance: its rows followed, its calls handed to core's passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from modules import prompt_parser, sd_samplers_common, shared
from modules.sd_samplers_timesteps import CFGDenoiserTimesteps

from lib_omg.core.blend import Region, blend
from lib_omg.core.errors import OmgError
from lib_omg.core.others import hiding_shift
from lib_omg.core.rows import RowCursor, global_rows
from lib_omg.core.schedule import sigma_at_timestep

from .concept_rows import Job, job_rows, run_rows
from .model import schedule_sigmas

if TYPE_CHECKING:
    from lib_omg.core.passes import ConceptPass, ConceptPlan, LayoutPass
    from lib_omg.core.trace import TracedCall

    from .conds import ConceptText

Forward = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Instruments:
    """What both passes share: the row cursor on the UNet, the schedule's noise levels, the row limit.

    Attributes:
        sigmas: (T,), see `schedule.sigmas_from_alphas`. max_rows: rows in one UNet batch of concepts; 0 as the host's.
    """

    cursor: RowCursor
    sigmas: torch.Tensor
    max_rows: int


@contextmanager
def instruments(max_rows: int) -> Iterator[Instruments]:
    """While open, a cursor follows the UNet's calls."""
    cursor = RowCursor()

    def before(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        cursor.advance(inputs[0].shape[0])

    handle = shared.sd_model.model.diffusion_model.register_forward_pre_hook(before)
    try:
        yield Instruments(cursor, schedule_sigmas(), max_rows)
    finally:
        handle.remove()


def sigma_of(denoiser: Any, value: torch.Tensor, sigmas: torch.Tensor) -> float:
    """Noise level of a denoiser call; DDIM, PLMS and UniPC give a timestep in sigma's place."""
    number = float(value.max())
    return sigma_at_timestep(sigmas, number) if isinstance(denoiser, CFGDenoiserTimesteps) else number


def cond_counts(cond: Any) -> list[int]:
    """Number of cond rows of every image (prompts with AND have several)."""
    return [len(parts) for parts in cond.batch]


def layout_forward(denoiser: Any, layout: LayoutPass, tools: Instruments) -> Callable[[Forward], Forward]:
    """Wrapper for the layout pass: the host's forward, recorded."""

    def make(forward: Forward) -> Forward:
        def call(x: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            counts = cond_counts(kwargs["cond"])

            def run() -> torch.Tensor:
                with tools.cursor.follow(global_rows(counts)):
                    return forward(x, sigma, **kwargs)

            def last_noise_uncond() -> torch.Tensor | None:
                return denoiser.last_noise_uncond if denoiser.need_last_noise_uncond else None

            return layout.call(x, sigma_of(denoiser, sigma, tools.sigmas), run, last_noise_uncond)

        return call

    return make


def concept_forward(
    denoiser: Any, concepts: ConceptPass, texts: Sequence[ConceptText], tools: Instruments
) -> Callable[[Forward], Forward]:
    """Wrapper for the concept pass: replay, then global and concept rows, blended."""

    def make(forward: Forward) -> Forward:
        def call(x: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            once = _Call(denoiser, forward, x, sigma, kwargs, texts, tools, step=denoiser.step)
            return concepts.call(x, sigma_of(denoiser, sigma, tools.sigmas), once)

        return call

    return make


@dataclass
class _Call:
    """One denoiser call of the concept pass, as core's `Denoiser`."""

    denoiser: Any
    forward: Forward
    x: torch.Tensor
    sigma: torch.Tensor
    kwargs: dict[str, Any]
    texts: Sequence[ConceptText]
    tools: Instruments
    step: int
    uncond_skipped: bool = False
    denoised: torch.Tensor | None = None
    """What `predict` gave."""

    def replay(self, call: TracedCall) -> torch.Tensor:
        """See core's `Denoiser`: what CFGDenoiser.forward does beside predicting."""
        if shared.state.interrupted or shared.state.skipped:
            raise sd_samplers_common.InterruptedException
        denoised = call.denoised.to(self.x.device, copy=True)  # LCM adds noise to it in place
        if call.last_noise_uncond is not None:
            self.denoiser.last_noise_uncond = call.last_noise_uncond.to(self.x.device, copy=True)
        self._show(denoised)
        self.denoiser.step += 1
        return denoised

    def predict(self) -> torch.Tensor:
        """See core's `Denoiser`: the host's own forward."""
        counts = cond_counts(self.kwargs["cond"])
        with self.tools.cursor.follow(global_rows(counts)) as cursor:
            denoised = self.forward(self.x, self.sigma, **self.kwargs)
            if cursor.seen not in (sum(counts), sum(counts) + len(counts)):
                raise OmgError(
                    f"OMG expected {sum(counts)} or {sum(counts) + len(counts)} UNet rows in a denoiser call, found "
                    f"{cursor.seen}. Another extension or a special UNet takes over sampling; turn it off for OMG."
                )
            self.uncond_skipped = cursor.seen == sum(counts)
        self.denoised = denoised
        return denoised

    def predict_concepts(self, plans: Sequence[ConceptPlan]) -> tuple[list[Region], list[Region]]:
        """See core's `Denoiser`: the concepts' rows through the host's UNet wrapper and its guidance formula."""
        jobs = [job for plan in plans for job in self._jobs(plan)]
        limit = self.tools.max_rows or self._host_rows()
        outputs = run_rows(self.denoiser.inner_model, jobs, self.tools.cursor, limit)
        regions, uncond_regions = [], []
        for job, x_out in zip(jobs, outputs, strict=True):
            prediction, uncond = (self._as_of_x(job, out) for out in self._guide(job, x_out))
            regions.append(Region(job.image, job.window, prediction, job.mask))
            if self.denoiser.need_last_noise_uncond:
                uncond_regions.append(Region(job.image, job.window, uncond, job.mask))
        return regions, uncond_regions

    def publish(self, denoised: torch.Tensor, uncond_regions: Sequence[Region]) -> None:
        """See core's `Denoiser`: what interrupt and live preview read."""
        if uncond_regions:
            self.denoiser.last_noise_uncond = blend(self.denoiser.last_noise_uncond, uncond_regions)
        self._show(denoised)

    def _show(self, denoised: torch.Tensor) -> None:
        x0 = self.denoiser.get_pred_x0(self.x, denoised, self.sigma)
        self.denoiser.sampler.last_latent = x0
        sd_samplers_common.store_latent(x0)

    def _host_rows(self) -> int:
        images = self.x.shape[0]
        return len(global_rows(cond_counts(self.kwargs["cond"]))) if shared.opts.batch_cond_uncond else images

    def _jobs(self, plan: ConceptPlan) -> list[Job]:
        text = self.texts[plan.concept]
        conds_list, cond = prompt_parser.reconstruct_multicond_batch(text.cond, self.step)
        uncond = prompt_parser.reconstruct_cond_batch(text.uncond, self.step)
        jobs = []
        for image, parts in enumerate(conds_list):
            window, mask = plan.windows[image], plan.masks[image]
            if not plan.owns[image]:
                continue
            shift = self._shift(plan, image)
            x = self.x[image] if shift is None else self.x[image] + shift
            rows = job_rows(
                x, self.sigma[image], window, self.kwargs["image_cond"][image : image + 1],
                [_row(cond, index) for index, _ in parts],
                None if self.uncond_skipped else _row(uncond, image),
            )  # fmt: skip
            weights = tuple(weight for _, weight in parts)
            jobs.append(Job(image, plan.concept, window, window.cut(mask), rows, weights, shift))
        return jobs

    def _shift(self, plan: ConceptPlan, image: int) -> torch.Tensor | None:
        """What hides the others from a concept's rows, (C, H, W) to be added to x; None: there is nothing to hide."""
        if plan.others is None or not plan.hides[image]:
            return None
        signal, _ = self._levels(image)
        return hiding_shift(self.x[image], self._x0[image], plan.masks[image], plan.others[image], signal)

    @cached_property
    def _x0(self) -> torch.Tensor:
        """The clean latents (B, C, H, W) that `predict` came to."""
        assert self.denoised is not None
        x0: torch.Tensor = self.denoiser.get_pred_x0(self.x, self.denoised, self.sigma)
        return x0

    def _levels(self, image: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(signal, noise): x is signal * x0 + noise * a normal noise."""
        sigma = self.sigma[image]
        if not isinstance(self.denoiser, CFGDenoiserTimesteps):
            return torch.ones_like(sigma), sigma
        alpha = self.denoiser.alphas[sigma.to(torch.int64)]
        return alpha.sqrt(), (1 - alpha).sqrt()

    def _as_of_x(self, job: Job, output: torch.Tensor) -> torch.Tensor:
        """A job's result as if its rows had seen x itself: where that is the noise, the same x0 takes another one."""
        if job.shift is None or not isinstance(self.denoiser, CFGDenoiserTimesteps):
            return output
        _, noise = self._levels(job.image)
        return output - job.window.cut(job.shift) / noise

    def _guide(self, job: Job, x_out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Guidance with the host's own formula: (C, h, w) of the result and of the uncond row."""
        own = self.texts[job.concept].cfg_scale
        scale = self.kwargs["cond_scale"] if own is None else own
        scale = scale * self.denoiser.cond_scale_miltiplier
        if self.uncond_skipped:
            x_out, scale = torch.cat([x_out, x_out[:1]]), 1.0  # as the host does where it skips uncond
        conds_list = [list(enumerate(job.weights))]
        return self.denoiser.combine_denoised(x_out, conds_list, x_out[-1:], scale)[0], x_out[-1]


def _row(cond: Any, index: int) -> Any:
    return {k: v[index] for k, v in cond.items()} if isinstance(cond, dict) else cond[index]
