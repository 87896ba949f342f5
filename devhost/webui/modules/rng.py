"""Noise from seeds, one generator an image."""

from __future__ import annotations

from typing import Any

import torch

from modules import devices, shared

SIDE = 8


def create_generator(seed: int) -> torch.Generator:
    """A generator of its own for a seed."""
    return torch.Generator(devices.cpu).manual_seed(int(seed))


def manual_seed(seed: int) -> None:
    """Seed torch's global generator."""
    torch.manual_seed(seed)


def randn(seed: int, shape: Any, generator: torch.Generator | None = None) -> torch.Tensor:
    """Noise of a seed; also seeds the global generator."""
    manual_seed(seed)
    return torch.randn(shape, device=devices.device, generator=generator)


def randn_local(seed: int, shape: Any) -> torch.Tensor:
    """First noise of a seed; the global generator stays as it is."""
    return torch.randn(shape, generator=create_generator(seed))


def randn_like(x: torch.Tensor) -> torch.Tensor:
    """Noise from the global generator."""
    return torch.randn_like(x)


def randn_without_seed(shape: Any, generator: torch.Generator | None = None) -> torch.Tensor:
    """Next noise of a generator."""
    return torch.randn(shape, device=devices.device, generator=generator)


def slerp(val: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation along dimension 1."""
    dot = ((low / low.norm(dim=1, keepdim=True)) * (high / high.norm(dim=1, keepdim=True))).sum(1)
    nearly_parallel = bool(dot.mean() > 0.9995)
    if nearly_parallel:
        return torch.lerp(high, low, val)  # the host's own way round
    angle = dot.acos()
    share = {part: (torch.sin(part * angle) / angle.sin()).unsqueeze(1) for part in (val, 1 - val)}
    return share[1 - val] * low + share[val] * high


class ImageRNG:
    """Start noise, then step noise, for a batch of seeds."""

    def __init__(
        self,
        shape: Any,
        seeds: list[int],
        subseeds: list[int] | None = None,
        subseed_strength: float = 0.0,
        seed_resize_from_h: int = 0,
        seed_resize_from_w: int = 0,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.is_first = True
        self.seeds, self.generators = seeds, [create_generator(seed) for seed in seeds]
        self.subseeds, self.subseed_strength = subseeds, subseed_strength
        self.seed_resize_from_h, self.seed_resize_from_w = seed_resize_from_h, seed_resize_from_w

    def first(self) -> torch.Tensor:
        """Start noise (B, C, H, W)."""
        noise = torch.stack([self._first_of(i) for i in range(len(self.seeds))])
        delta = shared.opts.eta_noise_seed_delta or 0
        if delta:
            self.generators = [create_generator(seed + delta) for seed in self.seeds]
        return noise

    def _first_of(self, index: int) -> torch.Tensor:
        resized = self.seed_resize_from_h > 0 and self.seed_resize_from_w > 0
        shape = self.shape
        if resized:
            shape = (shape[0], int(self.seed_resize_from_h) // SIDE, int(self.seed_resize_from_w) // SIDE)
        subnoise = None
        if self.subseeds is not None and self.subseed_strength != 0:
            subnoise = randn(self.subseeds[index] if index < len(self.subseeds) else 0, shape)
        own = shape == self.shape
        noise = randn(self.seeds[index], shape, self.generators[index] if own else None)
        if subnoise is not None:
            noise = slerp(self.subseed_strength, noise, subnoise)
        if own:
            return noise
        canvas = randn(self.seeds[index], self.shape, self.generators[index])
        return _paste_centred(canvas, noise)

    def next(self) -> torch.Tensor:
        """Start noise on the first call, step noise after."""
        if self.is_first:
            self.is_first = False
            return self.first()
        return torch.stack([randn_without_seed(self.shape, g) for g in self.generators])


def _paste_centred(canvas: torch.Tensor, patch: torch.Tensor) -> torch.Tensor:
    """Put the middle of `patch` (C, h, w) on the middle of `canvas` (C, H, W)."""
    slices = []
    for big, small in zip(canvas.shape[1:], patch.shape[1:], strict=True):
        offset = (big - small) // 2
        size = small if offset >= 0 else small + 2 * offset
        slices.append((slice(max(offset, 0), max(offset, 0) + size), slice(max(-offset, 0), max(-offset, 0) + size)))
    (to_y, from_y), (to_x, from_x) = slices
    canvas[:, to_y, to_x] = patch[:, from_y, from_x]
    return canvas


for _name in ("randn", "randn_local", "randn_like", "randn_without_seed", "manual_seed"):
    setattr(devices, _name, globals()[_name])
