"""Samplers that run on timesteps."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch

from modules import sd_samplers_common, sd_samplers_timesteps_impl, shared
from modules.script_callbacks import ExtraNoiseParams, extra_noise_callback
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_unipc import unipc
from modules.shared import opts


class CompVisTimestepsDenoiser(torch.nn.Module):
    """The model as a noise predictor on timesteps."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner_model = model

    def forward(self, input: torch.Tensor, timesteps: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Noise in `input` (N, C, H, W)."""
        return self.inner_model.apply_model(input, timesteps, **kwargs)


class CFGDenoiserTimesteps(CFGDenoiser):
    """Denoiser whose sigma is a timestep and whose result is noise."""

    def __init__(self, sampler: Any) -> None:
        super().__init__(sampler)
        self.alphas = shared.sd_model.alphas_cumprod
        self.mask_before_denoising = True

    def get_pred_x0(self, x_in: torch.Tensor, x_out: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """x0 of a noise prediction at the timestep cut to a whole number."""
        a = self.alphas[sigma.to(dtype=int)][:, None, None, None]
        return (x_in - (1 - a).sqrt() * x_out) / a.sqrt()

    @property
    def inner_model(self) -> Any:
        """CompVisTimestepsDenoiser."""
        if self.model_wrap is None:
            self.model_wrap = CompVisTimestepsDenoiser(shared.sd_model)
        return self.model_wrap


class CompVisSampler(sd_samplers_common.Sampler):
    """Runs one timestep sampler."""

    def __init__(self, funcname: Any, sd_model: Any) -> None:
        super().__init__(funcname)
        self.eta_option_field = "eta_ddim"
        self.eta_infotext_field = "Eta DDIM"
        self.eta_default = 0.0
        self.model_wrap_cfg = CFGDenoiserTimesteps(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def get_timesteps(self, p: Any, steps: int) -> torch.Tensor:
        """Timesteps rising from 1."""
        if opts.always_discard_next_to_last_sigma:
            steps += 1
            p.extra_generation_params["Discard penultimate sigma"] = True
        return torch.clip(torch.arange(0, 1000, 1000 // steps) + 1, 0, 999)

    def _arguments(self, p: Any, timesteps: torch.Tensor, is_img2img: bool) -> dict[str, Any]:
        kwargs = self.initialize(p)
        offered = {"timesteps": timesteps, **({"is_img2img": True} if is_img2img else {})}
        parameters = inspect.signature(self.func).parameters
        kwargs.update({name: value for name, value in offered.items() if name in parameters})
        return kwargs

    def sample(
        self,
        p: Any,
        x: Any,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Any = None,
    ) -> torch.Tensor:
        """From noise x (B, C, H, W)."""
        steps = steps or p.steps
        kwargs = self._arguments(p, self.get_timesteps(p, steps), is_img2img=False)
        self.last_latent = x
        self.sampler_extra_args = self.extra_args(p, conditioning, unconditional_conditioning, image_conditioning)
        return self.run(p, x, steps, kwargs)

    def sample_img2img(
        self,
        p: Any,
        x: Any,
        noise: Any,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Any = None,
    ) -> torch.Tensor:
        """From latent x with noise added up to the denoising strength."""
        steps, t_enc = sd_samplers_common.setup_img2img_steps(p, steps)
        timesteps = self.get_timesteps(p, steps)
        a = shared.sd_model.alphas_cumprod[timesteps[t_enc]]
        xi = x * a.sqrt() + noise * (1 - a).sqrt()
        if opts.img2img_extra_noise > 0:
            p.extra_generation_params["Extra noise"] = opts.img2img_extra_noise
            params = ExtraNoiseParams(noise, x, xi)
            extra_noise_callback(params)
            xi = xi + params.noise * opts.img2img_extra_noise * a.sqrt()
        kwargs = self._arguments(p, timesteps[:t_enc], is_img2img=True)
        self.model_wrap_cfg.init_latent = x
        self.last_latent = x
        self.sampler_extra_args = self.extra_args(p, conditioning, unconditional_conditioning, image_conditioning)
        return self.run(p, xi, t_enc + 1, kwargs)


samplers_data_timesteps = [
    sd_samplers_common.SamplerData(label, partial(CompVisSampler, function), aliases, {})
    for label, function, aliases in (
        ("DDIM", sd_samplers_timesteps_impl.ddim, ["ddim"]),
        ("DDIM CFG++", sd_samplers_timesteps_impl.ddim_cfgpp, ["ddim_cfgpp"]),
        ("PLMS", sd_samplers_timesteps_impl.plms, ["plms"]),
        ("UniPC", unipc, ["unipc"]),
    )
]
VanillaStableDiffusionSampler = CompVisSampler
