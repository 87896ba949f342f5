"""UniPC, https://arxiv.org/abs/2302.04867: multistep predictor-corrector on x0, variants bh1 and bh2."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from modules import shared


class _Schedule:
    """alpha, sigma and lambda at continuous times t in (0, 1]; log alpha is linear between the model's timesteps."""

    def __init__(self, alphas_cumprod: torch.Tensor) -> None:
        self.log_alpha = 0.5 * torch.log(alphas_cumprod).double().cpu().numpy()
        self.count = len(self.log_alpha)
        self.times = np.arange(1, self.count + 1) / self.count

    def at(self, t: float) -> tuple[float, float, float]:
        """(alpha, sigma, lambda)."""
        log_alpha = float(np.interp(t, self.times, self.log_alpha))
        log_sigma = 0.5 * math.log(1 - math.exp(2 * log_alpha))
        return math.exp(log_alpha), math.exp(log_sigma), log_alpha - log_sigma


class _UniPC:
    """One run: history of (lambda, x0) and the last time."""

    def __init__(self, model: Any, extra_args: dict[str, Any], variant: str) -> None:
        if variant not in ("bh1", "bh2"):
            raise NotImplementedError(f"UniPC variant {variant}; devhost has bh1 and bh2")
        self.model = model
        self.extra_args = extra_args
        self.variant = variant
        self.schedule = _Schedule(model.inner_model.inner_model.alphas_cumprod)
        self.history: list[tuple[float, torch.Tensor]] = []

    def x0(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """Call the model at time t; the host's timestep is (t - 1/N) * 1000, not rounded."""
        alpha, sigma, _ = self.schedule.at(t)
        timestep = x.new_full((x.shape[0],), (t - 1.0 / self.schedule.count) * 1000.0)
        return (x - sigma * self.model(x, timestep, **self.extra_args)) / alpha

    def remember(self, t: float, x0: torch.Tensor) -> None:
        """Append to the history."""
        self.history.append((self.schedule.at(t)[2], x0))

    def step(self, x: torch.Tensor, t_from: float, t: float, order: int, correct: bool) -> tuple[torch.Tensor, Any]:
        """x at time t, and x0 at the predicted point if corrected."""
        alpha, sigma, lam = self.schedule.at(t)
        lam_from, x0_from = self.history[-1]
        hh = lam_from - lam
        ratios, slopes = [], []
        for lam_old, x0_old in self.history[-2 : -order - 1 : -1]:
            ratios.append((lam_old - lam_from) / (lam - lam_from))
            slopes.append((x0_old - x0_from) / ratios[-1])
        matrix, rhs, b_h = self._system(np.array([*ratios, 1.0]), hh, order)
        base = sigma / self.schedule.at(t_from)[1] * x - alpha * math.expm1(hh) * x0_from
        predicted = base
        if slopes:
            weights = [0.5] if order == 2 else np.linalg.solve(matrix[:-1, :-1], rhs[:-1])
            predicted = base - alpha * b_h * _combine(weights, slopes)
        if not correct:
            return predicted, None
        x0 = self.x0(predicted, t)
        weights = [0.5] if order == 1 else np.linalg.solve(matrix, rhs)
        return base - alpha * b_h * _combine(weights, [*slopes, x0 - x0_from]), x0

    def _system(self, ratios: Any, hh: float, order: int) -> tuple[Any, Any, float]:
        """The linear system for the weights, and B(h)."""
        b_h = hh if self.variant == "bh1" else math.expm1(hh)
        phi, factorial, rhs = math.expm1(hh) / hh - 1, 1, []
        for i in range(1, order + 1):
            rhs.append(phi * factorial / b_h)
            factorial *= i + 1
            phi = phi / hh - 1 / factorial
        return np.stack([ratios**i for i in range(order)]), np.array(rhs), b_h


def _combine(weights: Any, tensors: list[torch.Tensor]) -> torch.Tensor:
    return sum((float(w) * t for w, t in zip(weights, tensors, strict=True)), torch.zeros_like(tensors[0]))


def _times(skip_type: str, t_start: float, t_end: float, steps: int) -> list[float]:
    power = {"time_uniform": 1, "time_quadratic": 2}.get(skip_type)
    if power is None:
        raise NotImplementedError(f"UniPC skip type {skip_type}; devhost has time_uniform and time_quadratic")
    return [float(t) for t in np.linspace(t_start ** (1 / power), t_end ** (1 / power), steps + 1) ** power]


@torch.no_grad()
def unipc(
    model: Any,
    x: torch.Tensor,
    timesteps: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Any = None,
    disable: Any = None,
    is_img2img: bool = False,
) -> torch.Tensor:
    """Sample from x (B, C, H, W) in len(timesteps) steps."""
    steps, order = len(timesteps), shared.opts.uni_pc_order
    if steps < order:
        raise ValueError(f"UniPC order must be < sampling steps: order {order}, steps {steps}")
    run = _UniPC(model, extra_args or {}, shared.opts.uni_pc_variant)
    t_start = timesteps[-1].item() / 1000 + 1 / 1000 if is_img2img else 1.0
    times = _times(shared.opts.uni_pc_skip_type, t_start, 1.0 / run.schedule.count, steps)
    run.remember(times[0], run.x0(x, times[0]))
    for i in range(1, steps + 1):
        step_order = min(i, order)
        if shared.opts.uni_pc_lower_order_final and i >= order:
            step_order = min(order, steps + 1 - i)
        x, x0 = run.step(x, times[i - 1], times[i], step_order, correct=i < steps)
        if callback is not None:
            callback({"x": x, "i": i - 1, "sigma": 0, "sigma_hat": 0, "denoised": x0})
        if x0 is not None:
            run.remember(times[i], x0)
    return x
