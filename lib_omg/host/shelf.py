"""Layouts that are kept: to be looked at, approved, and drawn on again and again without another layout pass."""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from lib_omg.core.errors import OmgError

if TYPE_CHECKING:
    from lib_omg.core.settings import OmgSettings
    from lib_omg.core.trace import LayoutTrace
    from lib_omg.vision.found import Instance

MOST_LAYOUTS = 32
"""Layouts on the shelf that have no name; the oldest go."""


@dataclass(frozen=True)
class Basis:
    """What a layout was made from, as its sampler got it; every tensor in RAM.

    Attributes:
        noise: (1, C, H, W). cond, uncond: the image's encoded prompts in the host's form.
    """

    noise: torch.Tensor
    cond: Any
    uncond: Any


@dataclass(eq=False)
class KeptLayout:
    """One image's layout.

    Attributes:
        fields: what the picture was asked for, by the names of PNG info; another layout if one changes.
        seed, subseed: of its noise. size_px: (height, width). size: the latent's, in cells.
        picture: (3, H, W) in 0..1. instances: who is there, from left to right.
        owners: who was who at its own run. settings: those of that run. likeness: see `regions.Seen`.
        trace, basis: for drawing on it without a layout pass; None where they must be made again.
        name: the user's; a layout with a name is on disk. board: what the layout board keeps with it.
    """

    fields: Mapping[str, Any]
    seed: int
    subseed: int
    size_px: tuple[int, int]
    size: tuple[int, int]
    picture: torch.Tensor
    instances: tuple[Instance, ...]
    owners: tuple[int | None, ...]
    settings: OmgSettings
    trace: LayoutTrace | None = None
    basis: Basis | None = None
    grouping: Sequence[int] = ()
    likeness: torch.Tensor | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    name: str = ""
    board: dict[str, Any] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that drawing on it again holds."""
        if self.trace is None:
            return 0
        return self.trace.nbytes + self.trace.attention.ram_bytes + self.trace.attention.device_bytes


@dataclass
class Shelf:
    """The layouts of this run of the WebUI, the newest last, and those with a name of earlier runs before them.

    Attributes:
        disk: where layouts with a name are kept; None: nowhere.
    """

    disk: Disk | None = None
    _kept: dict[str, KeptLayout] = field(default_factory=dict)
    _was_read: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """The page asks while a picture is drawn."""

    def add(self, layout: KeptLayout, limit_bytes: int) -> None:
        """Put a layout on the shelf; older ones let go of their traces beyond the limit, and the oldest go."""
        with self._lock:
            self._read()
            self._kept[layout.id] = layout
            self.hold(limit_bytes)
            nameless = [one.id for one in self._kept.values() if not one.name]
            for old in nameless[: max(0, len(nameless) - MOST_LAYOUTS)]:
                del self._kept[old]

    def hold(self, limit_bytes: int) -> None:
        """Keep traces within a limit, those of the newest layouts first; the very newest keeps its own."""
        total = 0
        for number, layout in enumerate(self.all()):
            total += layout.nbytes
            if number and total > limit_bytes:
                layout.trace = layout.basis = None

    def get(self, layout_id: str) -> KeptLayout:
        """The layout of an id.

        Raises:
            OmgError: it isn't there.
        """
        try:
            with self._lock:
                self._read()
                return self._kept[layout_id]
        except KeyError:
            raise OmgError(
                "OMG: the approved layout isn't kept any more (the WebUI was restarted, or it was deleted). Press "
                "Layout for a new one, or let go of it.", 422
            ) from None  # fmt: skip

    def all(self) -> list[KeptLayout]:
        """All layouts, the newest first."""
        with self._lock:
            self._read()
            return list(reversed(self._kept.values()))

    def name(self, layout: KeptLayout, name: str) -> None:
        """Give a layout a name, by which it is kept on disk.

        Raises:
            OmgError: the disk refuses; the layout is as it was.
        """
        before, layout.name = layout.name, name
        try:
            if self.disk is not None:
                self.disk.write(layout)
        except OmgError:
            layout.name = before
            raise

    def remove(self, layout_id: str) -> None:
        """Let a layout go, on disk as well; one that isn't there is gone already."""
        with self._lock:
            self._read()
            known = self._kept.pop(layout_id, None) is not None
        if known and self.disk is not None:
            self.disk.delete(layout_id)

    def _read(self) -> None:
        """What is on disk, once it is asked for."""
        if self._was_read or self.disk is None:
            return
        self._was_read = True
        self._kept = {one.id: one for one in self.disk.read_all()} | self._kept


class Disk(Protocol):
    """Where layouts with a name outlive the WebUI."""

    def write(self, layout: KeptLayout) -> None:
        """Put a layout there, or put it there again. Raises OmgError where that fails."""

    def read_all(self) -> list[KeptLayout]:
        """All layouts, the oldest first."""

    def delete(self, layout_id: str) -> None:
        """Take a layout away; one that isn't there is gone already."""


def fields_of(p: Any, index: int) -> dict[str, Any]:
    """What one image of a generation is asked for, by the names of PNG info: all that makes its layout.

    Args:
        index: the image among all of the generation.
    """
    made = {
        "Prompt": p.all_prompts[index],
        "Negative prompt": p.all_negative_prompts[index],
        "Seed": int(p.all_seeds[index]),
        "Size": f"{p.width}x{p.height}",
        "Sampler": p.sampler_name,
        "Schedule type": p.scheduler,
        "Steps": p.steps,
        "CFG scale": p.cfg_scale,
        "Model": p.sd_model_name,
        "Model hash": p.sd_model_hash,
        "VAE": p.sd_vae_name,
    }
    if p.subseed_strength:
        made |= {"Variation seed": int(p.all_subseeds[index]), "Variation seed strength": p.subseed_strength}
    return made


def changes(kept: KeptLayout, now: Mapping[str, Any], basis: Basis | None) -> list[str]:
    """What is not as it was when the layout was made, in words; empty when the layout holds.

    Args:
        now: see `fields_of`. basis: of the run that wants to draw on it; compared where the layout has its own.
    """
    names = dict.fromkeys((*kept.fields, *now))
    told = [
        f"{name} was {_short(kept.fields.get(name))}, now {_short(now.get(name))}"
        for name in names
        if kept.fields.get(name) != now.get(name)
    ]
    if told or basis is None or kept.basis is None:
        return told
    if not same(kept.basis.noise, basis.noise):
        return ["the noise is another (random number source, seed resize or eta noise seed)"]
    if not same(kept.basis.cond, basis.cond) or not same(kept.basis.uncond, basis.uncond):
        return ["the prompt is encoded otherwise (clip skip, emphasis, an embedding or a style LoRA)"]
    return []


def same(one: Any, other: Any) -> bool:
    """Whether two of the host's values are equal down to their tensors, wherever these lie."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and torch.equal(one.cpu(), other.cpu())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dict__"):
        return same(vars(one), vars(other))
    return bool(one == other)


def in_ram(value: Any) -> Any:
    """A copy of the host's value with every tensor in RAM."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: in_ram(one) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(in_ram, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(in_ram, value))
    if hasattr(value, "__dict__"):
        made = copy.copy(value)
        vars(made).update({key: in_ram(one) for key, one in vars(value).items()})
        return made
    return value


def _short(value: object) -> str:
    text = "nothing" if value in (None, "") else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
