"""Restart sampling, https://arxiv.org/abs/2306.14878: Heun with jumps back up in noise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import k_diffusion.sampling
import torch

RESTART_AT = 0.1
RESTART_TO = 2.0


def _plan(sigmas: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(from, to) of every Heun step; steps that start above where the last ended are restarts."""
    steps = sigmas.shape[0] - 1
    karras = k_diffusion.sampling.get_sigmas_karras
    restart_steps, times = 0, 0
    if steps >= 20:
        restart_steps, times = (steps // 4, 2) if steps >= 36 else (9, 1)
        sigmas = karras(steps - restart_steps * times, sigmas[-2].item(), sigmas[0].item(), device=sigmas.device)
    low = int(torch.argmin(abs(sigmas - RESTART_AT)))
    high = int(torch.argmin(abs(sigmas - RESTART_TO)))
    plan = []
    for i, pair in enumerate(pairwise(sigmas)):
        plan.append(pair)
        if times and i + 1 == low and high < low:
            again = karras(restart_steps + 1, sigmas[low].item(), sigmas[high].item(), device=sigmas.device)[:-1]
            plan.extend([*pairwise(again)] * times)
    return plan


@torch.no_grad()
def restart_sampler(
    model: Any,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    s_noise: float = 1.0,
    restart_list: Any = None,
) -> torch.Tensor:
    """Sample from x (B, C, H, W)."""
    ones = x.new_ones([x.shape[0]])
    to_d = k_diffusion.sampling.to_d
    last: torch.Tensor | None = None
    for i, (old, new) in enumerate(_plan(sigmas)):
        if last is not None and last < old:
            noise = k_diffusion.sampling.torch.randn_like(x)
            x = x + noise * s_noise * (old**2 - last**2) ** 0.5
        denoised = model(x, old * ones, **(extra_args or {}))
        d = to_d(x, old, denoised)
        if callback is not None:
            callback({"x": x, "i": i, "sigma": new, "sigma_hat": old, "denoised": denoised})
        if new != 0:
            ahead = x + d * (new - old)
            d = (d + to_d(ahead, new, model(ahead, new * ones, **(extra_args or {})))) / 2
        x = x + d * (new - old)
        last = new
    return x
