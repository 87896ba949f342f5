"""Noise schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import k_diffusion.sampling
import torch


@dataclass
class Scheduler:
    """A schedule: function(n, sigma_min, sigma_max, [rho], [inner_model], device) -> n + 1 sigmas, the last 0."""

    name: str
    label: str
    function: Callable[..., torch.Tensor] | None
    default_rho: float = -1
    need_inner_model: bool = False
    aliases: list[str] | None = None


def uniform(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Any) -> torch.Tensor:
    """Even in timesteps."""
    return inner_model.get_sigmas(n).to(device)


def sgm_uniform(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Any) -> torch.Tensor:
    """Even in timesteps, stopping one step short of sigma_min."""
    start, end = (inner_model.sigma_to_t(torch.tensor(s)) for s in (sigma_max, sigma_min))
    sigmas = [inner_model.t_to_sigma(t) for t in torch.linspace(start, end, n + 1)[:-1]]
    return torch.tensor([*sigmas, 0.0], device=device)


def simple(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Any) -> torch.Tensor:
    """Every k-th sigma of the model's table."""
    stride = len(inner_model.sigmas) / n
    return torch.tensor([*(float(inner_model.sigmas[-(1 + int(i * stride))]) for i in range(n)), 0.0], device=device)


schedulers = [
    Scheduler("automatic", "Automatic", None),
    Scheduler("uniform", "Uniform", uniform, need_inner_model=True),
    Scheduler("karras", "Karras", k_diffusion.sampling.get_sigmas_karras, default_rho=7.0),
    Scheduler("exponential", "Exponential", k_diffusion.sampling.get_sigmas_exponential),
    Scheduler("polyexponential", "Polyexponential", k_diffusion.sampling.get_sigmas_polyexponential, default_rho=1.0),
    Scheduler("sgm_uniform", "SGM Uniform", sgm_uniform, need_inner_model=True, aliases=["SGMUniform"]),
    Scheduler("simple", "Simple", simple, need_inner_model=True),
]
schedulers_map = {**{s.name: s for s in schedulers}, **{s.label: s for s in schedulers}}
