"""Defaults of the WebUI options that devhost or the extension reads."""

from __future__ import annotations

from typing import Any

from modules.options import OptionInfo, options_section

_SAVING: dict[str, Any] = {
    "samples_save": True,
    "samples_format": "png",
    "grid_save": True,
    "grid_only_if_multiple": True,
    "return_grid": True,
    "enable_pnginfo": True,
    "save_incomplete_images": False,
    "outdir_txt2img_samples": "output/txt2img-images",
    "outdir_txt2img_grids": "output/txt2img-grids",
    "outdir_img2img_samples": "output/img2img-images",
    "outdir_img2img_grids": "output/img2img-grids",
    "n_rows": -1,
    "multiple_tqdm": True,
}
_MODEL: dict[str, Any] = {
    "sd_model_checkpoint": None,
    "sd_checkpoint_hash": "",
    "sd_vae": "Automatic",
    "sd_unet": "Automatic",
    "emphasis": "Original",
    "comma_padding_backtrack": 20,
    "CLIP_stop_at_last_layers": 1,
    "randn_source": "GPU",
    "tiling": False,
    "face_restoration": False,
    "enable_quantization": False,
    "sdxl_crop_top": 0,
    "sdxl_crop_left": 0,
    "sd_vae_encode_method": "Full",
    "sd_vae_decode_method": "Full",
    "inpainting_mask_weight": 1.0,
    "img2img_extra_noise": 0.0,
    "img2img_fix_steps": False,
    "hires_fix_refiner_pass": "second pass",
    "hires_fix_use_firstpass_conds": False,
    "use_old_hires_fix_width_height": False,
    "upcast_attn": False,
    "disable_weights_auto_swap": True,
    "fp8_storage": "Disable",
    "cache_fp16_weight": False,
}
_OPTIMIZATIONS: dict[str, Any] = {
    "cross_attention_optimization": "Automatic",
    "s_min_uncond": 0.0,
    "s_min_uncond_all": False,
    "token_merging_ratio": 0.0,
    "token_merging_ratio_hr": 0.0,
    "pad_cond_uncond": False,
    "pad_cond_uncond_v0": False,
    "persistent_cond_cache": True,
    "batch_cond_uncond": True,
}
_SAMPLERS: dict[str, Any] = {
    "hide_samplers": [],
    "eta_ddim": 0.0,
    "eta_ancestral": 1.0,
    "s_churn": 0.0,
    "s_tmin": 0.0,
    "s_tmax": 0.0,
    "s_noise": 1.0,
    "sigma_min": 0.0,
    "sigma_max": 0.0,
    "rho": 0.0,
    "eta_noise_seed_delta": 0,
    "always_discard_next_to_last_sigma": False,
    "sgm_noise_multiplier": False,
    "uni_pc_variant": "bh1",
    "uni_pc_skip_type": "time_uniform",
    "uni_pc_order": 3,
    "uni_pc_lower_order_final": True,
    "skip_early_cond": 0.0,
    "use_old_scheduling": False,
    "use_old_karras_scheduler_sigmas": False,
    "no_dpmpp_sde_batch_determinism": False,
    "refiner_switch_by_sample_steps": False,
    "beta_dist_alpha": 0.6,
    "beta_dist_beta": 0.6,
}
_INTERFACE: dict[str, Any] = {
    "live_previews_enable": True,
    "live_previews_image_format": "png",
    "live_preview_content": "Prompt",
    "live_preview_fast_interrupt": False,
    "show_progress_grid": True,
    "show_progress_every_n_steps": 10,
    "show_progress_type": "Approx NN",
    "interrupt_after_current": True,
    "add_model_name_to_info": True,
    "add_model_hash_to_info": True,
    "add_user_name_to_info": False,
    "add_version_to_infotext": True,
    "infotext_skip_pasting": [],
    "infotext_styles": "Ignore",
    "extra_networks_default_multiplier": 1.0,
    "textual_inversion_add_hashes_to_infotext": True,
    "lora_preferred_name": "Alias from file",
    "sd_lora": "None",
}
_INFOTEXT = {
    "emphasis": "Emphasis",
    "CLIP_stop_at_last_layers": "Clip skip",
    "randn_source": "RNG",
    "tiling": "Tiling",
    "sd_model_checkpoint": "Model hash",
    "s_min_uncond_all": "NGMS all steps",
    "s_min_uncond": "NGMS",
    "pad_cond_uncond": "Pad conds",
    "pad_cond_uncond_v0": "Pad conds v0",
    "skip_early_cond": "Skip Early CFG",
    "eta_noise_seed_delta": "ENSD",
    "eta_ancestral": "Eta",
    "eta_ddim": "Eta DDIM",
    "use_old_scheduling": "Old prompt editing timelines",
}

restricted_opts: set[str] = set()
options_templates: dict[str, OptionInfo] = {}
for _section, _values in {
    ("saving-images", "Saving images"): _SAVING,
    ("sd", "Stable Diffusion"): _MODEL,
    ("optimizations", "Optimizations"): _OPTIMIZATIONS,
    ("sampler-params", "Sampler parameters"): _SAMPLERS,
    ("ui", "User interface"): _INTERFACE,
}.items():
    _infos = {key: OptionInfo(default, key, infotext=_INFOTEXT.get(key)) for key, default in _values.items()}
    options_templates.update(options_section(_section, _infos))
