"""Frozen dataclasses from the plain form that JSON has, and back; what is wrong is named by its place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeGuard, TypeVar

from .errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Schema:
    """What fields of these names hold: lists of dataclasses, members of enums, `several` of these in a list."""

    nested: Mapping[str, type]
    enums: Mapping[str, type[Enum]]
    several: frozenset[str] = frozenset()


def build(cls: type[T], data: object, where: str, schema: Schema) -> T:
    """A dataclass from its plain form.

    Args:
        where: its place in the whole, for messages.

    Raises:
        SettingsError: a field is unknown or wrong; says where, what was expected and what was found.
    """
    at = where or "settings"
    if not isinstance(data, Mapping):
        raise SettingsError(f"OMG {at}: expected an object with fields, found {data!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise SettingsError(f"OMG {at}: unknown field {key!r}; expected one of {', '.join(known)}")
        values[key] = _convert(str(known[key].type), key, value, f"{where}.{key}" if where else key, schema)
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


def to_plain(value: object, is_empty: Callable[[object], bool] | None) -> object:
    """The plain form of a value, without fields that have their default value.

    Args:
        is_empty: given, all fields are told but those whose value is empty by it.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_plain(item, is_empty) for item in value]
    if dataclasses.is_dataclass(value):
        return {
            f.name: to_plain(getattr(value, f.name), is_empty)
            for f in dataclasses.fields(value)
            if _is_worth_telling(getattr(value, f.name), f, is_empty)
        }
    return value


def _is_worth_telling(
    value: object, field_: dataclasses.Field[Any], is_empty: Callable[[object], bool] | None
) -> bool:  # fmt: skip
    if is_empty is not None:
        return not is_empty(value)
    return field_.default is dataclasses.MISSING or value != field_.default


def _convert(annotation: str, key: str, value: object, where: str, schema: Schema) -> object:
    if key in schema.nested:
        return tuple(
            build(schema.nested[key], item, f"{where}[{i}]", schema) for i, item in enumerate(_listed(value, where))
        )
    if key in schema.enums:
        members = schema.enums[key]
        if key in schema.several:
            return tuple(dict.fromkeys(_member(members, item, where) for item in _listed(value, where)))
        return _member(members, value, where)
    if key == "box":
        sides = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else []
        if len(sides) != 4 or not all(_is_number(side) for side in sides):
            raise SettingsError(f"OMG {where}: expected [left, top, right, bottom] in fractions, found {value!r}")
        return tuple(float(side) for side in sides)
    return _scalar(annotation, value, where)


def _listed(value: object, where: str) -> Sequence[object]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise SettingsError(f"OMG {where}: expected a list, found {value!r}")
    return value


def _member(members: type[Enum], value: object, where: str) -> Enum:
    names = [member.value for member in members]
    if value not in names:
        raise SettingsError(f"OMG {where}: expected one of {', '.join(names)}, found {value!r}")
    return members(value)


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
