"""A whole sampling run inside the host's own: the layout pass, which leaves the host's randomness as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from modules import devices, processing, sd_samplers, shared

from .denoiser import Instruments, layout_forward
from .patching import replaced

if TYPE_CHECKING:
    from lib_omg.core.passes import LayoutPass


@dataclass(frozen=True)
class SampleArguments:
    """What the host calls `sampler.sample` with, after p: x (B, C, H, W) and the encoded prompts."""

    x: torch.Tensor
    cond: Any
    uncond: Any
    steps: int | None
    image_conditioning: Any


def run_layout(p: Any, arguments: SampleArguments, layout: LayoutPass, tools: Instruments) -> torch.Tensor:
    """Sample the layout with a second sampler of the same kind.

    Returns:
        (B, C, H, W), the layout's latent (the last one when the user interrupts).
    """
    sampler = sd_samplers.create_sampler(p.sampler_name, p.sd_model)
    denoiser = sampler.model_wrap_cfg
    with randomness_kept(p), replaced(denoiser, "forward", layout_forward(denoiser, layout, tools)):
        return sampler.sample(
            p,
            arguments.x.clone(),
            arguments.cond,
            arguments.uncond,
            steps=arguments.steps,
            image_conditioning=arguments.image_conditioning,
        )


@contextmanager
def randomness_kept(p: Any) -> Iterator[None]:
    """Whatever is drawn while open is drawn again after: the run's own generators and torch's global ones."""
    on_gpu = torch.cuda.is_available() and devices.device.type == "cuda"
    cpu_state = torch.get_rng_state()
    gpu_state = torch.cuda.get_rng_state(devices.device) if on_gpu else None
    states = [_state(generator) for generator in p.rng.generators]
    is_first = p.rng.is_first
    try:
        yield
    finally:
        for generator, state in zip(p.rng.generators, states, strict=True):
            _restore(generator, state)
        p.rng.is_first = is_first
        torch.set_rng_state(cpu_state)
        if gpu_state is not None:
            torch.cuda.set_rng_state(gpu_state, devices.device)


def _state(generator: Any) -> Any:
    return generator.get_state() if isinstance(generator, torch.Generator) else copy.copy(vars(generator))


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    else:
        vars(generator).update(state)


def decode(latents: torch.Tensor) -> list[torch.Tensor]:
    """Pictures of latents (B, C, H, W): a list of (3, H*8, W*8) float tensors in 0..1, in RAM."""
    made = processing.decode_latent_batch(shared.sd_model, latents, target_device=devices.cpu)
    return [((picture.float() + 1) / 2).clamp(0, 1) for picture in made]
