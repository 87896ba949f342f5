"""Latent consistency sampling, https://arxiv.org/abs/2310.04378: denoise, add noise, repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from k_diffusion import sampling, utils
from k_diffusion.external import DiscreteEpsDDPMDenoiser

from modules import sd_samplers_cfg_denoiser, sd_samplers_common, sd_samplers_kdiffusion, shared

TIMESTEPS, ORIGINAL_TIMESTEPS = 1000, 50
SIGMA_DATA = 0.5


class LCMCompVisDenoiser(DiscreteEpsDDPMDenoiser):
    """The model on the 50 timesteps an LCM was distilled on, with the consistency model's skip scaling."""

    def __init__(self, model: Any) -> None:
        self.skip_steps = TIMESTEPS // ORIGINAL_TIMESTEPS
        super().__init__(model, model.alphas_cumprod[self.skip_steps - 1 :: self.skip_steps].float(), quantize=None)

    def get_sigmas(self, n: int | None = None) -> torch.Tensor:
        """Sigmas even in timesteps."""
        if n is None:
            return sampling.append_zero(self.sigmas.flip(0))
        t = torch.linspace(self.sigma_to_t(self.sigma_max), self.sigma_to_t(self.sigma_min), n, device=shared.device)
        return sampling.append_zero(self.t_to_sigma(t))

    def sigma_to_t(self, sigma: torch.Tensor, quantize: bool | None = None) -> torch.Tensor:
        """Nearest of the 50 timesteps."""
        distance = (sigma.log() - self.log_sigmas[:, None]).abs()
        return distance.argmin(dim=0).view(sigma.shape) * self.skip_steps + self.skip_steps - 1

    def t_to_sigma(self, timestep: torch.Tensor) -> torch.Tensor:
        """Sigma of a timestep between the 50."""
        position = (timestep - (self.skip_steps - 1)) / self.skip_steps
        return super().t_to_sigma(torch.clamp(position.float(), min=0, max=len(self.sigmas) - 1))

    def get_eps(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Noise prediction of the model."""
        return self.inner_model.apply_model(*args, **kwargs)

    def forward(self, input: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Denoised (N, C, H, W)."""
        c_out, c_in = (utils.append_dims(c, input.ndim) for c in self.get_scalings(sigma))
        t = self.sigma_to_t(sigma)
        denoised = input + self.get_eps(input * c_in, t, **kwargs) * c_out
        scaled = utils.append_dims(t, input.ndim) * 10.0
        skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        return scaled / (scaled**2 + SIGMA_DATA**2) ** 0.5 * denoised + skip * input


def sample_lcm(
    model: Any,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    noise_sampler: Any = None,
) -> torch.Tensor:
    """Sample from x (B, C, H, W)."""
    noise_sampler = noise_sampler or sampling.default_noise_sampler(x)
    ones = x.new_ones([x.shape[0]])
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = model(x, sigma * ones, **(extra_args or {}))
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        x = denoised
        if following > 0:
            x = x + following * noise_sampler(sigma, following)
    return x


class CFGDenoiserLCM(sd_samplers_cfg_denoiser.CFGDenoiser):
    """Denoiser over the LCM wrapper."""

    @property
    def inner_model(self) -> Any:
        """LCMCompVisDenoiser."""
        if self.model_wrap is None:
            self.model_wrap = LCMCompVisDenoiser(shared.sd_model)
        return self.model_wrap


class LCMSampler(sd_samplers_kdiffusion.KDiffusionSampler):
    """Runs sample_lcm."""

    def __init__(self, funcname: Any, sd_model: Any, options: dict[str, Any] | None = None) -> None:
        super().__init__(funcname, sd_model, options)
        self.model_wrap_cfg = CFGDenoiserLCM(self)
        self.model_wrap = self.model_wrap_cfg.inner_model


samplers_data_lcm = [sd_samplers_common.SamplerData("LCM", partial(LCMSampler, sample_lcm), ["k_lcm"], {})]
