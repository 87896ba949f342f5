"""kohya's layer names (diffusers' structure) to the names of the SD1 model's layers."""

from __future__ import annotations

import re

RESNET = {
    "norm1": "in_layers_0",
    "conv1": "in_layers_2",
    "time_emb_proj": "emb_layers_1",
    "norm2": "out_layers_0",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
}
BLOCK = re.compile(r"lora_unet_(down|up)_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)")
MID = re.compile(r"lora_unet_mid_block_(attentions|resnets)_(\d+)_(.+)")
SAMPLER = re.compile(r"lora_unet_(down|up)_blocks_(\d+)_(?:down|up)samplers_0_conv")
TIME = re.compile(r"lora_unet_time_embedding_linear_(\d+)(.*)")
TEXT = re.compile(r"lora_te_text_model_encoder_layers_(\d+)_(.+)")


def convert_diffusers_name_to_compvis(key: str, is_sd2: bool = False) -> str:
    """The layer's name in the SD1 model; a key of no known form stays."""
    if match := BLOCK.match(key):
        side, block, kind, index, rest = match.groups()
        number = int(block) * 3 + int(index) + (1 if side == "down" else 0)
        place = "input" if side == "down" else "output"
        return f"diffusion_model_{place}_blocks_{number}_{_part(kind, rest)}"
    if match := MID.match(key):
        kind, index, rest = match.groups()
        number = 1 if kind == "attentions" else int(index) * 2
        return f"diffusion_model_middle_block_{number}_{RESNET.get(rest, rest) if kind == 'resnets' else rest}"
    if match := SAMPLER.match(key):
        side, block = match.group(1), int(match.group(2))
        if side == "down":
            return f"diffusion_model_input_blocks_{3 + block * 3}_0_op"
        return f"diffusion_model_output_blocks_{2 + block * 3}_{2 if block > 0 else 1}_conv"
    if match := TEXT.match(key):
        return f"transformer_text_model_encoder_layers_{match.group(1)}_{match.group(2)}"
    if match := TIME.match(key):
        return f"diffusion_model_time_embed_{int(match.group(1)) * 2 - 2}{match.group(2)}"
    for start, layer in (("lora_unet_conv_in", "input_blocks_0_0"), ("lora_unet_conv_out", "out_2")):
        if key.startswith(start):
            return f"diffusion_model_{layer}{key[len(start) :]}"
    return key


def _part(kind: str, rest: str) -> str:
    return f"1_{rest}" if kind == "attentions" else f"0_{RESNET.get(rest, rest)}"


def candidates(key: str) -> list[str]:
    """Layer names to try for a network's key, in this order."""
    names = [convert_diffusers_name_to_compvis(key)]
    for ours, theirs in (
        ("lora_unet", "diffusion_model"),
        ("oft_unet", "diffusion_model"),
        ("lora_te1_text_model", "transformer_text_model"),
    ):
        if ours in key:
            names.append(key.replace(ours, theirs))
    return names
