"""The txt2img run: one sampling pass, and the hires pass on the enlarged latent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from modules import devices, extra_networks, prompt_parser, rng, sd_models, sd_samplers, shared
from modules.processing_base import StableDiffusionProcessing, opt_f
from modules.sd_samplers_common import decode_first_stage
from modules.shared import opts, state


class DecodedSamples(list):
    """Images (3, H, W), already decoded."""

    already_decoded = True


def decode_latent_batch(
    model: Any, batch: torch.Tensor, target_device: Any = None, check_for_nans: bool = False
) -> DecodedSamples:
    """Decode latents (B, 4, h, w) one at a time."""
    if check_for_nans:
        devices.test_for_nans(batch, "unet")
    images = [decode_first_stage(model, batch[i : i + 1])[0] for i in range(batch.shape[0])]
    if check_for_nans:
        for image in images:
            devices.test_for_nans(image, "vae")
    return DecodedSamples(images)


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """A run from text."""

    denoising_strength: float = 0.75
    force_task_id: str | None = None
    firstphase_height: int = 0
    firstphase_width: int = 0

    enable_hr: bool = False
    hr_prompt: Any = ""
    hr_negative_prompt: Any = ""
    hr_upscaler: str | None = None
    hr_scale: float = 2.0
    hr_resize_y: int = 0
    hr_resize_x: int = 0
    hr_second_pass_steps: int = 0
    hr_scheduler: str | None = None
    hr_sampler_name: str | None = None
    hr_checkpoint_name: str | None = None

    # Set while running.
    latent_scale_mode: Any = field(default=None, init=False)
    truncate_y: int = field(default=0, init=False)
    truncate_x: int = field(default=0, init=False)
    hr_upscale_to_y: int = field(default=0, init=False)
    hr_upscale_to_x: int = field(default=0, init=False)
    hr_checkpoint_info: Any = field(default=None, init=False)
    hr_extra_network_data: Any = field(default=None, init=False)
    hr_negative_prompts: Any = field(default=None, init=False)
    hr_prompts: Any = field(default=None, init=False)
    all_hr_negative_prompts: Any = field(default=None, init=False)
    all_hr_prompts: Any = field(default=None, init=False)
    hr_uc: Any = field(default=None, init=False)
    hr_c: Any = field(default=None, init=False)

    cached_hr_uc = [None, None]  # noqa: RUF012 - shared by all runs on purpose, as in the WebUI
    cached_hr_c = [None, None]  # noqa: RUF012

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.firstphase_width or self.firstphase_height:
            self.hr_upscale_to_x, self.hr_upscale_to_y = self.width, self.height
            self.width, self.height = self.firstphase_width, self.firstphase_height
        self.cached_hr_uc = StableDiffusionProcessingTxt2Img.cached_hr_uc
        self.cached_hr_c = StableDiffusionProcessingTxt2Img.cached_hr_c

    def calculate_target_resolution(self) -> None:
        """Size of the hires pass, and what is cut off when the shapes differ."""
        want_x, want_y = self.hr_resize_x, self.hr_resize_y
        if want_x == 0 and want_y == 0:
            self.extra_generation_params["Hires upscale"] = self.hr_scale
            self.hr_upscale_to_x, self.hr_upscale_to_y = (
                int(self.width * self.hr_scale),
                int(self.height * self.hr_scale),
            )
            return
        self.extra_generation_params["Hires resize"] = f"{want_x}x{want_y}"
        by_width = want_y == 0 or (want_x != 0 and self.width / self.height < want_x / want_y)
        if by_width:
            self.hr_upscale_to_x, self.hr_upscale_to_y = want_x, want_x * self.height // self.width
        else:
            self.hr_upscale_to_x, self.hr_upscale_to_y = want_y * self.width // self.height, want_y
        if want_x and want_y:
            self.truncate_x = (self.hr_upscale_to_x - want_x) // opt_f
            self.truncate_y = (self.hr_upscale_to_y - want_y) // opt_f

    def init(self, all_prompts: Any, all_seeds: Any, all_subseeds: Any) -> None:
        """With hires fix: size, upscaler, infotext and step counts."""
        if not self.enable_hr:
            return
        params = self.extra_generation_params
        params["Denoising strength"] = self.denoising_strength
        if self.hr_sampler_name is not None and self.hr_sampler_name != self.sampler_name:
            params["Hires sampler"] = self.hr_sampler_name
        params["Hires prompt"] = _unless_same("all_hr_prompts", "prompt_text")
        params["Hires negative prompt"] = _unless_same("all_hr_negative_prompts", "negative_prompt")
        params["Hires schedule type"] = None
        self.hr_scheduler = self.scheduler if self.hr_scheduler is None else self.hr_scheduler
        upscaler = shared.latent_upscale_default_mode if self.hr_upscaler is None else self.hr_upscaler
        self.latent_scale_mode = shared.latent_upscale_modes.get(upscaler)
        if self.latent_scale_mode is None:
            raise ValueError(
                f"could not find upscaler named {upscaler}; devhost has {list(shared.latent_upscale_modes)}"
            )
        self.calculate_target_resolution()
        self._count_steps()
        if self.hr_second_pass_steps:
            params["Hires steps"] = self.hr_second_pass_steps
        if self.hr_upscaler is not None:
            params["Hires upscaler"] = self.hr_upscaler

    def _count_steps(self) -> None:
        if state.processing_has_refined_job_count:
            return
        if state.job_count == -1:
            state.job_count = self.n_iter
        shared.total_tqdm.updateTotal((self.steps + (self.hr_second_pass_steps or self.steps)) * state.job_count)
        state.job_count *= 2
        state.processing_has_refined_job_count = True

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: Any,
        subseeds: Any,
        subseed_strength: Any,
        prompts: Any,
    ) -> Any:
        """First pass, then the hires pass if on."""
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        x = self.rng.next()
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(
                p=self, x=x, noise=x, c=conditioning, uc=unconditional_conditioning
            )
        image_cond = self.txt2img_image_conditioning(x)
        samples = self.sampler.sample(self, x, conditioning, unconditional_conditioning, image_conditioning=image_cond)
        if not self.enable_hr:
            return samples
        sd_models.reload_model_weights(info=self.hr_checkpoint_info)
        return self.sample_hr_pass(samples, None, seeds, subseeds, subseed_strength, prompts)

    def sample_hr_pass(
        self, samples: Any, decoded_samples: Any, seeds: Any, subseeds: Any, subseed_strength: Any, prompts: Any
    ) -> Any:
        """Enlarge the latent, add noise, sample again; gives decoded images."""
        if state.interrupted:
            return samples
        self.is_hr_pass = True
        self.sampler = sd_samplers.create_sampler(self.hr_sampler_name or self.sampler_name, self.sd_model)
        size = (self.hr_upscale_to_y // opt_f, self.hr_upscale_to_x // opt_f)
        samples = torch.nn.functional.interpolate(samples, size=size, **self.latent_scale_mode)
        image_cond = self.txt2img_image_conditioning(samples)
        state.nextjob()
        cut_y, cut_x = self.truncate_y, self.truncate_x
        samples = samples[:, :, cut_y // 2 : size[0] - (cut_y + 1) // 2, cut_x // 2 : size[1] - (cut_x + 1) // 2]
        self.rng = rng.ImageRNG(
            samples.shape[1:],
            self.seeds,
            subseeds=self.subseeds,
            subseed_strength=self.subseed_strength,
            seed_resize_from_h=self.seed_resize_from_h,
            seed_resize_from_w=self.seed_resize_from_w,
        )
        noise = self.rng.next()
        if not self.disable_extra_networks:
            extra_networks.activate(self, self.hr_extra_network_data)
        self.calculate_hr_conds()
        if self.scripts is not None:
            self.scripts.before_hr(self)
            self.scripts.process_before_every_sampling(p=self, x=samples, noise=noise, c=self.hr_c, uc=self.hr_uc)
        steps = self.hr_second_pass_steps or self.steps
        samples = self.sampler.sample_img2img(
            self, samples, noise, self.hr_c, self.hr_uc, steps=steps, image_conditioning=image_cond
        )
        self.sampler = None
        decoded = decode_latent_batch(self.sd_model, samples, target_device=devices.cpu, check_for_nans=True)
        self.is_hr_pass = False
        return decoded

    def close(self) -> None:
        """Let go of conds."""
        super().close()
        self.hr_c = self.hr_uc = None
        if not opts.persistent_cond_cache:
            StableDiffusionProcessingTxt2Img.cached_hr_uc = [None, None]
            StableDiffusionProcessingTxt2Img.cached_hr_c = [None, None]

    def setup_prompts(self) -> None:
        """Prompts of all images; the hires pass takes the main ones where its own are empty."""
        super().setup_prompts()
        if not self.enable_hr:
            return
        self.hr_prompt = self.prompt if self.hr_prompt == "" else self.hr_prompt
        self.hr_negative_prompt = self.negative_prompt if self.hr_negative_prompt == "" else self.hr_negative_prompt
        count = self.batch_size * self.n_iter
        self.all_hr_prompts = _listed(self.hr_prompt, count)
        self.all_hr_negative_prompts = _listed(self.hr_negative_prompt, count)

    def calculate_hr_conds(self) -> None:
        """Make hr_c and hr_uc unless they are there."""
        if self.hr_c is not None:
            return
        size = {"width": self.hr_upscale_to_x, "height": self.hr_upscale_to_y}
        prompts = prompt_parser.SdConditioning(self.hr_prompts, **size)
        negatives = prompt_parser.SdConditioning(self.hr_negative_prompts, is_negative_prompt=True, **size)
        config = sd_samplers.find_sampler_config(self.hr_sampler_name or self.sampler_name)
        steps = self.hr_second_pass_steps or self.steps
        total = config.total_steps(steps) if config else steps
        first, networks = self.firstpass_steps, self.hr_extra_network_data
        self.hr_uc = self.get_conds_with_caching(
            prompt_parser.get_learned_conditioning,
            negatives,
            first,
            [self.cached_hr_uc, self.cached_uc],
            networks,
            total,
        )
        self.hr_c = self.get_conds_with_caching(
            prompt_parser.get_multicond_learned_conditioning,
            prompts,
            first,
            [self.cached_hr_c, self.cached_c],
            networks,
            total,
        )

    def setup_conds(self) -> None:
        """Conds of the current pass."""
        self.hr_c = None
        if self.is_hr_pass:
            self.calculate_hr_conds()
            return
        super().setup_conds()
        self.hr_uc = None
        if self.enable_hr and opts.hires_fix_use_firstpass_conds:
            self.calculate_hr_conds()

    def get_conds(self) -> tuple[Any, Any]:
        """c and uc of the current pass."""
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else super().get_conds()

    def parse_extra_network_prompts(self) -> None:
        """Take `<...>` out of the batch's prompts, the hires ones too."""
        super().parse_extra_network_prompts()
        if not self.enable_hr:
            return
        batch = slice(self.iteration * self.batch_size, (self.iteration + 1) * self.batch_size)
        self.hr_prompts, self.hr_extra_network_data = extra_networks.parse_prompts(self.all_hr_prompts[batch])
        self.hr_negative_prompts = self.all_hr_negative_prompts[batch]


def _listed(value: Any, count: int) -> list[Any]:
    return value if isinstance(value, list) else [value] * count


def _unless_same(attribute: str, argument: str) -> Any:
    def text(p: Any, index: int, **known: Any) -> str | None:
        own = getattr(p, attribute)[index]
        return None if own == known[argument] else own

    return text
