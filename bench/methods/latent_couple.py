"""Latent couple with a LoRA for each region: every region its own prediction, blended from the first step on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bench.host import LORA_WEIGHT, latent_size
from bench.methods.regional import BASE_SHARE
from bench.methods.regions import Box, columns_between, shares

if TYPE_CHECKING:
    import numpy as np

    from bench.cases import Case
    from bench.host import Forward, Wrap
    from bench.methods.base import Resources
    from lib_omg.host.conds import ConceptText
    from lib_omg.host.denoiser import Instruments

_MAX_ROWS = 16


@dataclass
class LatentCouple:
    """Whole columns, each predicted with its own prompt and its own LoRA; the layout prompt keeps a share.

    The formula of github.com/ashen-sensored/stable-diffusion-webui-two-shot and of Regional Prompter's Latent mode.
    Those predict the uncond row once and without LoRAs; here every region has its own with its LoRA, so that one
    region alone is the plain picture with that LoRA. Rows get their LoRA's deltas as in OMG instead of swapped
    weights: the same numbers, faster.
    """

    resources: Resources
    base_share: float = BASE_SHARE
    name: str = "latent_couple"
    title: str = "latent couple, a LoRA a region"

    def draw(self, case: Case) -> np.ndarray:
        """See `Method`."""
        return self.draw_in(case, columns_between(self.resources.boxes(case)))

    def draw_in(self, case: Case, columns: list[Box]) -> np.ndarray:
        """The picture of a case with its concepts in given columns."""
        from lib_omg.core.adapters import routed_adapters
        from lib_omg.host import loras
        from lib_omg.host.denoiser import instruments
        from lib_omg.host.limits import Limits

        requests = [[loras.LoraRequest(name, LORA_WEIGHT, LORA_WEIGHT, None)] for name in case.names]
        nets = loras.LoraLibrary().load(requests, case.names)
        deltas = loras.unet_deltas(nets, case.names, Limits.from_opts().delta_bytes)
        weights = shares(columns, *latent_size(case.width_px), self.base_share)
        with instruments(_MAX_ROWS) as tools, routed_adapters(deltas, tools.cursor):
            wrap = _wrap(case, nets, weights, tools)
            return self.resources.host.draw(case.layout_prompt, case.seed, case.width_px, denoiser=wrap)[0]


def _wrap(case: Case, nets: Sequence[Sequence[Any]], weights: torch.Tensor, tools: Instruments) -> Wrap:
    """Wrapper of a run's denoiser: the base prediction, then the regions', blended by `weights` (1 + N, H, W)."""
    from lib_omg.core.rows import global_rows
    from lib_omg.host.denoiser import cond_counts

    def wrap(denoiser: Any) -> Callable[[Forward], Forward]:
        texts = [_encoded(case, index, own) for index, own in enumerate(nets)]

        def make(forward: Forward) -> Forward:
            def call(x: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
                with tools.cursor.follow(global_rows(cond_counts(kwargs["cond"]))):
                    base = forward(x, sigma, **kwargs)
                predictions = [base[0], *_regions(denoiser, x, sigma, kwargs, texts, tools)]
                return (torch.stack(predictions) * weights[:, None].to(x)).sum(0, keepdim=True)

            return call

        return make

    return wrap


def _encoded(case: Case, index: int, nets: Sequence[Any]) -> ConceptText:
    from lib_omg.core.windows import whole
    from lib_omg.host.conds import ConceptWords, PromptFrame, encode

    words = ConceptWords(prompts=(case.own_prompt(index),), negatives=("",), requests=())
    window = whole(*latent_size(case.width_px))
    return encode(words, nets, [window], PromptFrame(words.prompts, words.negatives, steps=1), cfg_scale=None)


def _regions(
    denoiser: Any,
    x: torch.Tensor,
    sigma: torch.Tensor,
    kwargs: dict[str, Any],
    texts: Sequence[ConceptText],
    tools: Instruments,
) -> list[torch.Tensor]:
    """Every region's prediction (C, H, W) after guidance, for x (1, C, H, W)."""
    from modules import prompt_parser

    from lib_omg.core.windows import whole
    from lib_omg.host.concept_rows import Job, job_rows, run_rows

    size = (x.shape[-2], x.shape[-1])
    jobs = []
    for index, text in enumerate(texts):
        _, cond = prompt_parser.reconstruct_multicond_batch(text.cond, 0)
        uncond = prompt_parser.reconstruct_cond_batch(text.uncond, 0)
        rows = job_rows(x[0], sigma[0], whole(*size), kwargs["image_cond"][:1], [cond[0]], uncond[0])
        jobs.append(Job(0, index, whole(*size), torch.ones(size), rows, (1.0,)))
    scale = kwargs["cond_scale"] * denoiser.cond_scale_miltiplier
    outputs = run_rows(denoiser.inner_model, jobs, tools.cursor, tools.max_rows)
    return [denoiser.combine_denoised(x_out, [[(0, 1.0)]], x_out[-1:], scale)[0] for x_out in outputs]
