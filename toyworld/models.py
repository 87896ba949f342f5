"""The networks of the toy checkpoint, in Stable Diffusion 1.5's block layout: those that devhost draws with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from ldm.modules.diffusionmodules.util import make_beta_schedule

from devhost.webui.modules.latent_diffusion import AutoencoderKL, FrozenCLIPEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHTS = Path(__file__).resolve().parent / "weights"
CLIP_DIR = Path(__file__).resolve().parent / "clip"
CONTEXT_DIM = 128
TOKENS = 77
TIMESTEPS = 1000
LINEAR_START, LINEAR_END = 0.00085, 0.012
VAE_CONFIG: dict[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 128,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 64,
    "ch_mult": [1, 1, 2, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}
UNET_CONFIG: dict[str, Any] = {
    "image_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "attention_resolutions": [1, 2, 4],
    "num_res_blocks": 2,
    "channel_mult": [1, 2, 3, 2],
    "num_heads": -1,
    "num_head_channels": 32,
    "use_spatial_transformer": True,
    "transformer_depth": 1,
    "context_dim": CONTEXT_DIM,
    "use_checkpoint": False,
    "legacy": False,
}


class Autoencoder(AutoencoderKL):
    """Pictures (B, 3, H, W) in [-1, 1] to latents (B, 4, H/8, W/8), not yet scaled, and back; keys as in SD1 files."""

    def __init__(self) -> None:
        super().__init__(VAE_CONFIG, VAE_CONFIG["z_channels"])


class TextEncoder(FrozenCLIPEmbedder):
    """Prompts to CLIP's last hidden state (B, 77, C)."""

    def __init__(self, folder: Path = CLIP_DIR) -> None:
        super().__init__(str(folder))

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids (B, 77) of prompts, padded as the WebUI pads them."""
        return torch.tensor(
            self.tokenizer(list(prompts), truncation=True, max_length=TOKENS, padding="max_length")["input_ids"]
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Context (B, 77, C) of token ids."""
        return self.transformer(input_ids=tokens).last_hidden_state


def unet() -> UNetModel:
    """The UNet with fresh weights."""
    return UNetModel(**UNET_CONFIG)


@cache
def alphas_cumprod() -> torch.Tensor:
    """Cumulative product of the alphas (1000,), as SD1's "linear" schedule has them: always the same tensor."""
    betas = make_beta_schedule("linear", TIMESTEPS, linear_start=LINEAR_START, linear_end=LINEAR_END)
    return torch.cumprod(1 - torch.as_tensor(betas), 0).float()
