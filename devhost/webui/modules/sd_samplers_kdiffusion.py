"""Samplers of k-diffusion."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import k_diffusion.external
import k_diffusion.sampling
import torch

from modules import devices, sd_samplers_cfg_denoiser, sd_samplers_common, sd_samplers_extra, sd_schedulers, shared
from modules.script_callbacks import ExtraNoiseParams, extra_noise_callback
from modules.shared import opts

CHURN = ["s_churn", "s_tmin", "s_tmax", "s_noise"]
KARRAS = {"scheduler": "karras"}
EXPONENTIAL = {"scheduler": "exponential"}
TWICE = {"second_order": True}
BROWNIAN = {"brownian_noise": True}
ENSD = {"uses_ensd": True}
DISCARD = {"discard_next_to_last_sigma": True}

samplers_k_diffusion: list[tuple[str, Any, list[str], dict[str, Any]]] = [
    ("DPM++ 2M", "sample_dpmpp_2m", ["k_dpmpp_2m"], KARRAS),
    ("DPM++ SDE", "sample_dpmpp_sde", ["k_dpmpp_sde"], {**KARRAS, **TWICE, **BROWNIAN}),
    ("DPM++ 2M SDE", "sample_dpmpp_2m_sde", ["k_dpmpp_2m_sde"], {**EXPONENTIAL, **BROWNIAN}),
    (
        "DPM++ 2M SDE Heun",
        "sample_dpmpp_2m_sde",
        ["k_dpmpp_2m_sde_heun"],
        {**EXPONENTIAL, **BROWNIAN, "solver_type": "heun"},
    ),
    ("DPM++ 2S a", "sample_dpmpp_2s_ancestral", ["k_dpmpp_2s_a"], {**KARRAS, **ENSD, **TWICE}),
    ("DPM++ 3M SDE", "sample_dpmpp_3m_sde", ["k_dpmpp_3m_sde"], {**EXPONENTIAL, **DISCARD, **BROWNIAN}),
    ("Euler a", "sample_euler_ancestral", ["k_euler_a", "k_euler_ancestral"], ENSD),
    ("Euler", "sample_euler", ["k_euler"], {}),
    ("LMS", "sample_lms", ["k_lms"], {}),
    ("Heun", "sample_heun", ["k_heun"], TWICE),
    ("DPM2", "sample_dpm_2", ["k_dpm_2"], {**KARRAS, **DISCARD, **TWICE}),
    ("DPM2 a", "sample_dpm_2_ancestral", ["k_dpm_2_a"], {**KARRAS, **DISCARD, **ENSD, **TWICE}),
    ("DPM fast", "sample_dpm_fast", ["k_dpm_fast"], ENSD),
    ("DPM adaptive", "sample_dpm_adaptive", ["k_dpm_ad"], ENSD),
    ("Restart", sd_samplers_extra.restart_sampler, ["restart"], {**KARRAS, **TWICE}),
]
NOISE_ONLY = (
    "sample_dpm_fast",
    "sample_dpm_2_ancestral",
    "sample_dpmpp_2s_ancestral",
    "sample_dpmpp_sde",
    "sample_dpmpp_2m_sde",
    "sample_dpmpp_3m_sde",
)
sampler_extra_params = {
    **dict.fromkeys(("sample_euler", "sample_heun", "sample_dpm_2"), CHURN),
    **{name: ["s_noise"] for name in NOISE_ONLY},
}


class CFGDenoiserKDiffusion(sd_samplers_cfg_denoiser.CFGDenoiser):
    """Denoiser over k-diffusion's wrapper of the model."""

    @property
    def inner_model(self) -> Any:
        """CompVisDenoiser, or its v-prediction sister."""
        if self.model_wrap is None:
            is_v = shared.sd_model.parameterization == "v"
            wrapper = k_diffusion.external.CompVisVDenoiser if is_v else k_diffusion.external.CompVisDenoiser
            self.model_wrap = wrapper(shared.sd_model, quantize=opts.enable_quantization)
        return self.model_wrap


