"""A small SDXL checkpoint and LoRAs of random weights for the real WebUI: sgm's classes, kohya's SDXL keys."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

CLIP_FOLDER = Path(__file__).resolve().parents[2] / "toyworld" / "weights" / "clip"
CLIP = json.loads((CLIP_FOLDER / "config.json").read_text(encoding="utf8"))
CLIP_WIDTH, OPEN_CLIP_WIDTH = CLIP["hidden_size"], 512
CONTEXT_WIDTH = CLIP_WIDTH + OPEN_CLIP_WIDTH
POOLED = 1024
"""Width of open_clip's RN50 pooled text; its other sizes are 512 wide, 12 layers, 63 M parameters."""
SIZE_WIDTH = 256
"""Width of one embedded number of the size conditioning; there are six."""
OUT_GAIN = 0.3
"""Of the UNet's last layer: a random UNet doesn't denoise, and a loud one makes rounding errors grow by the step."""

UNET = {
    "adm_in_channels": POOLED + 6 * SIZE_WIDTH, "num_classes": "sequential", "use_checkpoint": False,
    "in_channels": 4, "out_channels": 4, "model_channels": 32, "attention_resolutions": [4, 2], "num_res_blocks": 2,
    "channel_mult": [1, 2, 4], "num_head_channels": 32, "use_spatial_transformer": True,
    "use_linear_in_transformer": True, "transformer_depth": [1, 1, 2], "context_dim": CONTEXT_WIDTH,
    "spatial_transformer_attn_type": "softmax", "legacy": False,
}  # fmt: skip
VAE = {
    "attn_type": "vanilla", "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3,
    "ch": 32, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip

LORA_LAYERS = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q": (64, 64),
    "lora_unet_input_blocks_5_1_transformer_blocks_0_attn2_to_k": (64, CONTEXT_WIDTH),
    "lora_unet_input_blocks_7_1_transformer_blocks_1_attn2_to_v": (128, CONTEXT_WIDTH),
    "lora_unet_input_blocks_8_1_proj_in": (128, 128),
    "lora_unet_middle_block_1_transformer_blocks_0_ff_net_0_proj": (1024, 128),
    "lora_unet_output_blocks_0_1_transformer_blocks_1_attn1_to_out_0": (128, 128),
    "lora_unet_output_blocks_3_1_transformer_blocks_0_attn2_to_v": (64, CONTEXT_WIDTH),
    "lora_unet_output_blocks_5_0_in_layers_2": (64, 96, 3, 3),
    "lora_unet_label_emb_0_0": (128, POOLED + 6 * SIZE_WIDTH),
    **{
        f"lora_te1_text_model_encoder_layers_0_self_attn_{p}_proj": (CLIP_WIDTH, CLIP_WIDTH)
        for p in ("q", "k", "v", "out")
    },
    "lora_te1_text_model_encoder_layers_1_mlp_fc1": (CLIP["intermediate_size"], CLIP_WIDTH),
    **{f"lora_te2_text_model_encoder_layers_3_self_attn_{p}_proj": (512, 512) for p in ("q", "k", "v", "out")},
    "lora_te2_text_model_encoder_layers_9_mlp_fc1": (2048, 512),
    "lora_te2_text_model_encoder_layers_9_mlp_fc2": (512, 2048),
}


def write_checkpoint(folder: Path, name: str) -> Path:
    """Write `name`.safetensors (about 140 MB) and its yaml; gives the checkpoint's path."""
    from modules import sd_disable_initialization, sd_models
    from omegaconf import OmegaConf

    config = folder / f"{name}.yaml"
    config.write_text(json.dumps({"model": _model()}), encoding="utf8")  # JSON is YAML
    with sd_disable_initialization.DisableInitialization(disable_clip=True):
        model = sd_models.instantiate_from_config(OmegaConf.load(config).model)
    random = torch.Generator().manual_seed(1)
    weights = {key: _random(key, value, random).half() for key, value in model.named_parameters()}
    save_file(weights, config.with_suffix(".safetensors"))
    return config.with_suffix(".safetensors")


def write_lora(folder: Path, name: str, rank: int = 4) -> Path:
    """Write a random LoRA of both text encoders and the UNet."""
    random = torch.Generator().manual_seed(sum(map(ord, name)))
    tensors = {}
    for layer, (out, inside, *kernel) in LORA_LAYERS.items():
        down = torch.randn(rank, inside, *kernel, generator=random) / math.sqrt(inside * math.prod(kernel))
        tensors[f"{layer}.lora_down.weight"] = down
        tensors[f"{layer}.lora_up.weight"] = torch.randn(out, rank, *[1] * len(kernel), generator=random) * 0.5
        tensors[f"{layer}.alpha"] = torch.tensor(float(rank))
    save_file(tensors, folder / f"{name}.safetensors", {"ss_output_name": name})
    return folder / f"{name}.safetensors"


def _random(key: str, like: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    if like.dim() < 2:
        return torch.ones(like.shape) if key.endswith("weight") else torch.zeros(like.shape)
    gain = OUT_GAIN if key == "model.diffusion_model.out.2.weight" else 1.0
    fan_in = 4 if "embedding" in key else math.prod(like.shape[1:])
    return torch.randn(like.shape, generator=random) * gain / math.sqrt(fan_in)


def _model() -> dict[str, Any]:
    sgm = "sgm.modules.diffusionmodules"
    denoiser = {
        "num_idx": 1000,
        "weighting_config": {"target": f"{sgm}.denoiser_weighting.EpsWeighting"},
        "scaling_config": {"target": f"{sgm}.denoiser_scaling.EpsScaling"},
        "discretization_config": {"target": f"{sgm}.discretizer.LegacyDDPMDiscretization"},
    }
    vae = {"embed_dim": 4, "monitor": "val/rec_loss", "ddconfig": VAE, "lossconfig": {"target": "torch.nn.Identity"}}
    params = {
        "scale_factor": 0.13025,
        "disable_first_stage_autocast": True,
        "denoiser_config": {"target": f"{sgm}.denoiser.DiscreteDenoiser", "params": denoiser},
        "network_config": {"target": f"{sgm}.openaimodel.UNetModel", "params": UNET},
        "conditioner_config": {"target": "sgm.modules.GeneralConditioner", "params": {"emb_models": _embedders()}},
        "first_stage_config": {"target": "sgm.models.autoencoder.AutoencoderKLInferenceWrapper", "params": vae},
    }
    return {"target": "sgm.models.diffusion.DiffusionEngine", "params": params}


def _embedders() -> list[dict[str, Any]]:
    def embedder(kind: str, key: str, **params: Any) -> dict[str, Any]:
        target = f"sgm.modules.encoders.modules.{kind}"
        return {"is_trainable": False, "input_key": key, "target": target, "params": params}

    open_clip = {"arch": "RN50", "version": "none", "freeze": True, "layer": "penultimate"}
    return [
        embedder("FrozenCLIPEmbedder", "txt", version=str(CLIP_FOLDER), layer="hidden", layer_idx=2),
        embedder("FrozenOpenCLIPEmbedder2", "txt", **open_clip, always_return_pooled=True, legacy=False),
        *[
            embedder("ConcatTimestepEmbedderND", key, outdim=SIZE_WIDTH)
            for key in ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple")
        ],
    ]
