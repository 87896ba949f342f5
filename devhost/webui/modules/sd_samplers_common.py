"""What all samplers share."""

from __future__ import annotations

import inspect
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import k_diffusion.sampling
import numpy as np
import torch
import torchsde._brownian.brownian_interval
from PIL import Image

from modules import devices, sd_vae_approx, shared
from modules.shared import opts, state

approximation_indexes = {"Full": 0, "Approx NN": 1, "Approx cheap": 2, "TAESD": 3}
SamplerDataTuple = namedtuple("SamplerData", ["name", "constructor", "aliases", "options"])


class SamplerData(SamplerDataTuple):
    """A sampler's name, constructor, aliases and options."""

    def total_steps(self, steps: int) -> int:
        """Denoiser calls expected for `steps`."""
        return steps * 2 if self.options.get("second_order", False) else steps


class InterruptedException(BaseException):
    """Ends sampling early; no `except Exception` catches it."""


def setup_img2img_steps(p: Any, steps: int | None = None) -> tuple[int, int]:
    """Steps of the whole schedule, and the index at which to enter it from behind."""
    if not opts.img2img_fix_steps and steps is None:
        return p.steps, int(min(p.denoising_strength, 0.999) * p.steps)
    requested = steps or p.steps
    strength = min(p.denoising_strength, 0.999)
    return (int(requested / strength) if p.denoising_strength > 0 else 0), requested - 1


def samples_to_images_tensor(sample: torch.Tensor, approximation: int | None = None, model: Any = None) -> torch.Tensor:
    """Latents (B, 4, h, w) to images (B, 3, H, W) in about [-1, 1]; anything but "Full" is the cheap preview."""
    if approximation is None or (state.interrupted and opts.live_preview_fast_interrupt):
        approximation = approximation_indexes.get(opts.show_progress_type, 0)
    if approximation != 0:
        return sd_vae_approx.cheap_approximation(sample)
    with torch.no_grad():
        return (model or shared.sd_model).decode_first_stage(sample)


def single_sample_to_image(sample: torch.Tensor, approximation: int | None = None) -> Image.Image:
    """One latent (4, h, w) to a PIL image."""
    image = samples_to_images_tensor(sample.unsqueeze(0), approximation)[0]
    image = torch.clamp(image * 0.5 + 0.5, 0.0, 1.0)
    return Image.fromarray((255.0 * np.moveaxis(image.cpu().numpy(), 0, 2)).astype(np.uint8))


def sample_to_image(samples: torch.Tensor, index: int = 0, approximation: int | None = None) -> Image.Image:
    """One latent of a batch to a PIL image."""
    return single_sample_to_image(samples[index], approximation)


