"""Products that LyCORIS adapters are made of."""

from __future__ import annotations

from typing import Any

import torch


def rebuild_conventional(up: torch.Tensor, down: torch.Tensor, shape: Any, dyn_dim: int | None = None) -> torch.Tensor:
    """up (O, R) times down (R, I...), of only the first `dyn_dim` ranks if given."""
    return (up.flatten(1)[:, :dyn_dim] @ down.flatten(1)[:dyn_dim]).reshape(shape)


def rebuild_cp_decomposition(up: torch.Tensor, down: torch.Tensor, mid: torch.Tensor) -> torch.Tensor:
    """up (O, R), mid (R, R, kh, kw), down (R, I) to (O, I, kh, kw)."""
    return torch.einsum("or,rshw,si->oihw", up.flatten(1), mid, down.flatten(1))


def make_weight_cp(t: torch.Tensor, wa: torch.Tensor, wb: torch.Tensor) -> torch.Tensor:
    """Core t (R, S, kh, kw) with wa (R, O) and wb (S, I) to (O, I, kh, kw)."""
    return torch.einsum("rshw,ro,si->oihw", t, wa, wb)
