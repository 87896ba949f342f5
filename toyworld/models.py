"""The networks of the toy checkpoint, in Stable Diffusion 1.5's block layout, built of ldm's own classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

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


class Autoencoder(torch.nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to latents (B, 4, H/8, W/8) and back; keys as in SD1 files."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(**VAE_CONFIG)
        self.decoder = Decoder(**VAE_CONFIG)
        self.quant_conv = torch.nn.Conv2d(8, 8, 1)
        self.post_quant_conv = torch.nn.Conv2d(4, 4, 1)

    def encode(self, pixels: torch.Tensor) -> DiagonalGaussianDistribution:
        """Distribution of the latent, not yet scaled."""
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(pixels)))

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Picture of a latent that is not scaled."""
        return self.decoder(self.post_quant_conv(latent))


class TextEncoder(torch.nn.Module):
    """Prompts to CLIP's last hidden state (B, 77, C)."""

    def __init__(self, folder: Path = CLIP_DIR) -> None:
        super().__init__()
        self.tokenizer = CLIPTokenizer.from_pretrained(str(folder))
        self.transformer = CLIPTextModel(CLIPTextConfig.from_pretrained(str(folder)))

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


def alphas_cumprod() -> torch.Tensor:
    """Cumulative product of the alphas (1000,), as SD1's "linear" schedule has them."""
    betas = torch.linspace(LINEAR_START**0.5, LINEAR_END**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def to_pixels(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures uint8 (H, W, 3) of one size to a contiguous tensor (B, 3, H, W) in [-1, 1]."""
    # (B, H, W, 3) -> (B, 3, H, W); contiguous: channels_last makes the backward pass 2.5 times slower on a CPU
    stacked = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2).contiguous()
    return stacked.float().div_(127.5).sub_(1)


def to_images(pixels: torch.Tensor) -> list[np.ndarray]:
    """Tensor (B, 3, H, W) in [-1, 1] to pictures uint8 (H, W, 3)."""
    scaled = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte()
    return [image.permute(1, 2, 0).contiguous().numpy() for image in scaled]  # (3, H, W) -> (H, W, 3)
