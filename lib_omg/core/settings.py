"""The settings of one generation: one frozen, validated value, the same from UI, API, PNG info and presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from . import plain
from .errors import SettingsError

MAX_CONCEPTS = 5
"""How many concepts one picture may have; the panel draws this many."""

DEFAULT_START = 0.2
"""Of the toy world's starts one that changes hair and clothes, with everybody still there; the paper has 0.32."""

TELLING_FROM = 0.6
"""From this fraction of the reference schedule on, the layout's attention shows what is where."""

GROUPING_FROM = 0.75
"""... and its self-attention shows what belongs together: earlier it groups less than there is to see."""

_WHOLE_BOX = (0.0, 0.0, 1.0, 1.0)


class PromptMode(str, Enum):
    """What a concept's `prompt` is."""

    SCENE = "scene"
    """The words that take the place of the class word in the main prompt."""
    ALONE = "alone"
    """The same, with the other concepts' class words (and their articles) taken out of the main prompt."""
    OWN = "own"
    """The concept's whole prompt."""


class MaskSource(str, Enum):
    """Where a concept's region comes from."""

    ATTENTION = "attention"
    """Cross-attention of the class word in the layout pass."""
    BOX = "box"
    """`box`, in fractions of the picture."""
    PAINTED = "painted"
    """`mask`, a black and white picture."""


class View(str, Enum):
    """What a concept's rows see of the latent."""

    CENTRED = "centred"
    """A window as wide as the picture is high, with the concept in its middle."""
    WHOLE = "whole"
    CROP = "crop"
    """A window around the concept's mask, with a margin."""


class Finder(str, Enum):
    """Who looks for the class words in the layout picture."""

    ATTENTION = "attention"
    """The layout's own attention; needs no other model."""
    OWLVIT = "owlvit"
    YOLO = "yolo"


class Outline(str, Enum):
    """What draws the outline of what was found."""

    EDGES = "edges"
    """The picture's own edges."""
    SAM = "sam"
    """Segment Anything."""


class AssignBy(str, Enum):
    """Which of several instances of one class the first of its concepts gets."""

    LEFT_TO_RIGHT = "left_to_right"
    SIZE = "size"
    """The largest."""
    DEPTH = "depth"
    """The one in front; the concepts' `depth` says who is to be there."""
    SIMILARITY = "similarity"
    """The one whose place draws the words around its class word most."""


class OnMissing(str, Enum):
    """What to do when a concept's region can't be found."""

    STOP = "stop"
    SKIP = "skip"
    """Go on without that concept."""


@dataclass(frozen=True)
class LoraSettings:
    """One LoRA of a concept. `te_weight` is for the text encoder; None means the same as `weight`."""

    name: str
    weight: float = 1.0
    te_weight: float | None = None

    def __post_init__(self) -> None:
        _require(bool(self.name.strip()), "name", "the name of a LoRA", self.name)
        _finite(self, "weight")
        if self.te_weight is not None:
            _finite(self, "te_weight")


@dataclass(frozen=True)
class ConceptSettings:
    """One concept: who it is, where it is and from which noise level on it is drawn by its own LoRA."""

    class_word: str = ""
    """The word (or words) of the main prompt that stands for this concept in the layout pass."""
    loras: tuple[LoraSettings, ...] = ()
    prompt: str = ""
    """See `PromptMode`; empty: the LoRA's trigger words and the class word."""
    prompt_mode: PromptMode = PromptMode.ALONE
    negative_prompt: str = ""
    """Empty: the picture's negative prompt."""
    mask_source: MaskSource = MaskSource.ATTENTION
    box: tuple[float, float, float, float] = _WHOLE_BOX
    """(left, top, right, bottom) in fractions of the picture."""
    mask: str = ""
    """A painted mask: base64 of a picture (white is the concept), or this project's own packed form."""
    start: float = DEFAULT_START
    """Fraction 0..1 of the reference schedule (see `schedule`); 0 is the first call, 1 is never."""
    cfg_scale: float | None = None
    """Guidance scale; None: the picture's."""
    depth: int = 0
    """Who is in front where masks overlap: the smaller depth; equal depths: the earlier concept."""
    instance: int | None = None
    """Which of the layout's instances it is, from left to right, 0 first; None: as `assign_by` says."""

    def __post_init__(self) -> None:
        _between(self, "start", 0.0, 1.0)
        if self.instance is not None:
            _require(self.instance >= 0, "instance", "a number from 0", self.instance)
        if self.cfg_scale is not None:
            _finite(self, "cfg_scale")
        for side in self.box:
            _require(math.isfinite(side) and 0 <= side <= 1, "box", "four fractions 0..1", self.box)
        left, top, right, bottom = self.box
        _require(left < right and top < bottom, "box", "left < right and top < bottom", self.box)
        if self.mask_source is MaskSource.ATTENTION:
            _require(
                bool(self.class_word.strip()), "class_word", "a word of the main prompt, to find the region by", ""
            )
        if self.mask_source is MaskSource.PAINTED:
            _require(bool(self.mask.strip()), "mask", "a painted mask", "")
        if self.prompt_mode is not PromptMode.OWN:
            expected = "the word of the main prompt that this concept replaces"
            _require(bool(self.class_word.strip()), "class_word", expected, "")
        if self.prompt_mode is PromptMode.OWN:
            _require(bool(self.prompt.strip()), "prompt", "a prompt of its own", "")

    @property
    def label(self) -> str:
        """What messages call this concept."""
        return self.class_word.strip() or (self.loras[0].name if self.loras else self.prompt.strip())


