"""What the layout pass leaves behind: a value that can be kept, edited around and rendered again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .store import AttentionStore


@dataclass(frozen=True)
class TracedCall:
    """One denoiser call of the layout pass.

    Attributes:
        x: (B, C, H, W), what the sampler gave. sigma: noise level (the largest of the batch).
        denoised: (B, C, H, W), what the host's denoiser gave back (its own quantity: x0, or eps for DDIM and UniPC).
        last_noise_uncond: (B, C, H, W), which CFG++ samplers read beside the result; else None.
    """

    x: torch.Tensor
    sigma: float
    denoised: torch.Tensor
    last_noise_uncond: torch.Tensor | None = None

    def of_image(self, image: int) -> TracedCall:
        """The call of one image of the batch, its tensors (1, C, H, W) copies in RAM."""
        one = slice(image, image + 1)
        uncond = self.last_noise_uncond
        return TracedCall(
            _in_ram(self.x[one]), self.sigma, _in_ram(self.denoised[one]),
            None if uncond is None else _in_ram(uncond[one]),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Bytes this call keeps, attention aside."""
        tensors = (self.x, self.denoised, self.last_noise_uncond)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)


@dataclass
class LayoutTrace:
    """A layout: every denoiser call, the attention kept of some of them, and the latent they ended in.

    Attributes:
        attention: the kept attention, by index into `calls`.
        latent: (B, C, H, W), the pass's result; None until it ended.
    """

    attention: AttentionStore
    calls: list[TracedCall] = field(default_factory=list)
    latent: torch.Tensor | None = None

    @property
    def sigmas(self) -> list[float]:
        """Noise level of every call, in order."""
        return [call.sigma for call in self.calls]

    @property
    def nbytes(self) -> int:
        """Bytes of x and denoised of all calls."""
        return sum(call.nbytes for call in self.calls)

    def call_like(self, index: int, sigma: float) -> int | None:
        """The traced call that stands for call `index` at `sigma` of another pass.

        That is the call of the same index, or, where the sampler chose its steps anew (DPM adaptive), the one
        nearest in noise. None when the trace is empty.
        """
        if not self.calls:
            return None
        if index < len(self.calls) and abs(self.calls[index].sigma - sigma) <= 1e-5 * max(sigma, 1e-5):
            return index
        return min(range(len(self.calls)), key=lambda i: abs(self.calls[i].sigma - sigma))

    def of_image(self, image: int, cond_rows: slice) -> LayoutTrace:
        """The layout of one image of a finished batch, in RAM.

        Args:
            cond_rows: that image's among the cond rows of all.
        """
        assert self.latent is not None
        calls = [call.of_image(image) for call in self.calls]
        attention = self.attention.of_rows(cond_rows.start, cond_rows.stop)
        return LayoutTrace(attention, calls, _in_ram(self.latent[image : image + 1]))

    def can_replay(self, index: int, x: torch.Tensor) -> bool:
        """Whether call `index` was made on this very `x` (B, C, H, W), bit for bit."""
        return index < len(self.calls) and torch.equal(self.calls[index].x.to(x.device), x)


def _in_ram(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)
