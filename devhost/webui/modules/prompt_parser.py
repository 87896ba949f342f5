"""Prompts to conditionings: schedules, AND, emphasis, BREAK."""

from __future__ import annotations

import re
from collections import namedtuple
from typing import Any

import torch

from modules import prompt_schedule

ScheduledPromptConditioning = namedtuple("ScheduledPromptConditioning", ["end_at_step", "cond"])
re_AND = re.compile(r"\bAND\b")
re_weight = re.compile(r"^(.*?)(?:\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+)))?\s*$", re.S)
re_break = re.compile(r"\s*\bBREAK\b\s*")
re_attention = re.compile(r"\\[()\[\]\\]|\\|[(\[\]]|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|\)|:|[^\\()\[\]:]+", re.S)
ROUND = 1.1


class SdConditioning(list):
    """Prompts with the picture's size and whether they are negative."""

    def __init__(
        self,
        prompts: list[str],
        is_negative_prompt: bool = False,
        width: int | None = None,
        height: int | None = None,
        copy_from: Any = None,
    ) -> None:
        super().__init__(prompts)
        source = prompts if copy_from is None else copy_from
        self.is_negative_prompt = is_negative_prompt or getattr(source, "is_negative_prompt", False)
        self.width = width or getattr(source, "width", None)
        self.height = height or getattr(source, "height", None)


class ComposableScheduledPromptConditioning:
    """One part of an AND prompt: its schedule and weight."""

    def __init__(self, schedules: list[ScheduledPromptConditioning], weight: float = 1.0) -> None:
        self.schedules = schedules
        self.weight = weight


class MulticondLearnedConditioning:
    """For each prompt the list of its AND parts."""

    def __init__(self, shape: tuple[int, ...], batch: list[list[ComposableScheduledPromptConditioning]]) -> None:
        self.shape = shape
        self.batch = batch


class DictWithShape(dict):
    """A dict cond (SDXL) with the shape of its cross-attention part."""

    def __init__(self, x: dict[str, torch.Tensor], shape: Any = None) -> None:
        super().__init__(x)

    @property
    def shape(self) -> torch.Size:
        """Shape of `crossattn`."""
        return self["crossattn"].shape


