"""An SD1 model built from a checkpoint's yaml: ldm's UNet and VAE, transformers' CLIP; keys as in SD1 files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from ldm.modules.diffusionmodules.util import make_beta_schedule
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


class FrozenCLIPEmbedder(torch.nn.Module):
    """CLIP's text encoder and tokenizer from a local folder."""

    def __init__(self, version: str, **_: Any) -> None:
        super().__init__()
        self.tokenizer = CLIPTokenizer.from_pretrained(version)
        self.transformer = CLIPTextModel(CLIPTextConfig.from_pretrained(version))


class AutoencoderKL(torch.nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to latents and back."""

    def __init__(self, ddconfig: dict[str, Any], embed_dim: int, **_: Any) -> None:
        super().__init__()
        self.encoder = Encoder(**ddconfig)
        self.decoder = Decoder(**ddconfig)
        self.quant_conv = torch.nn.Conv2d(2 * ddconfig["z_channels"], 2 * embed_dim, 1)
        self.post_quant_conv = torch.nn.Conv2d(embed_dim, ddconfig["z_channels"], 1)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.quant_conv.weight.dtype

    def encode(self, x: torch.Tensor) -> DiagonalGaussianDistribution:
        """Distribution of the latent."""
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(x)))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Image of a latent."""
        return self.decoder(self.post_quant_conv(z))


class DiffusionWrapper(torch.nn.Module):
    """Holds the UNet as `diffusion_model`."""

    def __init__(self, config: dict[str, Any], conditioning_key: str) -> None:
        super().__init__()
        self.diffusion_model = UNetModel(**config)
        self.conditioning_key = conditioning_key

    def forward(self, x: torch.Tensor, t: torch.Tensor, c_crossattn: list[torch.Tensor], **_: Any) -> torch.Tensor:
        """Noise in x (N, C, H, W) at timesteps t (N,)."""
        return self.diffusion_model(x, t, context=torch.cat(c_crossattn, 1))


class LatentDiffusion(torch.nn.Module):
    """The model the samplers see."""

    is_sd1 = True
    is_sd2 = is_sdxl = is_ssd = is_sd3 = is_sdxl_inpaint = False
    parameterization = "eps"
    cond_stage_key = "txt"
    latent_channels = 4
    lowvram = False
    sd_checkpoint_info: Any = None
    sd_model_hash: str | None = None
    sd_model_checkpoint: str | None = None
    cond_stage_model_empty_prompt: Any = None
    alphas_cumprod: torch.Tensor

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        self.scale_factor = params["scale_factor"]
        self.model = DiffusionWrapper(params["unet_config"]["params"], params["conditioning_key"])
        self.first_stage_model = AutoencoderKL(**params["first_stage_config"]["params"])
        self.cond_stage_model: Any = FrozenCLIPEmbedder(**params["cond_stage_config"]["params"])
        betas = make_beta_schedule(
            "linear", params["timesteps"], linear_start=params["linear_start"], linear_end=params["linear_end"]
        )
        betas = torch.as_tensor(betas, dtype=torch.float64)
        self.num_timesteps = len(betas)
        self.register_buffer("betas", betas.float())
        self.register_buffer("alphas_cumprod", torch.cumprod(1 - betas, 0).float())
        self.alphas_cumprod_original = self.alphas_cumprod
        self.model_type = SimpleNamespace(name="SD1", value=1)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.alphas_cumprod.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.betas.dtype

    @contextlib.contextmanager
    def ema_scope(self, context: Any = None) -> Iterator[None]:
        """There are no averaged weights."""
        yield

    def apply_model(self, x: torch.Tensor, t: torch.Tensor, cond: Any) -> torch.Tensor:
        """Noise in x (N, C, H, W) at timesteps t (N,) with a cond dict or tensor."""
        cond = cond if isinstance(cond, dict) else {"c_crossattn": cond if isinstance(cond, list) else [cond]}
        return self.model(x, t.to(x.dtype), **cond)

    def get_learned_conditioning(self, c: list[str]) -> torch.Tensor:
        """Texts to (B, T, C)."""
        return self.cond_stage_model(c)

    def encode_first_stage(self, x: torch.Tensor) -> DiagonalGaussianDistribution:
        """Image in [-1, 1] to a latent distribution."""
        return self.first_stage_model.encode(x)

    def get_first_stage_encoding(self, encoder_posterior: Any) -> torch.Tensor:
        """A scaled latent of an encoding."""
        z = encoder_posterior if torch.is_tensor(encoder_posterior) else encoder_posterior.sample()
        return self.scale_factor * z

    def decode_first_stage(self, z: torch.Tensor) -> torch.Tensor:
        """Scaled latent to an image in about [-1, 1]."""
        return self.first_stage_model.decode(z / self.scale_factor)