@dataclass(frozen=True)
class OmgSettings:
    """Everything a user chose for one generation."""

    enabled: bool = True
    concepts: tuple[ConceptSettings, ...] = field(default=())
    attention_strength: float = 1.0
    """0..1: how much of the layout's attention is put back into the global rows."""
    self_attention_end: float = 0.4
    """Fraction 0..1 of the reference schedule at which the layout's self-attention is let go."""
    view: View = View.CENTRED
    crop_margin: float = 0.15
    """Margin around a concept's mask, as a fraction of its longer side."""
    hide_others: bool = True
    """A concept's rows see what lies around in the place of the other concepts (see `others`)."""
    feather_px: float = 8.0
    """Width of the soft edge of masks, in pixels of the picture."""
    dilation_px: float = 16.0
    """How far found masks grow (negative: shrink), in pixels of the picture."""
    on_missing: OnMissing = OnMissing.STOP
    show_pictures: bool = False
    """Add the layout and the masks to the gallery."""
    find_by: tuple[Finder, ...] = (Finder.ATTENTION,)
    """Who looks for the concepts, in this order: the next is asked where one can't look or finds too few."""
    outline_by: Outline = Outline.EDGES
    assign_by: AssignBy = AssignBy.LEFT_TO_RIGHT
    layout: str = ""
    """The id of a kept layout to spend the second pass on; empty: a new layout is made."""
    layout_only: bool = False
    """Stop after the layout pass and keep the layout."""

    def __post_init__(self) -> None:
        _between(self, "attention_strength", 0.0, 1.0)
        _between(self, "self_attention_end", 0.0, 1.0)
        _between(self, "crop_margin", 0.0, 2.0)
        _between(self, "feather_px", 0.0, 512.0)
        _between(self, "dilation_px", -512.0, 512.0)
        _require(bool(self.find_by), "find_by", "at least one of " + ", ".join(one.value for one in Finder), "none")
        if len(self.concepts) > MAX_CONCEPTS:
            raise SettingsError(f"OMG settings: concepts: expected at most {MAX_CONCEPTS}, found {len(self.concepts)}")
        if self.enabled and not self.concepts:
            raise SettingsError(
                "OMG settings: concepts: expected at least one concept, found none; fill in a concept or turn OMG off"
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OmgSettings:
        """Build the settings from the plain form that API and PNG info use.

        Raises:
            SettingsError: a field is unknown or wrong; says where, what was expected and what was found.
        """
        return plain.build(cls, data, "", _SCHEMA)

    @classmethod
    def from_complete(cls, data: Mapping[str, Any]) -> OmgSettings:
        """Build the settings of a picture from what `to_dict(complete=True)` wrote, maybe in an earlier version: what
        wasn't there yet is as pictures were then.

        Raises:
            SettingsError: see `from_dict`.
        """
        return cls.from_dict({**_BEFORE, **data} if isinstance(data, Mapping) else data)

    def to_dict(self, *, complete: bool = False) -> dict[str, Any]:
        """The plain form, without fields that have their default value.

        Args:
            complete: with all fields that aren't empty, for pictures that outlive today's defaults.
        """
        made = plain.to_plain(self, _is_empty if complete else None)
        assert isinstance(made, dict)
        if complete:  # which layout it was drawn on is told apart: here it would hold a later picture to it
            made.pop("layout", None)
            made.pop("layout_only", None)
        return made


_BEFORE: Mapping[str, Any] = MappingProxyType({"hide_others": False})
"""What pictures were like before a field was there, where that isn't its default."""

_SCHEMA = plain.Schema(
    nested={"concepts": ConceptSettings, "loras": LoraSettings},
    enums={
        "prompt_mode": PromptMode,
        "mask_source": MaskSource,
        "view": View,
        "on_missing": OnMissing,
        "find_by": Finder,
        "outline_by": Outline,
        "assign_by": AssignBy,
    },
    several=frozenset({"find_by"}),
)


def _is_empty(value: object) -> bool:
    return value in ("", None, (), _WHOLE_BOX)


def _require(ok: bool, name: str, expected: str, found: object) -> None:
    if not ok:
        raise SettingsError(f"{name}: expected {expected}, found {found!r}")


def _finite(owner: object, name: str) -> None:
    value = getattr(owner, name)
    _require(math.isfinite(value), name, "a finite number", value)


def _between(owner: object, name: str, low: float, high: float) -> None:
    value = getattr(owner, name)
    _require(math.isfinite(value) and low <= value <= high, name, f"a number from {low:g} to {high:g}", value)
