"""What a run gives back: images, their generation texts, and the facts about the run."""

from __future__ import annotations

import json
from typing import Any

from modules import errors, infotext_utils, sd_samplers_common
from modules.shared import opts, state

FROM_P = [
    "prompt",
    "negative_prompt",
    "subseed_strength",
    "width",
    "height",
    "sampler_name",
    "cfg_scale",
    "steps",
    "batch_size",
    "restore_faces",
    "sd_model_name",
    "sd_model_hash",
    "sd_vae_name",
    "sd_vae_hash",
    "seed_resize_from_w",
    "seed_resize_from_h",
    "extra_generation_params",
    "styles",
    "token_merging_ratio",
    "token_merging_ratio_hr",
    "eta",
    "ddim_discretize",
    "s_churn",
    "s_tmin",
    "s_tmax",
    "s_noise",
    "s_min_uncond",
    "is_using_inpainting_conditioning",
]
IN_JSON = [
    "all_prompts",
    "all_negative_prompts",
    "seed",
    "all_seeds",
    "subseed",
    "all_subseeds",
    "subseed_strength",
    "width",
    "height",
    "sampler_name",
    "cfg_scale",
    "steps",
    "batch_size",
    "restore_faces",
    "face_restoration_model",
    "sd_model_name",
    "sd_model_hash",
    "sd_vae_name",
    "sd_vae_hash",
    "seed_resize_from_w",
    "seed_resize_from_h",
    "denoising_strength",
    "extra_generation_params",
    "index_of_first_image",
    "infotexts",
    "styles",
    "job_timestamp",
    "clip_skip",
    "is_using_inpainting_conditioning",
    "version",
]


def program_version() -> str:
    """Marks texts made by the stand-in."""
    return "devhost"


class Processed:
    """Result of process_images."""

    def __init__(
        self,
        p: Any,
        images_list: list[Any],
        seed: int = -1,
        info: str = "",
        subseed: int | None = None,
        all_prompts: list[str] | None = None,
        all_negative_prompts: list[str] | None = None,
        all_seeds: list[int] | None = None,
        all_subseeds: list[int] | None = None,
        index_of_first_image: int = 0,
        infotexts: list[str] | None = None,
        comments: str = "",
    ) -> None:
        for name in FROM_P:
            setattr(self, name, getattr(p, name))
        self.images = images_list
        self.info = info
        self.comments = "".join(f"{comment}\n" for comment in p.comments)
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.denoising_strength = getattr(p, "denoising_strength", None)
        self.face_restoration_model = None
        self.index_of_first_image = index_of_first_image
        self.job_timestamp = state.job_timestamp
        self.clip_skip = opts.CLIP_stop_at_last_layers
        self.prompt = _first(p.prompt)
        self.negative_prompt = _first(p.negative_prompt)
        self.seed = -1 if seed is None else int(_first(seed))
        self.subseed = -1 if subseed is None else int(_first(subseed))
        self.version = program_version()
        self.infotexts = infotexts or [info] * len(images_list)
        given = {
            "seed": all_seeds,
            "subseed": all_subseeds,
            "prompt": all_prompts,
            "negative_prompt": all_negative_prompts,
        }
        for name, values in given.items():
            setattr(self, f"all_{name}s", values or getattr(p, f"all_{name}s") or [getattr(self, name)])

    def js(self) -> str:
        """Everything but the images as json."""
        facts = {name: getattr(self, name) for name in IN_JSON}
        facts["prompt"] = self.all_prompts[0]
        facts["negative_prompt"] = self.all_negative_prompts[0]
        return json.dumps(facts, default=lambda _: None)

    def infotext(self, p: Any, index: int) -> str:
        """Generation text of one image."""
        place = {"position_in_batch": index % self.batch_size, "iteration": index // self.batch_size}
        return create_infotext(p, self.all_prompts, self.all_seeds, self.all_subseeds, comments=[], **place)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def create_infotext(
    p: Any,
    all_prompts: list[str],
    all_seeds: list[int],
    all_subseeds: list[int],
    comments: Any = None,
    iteration: int = 0,
    position_in_batch: int = 0,
    use_main_prompt: bool = False,
    index: int | None = None,
    all_negative_prompts: list[str] | None = None,
) -> str:
    """Prompt, negative prompt and one line of "key: value" parameters.

    Values in p.extra_generation_params may be texts, lists (one item an image) or functions of keyword arguments.
    """
    if index is None:
        index = iteration * p.batch_size + position_in_batch
    index = 0 if use_main_prompt else index
    negatives = p.all_negative_prompts if all_negative_prompts is None else all_negative_prompts
    prompt_text = p.main_prompt if use_main_prompt else all_prompts[index]
    negative_prompt = p.main_negative_prompt if use_main_prompt else negatives[index]
    seed = p.all_seeds[0] if use_main_prompt else all_seeds[index]
    subseed = p.all_subseeds[0] if use_main_prompt else all_subseeds[index]
    params = _parameters(p, seed, subseed)
    known = {"p": p, "index": index, "prompt_text": prompt_text, "negative_prompt": negative_prompt}
    known |= {
        "all_prompts": all_prompts,
        "all_seeds": all_seeds,
        "all_subseeds": all_subseeds,
        "use_main_prompt": use_main_prompt,
        "iteration": iteration,
    }
    resolved = {key: _resolve(key, value, index, known) for key, value in params.items()}
    line = ", ".join(
        key if key == value else f"{key}: {infotext_utils.quote(value)}"
        for key, value in resolved.items()
        if value is not None
    )
    negative_text = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt_text}{negative_text}\n{line}".strip()


def _resolve(key: str, value: Any, index: int, known: dict[str, Any]) -> Any:
    try:
        if isinstance(value, list):
            return value[index]
        return value(**known) if callable(value) else value
    except Exception:
        errors.report(f'Error creating infotext for key "{key}"', exc_info=True)
        return None


def _parameters(p: Any, seed: int, subseed: int) -> dict[str, Any]:
    """The parameters line, in the WebUI's order; None is left out."""
    clip_skip = getattr(p, "clip_skip", opts.CLIP_stop_at_last_layers)
    ensd = opts.eta_noise_seed_delta
    uses_ensd = ensd != 0 and sd_samplers_common.is_sampler_using_eta_noise_seed_delta(p)
    varied = p.subseed_strength != 0
    resized = p.seed_resize_from_w > 0 and p.seed_resize_from_h > 0
    sampling = {"Steps": p.steps, "Sampler": p.sampler_name, "Schedule type": p.scheduler, "CFG scale": p.cfg_scale}
    version = program_version() if opts.add_version_to_infotext else None
    return {
        **sampling,
        "Seed": seed,
        "Size": f"{p.width}x{p.height}",
        "Model hash": p.sd_model_hash if opts.add_model_hash_to_info else None,
        "Model": p.sd_model_name if opts.add_model_name_to_info else None,
        "Variation seed": subseed if varied else None,
        "Variation seed strength": p.subseed_strength if varied else None,
        "Seed resize from": f"{p.seed_resize_from_w}x{p.seed_resize_from_h}" if resized else None,
        "Denoising strength": p.extra_generation_params.get("Denoising strength"),
        "Clip skip": None if clip_skip <= 1 else clip_skip,
        "ENSD": ensd if uses_ensd else None,
        "RNG": None if opts.randn_source == "GPU" else opts.randn_source,
        "Tiling": "True" if p.tiling else None,
        **p.extra_generation_params,
        "Version": version,
        "User": p.user if opts.add_user_name_to_info else None,
    }