class KDiffusionSampler(sd_samplers_common.Sampler):
    """Runs one function of k_diffusion.sampling."""

    def __init__(self, funcname: Any, sd_model: Any, options: dict[str, Any] | None = None) -> None:
        super().__init__(funcname)
        self.extra_params = sampler_extra_params.get(funcname, [])
        self.options = options or {}
        self.func = funcname if callable(funcname) else getattr(k_diffusion.sampling, funcname)
        self.model_wrap_cfg = CFGDenoiserKDiffusion(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def get_sigmas(self, p: Any, steps: int) -> torch.Tensor:
        """Sigmas (steps + 1,), falling to 0."""
        discard = self.config is not None and self.config.options.get("discard_next_to_last_sigma", False)
        if opts.always_discard_next_to_last_sigma and not discard:
            discard = True
            p.extra_generation_params["Discard penultimate sigma"] = True
        steps += 1 if discard else 0
        if p.sampler_noise_scheduler_override:
            sigmas = p.sampler_noise_scheduler_override(steps)
        else:
            sigmas = self._scheduled(p, steps)
        return (torch.cat([sigmas[:-2], sigmas[-1:]]) if discard else sigmas).cpu()

    def _scheduled(self, p: Any, steps: int) -> torch.Tensor:
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        if name == "Automatic":
            name = self.config.options.get("scheduler")
        scheduler = sd_schedulers.schedulers_map.get(name)
        if scheduler is None or scheduler.function is None:
            return self.model_wrap.get_sigmas(steps)
        if scheduler.label != "Automatic" and not p.is_hr_pass:
            p.extra_generation_params["Schedule type"] = scheduler.label
        elif scheduler.label != p.extra_generation_params.get("Schedule type"):
            p.extra_generation_params["Hires schedule type"] = scheduler.label
        table = self.model_wrap.sigmas
        lowest, highest = (0.1, 10) if opts.use_old_karras_scheduler_sigmas else (table[0].item(), table[-1].item())
        kwargs: dict[str, Any] = {"sigma_min": opts.sigma_min or lowest, "sigma_max": opts.sigma_max or highest}
        if scheduler.default_rho != -1 and opts.rho:
            kwargs["rho"] = opts.rho
        if scheduler.need_inner_model:
            kwargs["inner_model"] = self.model_wrap
        return scheduler.function(n=steps, **kwargs, device=devices.cpu)

    def _arguments(self, p: Any, x: torch.Tensor, sigmas: torch.Tensor, sched: torch.Tensor, n: int) -> dict[str, Any]:
        """Keyword arguments that the sampling function takes; `sched` is the part of `sigmas` that runs."""
        kwargs = self.initialize(p)
        hires = sched is not sigmas
        table = self.model_wrap.sigmas
        offered = {
            "sigma_min": sched[-2] if hires else table[0].item(),
            "sigma_max": sched[0] if hires else table[-1].item(),
            "n": n,
            "sigma_sched": sched,
            "sigmas": sched,
        }
        parameters = inspect.signature(self.func).parameters
        kwargs.update({name: value for name, value in offered.items() if name in parameters})
        if self.config.options.get("brownian_noise", False):
            kwargs["noise_sampler"] = self.create_noise_sampler(x, sigmas, p)
        if self.config.options.get("solver_type") == "heun":
            kwargs["solver_type"] = "heun"
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
        """From noise x (B, C, H, W) of sigma 1."""
        steps = steps or p.steps
        sigmas = self.get_sigmas(p, steps)
        start = sigmas[0]
        if opts.sgm_noise_multiplier:
            start = (1.0 + start**2.0).sqrt()
            p.extra_generation_params["SGM noise multiplier"] = True
        x = x * start
        kwargs = self._arguments(p, x, sigmas, sigmas, steps)
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
        sigmas = self.get_sigmas(p, steps)
        sched = sigmas[steps - t_enc - 1 :]
        xi = x + noise * sched[0]
        if opts.img2img_extra_noise > 0:
            p.extra_generation_params["Extra noise"] = opts.img2img_extra_noise
            params = ExtraNoiseParams(noise, x, xi)
            extra_noise_callback(params)
            xi = xi + params.noise * opts.img2img_extra_noise
        kwargs = self._arguments(p, x, sigmas, sched, len(sched) - 1)
        self.model_wrap_cfg.init_latent = x
        self.last_latent = x
        self.sampler_extra_args = self.extra_args(p, conditioning, unconditional_conditioning, image_conditioning)
        return self.run(p, xi, t_enc + 1, kwargs)


samplers_data_k_diffusion = [
    sd_samplers_common.SamplerData(label, partial(KDiffusionSampler, funcname), aliases, options)
    for label, funcname, aliases, options in samplers_k_diffusion
]
k_diffusion_samplers_map = {data.name: data for data in samplers_data_k_diffusion}
k_diffusion_scheduler = {s.name: s.function for s in sd_schedulers.schedulers}
