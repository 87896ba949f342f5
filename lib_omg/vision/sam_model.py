"""SAM's network (Kirillov et al. 2023, arXiv 2304.02643), built to the sizes of its weights: B, L, H or any other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from lib_omg.vision.found import SourceUnavailable

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""ImageNet's, of pixels in 0..255."""

DECODER_HEADS = 8
"""Attention heads of the mask decoder: of all published SAMs; no tensor's shape tells them."""

VIT_KEY = "image_encoder.patch_embed.proj.weight"
MOBILE_KEY = "image_encoder.patch_embed.seq.0.c.weight"
HQ_KEY = "mask_decoder.hf_token.weight"

PACKAGES = {"vit": "segment_anything", "mobile": "mobile_sam"}
PIP_NAMES = {
    "segment_anything": "segment-anything",
    "mobile_sam": "mobilesam-mirror timm (a copy of what its authors keep at ChaoningZhang/MobileSAM)",
}


@dataclass(frozen=True)
class SamSizes:
    """Sizes of a SAM with a ViT encoder.

    Attributes:
        image_px: side of the square it looks at. patch_px: side of a patch. width, depth, heads, mlp_width: of the
            encoder. window: side of an attention window in patches, 0 without windows.
        global_blocks: which of the blocks look at the whole picture.
        embedding: channels of image and prompts. mask_channels: of a mask prompt on its way in.
        masks: how many it gives, the single one counted too.
        decoder_depth, decoder_mlp: of the mask decoder. iou_depth, iou_width: of the head that guesses a mask's IoU.
    """

    image_px: int
    patch_px: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    window: int
    global_blocks: tuple[int, ...]
    embedding: int
    mask_channels: int = 16
    masks: int = 4
    decoder_depth: int = 2
    decoder_mlp: int = 2048
    iou_depth: int = 3
    iou_width: int = 256


def kind_of(names: Mapping[str, Any] | frozenset[str]) -> str:
    """What a file's tensor names tell: "vit", "mobile", "hq" (SAM-HQ) or "other" (not a SAM)."""
    if HQ_KEY in names:
        return "hq"
    if "mask_decoder.mask_tokens.weight" not in names:
        return "other"
    return "vit" if VIT_KEY in names else "mobile" if MOBILE_KEY in names else "other"


def sizes_of(state: State) -> SamSizes:
    """The sizes of a ViT SAM, told by the shapes of its tensors.

    Raises:
        KeyError: a tensor is missing. ValueError: the shapes contradict each other.
    """
    patches = state["image_encoder.pos_embed"].shape[1]
    width, _, patch_px, _ = state[VIT_KEY].shape
    depth = count_of(state, r"image_encoder\.blocks\.(\d+)\.")
    reach = [state[f"image_encoder.blocks.{n}.attn.rel_pos_h"].shape for n in range(depth)]  # (2 * side - 1, C / heads)
    sides = [(length + 1) // 2 for length, _ in reach]
    windows = {side for side in sides if side != patches}
    if len(windows) > 1 or width % reach[0][1]:
        raise ValueError(f"expected one window size and whole heads, found sides {sides}, {width} / {reach[0][1]}")
    layers = count_of(state, r"mask_decoder\.transformer\.layers\.(\d+)\.")
    iou_depth = count_of(state, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\.")
    return SamSizes(
        image_px=patches * patch_px,
        patch_px=patch_px,
        width=width,
        depth=depth,
        heads=width // reach[0][1],
        mlp_width=state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
        window=windows.pop() if windows else 0,
        global_blocks=tuple(n for n, side in enumerate(sides) if side == patches),
        embedding=state["image_encoder.neck.0.weight"].shape[0],
        mask_channels=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        masks=state["mask_decoder.mask_tokens.weight"].shape[0],
        decoder_depth=layers,
        decoder_mlp=state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        iou_depth=iou_depth,
        iou_width=state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    )


def count_of(state: State, pattern: str) -> int:
    """How many numbered parts the names have, e.g. blocks.

    Raises:
        ValueError: none.
    """
    found = {int(match[1]) for name in state if (match := re.match(pattern, name))}
    if not found:
        raise ValueError(f"expected tensors named {pattern}, found none")
    return max(found) + 1


def built(sizes: SamSizes) -> Any:
    """A `segment_anything.modeling.Sam` with fresh weights.

    Raises:
        SourceUnavailable: the package is not installed.
    """
    modeling = package("segment_anything").modeling
    from torch.nn import LayerNorm

    encoder = modeling.ImageEncoderViT(
        img_size=sizes.image_px,
        patch_size=sizes.patch_px,
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.heads,
        mlp_ratio=sizes.mlp_width / sizes.width,
        out_chans=sizes.embedding,
        norm_layer=partial(LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=sizes.window,
        global_attn_indexes=sizes.global_blocks,
    )
    patches = sizes.image_px // sizes.patch_px
    prompts = modeling.PromptEncoder(
        embed_dim=sizes.embedding,
        image_embedding_size=(patches, patches),
        input_image_size=(sizes.image_px, sizes.image_px),
        mask_in_chans=sizes.mask_channels,
    )
    return modeling.Sam(encoder, prompts, _mask_decoder(modeling, sizes), list(PIXEL_MEAN), list(PIXEL_STD)).eval()


def _mask_decoder(modeling: Any, sizes: SamSizes) -> Any:
    transformer = modeling.TwoWayTransformer(
        depth=sizes.decoder_depth,
        embedding_dim=sizes.embedding,
        num_heads=DECODER_HEADS,
        mlp_dim=sizes.decoder_mlp,
    )
    return modeling.MaskDecoder(
        transformer_dim=sizes.embedding,
        transformer=transformer,
        num_multimask_outputs=sizes.masks - 1,
        iou_head_depth=sizes.iou_depth,
        iou_head_hidden_dim=sizes.iou_width,
    )


def package(name: str) -> Any:
    """A package, imported now.

    Raises:
        SourceUnavailable: it is not installed; says how to install it.
    """
    import importlib

    try:
        module = importlib.import_module(name)
        importlib.import_module(f"{name}.modeling")
    except ImportError as error:
        raise SourceUnavailable(
            f"OMG needs the Python package {name} for this SAM file ({error}). Install it into the WebUI's "
            f"environment: pip install {PIP_NAMES[name]}"
        ) from error
    return module
