"""Attention optimisations. All call to_q, to_k, to_v, to_out as modules; they differ in how the softmax is cut up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ldm.modules.attention
import torch

ldm_forward = ldm.modules.attention.CrossAttention.forward
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
SLICE = 2
SUB_QUAD_CHUNK = 64


def _plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """softmax(q k^T) v over (N, Q, D), (N, T, D), (N, T, D)."""
    return (torch.einsum("bid,bjd->bij", q, k) * scale).softmax(dim=-1) @ v


def _sdp(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)


def _by_heads(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """A few heads at a time (V1, InvokeAI)."""
    pieces = zip(q.split(SLICE), k.split(SLICE), v.split(SLICE), strict=True)
    return torch.cat([_plain(a, b, c, scale) for a, b, c in pieces])


def _by_queries(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """A slice of queries at a time (Doggettx)."""
    return torch.cat([_plain(part, k, v, scale) for part in q.split(max(1, q.shape[1] // SLICE), dim=1)], dim=1)


def _by_keys(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """A chunk of keys at a time with a running maximum (sub-quadratic)."""
    total = weight = None
    peak = torch.full((*q.shape[:2], 1), -torch.inf, dtype=q.dtype, device=q.device)
    for keys, values in zip(k.split(SUB_QUAD_CHUNK, dim=1), v.split(SUB_QUAD_CHUNK, dim=1), strict=True):
        scores = torch.einsum("bid,bjd->bij", q, keys) * scale
        new_peak = torch.maximum(peak, scores.amax(dim=-1, keepdim=True))
        part = torch.exp(scores - new_peak)
        shrink = torch.exp(peak - new_peak)
        total = part @ values if total is None else total * shrink + part @ values
        weight = part.sum(-1, keepdim=True) if weight is None else weight * shrink + part.sum(-1, keepdim=True)
        peak = new_peak
    return total / weight


def _forward(attend: Attend) -> Callable[..., torch.Tensor]:
    def forward(
        self: Any, x: torch.Tensor, context: torch.Tensor | None = None, mask: Any = None, **_: Any
    ) -> torch.Tensor:
        """Attention of x (N, Q, C) over context (N, T, C)."""
        context = x if context is None else context
        q, k, v = (_split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        out = attend(q, k, v, self.scale)
        # (N*heads, Q, D) -> (N, Q, heads*D)
        out = out.unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)
        return self.to_out(out)

    return forward


def _split_heads(t: torch.Tensor, heads: int) -> torch.Tensor:
    # (N, Q, heads*D) -> (N*heads, Q, D)
    return t.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)


class SdOptimization:
    """One way to compute attention."""

    name = ""
    label: str | None = None
    priority = 10
    attend: Attend

    def title(self) -> str:
        """Name shown in the settings."""
        return self.name if self.label is None else f"{self.name} - {self.label}"

    def is_available(self) -> bool:
        """All of ours run anywhere."""
        return True

    def apply(self) -> None:
        """Put it into ldm."""
        ldm.modules.attention.CrossAttention.forward = _forward(type(self).attend)

    def undo(self) -> None:
        """Back to plain ldm."""
        undo()


def undo() -> None:
    """Back to plain ldm."""
    ldm.modules.attention.CrossAttention.forward = ldm_forward


class SdOptimizationSdpNoMem(SdOptimization):
    """torch's fused attention."""

    name = "sdp-no-mem"
    label = "scaled dot product without memory efficient attention"
    priority = 80
    attend = _sdp


class SdOptimizationSdp(SdOptimization):
    """torch's fused attention."""

    name = "sdp"
    label = "scaled dot product"
    priority = 70
    attend = _sdp


class SdOptimizationSubQuad(SdOptimization):
    """Keys in chunks."""

    name = "sub-quadratic"
    attend = _by_keys


class SdOptimizationV1(SdOptimization):
    """Heads in pairs."""

    name = "V1"
    label = "original v1"
    attend = _by_heads


class SdOptimizationInvokeAI(SdOptimization):
    """Heads in pairs; the WebUI's choice on a CPU."""

    name = "InvokeAI"
    priority = 1000
    attend = _by_heads


class SdOptimizationDoggettx(SdOptimization):
    """Queries in slices."""

    name = "Doggettx"
    priority = 90
    attend = _by_queries


OPTIMIZATIONS = (
    SdOptimizationSdpNoMem,
    SdOptimizationSdp,
    SdOptimizationSubQuad,
    SdOptimizationV1,
    SdOptimizationInvokeAI,
    SdOptimizationDoggettx,
)
