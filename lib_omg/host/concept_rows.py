"""The concepts' rows: cut to their windows, batched with their equals, run through the host's UNet wrapper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lib_omg.core.rows import Row, RowCursor

if TYPE_CHECKING:
    from lib_omg.core.windows import Window


@dataclass(frozen=True)
class RowInput:
    """One row: x (C, h, w), its sigma (), the prompt's cond ((T, D) or SDXL's dict) and image cond (1, ...)."""

    x: torch.Tensor
    sigma: torch.Tensor
    cond: Any
    image_cond: torch.Tensor
    is_cond: bool


@dataclass(frozen=True)
class Job:
    """One concept in one image: its rows (cond rows first, then uncond unless skipped) and how they are weighed.

    Attributes:
        mask: (h, w), the window's part of the concept's mask. weights: of the cond rows, see AND.
        shift: (C, H, W), what was added to the picture's x before it was cut; None: nothing.
    """

    image: int
    concept: int
    window: Window
    mask: torch.Tensor
    rows: tuple[RowInput, ...]
    weights: tuple[float, ...]
    shift: torch.Tensor | None = None


def job_rows(
    x: torch.Tensor, sigma: torch.Tensor, window: Window, image_cond: torch.Tensor, conds: Sequence[Any], uncond: Any
) -> tuple[RowInput, ...]:
    """The rows of one concept in one image.

    Args:
        x: (C, H, W). sigma: (). image_cond: (1, C', H', W'), cut and turned as well if of the latent's size.
        conds: of the prompt's parts. uncond: None when the host skips uncond in this call.
    """
    seen = window.show(x)
    if image_cond.shape[-2:] == x.shape[-2:]:
        image_cond = window.show(image_cond)
    rows = [RowInput(seen, sigma, cond, image_cond, True) for cond in conds]
    if uncond is not None:
        rows.append(RowInput(seen, sigma, uncond, image_cond, False))
    return tuple(rows)


def run_rows(
    inner_model: Callable[..., torch.Tensor], jobs: Sequence[Job], cursor: RowCursor, limit: int
) -> list[torch.Tensor]:
    """Run all rows of all jobs; rows of equal window size and prompt length share batches of at most `limit` rows.

    Returns:
        For every job (rows, C, h, w), in the order of its rows, where the window's cells are.
    """
    buckets: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, job in enumerate(jobs):
        for index, row in enumerate(job.rows):
            key = (*row.x.shape[-2:], _tokens(row.cond))
            buckets.setdefault(key, []).append((number, index))
    outputs: list[list[torch.Tensor]] = [[row.x for row in job.rows] for job in jobs]
    for places in buckets.values():
        for start in range(0, len(places), max(1, limit)):
            chunk = places[start : start + max(1, limit)]
            row_map = tuple(Row(jobs[n].image, jobs[n].rows[i].is_cond, jobs[n].concept) for n, i in chunk)
            with cursor.follow(row_map):
                made = _run([jobs[n].rows[i] for n, i in chunk], inner_model)
            for (number, index), out in zip(chunk, made, strict=True):
                outputs[number][index] = jobs[number].window.put_back(out)
    return [torch.stack(rows) for rows in outputs]


def _tokens(cond: Any) -> int:
    return int((cond["crossattn"] if isinstance(cond, dict) else cond).shape[0])


def _run(rows: Sequence[RowInput], inner_model: Callable[..., torch.Tensor]) -> torch.Tensor:
    image_cond = torch.cat([row.image_cond for row in rows])
    first = rows[0].cond
    if isinstance(first, dict):
        cond: dict[str, Any] = {key: torch.stack([row.cond[key] for row in rows]) for key in first}
        cond["c_concat"] = [image_cond]
    else:
        cond = {"c_crossattn": [torch.stack([row.cond for row in rows])], "c_concat": [image_cond]}
    x = torch.stack([row.x for row in rows])
    return inner_model(x, torch.stack([row.sigma for row in rows]), cond=cond)
