"""The loaded checkpoint, as far as OMG has to know it, and what it can't work with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules import sd_unet, shared

from lib_omg.core.errors import OmgError
from lib_omg.core.schedule import sigmas_from_alphas

if TYPE_CHECKING:
    import torch

STRIDE_DEFAULT = 8


def check_host(p: Any) -> None:
    """Refuse what OMG can't do with this checkpoint and these settings.

    Raises:
        OmgError: says what to change.
    """
    if getattr(p, "refiner_checkpoint_info", None) is not None and p.refiner_switch_at is not None:
        raise OmgError("OMG doesn't work with a refiner: its UNet has another attention. Turn the refiner off.")
    if sd_unet.current_unet is not None:
        raise OmgError("OMG needs the checkpoint's own UNet. Set Settings > Stable Diffusion > SD Unet to None.")
    if getattr(shared.sd_model, "cond_stage_key", None) == "edit":
        raise OmgError("OMG doesn't work with InstructPix2Pix checkpoints. Choose another checkpoint.")
    if getattr(shared.sd_model.model, "conditioning_key", None) == "crossattn-adm":
        raise OmgError("OMG doesn't work with unCLIP checkpoints. Choose another checkpoint.")
    if not hasattr(shared.sd_model.model, "diffusion_model") or not hasattr(shared.sd_model, "alphas_cumprod"):
        raise OmgError("OMG works with SD1, SD2 and SDXL checkpoints. Choose one of these.")


def schedule_sigmas() -> torch.Tensor:
    """Noise level of every training timestep of the loaded checkpoint: (T,)."""
    return sigmas_from_alphas(shared.sd_model.alphas_cumprod)


def unet_stride() -> int:
    """By how much the UNet shrinks the latent inside."""
    mult = getattr(shared.sd_model.model.diffusion_model, "channel_mult", None)
    return 2 ** (len(mult) - 1) if mult else STRIDE_DEFAULT
