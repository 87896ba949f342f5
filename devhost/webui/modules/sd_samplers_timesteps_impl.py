"""DDIM and PLMS on timesteps; the denoiser gives noise here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import k_diffusion.sampling
import torch

Callback = Callable[[dict[str, Any]], None]
CFGPP_SCALE = 1 / 12.5
ADAMS_BASHFORTH = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


class _Step(NamedTuple):
    """One step: number from 0, timesteps now and next, alphas_cumprod now and next."""

    number: int
    t: float
    t_next: float
    a: torch.Tensor
    a_prev: torch.Tensor

    def x0(self, x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """x0 of x (B, C, H, W) with noise eps."""
        return (x - (1 - self.a).sqrt() * eps) / self.a.sqrt()


def _steps(model: Any, x: torch.Tensor, timesteps: torch.Tensor) -> Iterator[_Step]:
    """Steps from the last timestep to the second."""
    alphas_cumprod = model.inner_model.inner_model.alphas_cumprod
    ts = timesteps.tolist()
    for number, index in enumerate(range(len(ts) - 1, 0, -1)):
        now, following = (x.new_full((x.shape[0], 1, 1, 1), alphas_cumprod[ts[i]].item()) for i in (index, index - 1))
        yield _Step(number, ts[index], ts[index - 1], now, following)


def _sigma(step: _Step, eta: float) -> torch.Tensor:
    return eta * ((1 - step.a_prev) / (1 - step.a) * (1 - step.a / step.a_prev)).sqrt()


def _ddim(
    model: Any, x: torch.Tensor, timesteps: torch.Tensor, extra_args: Any, callback: Any, eta: float
) -> torch.Tensor:
    ones = x.new_ones(x.shape[0])
    for step in _steps(model, x, timesteps):
        eps = model(x, step.t * ones, **(extra_args or {}))
        towards = model.last_noise_uncond if model.need_last_noise_uncond else eps
        x0, sigma = step.x0(x, eps), _sigma(step, eta)
        noise = sigma * k_diffusion.sampling.torch.randn_like(x)
        x = step.a_prev.sqrt() * x0 + (1 - step.a_prev - sigma**2).sqrt() * towards + noise
        if callback is not None:
            callback({"x": x, "i": step.number, "sigma": 0, "sigma_hat": 0, "denoised": x0})
    return x


@torch.no_grad()
def ddim(
    model: Any,
    x: Any,
    timesteps: Any,
    extra_args: Any = None,
    callback: Any = None,
    disable: Any = None,
    eta: float = 0.0,
) -> torch.Tensor:
    """DDIM, https://arxiv.org/abs/2010.02502, eq. 12."""
    return _ddim(model, x, timesteps, extra_args, callback, eta)


@torch.no_grad()
def ddim_cfgpp(
    model: Any,
    x: Any,
    timesteps: Any,
    extra_args: Any = None,
    callback: Any = None,
    disable: Any = None,
    eta: float = 0.0,
) -> torch.Tensor:
    """DDIM that steps along the uncond noise, https://arxiv.org/abs/2406.08070."""
    model.cond_scale_miltiplier = CFGPP_SCALE
    model.need_last_noise_uncond = True
    return _ddim(model, x, timesteps, extra_args, callback, eta)


@torch.no_grad()
def plms(
    model: Any, x: Any, timesteps: Any, extra_args: Any = None, callback: Any = None, disable: Any = None
) -> torch.Tensor:
    """Pseudo linear multistep, https://arxiv.org/abs/2202.09778; the first step calls the model twice."""
    ones = x.new_ones(x.shape[0])
    history: list[torch.Tensor] = []

    def move(step: _Step, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x0 = step.x0(x, eps)
        return step.a_prev.sqrt() * x0 + (1 - step.a_prev).sqrt() * eps, x0

    for step in _steps(model, x, timesteps):
        eps = model(x, step.t * ones, **(extra_args or {}))
        history.insert(0, eps)
        if len(history) == 1:
            ahead, _ = move(step, eps)
            guided = (eps + model(ahead, step.t_next * ones, **(extra_args or {}))) / 2
        else:
            weights = ADAMS_BASHFORTH[len(history) - 1]
            guided = sum(w * e for w, e in zip(weights, history, strict=True))
        del history[3:]
        x, x0 = move(step, guided)
        if callback is not None:
            callback({"x": x, "i": step.number, "sigma": 0, "sigma_hat": 0, "denoised": x0})
    return x
