"""Where the layout pass's attention is kept: on the GPU while it fits, then in RAM, then only small maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class _SeenContext:
    """The context rows of a call, and whether they differ from the call before."""

    call: int
    changed: bool
    rows: torch.Tensor


@dataclass
class AttentionStore:
    """Queries and keys by denoiser call and layer, held to a limit of bytes.

    Attributes:
        device_limit: bytes that may stay on the GPU; beyond that tensors go to RAM. Without a GPU all is RAM.
        ram_limit: bytes that may go to RAM; beyond that the layers with the most cells are dropped.
        device_free: tells the bytes now free on the GPU (the store takes at most half of them).
    """

    device_limit: int
    ram_limit: int
    device_free: Callable[[], int] | None = None
    device_bytes: int = 0
    ram_bytes: int = 0
    dropped_cells: int | None = None
    """Maps with this many query cells or more are not kept, for want of memory; None: all are kept."""
    _kept: dict[tuple[int, str], torch.Tensor] = field(default_factory=dict, repr=False)
    _contexts: dict[tuple[str, int], list[tuple[int, torch.Tensor]]] = field(default_factory=dict, repr=False)
    _seen_contexts: dict[int, _SeenContext] = field(default_factory=dict, repr=False)

    def add(self, call: int, key: str, rows: torch.Tensor) -> None:
        """Keep rows (n, Q, C) of a layer for a call; a second add appends (the host split its batch)."""
        if self.dropped_cells is not None and rows.shape[1] >= self.dropped_cells:
            return
        before = self._kept.pop((call, key), None)
        if before is not None:
            self._count(before, -1)  # the joined rows are placed, and counted, as one
            rows = torch.cat([before, rows.to(before.device)])
        placed = self._place(rows)
        if placed is not None:
            self._kept[call, key] = placed

    def add_context(self, call: int, key: str, first: int, context: torch.Tensor, rows: torch.Tensor) -> None:
        """Keep cross-attention keys `rows` (n, T, C) once for every change of the `context` (n, T, D) they are of."""
        seen = self._seen_contexts.get(first)
        if seen is None or seen.call != call:
            changed = seen is None or seen.rows.shape != context.shape or not torch.equal(seen.rows, context)
            seen = _SeenContext(call, changed, context.detach().clone() if changed or seen is None else seen.rows)
            self._seen_contexts[first] = seen
        if not seen.changed:
            return
        placed = rows.detach().clone()
        self._count(placed, 1)
        self._contexts.setdefault((key, first), []).append((call, placed))

    def get(self, call: int, key: str) -> torch.Tensor | None:
        """What is kept of a layer for a call: (n cond rows, Q, C), or None."""
        return self._kept.get((call, key))

    def context(self, call: int, key: str) -> torch.Tensor | None:
        """The cross-attention keys (n cond rows, T, C) of a layer that were in force at a call, or None."""
        parts: list[torch.Tensor] = []
        first = 0
        # from part to part, as the host may split its batch otherwise when the prompt's length changes
        while usable := [rows for since, rows in self._contexts.get((key, first), ()) if since <= call]:
            parts.append(usable[-1])
            first += usable[-1].shape[0]
        return torch.cat(parts) if parts else None

    def of_rows(self, start: int, stop: int) -> AttentionStore:
        """A store in RAM with what is kept of the cond rows from `start` to before `stop`, numbered from 0."""
        made = AttentionStore(0, self.ram_limit, dropped_cells=self.dropped_cells)
        for key, rows in self._kept.items():
            if rows.shape[0] >= stop:
                made._kept[key] = rows[start:stop].to("cpu", copy=True)
        for (name, first), changes in self._contexts.items():
            for call, rows in changes:
                low, high = max(start, first), min(stop, first + rows.shape[0])
                if low < high:
                    part = rows[low - first : high - first].to("cpu", copy=True)
                    made._contexts.setdefault((name, low - start), []).append((call, part))
        for tensor in (*made._kept.values(), *(t for parts in made._contexts.values() for _, t in parts)):
            made._count(tensor, 1)
        return made

    def calls(self) -> list[int]:
        """The denoiser calls something is kept of, in order."""
        return sorted({call for call, _ in self._kept})

    def clear(self) -> None:
        """Let everything go."""
        self._kept.clear()
        self._contexts.clear()
        self._seen_contexts.clear()
        self.device_bytes = self.ram_bytes = 0

    def _place(self, rows: torch.Tensor) -> torch.Tensor | None:
        size = _bytes(rows)
        if rows.is_cuda and self._fits_device(size):
            self.device_bytes += size
            return rows.detach().clone()
        while self.ram_bytes + size > self.ram_limit:
            if not self._drop_largest(rows.shape[1]):
                return None
            if self.dropped_cells is not None and rows.shape[1] >= self.dropped_cells:
                return None
        self.ram_bytes += size
        return rows.detach().to("cpu", copy=True)

    def _fits_device(self, size: int) -> bool:
        if self.device_bytes + size > self.device_limit:
            return False
        return self.device_free is None or size < self.device_free() // 2

    def _drop_largest(self, arriving: int) -> bool:
        """Let go of the kept layers with the most cells; False when nothing is left to drop."""
        largest = max((t.shape[1] for t in self._kept.values()), default=0)
        self.dropped_cells = max(largest, arriving)
        victims = [k for k, t in self._kept.items() if t.shape[1] >= self.dropped_cells]
        for key in victims:
            self._count(self._kept.pop(key), -1)
        return bool(victims) or arriving < self.dropped_cells

    def _count(self, tensor: torch.Tensor, sign: int) -> None:
        if tensor.is_cuda:
            self.device_bytes += sign * _bytes(tensor)
        else:
            self.ram_bytes += sign * _bytes(tensor)
