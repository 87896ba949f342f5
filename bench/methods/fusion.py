"""Gradient fusion (Gu et al. 2023, Mix-of-Show, section 3.2): one set of weights that acts as each concept's own.

For every linear layer the fused weight W is the least-squares answer to W X_i = (W0 + D_i) X_i for all concepts i, X_i
being what the layer sees while concept i is drawn alone. Mix-of-Show runs a quasi-Newton method from W0 on; we solve in
closed form with a ridge around W0, to which it leaves what no X_i shows as well:

    W = W0 + (sum_i D_i G_i) (sum_i G_i + ridge)^-1,   G_i = X_i X_i^T / n_i

So no X_i need be kept, only G_i. What every concept's layers see is taken from runs of that concept alone; Mix-of-Show
takes a later part's inputs from the earlier parts as already fused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from bench.host import Host

RIDGE = 1e-2
"""Ridge, as a fraction of the mean square of a layer's inputs.

Where concepts look alike, the exact answer tells them apart by weights many times as large as theirs, which spoil
whatever no concept showed, the global prompt first. The original's 50 iterations stop before that, and so does this.
"""
_SETS_KEPT = 12

Change = tuple[torch.Tensor, "torch.Tensor | None"]
"""What a LoRA adds to a layer's weight and bias."""


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer is a matrix applied to every token or cell."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))