def get_learned_conditioning_prompt_schedules(
    prompts: list[str], base_steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> list[list[list[int | str]]]:
    """[[last step, text], ...] for each prompt."""
    return [prompt_schedule.schedule(prompt, base_steps, hires_steps, use_old_scheduling) for prompt in prompts]


def get_learned_conditioning(
    model: Any, prompts: list[str], steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> list[list[ScheduledPromptConditioning]]:
    """Encode every text of every prompt's schedule; equal prompts are encoded once."""
    schedules = get_learned_conditioning_prompt_schedules(prompts, steps, hires_steps, use_old_scheduling)
    cache: dict[str, list[ScheduledPromptConditioning]] = {}
    for prompt, schedule in zip(prompts, schedules, strict=True):
        if prompt in cache:
            continue
        texts = SdConditioning([text for _, text in schedule], copy_from=prompts)
        conds = model.get_learned_conditioning(texts)
        cache[prompt] = [
            ScheduledPromptConditioning(
                end, {k: v[i] for k, v in conds.items()} if isinstance(conds, dict) else conds[i]
            )
            for i, (end, _) in enumerate(schedule)
        ]
    return [cache[prompt] for prompt in prompts]


def get_multicond_prompt_list(
    prompts: list[str],
) -> tuple[list[list[tuple[int, float]]], SdConditioning, dict[str, int]]:
    """Split prompts at AND into one flat list of different texts and (index, weight) pairs for each prompt."""
    flat = SdConditioning([], copy_from=prompts)
    places: dict[str, int] = {}
    indexes = []
    for prompt in prompts:
        parts = []
        for subprompt in re_AND.split(prompt):
            match = re_weight.match(subprompt)
            text, weight = match.groups() if match else (subprompt, None)
            if text not in places:
                places[text] = len(flat)
                flat.append(text)
            parts.append((places[text], 1.0 if weight is None else float(weight)))
        indexes.append(parts)
    return indexes, flat, places


def get_multicond_learned_conditioning(
    model: Any, prompts: list[str], steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> MulticondLearnedConditioning:
    """Encode prompts that may hold AND."""
    indexes, flat, _ = get_multicond_prompt_list(prompts)
    learned = get_learned_conditioning(model, flat, steps, hires_steps, use_old_scheduling)
    batch = [[ComposableScheduledPromptConditioning(learned[i], w) for i, w in parts] for parts in indexes]
    return MulticondLearnedConditioning(shape=(len(prompts),), batch=batch)


def _current(schedule: list[ScheduledPromptConditioning], step: int) -> Any:
    """The cond at a step; past the end, the FIRST one, as in the WebUI."""
    return next((entry.cond for entry in schedule if step <= entry.end_at_step), schedule[0].cond)


def reconstruct_cond_batch(c: list[list[ScheduledPromptConditioning]], current_step: int) -> Any:
    """Conds of all prompts at one step, stacked: (B, T, C), or a dict of such."""
    conds = [_current(schedule, current_step) for schedule in c]
    if isinstance(conds[0], dict):
        return DictWithShape({key: torch.stack([cond[key] for cond in conds]) for key in conds[0]})
    return torch.stack(conds)


def stack_conds(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Stack (T, C) conds; shorter ones repeat their last vector."""
    longest = max(t.shape[0] for t in tensors)
    return torch.stack([torch.cat([t, t[-1:].repeat(longest - t.shape[0], 1)]) for t in tensors])


def reconstruct_multicond_batch(
    c: MulticondLearnedConditioning, current_step: int
) -> tuple[list[list[tuple[int, float]]], Any]:
    """(row, weight) pairs for each image and all cond rows at one step, stacked."""
    conds_list: list[list[tuple[int, float]]] = []
    conds: list[Any] = []
    for parts in c.batch:
        conds_list.append([(len(conds) + i, part.weight) for i, part in enumerate(parts)])
        conds.extend(_current(part.schedules, current_step) for part in parts)
    if isinstance(conds[0], dict):
        keys = conds[0].keys()
        vectors = {
            k: torch.stack([x[k] for x in conds]) if conds[0][k].dim() == 1 else stack_conds([x[k] for x in conds])
            for k in keys
        }
        return conds_list, DictWithShape(vectors)
    return conds_list, stack_conds(conds)


def parse_prompt_attention(text: str) -> list[list[Any]]:
    """Pieces of text with their weights; BREAK becomes ["BREAK", -1].

    `(a)` is 1.1, `[a]` is 1/1.1, `(a:1.5)` is 1.5; a backslash makes a bracket plain; open brackets last to the end.
    """
    pieces: list[list[Any]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def close(kind: str, weight: float) -> None:
        for piece in pieces[opened[kind].pop() :]:
            piece[1] *= weight

    for match in re_attention.finditer(text):
        token, weight = match.group(0), match.group("weight")
        if token.startswith("\\"):
            pieces.append([token[1:], 1.0])
        elif token in opened:
            opened[token].append(len(pieces))
        elif weight is not None and opened["("]:
            close("(", float(weight))
        elif token == ")" and opened["("]:
            close("(", ROUND)
        elif token == "]" and opened["["]:
            close("[", 1 / ROUND)
        else:
            for i, part in enumerate(re_break.split(token)):
                pieces.extend([["BREAK", -1]] if i else [])
                pieces.append([part, 1.0])
    while opened["("]:
        close("(", ROUND)
    while opened["["]:
        close("[", 1 / ROUND)
    return _merge(pieces or [["", 1.0]])


def _merge(pieces: list[list[Any]]) -> list[list[Any]]:
    """Join neighbours of equal weight."""
    merged = [pieces[0]]
    for piece in pieces[1:]:
        if piece[1] == merged[-1][1]:
            merged[-1][0] += piece[0]
        else:
            merged.append(piece)
    return merged
