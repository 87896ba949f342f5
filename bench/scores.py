"""The figures of one picture, put together from the measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from bench import lighting, measures

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.measures import Instance


@dataclass(frozen=True)
class Score:
    """Figures of a picture with N concepts.

    Attributes:
        cosines: of each concept's instance with its reference, 0 where there is none.
        verified: whether that reaches the verification threshold.
        likeness: (N, R) likeness of each concept's instance to every reference, NaN where there is none.
        tint_errors: of each concept's instance against the scene, NaN where it can't be told.
        present: share of those expected who are there by class.
        exact: whether just those are there.
        agreement: mask IoU with the layout picture, NaN without one.
        occlusion: largest hidden share in the layout picture, NaN without one.
    """

    cosines: tuple[float, ...]
    verified: tuple[bool, ...]
    likeness: np.ndarray
    tint_errors: tuple[float, ...]
    present: float
    exact: bool
    agreement: float
    occlusion: float


class Metric(Enum):
    """What a table shows of a picture."""

    IDENTITY = "identity"
    DETECTED = "detection rate"
    PRESENT = "still there"
    EXACT = "right classes and count"
    AGREEMENT = "layout agreement"
    TINT = "tint error"
    TINT_OF_ALL = "tint error, unrecognised too"

    def of(self, score: Score) -> float:
        """The figure of a picture; NaN where it has none.

        A tint is read off colours that only somebody recognised is known to have, so `TINT` leaves out the others.
        """
        if self is Metric.TINT:
            return _mean([e for e, known in zip(score.tint_errors, score.verified, strict=True) if known])
        if self is Metric.TINT_OF_ALL:
            return _mean(score.tint_errors)
        return {
            Metric.IDENTITY: float(np.mean(score.cosines)),
            Metric.DETECTED: float(np.mean(score.verified)),
            Metric.PRESENT: score.present,
            Metric.EXACT: float(score.exact),
            Metric.AGREEMENT: score.agreement,
        }[self]


@dataclass(frozen=True)
class Scorer:
    """Scores pictures: `known` holds the reference vectors by name, `threshold` the cosine that verifies."""

    known: Mapping[str, np.ndarray]
    threshold: float

    def score(
        self, case: Case, image: np.ndarray, instances: Sequence[Instance], layout: Sequence[Instance] | None
    ) -> Score:
        """Score a picture.

        Args:
            case: what it should show.
            image: uint8 (H, W, 3).
            instances: found in it.
            layout: found in the layout picture; None without one.
        """
        found = measures.align(instances, case.names, self.known)
        scene = lighting.scene_gain(image, [instance.mask for instance in instances], case.place)
        tints = [
            lighting.tint_error(lighting.person_gain(image, instances[index].mask, name), scene)
            if index is not None
            else float("nan")
            for name, index in zip(case.names, found.assigned, strict=True)
        ]
        present, exact = measures.presence(instances, case.class_words)
        return Score(
            cosines=found.cosines,
            verified=tuple(cosine >= self.threshold for cosine in found.cosines),
            likeness=found.likeness,
            tint_errors=tuple(tints),
            present=present,
            exact=exact,
            agreement=measures.layout_agreement(instances, layout) if layout is not None else float("nan"),
            occlusion=max(measures.occlusions(layout), default=0.0) if layout is not None else float("nan"),
        )


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not np.isnan(value)]
    return float(np.mean(kept)) if kept else float("nan")
