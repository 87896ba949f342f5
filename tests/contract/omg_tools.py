"""What the tests of OMG itself share: settings in short, spies that don't trust our own counting."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]


def concept(word: str, lora: str | None = None, **fields: Any) -> dict[str, Any]:
    """One concept's plain settings."""
    loras = [{"name": lora}] if lora else []
    return {"class_word": word, "loras": loras, **fields}


def boxed(word: str, lora: str | None, box: list[float], **fields: Any) -> dict[str, Any]:
    """A concept in a box."""
    return concept(word, lora, mask_source="box", box=box, **fields)


def pair(**fields: Any) -> dict[str, Any]:
    """rex on the left, ida on the right."""
    return {"concepts": [boxed("man", "rex", LEFT), boxed("woman", "ida", RIGHT)], **fields}


def found_pair(**fields: Any) -> dict[str, Any]:
    """rex and ida, wherever the layout shows them."""
    return {"concepts": [concept("man", "rex"), concept("woman", "ida")], **fields}


def start_sigma(fraction: float = 0.2) -> float:
    """The start's noise level, worked out anew: the n-th of 50 uniform timesteps."""
    return float(sigma_at(torch.tensor(999 - fraction * 50 * 999 / 49, dtype=torch.float64)))


def sigma_at(timesteps: torch.Tensor) -> torch.Tensor:
    """Noise levels at (fractional) timesteps, log-linear between whole ones."""
    from modules import shared

    timesteps = timesteps.double()
    alphas = shared.sd_model.alphas_cumprod.double().cpu()
    sigmas = ((1 - alphas) / alphas).sqrt()
    low = timesteps.floor().long().clamp(max=len(sigmas) - 2)
    part = timesteps - low
    return torch.exp((1 - part) * sigmas[low].log() + part * sigmas[low + 1].log())


def alpha_at(timesteps: torch.Tensor) -> torch.Tensor:
    """The schedule's alpha at (fractional) timesteps (n,)."""
    return (1 / (1 + sigma_at(timesteps) ** 2)).float()


@contextlib.contextmanager
def predicts(clean: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """While open, the model's noise is whatever leads to `clean` of the UNet's input (B, C, H, W)."""
    from modules import shared

    def answer(_module: Any, args: Any, kwargs: Any, output: torch.Tensor) -> torch.Tensor:
        x, timesteps = args[0], args[1] if len(args) > 1 else kwargs["timesteps"]
        alpha = alpha_at(timesteps).view(-1, 1, 1, 1)
        return ((x - alpha.sqrt() * clean(x)) / (1 - alpha).sqrt()).to(output.dtype)

    handle = shared.sd_model.model.diffusion_model.register_forward_hook(answer, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@dataclass
class Spy:
    """x and sigma of every denoiser call of both passes, as the samplers gave them."""

    layout: list[tuple[torch.Tensor, float]] = field(default_factory=list)
    concept: list[tuple[torch.Tensor, float]] = field(default_factory=list)
    replayed: int = 0
    plans: Any = None
    trace: Any = None

    @property
    def started_at(self) -> int:
        """First call at or below the default start."""
        threshold = start_sigma() * (1 + 1e-5)
        return next(index for index, (_, sigma) in enumerate(self.layout) if sigma <= threshold)


@contextlib.contextmanager
def spy() -> Iterator[Spy]:
    """Watch the passes' calls."""
    from lib_omg.core import passes

    seen = Spy()
    layout_call, concept_call = passes.LayoutPass.call, passes.ConceptPass.call

    def layout(self: Any, x: torch.Tensor, sigma: float, *args: Any) -> torch.Tensor:
        seen.layout.append((x.clone(), sigma))
        seen.trace = self.trace
        return layout_call(self, x, sigma, *args)

    def concepts(self: Any, x: torch.Tensor, sigma: float, denoiser: Any) -> torch.Tensor:
        seen.concept.append((x.clone(), sigma))
        out = concept_call(self, x, sigma, denoiser)
        seen.replayed, seen.plans = self.replayed, self.plans
        return out

    passes.LayoutPass.call, passes.ConceptPass.call = layout, concepts  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        passes.LayoutPass.call, passes.ConceptPass.call = layout_call, concept_call  # type: ignore[method-assign]


def hook_count() -> int:
    """Forward hooks and pre-hooks on every module of the model."""
    from modules import shared

    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in shared.sd_model.modules())
