"""The object that describes a run: fields, prompts, conds and their caches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modules import devices, extra_networks, prompt_parser, sd_samplers, shared
from modules.shared import opts, state

if TYPE_CHECKING:
    import torch

opt_C = 4
opt_f = 8
SETTINGS_OF_CONDS = (
    "CLIP_stop_at_last_layers",
    "emphasis",
    "sdxl_crop_top",
    "sdxl_crop_left",
    "fp8_storage",
    "cache_fp16_weight",
)


@dataclass(repr=False)
class StableDiffusionProcessing:
    """One run, as the WebUI's tabs, API and scripts see it."""

    sd_model: object = None

    # What to draw.
    prompt: Any = ""
    negative_prompt: Any = ""
    prompt_for_display: str | None = None
    styles: list[str] | None = None
    disable_extra_networks: bool = False
    do_not_reload_embeddings: bool = False

    # How large and how many.
    height: int = 512
    width: int = 512
    n_iter: int = 1
    batch_size: int = 1
    tiling: bool | None = None
    restore_faces: bool | None = None

    # From which noise.
    seed: Any = -1
    seed_enable_extras: bool = True
    seed_resize_from_w: int = -1
    seed_resize_from_h: int = -1
    subseed: Any = -1
    subseed_strength: float = 0

    # By which sampler.
    sampler_name: str | None = None
    sampler_index: int | None = None
    scheduler: str | None = None
    cfg_scale: float = 7.0
    steps: int = 50
    denoising_strength: float | None = None
    ddim_discretize: str | None = None
    eta: float | None = None
    s_noise: float | None = None
    s_tmin: float | None = None
    s_tmax: float | None = None
    s_churn: float | None = None
    s_min_uncond: float | None = None
    refiner_switch_at: float | None = None
    refiner_checkpoint: str | None = None

    # What becomes of the images, and the rest.
    outpath_grids: str | None = None
    outpath_samples: str | None = None
    do_not_save_grid: bool = False
    do_not_save_samples: bool = False
    firstpass_image: Any = None
    overlay_images: list[Any] | None = None
    override_settings_restore_afterwards: bool = True
    override_settings: dict[str, Any] | None = None
    extra_generation_params: dict[str, Any] | None = None
    comments: Any = None

    # Set while running.
    user: str | None = field(default=None, init=False)
    is_api: bool = field(default=False, init=False)
    is_hr_pass: bool = field(default=False, init=False)
    is_using_inpainting_conditioning: bool = field(default=False, init=False)
    iteration: int = field(default=0, init=False)
    step_multiplier: int = field(default=1, init=False)
    scripts_setup_complete: bool = field(default=False, init=False)
    script_args_value: Any = field(default=None, init=False)
    scripts_value: Any = field(default=None, init=False)
    sampler: Any = field(default=None, init=False)
    rng: Any = field(default=None, init=False)
    uc: Any = field(default=None, init=False)
    c: Any = field(default=None, init=False)
    color_corrections: Any = field(default=None, init=False)
    extra_network_data: Any = field(default=None, init=False)
    paste_to: Any = field(default=None, init=False)
    main_negative_prompt: Any = field(default=None, init=False)
    main_prompt: Any = field(default=None, init=False)
    all_seeds: Any = field(default=None, init=False)
    all_subseeds: Any = field(default=None, init=False)
    all_negative_prompts: Any = field(default=None, init=False)
    all_prompts: Any = field(default=None, init=False)
    seeds: Any = field(default=None, init=False)
    subseeds: Any = field(default=None, init=False)
    negative_prompts: Any = field(default=None, init=False)
    prompts: Any = field(default=None, init=False)
    sd_vae_hash: Any = field(default=None, init=False)
    sd_vae_name: Any = field(default=None, init=False)
    sd_model_hash: Any = field(default=None, init=False)
    sd_model_name: Any = field(default=None, init=False)

    token_merging_ratio = 0
    token_merging_ratio_hr = 0
    cached_uc = [None, None]  # noqa: RUF012 - shared by all runs on purpose, as in the WebUI
    cached_c = [None, None]  # noqa: RUF012

    def __post_init__(self) -> None:
        self.refiner_checkpoint_info = self.sampler_noise_scheduler_override = None
        self.comments = {}
        self.styles = self.styles or []
        for name in ("override_settings", "extra_generation_params", "script_args"):
            setattr(self, name, getattr(self, name) or {})
        if not self.seed_enable_extras:
            self.subseed, self.subseed_strength = -1, 0
            self.seed_resize_from_h = self.seed_resize_from_w = 0
        self.cached_uc = StableDiffusionProcessing.cached_uc
        self.cached_c = StableDiffusionProcessing.cached_c

    @property
    def scripts(self) -> Any:
        """The tab's ScriptRunner."""
        return self.scripts_value

    @scripts.setter
    def scripts(self, value: Any) -> None:
        self.scripts_value = value
        self._setup_scripts_once()

    @property
    def script_args(self) -> Any:
        """Arguments of all scripts, cut by args_from and args_to."""
        return self.script_args_value

    @script_args.setter
    def script_args(self, value: Any) -> None:
        self.script_args_value = value
        self._setup_scripts_once()

    def _setup_scripts_once(self) -> None:
        if self.scripts_value and self.script_args_value and not self.scripts_setup_complete:
            self.setup_scripts()

    def setup_scripts(self) -> None:
        """Hook `setup`."""
        self.scripts_setup_complete = True
        self.scripts.setup_scrips(self, is_ui=not self.is_api)

    def comment(self, text: str) -> None:
        """Add a message to the result."""
        self.comments[text] = 1

    def fill_fields_from_opts(self) -> None:
        """Fields left None take the settings' values."""
        for name in ("s_min_uncond", "s_churn", "s_tmin", "s_tmax", "s_noise"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(opts, name))
        self.s_tmax = self.s_tmax or float("inf")

    def txt2img_image_conditioning(
        self, x: torch.Tensor, width: int | None = None, height: int | None = None
    ) -> torch.Tensor:
        """The empty image cond (B, 5, 1, 1) of a model without one."""
        self.is_using_inpainting_conditioning = False
        return x.new_zeros(x.shape[0], 5, 1, 1)

    def init(self, all_prompts: Any, all_seeds: Any, all_subseeds: Any) -> None:
        """Before the first batch."""

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: Any,
        subseeds: Any,
        subseed_strength: Any,
        prompts: Any,
    ) -> Any:
        """Make the latents of one batch."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of conds; the caches stay unless the settings say otherwise."""
        self.sampler = self.c = self.uc = None
        if not opts.persistent_cond_cache:
            StableDiffusionProcessing.cached_c = [None, None]
            StableDiffusionProcessing.cached_uc = [None, None]

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """Token merging is not there."""
        return 0

    def setup_prompts(self) -> None:
        """Prompts of all images."""
        if isinstance(self.prompt, list):
            self.all_prompts = self.prompt
        elif isinstance(self.negative_prompt, list):
            self.all_prompts = [self.prompt] * len(self.negative_prompt)
        else:
            self.all_prompts = [self.prompt] * (self.batch_size * self.n_iter)
        negative = self.negative_prompt
        self.all_negative_prompts = negative if isinstance(negative, list) else [negative] * len(self.all_prompts)
        if len(self.all_prompts) != len(self.all_negative_prompts):
            counts = len(self.all_prompts), len(self.all_negative_prompts)
            raise RuntimeError(f"Received a different number of prompts and negative prompts: {counts}")
        self.all_prompts = [shared.prompt_styles.apply_styles_to_prompt(x, self.styles) for x in self.all_prompts]
        self.main_prompt = self.all_prompts[0]
        self.main_negative_prompt = self.all_negative_prompts[0]

    def cached_params(
        self,
        required_prompts: Any,
        steps: int,
        extra_network_data: Any,
        hires_steps: int | None = None,
        use_old_scheduling: bool = False,
    ) -> tuple[Any, ...]:
        """Whatever the conds depend on."""
        of_prompts = (required_prompts, extra_network_data, self.width, self.height)
        of_schedule = (steps, hires_steps, use_old_scheduling)
        of_settings = tuple(getattr(opts, name) for name in SETTINGS_OF_CONDS)
        return (*of_prompts, *of_schedule, shared.sd_model.sd_checkpoint_info, *of_settings)

    def get_conds_with_caching(
        self,
        function: Any,
        required_prompts: Any,
        steps: int,
        caches: list[Any],
        extra_network_data: Any,
        hires_steps: int | None = None,
    ) -> Any:
        """Conds from the first cache that fits, else made and put into the first cache."""
        params = self.cached_params(required_prompts, steps, extra_network_data, hires_steps, opts.use_old_scheduling)
        for cache in caches:
            if cache[0] is not None and params == cache[0]:
                return cache[1]
        with devices.autocast():
            made = function(shared.sd_model, required_prompts, steps, hires_steps, opts.use_old_scheduling)
        caches[0][:] = [params, made]
        return made

    def setup_conds(self) -> None:
        """Make c and uc."""
        size = {"width": self.width, "height": self.height}
        prompts = prompt_parser.SdConditioning(self.prompts, **size)
        negatives = prompt_parser.SdConditioning(self.negative_prompts, is_negative_prompt=True, **size)
        config = sd_samplers.find_sampler_config(self.sampler_name)
        total = config.total_steps(self.steps) if config else self.steps
        self.step_multiplier = total // self.steps
        self.firstpass_steps = total
        networks = self.extra_network_data
        self.uc = self.get_conds_with_caching(
            prompt_parser.get_learned_conditioning, negatives, total, [self.cached_uc], networks
        )
        self.c = self.get_conds_with_caching(
            prompt_parser.get_multicond_learned_conditioning, prompts, total, [self.cached_c], networks
        )

    def get_conds(self) -> tuple[Any, Any]:
        """c and uc of the current pass."""
        return self.c, self.uc

    def parse_extra_network_prompts(self) -> None:
        """Take `<...>` out of the batch's prompts."""
        self.prompts, self.extra_network_data = extra_networks.parse_prompts(self.prompts)

    def save_samples(self) -> bool:
        """Whether images go to disk; devhost's save_image does nothing."""
        complete = opts.save_incomplete_images or not (state.interrupted or state.skipped)
        return opts.samples_save and not self.do_not_save_samples and complete


# `sd_model` is always the loaded model, whatever the constructor was given.
StableDiffusionProcessing.sd_model = property(lambda self: shared.sd_model, lambda self, value: None)  # type: ignore[assignment]
