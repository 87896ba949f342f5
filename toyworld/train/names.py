"""kohya's names for the layers of UNet and text encoder: diffusers' block structure, two res blocks a level."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from types import MappingProxyType

import torch

Layer = torch.nn.Linear | torch.nn.Conv2d

UNET_PREFIX, TEXT_PREFIX = "lora_unet", "lora_te"
BLOCKS_A_LEVEL = 3
"""Two res blocks and what changes the size; or, on the way up, three res blocks, the last with the change of size."""
RESNET: Mapping[str, str] = MappingProxyType(
    {
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    }
)
ENDS: Mapping[str, str] = MappingProxyType(
    {
        "input_blocks.0.0": "conv_in",
        "out.2": "conv_out",
        "time_embed.0": "time_embedding_linear_1",
        "time_embed.2": "time_embedding_linear_2",
    }
)
RESIZERS = ("op", "conv")
"""What ldm calls the convolution of a downsampler and of an upsampler."""
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.(\d+)\.(\d)\.(.+)")
_MIDDLE = re.compile(r"middle_block\.(\d)\.(.+)")


class Reach(enum.Enum):
    """Which layers get an adapter."""

    ATTENTION = "attention"
    """The attentions' projections and the transformers' 1x1 convolutions; of the text encoder its attention."""
    TRANSFORMER = "transformer"
    """Also the feed-forward layers: all that kohya's plain LoRA reaches."""
    CONVOLUTION = "convolution"
    """Also the res blocks and what changes the size: LoCon's."""
    VALUES = "values"
    """Keys, values and the last feed-forward layers: IA3's."""


_ATTENTION = r"attn\d_to_(q|k|v|out_0)|proj_(in|out)|self_attn_(q|k|v|out)_proj"
_TRANSFORMER = rf"{_ATTENTION}|ff_net_0_proj|ff_net_2|mlp_fc\d"
_PATTERNS = {
    Reach.ATTENTION: _ATTENTION,
    Reach.TRANSFORMER: _TRANSFORMER,
    Reach.CONVOLUTION: rf"{_TRANSFORMER}|resnets_\d_(conv\d|conv_shortcut|time_emb_proj)|(down|up)samplers_0_conv",
    Reach.VALUES: r"attn\d_to_(k|v)|ff_net_2|self_attn_(k|v)_proj|mlp_fc2",
}


def unet_name(layer: str) -> str:
    """kohya's name of a UNet layer.

    Args:
        layer: its name in the UNet, "input_blocks.4.1.transformer_blocks.0.attn1.to_q".

    Returns:
        The name, "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q".

    Raises:
        ValueError: kohya has no name for it.
    """
    if layer in ENDS:
        return f"{UNET_PREFIX}_{ENDS[layer]}"
    if match := _MIDDLE.fullmatch(layer):
        index = int(match[1])
        where = "mid_block_attentions_0" if index == 1 else f"mid_block_resnets_{index // 2}"
        return _joined(where, match[2])
    if match := _BLOCK.fullmatch(layer):
        side, first = ("down", 1) if match[1] == "input_blocks" else ("up", 0)
        level, index = divmod(int(match[2]) - first, BLOCKS_A_LEVEL)
        if match[4] in RESIZERS:
            return f"{UNET_PREFIX}_{side}_blocks_{level}_{side}samplers_0_conv"
        kind = "attentions" if match[3] == "1" else "resnets"
        return _joined(f"{side}_blocks_{level}_{kind}_{index}", match[4])
    raise ValueError(f"expected a layer of SD1's blocks, found {layer!r}")


def _joined(block: str, inner: str) -> str:
    if "resnets" in block:
        if inner not in RESNET:
            raise ValueError(f"a res block's layers are {', '.join(RESNET)}, found {inner!r}")
        inner = RESNET[inner]
    return f"{UNET_PREFIX}_{block}_{inner.replace('.', '_')}"


def text_name(layer: str) -> str:
    """kohya's name of a layer of CLIP's text encoder ("text_model.encoder.layers.0.mlp.fc1")."""
    return f"{TEXT_PREFIX}_{layer.replace('.', '_')}"


def layers(unet: torch.nn.Module, text: torch.nn.Module, reach: Reach) -> dict[str, Layer]:
    """The layers within reach.

    Args:
        unet: UNet.
        text: transformers' CLIPTextModel.
        reach: which of the linear and convolution layers.

    Returns:
        Layers by kohya's names, the UNet's first.
    """
    found: dict[str, Layer] = {}
    for root, named in ((unet, unet_name), (text, text_name)):
        for name, module in root.named_modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
                found[named(name)] = module
    pattern = re.compile(rf".*_({_PATTERNS[reach]})")
    return {name: layer for name, layer in found.items() if pattern.fullmatch(name)}
