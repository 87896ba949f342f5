"""Attention, read and put back through forward hooks on `to_q` and `to_k`.

softmax(q k^T) is what the paper keeps (its "occlusion layout preservation"). q makes the cross-attention map, as k
comes from the same prompt; q and k make the self-attention map. Kept so, a map costs 1/2 to 1/16 of its size, and
reading and replacing works under every attention optimisation, since all of them call these layers as modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .rows import RowCursor
    from .store import AttentionStore

MOST_GROUPING_CELLS = 64 * 64
"""Self-attention that tells what belongs together is kept of maps of at most so many query cells: its cost is their
square."""

LOW_RESOLUTION_STRIDE = 4
"""Self-attention is kept where the map is at most 1/4 of the latent's side: the paper's (W/32) x (H/32) cells."""


@dataclass(frozen=True)
class AttentionLayer:
    """One attention module of the UNet.

    Attributes:
        name: its path in the UNet.
        is_cross: cross-attention (`attn2`) or self-attention (`attn1`).
        module: has `to_q`, `to_k` and `heads`.
    """

    name: str
    is_cross: bool
    module: nn.Module


def find_attention_layers(unet: nn.Module) -> list[AttentionLayer]:
    """All attention modules of a UNet of the ldm or sgm kind, in the order of its modules."""
    layers = []
    for name, module in unet.named_modules():
        end = name.rpartition(".")[2]
        if end in ("attn1", "attn2") and hasattr(module, "to_q") and hasattr(module, "to_k"):
            layers.append(AttentionLayer(name, end == "attn2", module))
    return layers


def is_grouping(layer: AttentionLayer) -> bool:
    """Whether a layer's self-attention may tell what belongs together: the first one wherever the UNet draws."""
    return not layer.is_cross and layer.name.startswith("output_blocks") and "transformer_blocks.0." in layer.name


def low_resolution_cells(height: int, width: int) -> int:
    """Largest number of query cells at which self-attention is kept, for a latent of this size in cells."""
    return -(-height // LOW_RESOLUTION_STRIDE) * -(-width // LOW_RESOLUTION_STRIDE)


@dataclass
class CallWindow:
    """What the running denoiser call wants of attention; set by the pass, read by the hooks.

    Attributes:
        call: index of the layout's denoiser call to store under or take from; None: nothing.
        cross, self_: whether cross- and self-attention take part in this call.
        strength: 0..1, how much of the layout's is put back.
        grouping: whether the finest self-attention, which tells what cells belong together, is recorded in this call.
    """

    call: int | None = None
    cross: bool = False
    self_: bool = False
    strength: float = 1.0
    grouping: bool = False


@dataclass
class AttentionHooks:
    """The hooks of one pass over all attention layers.

    Attributes:
        layers: see `find_attention_layers`. cursor: tells which rows are the global cond rows.
        window: what the running call wants. max_self_cells: see `low_resolution_cells`.
    """

    layers: list[AttentionLayer]
    cursor: RowCursor
    store: AttentionStore
    max_self_cells: int
    window: CallWindow = field(default_factory=CallWindow)
    cells: dict[str, int] = field(default_factory=dict)
    """Query cells of every layer that may group, once it has run."""

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While open, the global cond rows' queries (and self-attention keys) go into the store."""
        with self._hooked(self._record):
            yield

    @contextmanager
    def overwriting(self) -> Iterator[None]:
        """While open, the global cond rows' queries (and self-attention keys) are replaced by the store's."""
        with self._hooked(self._overwrite):
            yield

    @contextmanager
    def _hooked(self, act: Callable[[str, torch.Tensor], torch.Tensor | None]) -> Iterator[None]:
        with ExitStack() as stack:
            for layer in self.layers:
                for part in ("to_q", "to_k"):
                    hook = self._make_hook(layer, part, act)
                    stack.callback(getattr(layer.module, part).register_forward_hook(hook).remove)
            yield

    def _make_hook(self, layer: AttentionLayer, part: str, act):  # type: ignore[no-untyped-def]
        key = f"{layer.name}.{part}"

        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            if is_grouping(layer):
                self.cells[layer.name] = output.shape[1]
            if self.window.call is None or not self._wanted(layer, output.shape[1]):
                return None
            if output.shape[0] != len(self.cursor.rows):
                return None  # tiled (HyperTile) or not the batch we follow: leave it alone
            if layer.is_cross and part == "to_k":
                # k comes from the prompt: kept for grounding when it changes, never put back
                if act == self._record:
                    self._record_context(key, inputs[0], output)
                return None
            return act(key, output)

        return hook

    def _wanted(self, layer: AttentionLayer, cells: int) -> bool:
        if layer.is_cross:
            return self.window.cross
        if self.window.grouping and is_grouping(layer):
            usable = [count for count in self.cells.values() if count <= MOST_GROUPING_CELLS]
            if cells == max(usable, default=0):
                return True
        return self.window.self_ and cells <= self.max_self_cells

    def _record(self, key: str, output: torch.Tensor) -> None:
        start, stop = self.cursor.cond_span()
        if stop > start:
            assert self.window.call is not None
            self.store.add(self.window.call, key, output[start:stop])

    def _record_context(self, key: str, context: torch.Tensor, output: torch.Tensor) -> None:
        start, stop = self.cursor.cond_span()
        if stop > start:
            assert self.window.call is not None
            self.store.add_context(
                self.window.call, key, self.cursor.first + start, context[start:stop], output[start:stop]
            )

    def _overwrite(self, key: str, output: torch.Tensor) -> torch.Tensor | None:
        start, stop = self.cursor.cond_span()
        if stop <= start:
            return None
        assert self.window.call is not None
        kept = self.store.get(self.window.call, key)
        first = self.cursor.first + start
        if kept is None or kept.shape[0] < first + stop - start or kept.shape[1:] != output.shape[1:]:
            return None
        kept = kept[first : first + stop - start].to(output.device, output.dtype, non_blocking=True)
        # copied into the layer's output, never handed out: what comes after may work in place on it
        output[start:stop] = kept if self.window.strength == 1 else output[start:stop].lerp(kept, self.window.strength)
        return output
