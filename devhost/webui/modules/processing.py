"""The main loop. Hooks come in the WebUI's order; nothing here is in a `finally` that is not there."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from PIL import Image

from modules import devices, extra_networks, images, rng, scripts, sd_models, sd_samplers, sd_vae, shared
from modules.processing_base import StableDiffusionProcessing, opt_C, opt_f
from modules.processing_result import Processed, create_infotext, program_version  # noqa: F401
from modules.processing_txt2img import (  # noqa: F401
    DecodedSamples,
    StableDiffusionProcessingTxt2Img,
    decode_latent_batch,
)
from modules.sd_hijack import model_hijack
from modules.shared import opts, state


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """Only there for isinstance: devhost has no img2img."""


def get_fixed_seed(seed: Any) -> Any:
    """A random seed for -1, empty or unreadable ones."""
    if isinstance(seed, str):
        seed = int(seed) if seed.lstrip("-").isdigit() else -1
    return random.randrange(4294967294) if seed in (None, -1) else seed


def fix_seed(p: Any) -> None:
    """Settle p's seeds."""
    p.seed, p.subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)


def process_images(p: StableDiffusionProcessing) -> Processed:
    """Run p with its override settings; they are put back even when it raises."""
    if p.scripts is not None:
        p.scripts.before_process(p)
    stored = {key: opts.data[key] for key in p.override_settings if key in opts.data}
    try:
        if sd_models.checkpoint_aliases.get(p.override_settings.get("sd_model_checkpoint")) is None:
            p.override_settings.pop("sd_model_checkpoint", None)
        for key, value in p.override_settings.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
        sd_samplers.fix_p_invalid_sampler_and_scheduler(p)
        return process_images_inner(p)
    finally:
        if p.override_settings_restore_afterwards:
            for key, value in stored.items():
                setattr(opts, key, value)


def _prepare(p: Any) -> None:
    """Seeds, prompts and names, then the hook `process`."""
    seed, subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
    if p.refiner_checkpoint not in (None, "", "None", "none"):
        p.refiner_checkpoint_info = sd_models.get_closet_checkpoint_match(p.refiner_checkpoint)
    p.restore_faces = opts.face_restoration if p.restore_faces is None else p.restore_faces
    p.tiling = opts.tiling if p.tiling is None else p.tiling
    p.sd_model_name = shared.sd_model.sd_checkpoint_info.name_for_extra
    p.sd_model_hash = shared.sd_model.sd_model_hash
    p.sd_vae_name, p.sd_vae_hash = sd_vae.get_loaded_vae_name(), sd_vae.get_loaded_vae_hash()
    model_hijack.apply_circular(p.tiling)
    model_hijack.clear_comments()
    p.fill_fields_from_opts()
    p.setup_prompts()
    count = len(p.all_prompts)
    step = 1 if p.subseed_strength == 0 else 0
    p.all_seeds = seed if isinstance(seed, list) else [int(seed) + i * step for i in range(count)]
    p.all_subseeds = subseed if isinstance(subseed, list) else [int(subseed) + i for i in range(count)]
    if p.scripts is not None:
        p.scripts.process(p)


