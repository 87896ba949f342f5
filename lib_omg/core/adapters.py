"""Row-routed adapters: a LoRA's delta is added to the rows of its concept only; no weight is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from .rows import RowCursor


class Delta(Protocol):
    """What an adapter adds to the output of one layer."""

    def __call__(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Delta of the layer's output for the rows `x` (n, ...) of its input."""


@dataclass(frozen=True)
class LowRankDelta:
    """LoRA's own form, up(down(x)) * scale, for Linear and Conv2d layers (arXiv 2106.09685, eq. 3).

    Attributes:
        down: (r, in) or (r, in, kh, kw). up: (out, r) or (out, r, 1, 1).
        scale: weight * alpha / rank.
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def __call__(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if isinstance(layer, nn.Conv2d):
            hidden = functional.conv2d(x, self.down, None, layer.stride, layer.padding, layer.dilation)
            return functional.conv2d(hidden, self.up) * self.scale
        return functional.linear(functional.linear(x, self.down), self.up) * self.scale


@dataclass
class WeightDelta:
    """A change of a layer's weight (and bias), for every other kind of adapter.

    The layers it serves are linear in their parameters, so the change of the output is the layer's operation with
    the change of the parameters.

    Attributes:
        compute: gives (weight, bias or None), the weight of the layer's own shape.
        keep: hold what `compute` gave; else compute it at every call (slower, no memory).
    """

    compute: Callable[[], tuple[torch.Tensor, torch.Tensor | None]]
    keep: bool = True
    _kept: tuple[torch.Tensor, torch.Tensor | None] | None = field(default=None, repr=False)

    def change(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The change of (weight, bias): the held one, or computed now, and held if it is to be kept."""
        change = self._kept or self.compute()
        if self.keep:
            self._kept = change
        return change

    def __call__(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.change()
        if isinstance(layer, nn.Conv2d):
            return functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        if isinstance(layer, nn.GroupNorm):
            return functional.group_norm(x, layer.num_groups, weight, bias, layer.eps)
        if isinstance(layer, nn.LayerNorm):
            return functional.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        return functional.linear(x, weight, bias)


@contextmanager
def routed_adapters(deltas: Mapping[nn.Module, Mapping[int, list[Delta]]], cursor: RowCursor) -> Iterator[None]:
    """While open, each layer's output gets the deltas of each concept on that concept's rows.

    Args:
        deltas: layer -> concept -> its deltas (several adapters of one concept add up).
        cursor: tells which rows a UNet call has.
    """
    with ExitStack() as stack:
        for layer, by_concept in deltas.items():
            handle = layer.register_forward_hook(_hook(by_concept, cursor))
            stack.callback(handle.remove)
        yield


def _hook(by_concept: Mapping[int, list[Delta]], cursor: RowCursor):  # type: ignore[no-untyped-def]
    def add_deltas_(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        for concept, start, stop in cursor.concept_spans():
            for delta in by_concept.get(concept, ()):
                # the output is this call's own tensor, made a moment ago by a Linear, Conv2d or norm
                output[start:stop] += delta(layer, inputs[0][start:stop]).to(output.dtype)
        return output

    return add_deltas_
