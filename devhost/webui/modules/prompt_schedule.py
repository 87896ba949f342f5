"""Prompt editing `[before:after:when]` and alternation `[a|b]`: a small recursive parser of our own."""

from __future__ import annotations

import re
from dataclasses import dataclass

re_when = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*$")
CLOSING = {"[": "]", "(": ")"}


@dataclass
class Scheduled:
    """`before` up to step `when`, `after` from then on."""

    before: list[Node]
    after: list[Node]
    when: str
    step: int = 0


@dataclass
class Alternate:
    """One option a step, in turn."""

    options: list[list[Node]]


Node = str | Scheduled | Alternate


def parse(text: str) -> list[Node]:
    """Text as a list of plain pieces, schedules and alternations; brackets that do not match stay text."""
    nodes: list[Node] = []
    position = 0
    while position < len(text):
        char = text[position]
        end = _matching(text, position) if char in CLOSING else None
        if char == "\\":
            nodes.append(text[position : position + 2])
            position += 2
        elif end is None:
            nodes.append(char)
            position += 1
        else:
            nodes.extend(_bracket(char, text[position + 1 : end]))
            position = end + 1
    return nodes


def _matching(text: str, start: int) -> int | None:
    """Index of the bracket that closes the one at `start`."""
    stack = []
    position = start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char in CLOSING:
            stack.append(CLOSING[char])
        elif char in CLOSING.values():
            if stack[-1] != char:
                return None
            stack.pop()
            if not stack:
                return position
        position += 1
    return None


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that are outside any bracket."""
    parts = [""]
    depth = 0
    escaped = False
    for char in text:
        depth += 0 if escaped else (char in CLOSING) - (char in CLOSING.values())
        if char == separator and depth == 0 and not escaped:
            parts.append("")
        else:
            parts[-1] += char
        escaped = char == "\\" and not escaped
    return parts


def _bracket(opening: str, inner: str) -> list[Node]:
    if opening == "[":
        options = _split(inner, "|")
        if len(options) > 1:
            return [Alternate([parse(option) for option in options])]
        parts = _split(inner, ":")
        when = re_when.match(parts[-1])
        if when and len(parts) in (2, 3):
            before = parts[0] if len(parts) == 3 else ""
            return [Scheduled(parse(before), parse(parts[-2]), when.group(1))]
    return [opening, *parse(inner), CLOSING[opening]]


def _resolve(nodes: list[Node], steps: int, int_offset: int, flt_offset: float, old: bool) -> set[int]:
    """Set the step of every schedule; give back all steps after which the text changes."""
    changes: set[int] = set()
    for node in nodes:
        if isinstance(node, Scheduled):
            value = float(node.when)
            if old:
                value = value * steps if value < 1 else value
            else:
                value = (value - flt_offset) * steps if "." in node.when else value - int_offset
            node.step = min(steps, int(value))
            changes |= {node.step} if node.step >= 1 else set()
            changes |= _resolve(node.before + node.after, steps, int_offset, flt_offset, old)
        elif isinstance(node, Alternate):
            changes |= set(range(1, steps + 1))
            for option in node.options:
                changes |= _resolve(option, steps, int_offset, flt_offset, old)
    return changes


def _at(nodes: list[Node], step: int) -> str:
    """The text at one step, counted from 1."""
    text = ""
    for node in nodes:
        if isinstance(node, Scheduled):
            text += _at(node.before if step <= node.step else node.after, step)
        elif isinstance(node, Alternate):
            text += _at(node.options[(step - 1) % len(node.options)], step)
        else:
            text += node
    return text


def schedule(prompt: str, base_steps: int, hires_steps: int | None, old: bool) -> list[list[int | str]]:
    """[[last step, text], ...] of one prompt.

    In the hires pass whole numbers count on from the first pass's steps and fractions from 1.0, unless `old`.
    """
    first_pass = hires_steps is None or old
    steps = base_steps if first_pass else hires_steps
    offsets = (0, 0.0) if first_pass else (base_steps, 1.0)
    nodes = parse(prompt)
    changes = _resolve(nodes, steps, *offsets, old) | {steps}
    return [[step, _at(nodes, step)] for step in sorted(changes)]
