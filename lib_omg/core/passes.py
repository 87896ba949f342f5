"""The two passes, seen from the denoiser: what happens at each of its calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from .blend import Region, blend
from .schedule import reached
from .trace import LayoutTrace, TracedCall

if TYPE_CHECKING:
    import torch

    from .attention import AttentionHooks
    from .windows import Window

GROUPING_CALLS = 3
"""Calls whose finest self-attention is kept; more change little and cost memory."""


@dataclass(frozen=True)
class ConceptPlan:
    """One concept of the concept pass.

    Attributes:
        concept: its number, as in the row map. start_sigma: it is blended from the first call at or below this on.
        masks: (B, H, W) in 0..1, one for each image. windows: what its rows see, one for each image.
        others: (B, H, W) in 0..1, what other concepts own of each image: hidden from its rows; None: nothing is hidden.
    """

    concept: int
    start_sigma: float
    masks: torch.Tensor
    windows: tuple[Window, ...]
    others: torch.Tensor | None = None

    @cached_property
    def owns(self) -> tuple[bool, ...]:
        """For each image, whether the concept has any of it; asked of the masks once, not at every call."""
        return tuple(self.masks.flatten(1).any(1).tolist())

    @cached_property
    def hides(self) -> tuple[bool, ...]:
        """For each image, whether somebody else has any of it."""
        return () if self.others is None else tuple(self.others.flatten(1).any(1).tolist())


class Denoiser(Protocol):
    """The host's denoiser, as the concept pass needs it; made anew for every denoiser call."""

    def replay(self, call: TracedCall) -> torch.Tensor:
        """Do the host's book-keeping of a call whose result is known, and give that result back."""

    def predict(self) -> torch.Tensor:
        """The host's own prediction for the whole picture: (B, C, H, W)."""

    def predict_concepts(self, plans: Sequence[ConceptPlan]) -> tuple[list[Region], list[Region]]:
        """The concepts' predictions, with guidance, and (for CFG++ samplers, else empty) those of their uncond rows."""

    def publish(self, denoised: torch.Tensor, uncond_regions: Sequence[Region]) -> None:
        """Tell the host (live preview, interrupted picture) what the call came to."""


@dataclass
class LayoutPass:
    """Records the layout pass.

    Attributes:
        record_from: noise level at and below which attention is kept.
        self_until: noise level at and below which self-attention is kept no more.
        group_from: noise level from which on `GROUPING_CALLS` calls keep the self-attention that tells what belongs
            together; 0: none does.
    """

    trace: LayoutTrace
    hooks: AttentionHooks | None
    record_from: float
    self_until: float
    group_from: float = 0.0
    grouped: list[int] = field(default_factory=list)
    """The calls that keep it."""
    _started: bool = False

    def call(
        self,
        x: torch.Tensor,
        sigma: float,
        run: Callable[[], torch.Tensor],
        last_noise_uncond: Callable[[], torch.Tensor | None],
    ) -> torch.Tensor:
        """One denoiser call: the host's own (`run`), with what it saw and gave kept.

        Args:
            x: (B, C, H, W). sigma: noise level.

        Returns:
            What `run` gave, untouched.
        """
        self._started = self._started or reached(sigma, self.record_from)
        if self.hooks is not None:
            window = self.hooks.window
            window.call = len(self.trace.calls) if self._started else None
            window.cross = True
            window.self_ = not reached(sigma, self.self_until)
            window.grouping = self._started and self._groups(sigma)
            if window.grouping:
                self.grouped.append(len(self.trace.calls))
        kept_x = x.detach().clone()
        denoised = run()
        uncond = last_noise_uncond()
        self.trace.calls.append(
            TracedCall(kept_x, sigma, denoised.detach().clone(), None if uncond is None else uncond.detach().clone())
        )
        return denoised

    def _groups(self, sigma: float) -> bool:
        return len(self.grouped) < GROUPING_CALLS and reached(sigma, self.group_from)


@dataclass
class ConceptPass:
    """The concept pass: replay until the first concept starts, then global and concept predictions, blended.

    Attributes:
        trace: the layout; None where there is none to follow (the hires pass).
        hooks: put the layout's attention back; None: free.
        self_until: noise level at and below which self-attention is free.
    """

    plans: Sequence[ConceptPlan]
    trace: LayoutTrace | None = None
    hooks: AttentionHooks | None = None
    self_until: float = 0.0
    calls: int = 0
    replayed: int = 0
    _started: set[int] = field(default_factory=set)

    def call(self, x: torch.Tensor, sigma: float, denoiser: Denoiser) -> torch.Tensor:
        """One denoiser call.

        Args:
            x: (B, C, H, W). sigma: noise level.

        Returns:
            (B, C, H, W), what the sampler goes on with.
        """
        index = self.calls
        self.calls += 1
        self._started.update(plan.concept for plan in self.plans if reached(sigma, plan.start_sigma))
        if not self._started and self.trace is not None and self.trace.can_replay(index, x):
            self.replayed += 1
            return denoiser.replay(self.trace.calls[index])
        self._aim_attention(index, sigma)
        prediction = denoiser.predict()
        active = [plan for plan in self.plans if plan.concept in self._started]
        if not active:
            return prediction
        regions, uncond_regions = denoiser.predict_concepts(active)
        blended = blend(prediction, regions)
        denoiser.publish(blended, uncond_regions)
        return blended

    def _aim_attention(self, index: int, sigma: float) -> None:
        if self.hooks is None:
            return
        window = self.hooks.window
        window.call = self.trace.call_like(index, sigma) if self.trace is not None else None
        window.cross, window.grouping = True, False  # what groups is only read, never put back
        window.self_ = not reached(sigma, self.self_until)