def flat_inputs(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A layer's input (N, ..., C), or (N, C, H, W) of a convolution, as vectors (n, C)."""
    if isinstance(layer, nn.Conv2d):
        x = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    return x.reshape(-1, x.shape[-1])


@dataclass
class Moments:
    """Second moments of what layers see: for every layer the sum of x x^T, and of how many x."""

    sums: dict[nn.Module, torch.Tensor] = field(default_factory=dict)
    counts: dict[nn.Module, int] = field(default_factory=dict)

    def add(self, layer: nn.Module, x: torch.Tensor) -> None:
        """Take in a layer's input, see `flat_inputs`."""
        vectors = flat_inputs(layer, x.detach().float())
        product = vectors.T @ vectors
        self.sums[layer] = self.sums[layer] + product if layer in self.sums else product
        self.counts[layer] = self.counts.get(layer, 0) + len(vectors)

    def mean(self, layer: nn.Module) -> torch.Tensor | None:
        """G (C, C) of a layer; None if it was never used."""
        return self.sums[layer] / self.counts[layer] if layer in self.sums else None

    @contextmanager
    def watching(self, layers: Sequence[nn.Module]) -> Iterator[None]:
        """While open, the layers' inputs are taken in."""
        with ExitStack() as stack:
            for layer in layers:
                hook = layer.register_forward_pre_hook(lambda module, args: self.add(module, args[0]))
                stack.callback(hook.remove)
            yield


def fuse(changes: Sequence[torch.Tensor], moments: Sequence[torch.Tensor], ridge: float = RIDGE) -> torch.Tensor:
    """The change of a weight (O, C) that serves all concepts.

    Args:
        changes: what each concept's LoRA adds, (O, C). moments: what the layer sees of each concept, (C, C).
        ridge: see `RIDGE`.
    """
    seen = torch.stack([moment.double() for moment in moments])
    wanted = sum(change.double() @ moment for change, moment in zip(changes, seen, strict=True))
    total = seen.sum(0)
    # a layer that saw only zeros keeps its weight
    least = (ridge * total.diagonal().mean()).clamp(min=torch.finfo(torch.float32).tiny)
    total.diagonal().add_(least)
    fused: torch.Tensor = torch.linalg.solve(total, wanted.T).T  # `total` is symmetric
    return fused.to(changes[0].dtype)


def fusion_error(
    change: torch.Tensor, changes: Sequence[torch.Tensor], moments: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """For each concept the mean squared difference (summed over outputs) between `change` (O, C) and its own."""
    return [((change - own) @ moment * (change - own)).sum() for own, moment in zip(changes, moments, strict=True)]


@dataclass
class Fusion:
    """Fused weights of sets of concepts on the host's model; what is costly is done once.

    Attributes:
        prompts: for every concept, what to draw while its layers' inputs are taken. width_px: of these pictures.
    """

    host: Host
    prompts: Mapping[str, Sequence[str]]
    width_px: int
    seed: int = 0
    ridge: float = RIDGE
    _moments: dict[str, Moments] = field(default_factory=dict, repr=False)
    _fused: OrderedDict[frozenset[str], list[tuple[nn.Parameter, torch.Tensor]]] = field(
        default_factory=OrderedDict, repr=False
    )

    def parameters(self, names: Sequence[str]) -> list[tuple[nn.Parameter, torch.Tensor]]:
        """Parameters of the host's model and their fused values, for `replaced_parameters`."""
        key = frozenset(names)
        if key not in self._fused:
            while len(self._fused) >= _SETS_KEPT:
                self._fused.popitem(last=False)
            self._fused[key] = self._fuse(sorted(key))
        return self._fused[key]

    def moments(self, name: str) -> Moments:
        """What the layers see while one concept is drawn alone."""
        from modules import shared

        from bench.methods.weights import forget_conds

        if name not in self._moments:
            roots = (shared.sd_model.model.diffusion_model, shared.sd_model.cond_stage_model)
            moments = Moments()
            with moments.watching([m for root in roots for m in root.modules() if is_linear(m)]):
                for index, prompt in enumerate(self.prompts[name]):
                    forget_conds()  # a cached prompt would not pass the text encoder
                    self.host.draw(prompt, self.seed + index, self.width_px, loras=[name])
            self._moments[name] = moments
        return self._moments[name]

    def _fuse(self, names: Sequence[str]) -> list[tuple[nn.Parameter, torch.Tensor]]:
        from bench.methods.weights import settle_networks

        moments = [self.moments(name) for name in names]
        settle_networks()
        changes = [lora_changes(name) for name in names]
        made: list[tuple[nn.Parameter, torch.Tensor]] = []
        with torch.no_grad():
            for layer in dict.fromkeys(layer for own in changes for layer in own):
                weight, bias = fused_layer(layer, changes, moments, self.ridge)
                made.append((layer.weight, layer.weight + weight))
                if bias is not None and layer.bias is not None:
                    made.append((layer.bias, layer.bias + bias))
        return made


def fused_layer(
    layer: nn.Module, changes: Sequence[Mapping[nn.Module, Change]], moments: Sequence[Moments], ridge: float
) -> Change:
    """The change of one layer; where it isn't linear or was never used, the plain sum of all.

    Args:
        changes: of every concept by layer; a concept without the layer wants it as it is.
        moments: of every concept.
    """
    shape = layer.weight.shape
    own = [mine[layer][0].reshape(shape) if layer in mine else torch.zeros(shape) for mine in changes]
    biases = [bias for mine in changes if layer in mine and (bias := mine[layer][1]) is not None]
    seen = [moment for mine in moments if (moment := mine.mean(layer)) is not None]
    if is_linear(layer) and len(seen) == len(own):
        weight = fuse([change.flatten(1) for change in own], seen, ridge).reshape(shape)
    else:
        weight = torch.stack(own).sum(0)
    return weight, torch.stack(biases).sum(0) if biases else None


def lora_changes(name: str) -> dict[nn.Module, Change]:
    """What a LoRA at full weight adds to each layer of the host's model, which must be without networks."""
    from bench.host import LORA_WEIGHT
    from lib_omg.host.loras import LoraLibrary, LoraRequest

    network = LoraLibrary().load([[LoraRequest(name, LORA_WEIGHT, LORA_WEIGHT, None)]], [name])[0][0]
    return {module.sd_module: module.calc_updown(module.sd_module.weight) for module in network.modules.values()}
