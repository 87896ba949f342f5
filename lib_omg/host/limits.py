"""How much OMG may keep: the settings page's limits, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from modules import devices, shared

from lib_omg.core.store import AttentionStore

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bytes of attention on the GPU and in RAM, of rebuilt weight changes, and of all kept layouts; rows in one UNet
    batch (0: the host's)."""

    device_bytes: int
    ram_bytes: int
    delta_bytes: int
    rows_per_batch: int
    shelf_bytes: int = 0

    @classmethod
    def from_opts(cls) -> Limits:
        """The limits of the settings page (also an API request's `override_settings`)."""
        device = int(float(getattr(shared.opts, "omg_vram_limit_mb", 1024)) * MB)
        ram = int(float(getattr(shared.opts, "omg_ram_limit_mb", 4096)) * MB)
        rows = int(getattr(shared.opts, "omg_rows_per_batch", 0))
        shelf = int(float(getattr(shared.opts, "omg_shelf_limit_mb", 8192)) * MB)
        return cls(device, ram, device, max(0, rows), shelf)


def device_free() -> int:
    """Bytes now free on the GPU."""
    return int(torch.cuda.mem_get_info(devices.device)[0])


def new_store(limits: Limits, *, in_ram: bool = False) -> AttentionStore:
    """An empty attention store held to the limits.

    Args:
        in_ram: it outlives its generation, so nothing of it stays on the GPU.
    """
    on_gpu = devices.device.type == "cuda"
    device_bytes = 0 if in_ram else limits.device_bytes
    return AttentionStore(device_bytes, limits.ram_bytes, device_free if on_gpu else None)