def decode_first_stage(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Latents to images with the set method."""
    return samples_to_images_tensor(
        x.to(devices.dtype_vae), approximation_indexes.get(opts.sd_vae_decode_method, 0), model
    )


def images_tensor_to_samples(image: torch.Tensor, approximation: int | None = None, model: Any = None) -> torch.Tensor:
    """Images (B, 3, H, W) in [0, 1] to latents."""
    model = model or shared.sd_model
    encoded = [model.get_first_stage_encoding(model.encode_first_stage(one[None] * 2 - 1)) for one in image]
    return torch.cat(encoded)


def store_latent(decoded: torch.Tensor) -> None:
    """Keep the latest x0 for the preview."""
    state.current_latent = decoded


def is_sampler_using_eta_noise_seed_delta(p: Any) -> bool:
    """Whether the run's sampler adds noise that the option shifts."""
    from modules import sd_samplers

    config = sd_samplers.find_sampler_config(p.sampler_name)
    eta = p.eta
    if eta is None and p.sampler is not None:
        eta = p.sampler.eta
    if eta is None and config is not None:
        eta = 0 if config.options.get("default_eta_is_0", False) else 1.0
    return eta != 0 and config.options.get("uses_ensd", False)


def _torchsde_randn(size: Any, dtype: torch.dtype, device: Any, seed: int) -> torch.Tensor:
    return devices.randn_local(seed, size).to(device=device, dtype=dtype)


torchsde._brownian.brownian_interval._randn = _torchsde_randn


def apply_refiner(cfg_denoiser: Any, sigma: torch.Tensor | None = None) -> bool:
    """There is no refiner."""
    return False


class TorchHijack:
    """Stands in for `torch` in k-diffusion so that its randn_like draws from the run's own generators."""

    def __init__(self, p: Any) -> None:
        self.rng = p.rng

    def __getattr__(self, item: str) -> Any:
        return getattr(torch, item)

    def randn_like(self, x: torch.Tensor) -> torch.Tensor:
        """Next noise of the run."""
        return self.rng.next()


class Sampler:
    """Runs one sampling function on a CFGDenoiser."""

    def __init__(self, funcname: Any) -> None:
        self.funcname = funcname
        self.func: Callable[..., torch.Tensor] = funcname
        self.extra_params: list[str] = []
        self.sampler_noises: Any = None
        self.stop_at: int | None = None
        self.eta: float | None = None
        self.config: Any = None
        self.last_latent: Any = None
        self.s_min_uncond: float | None = None
        self.s_churn, self.s_tmin, self.s_tmax, self.s_noise = 0.0, 0.0, float("inf"), 1.0
        self.eta_option_field = "eta_ancestral"
        self.eta_infotext_field = "Eta"
        self.eta_default = 1.0
        self.conditioning_key = shared.sd_model.model.conditioning_key
        self.p: Any = None
        self.model_wrap_cfg: Any = None
        self.sampler_extra_args: dict[str, Any] | None = None
        self.options: dict[str, Any] = {}

    def callback_state(self, d: dict[str, Any]) -> None:
        """After each step of the sampling function."""
        if self.stop_at is not None and d["i"] > self.stop_at:
            raise InterruptedException
        state.sampling_step = d["i"]
        shared.total_tqdm.update()

    def launch_sampling(self, steps: int, func: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Run; when interrupted give back the latest x0."""
        state.sampling_step, state.sampling_steps = 0, steps
        denoiser = self.model_wrap_cfg
        denoiser.steps, denoiser.total_steps = steps, self.config.total_steps(steps)
        try:
            return func()
        except InterruptedException:
            return self.last_latent

    def number_of_needed_noises(self, p: Any) -> int:
        """Unused."""
        return p.steps

    def initialize(self, p: Any) -> dict[str, Any]:
        """Tie the run to the denoiser and k-diffusion's noise to its generators; give back keyword arguments."""
        self.p = p
        cfg = self.model_wrap_cfg
        cfg.p, cfg.step = p, 0
        cfg.mask, cfg.nmask = getattr(p, "mask", None), getattr(p, "nmask", None)
        cfg.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.eta = p.eta if p.eta is not None else getattr(opts, self.eta_option_field, 0.0)
        self.s_min_uncond = getattr(p, "s_min_uncond", 0.0)
        k_diffusion.sampling.torch = TorchHijack(p)
        parameters = inspect.signature(self.func).parameters
        kwargs = {name: getattr(p, name) for name in self.extra_params if hasattr(p, name) and name in parameters}
        if "eta" in parameters:
            if self.eta != self.eta_default:
                p.extra_generation_params[self.eta_infotext_field] = self.eta
            kwargs["eta"] = self.eta
        self._options_for_noise(p, kwargs)
        return kwargs

    def _options_for_noise(self, p: Any, kwargs: dict[str, Any]) -> None:
        """The s_* settings override what p carries when they are not the defaults."""
        for name, label in (("s_churn", "churn"), ("s_tmin", "tmin"), ("s_tmax", "tmax"), ("s_noise", "noise")):
            value = getattr(opts, name)
            value = (value or self.s_tmax) if name == "s_tmax" else value
            if name in kwargs and value != getattr(self, name):
                kwargs[name] = value
                setattr(p, name, value)
                p.extra_generation_params[f"Sigma {label}"] = value

    def create_noise_sampler(self, x: torch.Tensor, sigmas: torch.Tensor, p: Any) -> Any:
        """Brownian noise by seed, so that a picture does not depend on its batch."""
        if opts.no_dpmpp_sde_batch_determinism:
            return None
        seeds = p.all_seeds[p.iteration * p.batch_size : (p.iteration + 1) * p.batch_size]
        lowest = sigmas[sigmas > 0].min()
        return k_diffusion.sampling.BrownianTreeNoiseSampler(x, lowest, sigmas.max(), seed=seeds)

    def extra_args(self, p: Any, cond: Any, uncond: Any, image_cond: Any) -> dict[str, Any]:
        """What each denoiser call gets besides x and sigma."""
        return {
            "cond": cond,
            "image_cond": image_cond,
            "uncond": uncond,
            "cond_scale": p.cfg_scale,
            "s_min_uncond": self.s_min_uncond,
        }

    def run(self, p: Any, x: torch.Tensor, steps: int, kwargs: dict[str, Any]) -> torch.Tensor:
        """Launch the sampling function from x."""
        samples = self.launch_sampling(
            steps,
            lambda: self.func(
                self.model_wrap_cfg,
                x,
                extra_args=self.sampler_extra_args,
                disable=shared.cmd_opts.disable_console_progressbars,
                callback=self.callback_state,
                **kwargs,
            ),
        )
        self.add_infotext(p)
        return samples

    def add_infotext(self, p: Any) -> None:
        """Note padded conds."""
        denoiser = self.model_wrap_cfg
        padded = {"Pad conds": denoiser.padded_cond_uncond, "Pad conds v0": denoiser.padded_cond_uncond_v0}
        p.extra_generation_params.update({key: True for key, done in padded.items() if done})
