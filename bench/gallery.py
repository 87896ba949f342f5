"""Which pictures go on the sheets: methods side by side, starts side by side, mixing as matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench import sheets
from bench.plans import BY_START, LAYOUT, MERGE, OURS, TRUTH, Draw, Plan, Variant
from bench.sheets import SheetRow, Shown
from bench.tables import mixing_matrix
from toyworld.identity import CAST

if TYPE_CHECKING:
    from PIL import Image

    from bench.cases import Case
    from bench.pictures import Album
    from bench.scores import Score
    from bench.tables import Figures

WHO = "who it should be"


def shown(album: Album, figures: Figures, draw: Draw) -> Shown | None:
    """A picture that was drawn, with what the embedder says of it; None if it was not."""
    score = figures.scores.get(draw)
    return None if score is None else Shown(album.picture(draw), caption(draw, score))


def caption(draw: Draw, score: Score) -> str:
    """Cosine of every concept, those not recognised in brackets."""
    parts = [
        f"{name} {cosine:.2f}" if known else f"({name} {cosine:.2f})"
        for name, cosine, known in zip(draw.case.names, score.cosines, score.verified, strict=True)
    ]
    return " ".join(parts)


def methods_sheet(plan: Plan, album: Album, figures: Figures) -> Image.Image:
    """A case of each kind of pair, then one of the most concepts, by every method."""
    cases = [cases[0] for cases in plan.pairs.values()]
    cases += plan.crowds[plan.largest][:1]
    return _sheet(cases, plan.methods, album, figures)


def start_strip(plan: Plan, album: Album, figures: Figures) -> Image.Image:
    """The same cases from every start."""
    variants = [variant for group in plan.ablations.values() for variant in group if variant in BY_START]
    return _sheet(plan.strip_cases, variants, album, figures)


def _sheet(
    cases: Sequence[Case], variants: Sequence[Variant], album: Album, figures: Figures
) -> Image.Image:  # fmt: skip
    rows = []
    for case in cases:
        pictures = [shown(album, figures, Draw(variant, case)) for variant in variants]
        if any(pictures):
            true = Shown(album.picture(Draw(TRUTH, case)), " ".join(case.names))
            layout = Shown(album.picture(Draw(LAYOUT, case)))
            rows.append(SheetRow(f"{case.concept_prompt}, seed {case.seed}", (true, layout, *pictures)))
    return sheets.contact_sheet((WHO, LAYOUT.label, *(variant.label for variant in variants)), rows)


def matrices(plan: Plan, figures: Figures, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mixing matrices by method, that of the references among themselves first."""
    vectors = np.stack([known[name] for name in CAST])
    found = {"references": vectors @ vectors.T}
    for variant in plan.methods:
        matrix = mixing_matrix(figures, variant, plan.pair_cases)
        if not np.isnan(matrix).all():
            found[variant.label] = matrix
    return found


def mixing_picture(found: Mapping[str, np.ndarray]) -> Image.Image:
    """The references' matrix, that of the plain merge and ours beside each other."""
    names = list(CAST)
    chosen = [label for label in ("references", MERGE.label, OURS.label) if label in found]
    return sheets.join([sheets.matrix_picture(found[label], names, names, label) for label in chosen])
