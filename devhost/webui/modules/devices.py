"""Devices and dtypes. devhost is CPU and float32 only, so every cast and autocast is the identity."""

from __future__ import annotations

import contextlib

import torch

cpu = torch.device("cpu")
device = device_interrogate = device_gfpgan = device_esrgan = device_codeformer = cpu
dtype = dtype_vae = dtype_unet = dtype_inference = torch.float32
unet_needs_upcast = False
fp8 = False


class NansException(Exception):
    """A model gave back NaN."""


def torch_gc() -> None:
    """Nothing to collect on a CPU."""


def get_optimal_device() -> torch.device:
    """The one device."""
    return cpu


def cond_cast_unet(tensor: torch.Tensor) -> torch.Tensor:
    """Cast to the UNet's dtype when upcasting is on; it never is here."""
    return tensor.to(dtype_unet) if unet_needs_upcast else tensor


def cond_cast_float(tensor: torch.Tensor) -> torch.Tensor:
    """Cast to float when upcasting is on; it never is here."""
    return tensor.float() if unet_needs_upcast else tensor


def autocast(disable: bool = False) -> contextlib.AbstractContextManager[None]:
    """No autocast in float32."""
    return contextlib.nullcontext()


def without_autocast(disable: bool = False) -> contextlib.AbstractContextManager[None]:
    """No autocast to leave."""
    return contextlib.nullcontext()


def test_for_nans(x: torch.Tensor, where: str) -> None:
    """Raise `NansException` when the first value of `x` is NaN, the WebUI's cheap test."""
    if torch.isnan(x[(0,) * x.dim()]):
        raise NansException(f"A tensor with NaNs was produced in {where}.")