def _begin_batch(p: Any, n: int) -> bool:
    """Prompts, seeds, noise, networks and conds of batch n; False if scripts emptied it."""
    batch = slice(n * p.batch_size, (n + 1) * p.batch_size)
    p.prompts, p.negative_prompts = p.all_prompts[batch], p.all_negative_prompts[batch]
    p.seeds, p.subseeds = p.all_seeds[batch], p.all_subseeds[batch]
    p.rng = rng.ImageRNG(
        (opt_C, p.height // opt_f, p.width // opt_f),
        p.seeds,
        subseeds=p.subseeds,
        subseed_strength=p.subseed_strength,
        seed_resize_from_h=p.seed_resize_from_h,
        seed_resize_from_w=p.seed_resize_from_w,
    )
    facts = {"batch_number": n, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
    if p.scripts is not None:
        p.scripts.before_process_batch(p, **facts)
    if len(p.prompts) == 0:
        return False
    p.parse_extra_network_prompts()
    if not p.disable_extra_networks:
        extra_networks.activate(p, p.extra_network_data)
    if p.scripts is not None:
        # Scripts and the parsing of networks may have put other lists on p.
        facts |= {name: getattr(p, name) for name in ("prompts", "seeds", "subseeds")}
        p.scripts.process_batch(p, **facts)
    p.setup_conds()
    p.extra_generation_params.update(model_hijack.extra_generation_params)
    for comment in model_hijack.comments:
        p.comment(comment)
    if p.n_iter > 1:
        state.job = f"Batch {n + 1} out of {p.n_iter}"
    return True


def _sample_batch(p: Any, n: int) -> Any:
    """Latents, then images (B, 3, H, W) in [0, 1]."""
    samples = p.sample(
        conditioning=p.c,
        unconditional_conditioning=p.uc,
        seeds=p.seeds,
        subseeds=p.subseeds,
        subseed_strength=p.subseed_strength,
        prompts=p.prompts,
    )
    if p.scripts is not None:
        sampled = scripts.PostSampleArgs(samples)
        p.scripts.post_sample(p, sampled)
        samples = sampled.samples
    if not getattr(samples, "already_decoded", False):
        devices.test_for_nans(samples, "unet")
        samples = decode_latent_batch(p.sd_model, samples, target_device=devices.cpu, check_for_nans=True)
    decoded = torch.clamp((torch.stack(samples).float() + 1.0) / 2.0, min=0.0, max=1.0)
    state.nextjob()
    if p.scripts is None:
        return decoded
    p.scripts.postprocess_batch(p, decoded, batch_number=n)
    batch = slice(n * p.batch_size, (n + 1) * p.batch_size)
    p.prompts, p.negative_prompts = p.all_prompts[batch], p.all_negative_prompts[batch]
    params = scripts.PostprocessBatchListArgs(list(decoded))
    p.scripts.postprocess_batch_list(p, params, batch_number=n)
    return params.images


def _finish_image(p: Any, index: int, tensor: torch.Tensor) -> Image.Image:
    """One image (3, H, W) through the hooks on single images."""
    p.batch_index = index
    image = Image.fromarray((255.0 * np.moveaxis(tensor.cpu().numpy(), 0, 2)).astype(np.uint8))
    if p.scripts is None:
        return image
    params = scripts.PostprocessImageArgs(image)
    p.scripts.postprocess_image(p, params)
    p.scripts.postprocess_maskoverlay(p, scripts.PostProcessMaskOverlayArgs(index, None, None))
    params = scripts.PostprocessImageArgs(params.image)
    p.scripts.postprocess_image_after_composite(p, params)
    return params.image


def _infotext(p: Any, index: int = 0, use_main_prompt: bool = False) -> str:
    return create_infotext(
        p,
        p.prompts,
        p.seeds,
        p.subseeds,
        use_main_prompt=use_main_prompt,
        index=index,
        all_negative_prompts=p.negative_prompts,
    )


def process_images_inner(p: Any) -> Processed:
    """All batches of p."""
    _prepare(p)
    infotexts: list[str] = []
    output: list[Image.Image] = []
    with torch.no_grad(), p.sd_model.ema_scope():
        p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
        state.job_count = p.n_iter if state.job_count == -1 else state.job_count
        for n in range(p.n_iter):
            p.iteration, state.skipped = n, False
            if state.interrupted or state.stopping_generation or not _begin_batch(p, n):
                break
            for i, tensor in enumerate(_sample_batch(p, n)):
                image = _finish_image(p, i, tensor)
                infotexts.append(_infotext(p, i))
                if opts.enable_pnginfo:
                    image.info["parameters"] = infotexts[-1]
                output.append(image)
        if not infotexts:
            infotexts.append(Processed(p, []).infotext(p, 0))
        first = _add_grid(p, output, infotexts)
    if not p.disable_extra_networks and p.extra_network_data:
        extra_networks.deactivate(p, p.extra_network_data)
    result = Processed(
        p,
        images_list=output,
        seed=p.all_seeds[0],
        info=infotexts[0],
        subseed=p.all_subseeds[0],
        index_of_first_image=first,
        infotexts=infotexts,
    )
    if p.scripts is not None:
        p.scripts.postprocess(p, result)
    return result


def _add_grid(p: Any, output: list[Image.Image], infotexts: list[str]) -> int:
    """Put the grid in front of the images if it is wanted; gives the index of the first image."""
    wanted = opts.return_grid and not p.do_not_save_grid
    if not wanted or (len(output) < 2 and opts.grid_only_if_multiple):
        return 0
    grid = images.image_grid(output, p.batch_size)
    infotexts.insert(0, _infotext(p, use_main_prompt=True))
    if opts.enable_pnginfo:
        grid.info["parameters"] = infotexts[0]
    output.insert(0, grid)
    return 1
