"""The kinds of adapters: LoRA and LoCon, LoHa, LoKr, IA3, GLoRA, full difference, norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lyco_helpers import make_weight_cp, rebuild_conventional, rebuild_cp_decomposition
from modules import devices
from network import ModuleType, Network, NetworkModule, NetworkWeights


class NetworkModuleLora(NetworkModule):
    """up @ down, for convolutions optionally with a middle."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.up_model = self._model(weights.w["lora_up.weight"], spatial=False)
        self.down_model = self._model(weights.w["lora_down.weight"], spatial=True)
        mid = weights.w.get("lora_mid.weight")
        self.mid_model = None if mid is None else self._model(mid, spatial=True)
        self.dim = weights.w["lora_down.weight"].shape[0]

    def _model(self, weight: torch.Tensor, spatial: bool) -> torch.nn.Module:
        """A frozen layer of the kind of the model's layer; only `spatial` ones have its kernel and stride."""
        layer = self.sd_module
        if type(layer) is torch.nn.Linear:
            weight = weight.flatten(1)
            made: torch.nn.Module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        elif type(layer) is torch.nn.Conv2d:
            weight = weight if weight.dim() == 4 else weight.flatten(1)[..., None, None]
            wide = spatial and tuple(weight.shape[2:]) != (1, 1)
            shape = (layer.kernel_size, layer.stride, layer.padding) if wide else (1,)
            made = torch.nn.Conv2d(weight.shape[1], weight.shape[0], *shape, bias=False)
        else:
            raise AssertionError(f"Lora layer {self.network_key} matched a layer of type {type(layer).__name__}")
        made.weight = torch.nn.Parameter(
            weight.to(devices.dtype).reshape(made.weight.shape).clone(), requires_grad=False
        )
        return made

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to the weight."""
        up, down = self.up_model.weight.to(target.device), self.down_model.weight.to(target.device)
        shape = [up.size(0), down.size(1)]
        if self.mid_model is not None:
            mid = self.mid_model.weight.to(target.device)
            return self.finalize_updown(rebuild_cp_decomposition(up, down, mid), target, [*shape, *mid.shape[2:]])
        shape += down.shape[2:] if down.dim() == 4 else []
        return self.finalize_updown(rebuild_conventional(up, down, shape, self.network.dyn_dim), target, shape)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """As in the WebUI: no middle, no DoRA, no dynamic rank here."""
        return y + self.up_model(self.down_model(x)) * self.multiplier() * self.calc_scale()


class NetworkModuleHada(NetworkModule):
    """Elementwise product of two low-rank products."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.w1a, self.w1b = weights.w["hada_w1_a"], weights.w["hada_w1_b"]
        self.w2a, self.w2b = weights.w["hada_w2_a"], weights.w["hada_w2_b"]
        self.t1, self.t2 = weights.w.get("hada_t1"), weights.w.get("hada_t2")
        self.dim = self.w1b.shape[0]

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to the weight."""
        if self.t1 is not None:
            shape = [self.w1a.size(1), self.w1b.size(1), *self.t1.shape[2:]]
        else:
            shape = [self.w1a.size(0), self.w1b.size(1), *(self.w1b.shape[2:] if self.w1b.dim() == 4 else [])]
        one = self._part(self.t1, self.w1a, self.w1b, shape)
        two = self._part(self.t2, self.w2a, self.w2b, shape)
        return self.finalize_updown((one * two).to(target.device), target, shape)

    @staticmethod
    def _part(core: Any, wa: torch.Tensor, wb: torch.Tensor, shape: list[int]) -> torch.Tensor:
        return rebuild_conventional(wa, wb, shape) if core is None else make_weight_cp(core, wa, wb)


class NetworkModuleIa3(NetworkModule):
    """The weight scaled along inputs or outputs."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.w = weights.w["weight"]
        self.on_input = weights.w["on_input"].item()

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to the weight."""
        w = self.w.to(target.device)
        shape = [w.size(0), target.size(1)]
        if self.on_input:
            shape.reverse()
        else:
            w = w.reshape(-1, 1)
        return self.finalize_updown(target * w, target, shape)


class NetworkModuleLokr(NetworkModule):
    """Kronecker product."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        get = weights.w.get
        self.w1, self.w1a, self.w1b = get("lokr_w1"), get("lokr_w1_a"), get("lokr_w1_b")
        self.w2, self.w2a, self.w2b, self.t2 = get("lokr_w2"), get("lokr_w2_a"), get("lokr_w2_b"), get("lokr_t2")
        for small in (self.w1b, self.w2b):
            self.dim = small.shape[0] if small is not None else self.dim

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to the weight."""
        w1 = self.w1 if self.w1 is not None else self.w1a @ self.w1b
        w2 = self.w2
        if w2 is None:
            w2 = self.w2a @ self.w2b if self.t2 is None else make_weight_cp(self.t2, self.w2a, self.w2b)
        shape = [w1.size(0) * w2.size(0), w1.size(1) * w2.size(1)]
        shape = list(target.shape) if target.dim() == 4 else shape
        w1 = w1[..., None, None] if w2.dim() == 4 else w1
        return self.finalize_updown(torch.kron(w1, w2.contiguous()).reshape(shape).to(target.device), target, shape)


class NetworkModuleFull(NetworkModule):
    """The difference itself."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.weight, self.ex_bias = weights.w["diff"], weights.w.get("diff_b")

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to weight and bias."""
        ex_bias = None if self.ex_bias is None else self.ex_bias.to(target.device)
        return self.finalize_updown(self.weight.to(target.device), target, self.weight.shape, ex_bias)


class NetworkModuleNorm(NetworkModule):
    """The difference of a norm layer."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.w_norm, self.b_norm = weights.w["w_norm"], weights.w["b_norm"]

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to weight and bias."""
        return self.finalize_updown(
            self.w_norm.to(target.device), target, self.w_norm.shape, self.b_norm.to(target.device)
        )


class NetworkModuleGLora(NetworkModule):
    """b2 @ b1 + W @ a2 @ a1."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.w1a, self.w1b = weights.w["a1.weight"], weights.w["b1.weight"]
        self.w2a, self.w2b = weights.w["a2.weight"], weights.w["b2.weight"]

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to the weight."""
        updown = self.w2b @ self.w1b + (target.to(self.w1a.dtype) @ self.w2a) @ self.w1a
        return self.finalize_updown(updown, target, [self.w1a.size(0), self.w1b.size(1)])


class _Keyed(ModuleType):
    """Chosen when all given keys are there."""

    def __init__(self, made: Callable[[Network, NetworkWeights], NetworkModule], *keys: str) -> None:
        self.made = made
        self.keys = keys

    def create_module(self, net: Network, weights: NetworkWeights) -> NetworkModule | None:
        """The adapter if the keys fit."""
        return self.made(net, weights) if all(key in weights.w for key in self.keys) else None


class ModuleTypeLora(ModuleType):
    """LoRA under both namings of its halves."""

    def create_module(self, net: Network, weights: NetworkWeights) -> NetworkModule | None:
        """The adapter if the keys fit."""
        if "lora_A.weight" in weights.w and "lora_B.weight" in weights.w:
            halves = {"lora_up.weight": weights.w["lora_B.weight"], "lora_down.weight": weights.w["lora_A.weight"]}
            weights.w.clear()
            weights.w.update(halves)
        fits = "lora_up.weight" in weights.w and "lora_down.weight" in weights.w
        return NetworkModuleLora(net, weights) if fits else None


class ModuleTypeLokr(ModuleType):
    """LoKr, each factor whole or in two."""

    def create_module(self, net: Network, weights: NetworkWeights) -> NetworkModule | None:
        """The adapter if the keys fit."""
        w = weights.w
        fits = all(f"lokr_w{i}" in w or (f"lokr_w{i}_a" in w and f"lokr_w{i}_b" in w) for i in (1, 2))
        return NetworkModuleLokr(net, weights) if fits else None


module_types: list[ModuleType] = [
    ModuleTypeLora(),
    _Keyed(NetworkModuleHada, "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    _Keyed(NetworkModuleIa3, "weight"),
    ModuleTypeLokr(),
    _Keyed(NetworkModuleFull, "diff"),
    _Keyed(NetworkModuleNorm, "w_norm", "b_norm"),
    _Keyed(NetworkModuleGLora, "a1.weight", "a2.weight", "alpha", "b1.weight", "b2.weight"),
]
