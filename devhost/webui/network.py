"""A network file, the network in memory, and the base of its per-layer adapters."""

from __future__ import annotations

import enum
import hashlib
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from modules import errors, sd_models, shared

NetworkWeights = namedtuple("NetworkWeights", ["network_key", "sd_key", "w", "sd_module"])


class SdVersion(enum.Enum):
    """Model family a network was made for."""

    Unknown = 1
    SD1 = 2
    SD2 = 3
    SDXL = 4


class NetworkOnDisk:
    """A network file and what its header says."""

    def __init__(self, name: str, filename: str) -> None:
        self.name = name
        self.filename = filename
        self.is_safetensors = filename.endswith(".safetensors")
        self.metadata: dict[str, Any] = {}
        if self.is_safetensors:
            try:
                self.metadata = sd_models.read_metadata_from_safetensors(filename)
            except Exception as error:
                errors.display(error, f"reading lora {filename}")
        self.alias = self.metadata.get("ss_output_name", name)
        self.hash = ""
        self.shorthash = ""
        self.set_hash(self.metadata.get("sshs_model_hash") or "")
        self.sd_version = self.detect_version()

    def detect_version(self) -> SdVersion:
        """Family from the header; Unknown without one."""
        if str(self.metadata.get("ss_base_model_version", "")).startswith("sdxl_"):
            return SdVersion.SDXL
        if str(self.metadata.get("ss_v2", "")) == "True":
            return SdVersion.SD2
        return SdVersion.SD1 if self.metadata else SdVersion.Unknown

    def set_hash(self, value: str) -> None:
        """Set hash and short hash, and make the latter findable."""
        import networks

        self.hash = value
        self.shorthash = value[:12]
        if self.shorthash:
            networks.available_network_hash_lookup[self.shorthash] = self

    def read_hash(self) -> None:
        """Hash the tensors' bytes, as kohya's tools do, unless known."""
        if self.hash:
            return
        data = Path(self.filename).read_bytes()
        header = int.from_bytes(data[:8], "little")
        self.set_hash(hashlib.sha256(data[8 + header :]).hexdigest())

    def get_alias(self) -> str:
        """Name to write into prompts."""
        import networks

        by_name = shared.opts.lora_preferred_name == "Filename"
        return self.name if by_name or self.alias.lower() in networks.forbidden_network_aliases else self.alias


@dataclass(eq=False, repr=False)
class Network:
    """A loaded network: adapters by layer name, and multipliers."""

    name: str
    network_on_disk: NetworkOnDisk
    unet_multiplier: float = field(default=1.0, init=False)
    te_multiplier: float = field(default=1.0, init=False)
    dyn_dim: int | None = field(default=None, init=False)
    mtime: float | None = field(default=None, init=False)
    mentioned_name: str | None = field(default=None, init=False)
    modules: dict[str, NetworkModule] = field(default_factory=dict, init=False)
    bundle_embeddings: dict[str, Any] = field(default_factory=dict, init=False)


class ModuleType:
    """Makes one kind of adapter."""

    def create_module(self, net: Network, weights: NetworkWeights) -> NetworkModule | None:
        """The adapter, or None when the weights are of another kind."""
        return None


class NetworkModule:
    """Adapter of one layer of the model."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        self.network = net
        self.network_key, self.sd_key, _, self.sd_module = weights
        self.shape = self.sd_module.weight.shape if hasattr(self.sd_module, "weight") else None
        self.ops, self.extra_kwargs = _operation(self.sd_module)
        self.dim: int | None = None
        self.bias = weights.w.get("bias")
        self.alpha = weights.w["alpha"].item() if "alpha" in weights.w else None
        self.scale = weights.w["scale"].item() if "scale" in weights.w else None
        self.dora_scale = weights.w.get("dora_scale")
        self.dora_norm_dims = len(self.shape) - 1 if self.shape is not None else 0

    def multiplier(self) -> float:
        """The network's multiplier for text encoder or UNet."""
        is_text_encoder = "transformer" in self.sd_key[:20]
        return self.network.te_multiplier if is_text_encoder else self.network.unet_multiplier

    def calc_scale(self) -> float:
        """alpha / rank, unless the file gives the scale."""
        if self.scale is not None:
            return self.scale
        return self.alpha / self.dim if self.dim is not None and self.alpha is not None else 1.0

    def apply_weight_decompose(self, updown: torch.Tensor, orig_weight: torch.Tensor) -> torch.Tensor:
        """DoRA, https://arxiv.org/abs/2402.09353: give the sum's columns the trained norms; back to a difference."""
        orig_weight = orig_weight.to(updown.dtype)
        total = orig_weight + updown
        # Norm over everything but the input dimension (1).
        dims = [d for d in range(total.dim()) if d != 1]
        norm = torch.linalg.vector_norm(total, dim=dims, keepdim=True)
        return total * (self.dora_scale.to(total) / norm) - orig_weight

    def finalize_updown(self, updown: Any, orig_weight: Any, output_shape: Any, ex_bias: Any = None) -> tuple[Any, Any]:
        """Bias, shape, scale, DoRA and multiplier."""
        if self.bias is not None:
            updown = (updown.reshape(self.bias.shape) + self.bias.to(updown)).reshape(output_shape)
        same_size = orig_weight.numel() == updown.numel()
        for shape, wanted in ((output_shape, len(output_shape) == 4), (orig_weight.shape, same_size)):
            updown = updown.reshape(shape) if wanted else updown
        change = updown * self.calc_scale()
        if self.dora_scale is not None:
            change = self.apply_weight_decompose(change, orig_weight)
        strength = self.multiplier()
        return change * strength, None if ex_bias is None else ex_bias * strength

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What to add to the layer's weight and bias."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """y plus what the adapter adds for input x."""
        if self.ops is None:
            raise NotImplementedError
        updown, ex_bias = self.calc_updown(self.sd_module.weight)
        return y + self.ops(x, weight=updown, bias=ex_bias, **self.extra_kwargs)


def _operation(module: torch.nn.Module) -> tuple[Any, dict[str, Any]]:
    """The functional form of a layer and its keyword arguments."""
    if isinstance(module, torch.nn.Conv2d):
        return F.conv2d, {"stride": module.stride, "padding": module.padding}
    if isinstance(module, torch.nn.Linear):
        return F.linear, {}
    if isinstance(module, torch.nn.LayerNorm):
        return F.layer_norm, {"normalized_shape": module.normalized_shape, "eps": module.eps}
    if isinstance(module, torch.nn.GroupNorm):
        return F.group_norm, {"num_groups": module.num_groups, "eps": module.eps}
    return None, {}
