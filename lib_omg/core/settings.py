"""The settings of one generation: one frozen, validated value, the same from UI, API, PNG info and presets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeGuard, TypeVar

from .errors import SettingsError

MAX_CONCEPTS = 5
"""How many concepts one picture may have; the panel draws this many."""

DEFAULT_START = 0.3
"""Best of the toy world's start table, hair and clothes changed and everybody still there; the paper has 0.32."""

TELLING_FROM = 0.4
"""From this fraction of the reference schedule on, the layout's attention shows where things are."""

GROUPING_FROM = 0.5
"""... and its self-attention shows what belongs together."""

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

    WHOLE = "whole"
    CROP = "crop"
    """A window around the concept's mask, with a margin."""


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
    prompt_mode: PromptMode = PromptMode.SCENE
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

    def __post_init__(self) -> None:
        _between(self, "start", 0.0, 1.0)
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
    view: View = View.WHOLE
    crop_margin: float = 0.15
    """Margin around a concept's mask, as a fraction of its longer side."""
    feather_px: float = 8.0
    """Width of the soft edge of masks, in pixels of the picture."""
    dilation_px: float = 16.0
    """How far found masks grow (negative: shrink), in pixels of the picture."""
    on_missing: OnMissing = OnMissing.STOP
    show_pictures: bool = False
    """Add the layout and the masks to the gallery."""

    def __post_init__(self) -> None:
        _between(self, "attention_strength", 0.0, 1.0)
        _between(self, "self_attention_end", 0.0, 1.0)
        _between(self, "crop_margin", 0.0, 2.0)
        _between(self, "feather_px", 0.0, 512.0)
        _between(self, "dilation_px", -512.0, 512.0)
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
        return _build(cls, data, "")

    def to_dict(self, *, complete: bool = False) -> dict[str, Any]:
        """The plain form, without fields that have their default value.

        Args:
            complete: with all fields that aren't empty, for pictures that outlive today's defaults.
        """
        plain = _plain(self, complete)
        assert isinstance(plain, dict)
        return plain


T = TypeVar("T")

_NESTED: dict[str, type] = {"concepts": ConceptSettings, "loras": LoraSettings}
_ENUMS: dict[str, type[Enum]] = {
    "prompt_mode": PromptMode,
    "mask_source": MaskSource,
    "view": View,
    "on_missing": OnMissing,
}


def _require(ok: bool, name: str, expected: str, found: object) -> None:
    if not ok:
        raise SettingsError(f"{name}: expected {expected}, found {found!r}")


def _finite(owner: object, name: str) -> None:
    value = getattr(owner, name)
    _require(math.isfinite(value), name, "a finite number", value)


def _between(owner: object, name: str, low: float, high: float) -> None:
    value = getattr(owner, name)
    _require(math.isfinite(value) and low <= value <= high, name, f"a number from {low:g} to {high:g}", value)


def _build(cls: type[T], data: object, where: str) -> T:
    at = where or "settings"
    if not isinstance(data, Mapping):
        raise SettingsError(f"OMG {at}: expected an object with fields, found {data!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise SettingsError(f"OMG {at}: unknown field {key!r}; expected one of {', '.join(known)}")
        values[key] = _convert(str(known[key].type), key, value, f"{where}.{key}" if where else key)
    try:
        return cls(**values)
    except TypeError as error:
        missing = [
            n
            for n, f in known.items()
            if n not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        raise SettingsError(f"OMG {at}: expected {', '.join(missing) or error}, found {dict(data)!r}") from error
    except SettingsError as error:
        text = str(error)
        raise SettingsError(text if text.startswith("OMG") else f"OMG {where + ': ' if where else ''}{text}") from None


def _convert(annotation: str, key: str, value: object, where: str) -> object:
    if key in _NESTED:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
            raise SettingsError(f"OMG {where}: expected a list, found {value!r}")
        return tuple(_build(_NESTED[key], item, f"{where}[{i}]") for i, item in enumerate(value))
    if key in _ENUMS:
        names = [member.value for member in _ENUMS[key]]
        if value not in names:
            raise SettingsError(f"OMG {where}: expected one of {', '.join(names)}, found {value!r}")
        return _ENUMS[key](value)
    if key == "box":
        sides = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else []
        if len(sides) != 4 or not all(_is_number(side) for side in sides):
            raise SettingsError(f"OMG {where}: expected [left, top, right, bottom] in fractions, found {value!r}")
        return tuple(float(side) for side in sides)
    return _scalar(annotation, value, where)


def _scalar(annotation: str, value: object, where: str) -> object:
    if value is None and "None" in annotation:
        return None
    if annotation.startswith("bool"):
        expected, ok = "true or false", isinstance(value, bool)
    elif annotation.startswith("str"):
        expected, ok = "a text", isinstance(value, str)
    elif annotation.startswith("int"):
        expected, ok = "a whole number", _is_number(value) and value == int(value)
    else:
        expected, ok = "a number", _is_number(value)
    if not ok:
        raise SettingsError(f"OMG {where}: expected {expected}, found {value!r}")
    if annotation.startswith("int"):
        return int(value)  # type: ignore[call-overload]
    return float(value) if annotation.startswith("float") else value  # type: ignore[arg-type]


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def _plain(value: object, complete: bool) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item, complete) for item in value]
    if dataclasses.is_dataclass(value):
        return {
            f.name: _plain(getattr(value, f.name), complete)
            for f in dataclasses.fields(value)
            if _is_worth_telling(getattr(value, f.name), f, complete)
        }
    return value


def _is_worth_telling(value: object, field_: dataclasses.Field[Any], complete: bool) -> bool:
    if complete:
        return value not in ("", None, (), _WHOLE_BOX)
    return field_.default is dataclasses.MISSING or value != field_.default
