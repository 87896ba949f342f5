"""Formulas of the evaluation: verification, and masks found against true ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Verification:
    """How well a similarity tells same from other; same and other pairs weigh alike.

    `accuracy` is that of the best `threshold` (same from it on), `equal_error_rate` where both kinds of error meet.
    """

    accuracy: float
    threshold: float
    equal_error_rate: float


def verification(same: np.ndarray, other: np.ndarray) -> Verification:
    """Best threshold, its accuracy and the equal error rate.

    Args:
        same: similarities (n,) of pairs that show the same individual.
        other: similarities (m,) of pairs that do not.

    Returns:
        The figures. The threshold lies midway between the two neighbouring similarities it parts; the equal error
        rate is the mean of both errors where they differ least.

    Raises:
        ValueError: no pairs of a kind.
    """
    if not len(same) or not len(other):
        raise ValueError(f"expected pairs of both kinds, found {len(same)} and {len(other)}")
    same, other = np.sort(same.astype(np.float64)), np.sort(other.astype(np.float64))
    values = np.unique(np.concatenate([same, other]))
    between = (values[1:] + values[:-1]) / 2
    thresholds = np.concatenate([values[:1], between, values[-1:] + 1e-6])
    missed = np.searchsorted(same, thresholds) / len(same)
    accepted = 1 - np.searchsorted(other, thresholds) / len(other)
    best = int(np.argmin(missed + accepted))
    meeting = int(np.argmin(np.abs(missed - accepted)))
    return Verification(
        accuracy=float(1 - (missed[best] + accepted[best]) / 2),
        threshold=float(thresholds[best]),
        equal_error_rate=float((missed[meeting] + accepted[meeting]) / 2),
    )


def accuracy_at(threshold: float, same: np.ndarray, other: np.ndarray) -> float:
    """Accuracy of a given threshold; same and other pairs weigh alike."""
    return float(((same >= threshold).mean() + (other < threshold).mean()) / 2)


def same_classes(expected: Sequence[str], found: Sequence[str]) -> bool:
    """Whether a picture has just those classes, each as often as expected."""
    return Counter(expected) == Counter(found)


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of bool masks (H, W); 0 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0


def best_ious(truth: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> list[float]:
    """IoU of each true mask with the found one it is paired with, the best pair first; 0 for who was not found.

    Args:
        truth: bool masks (H, W).
        found: bool masks (H, W), each paired once at most.

    Returns:
        One IoU for each true mask.
    """
    pairs = [(mask_iou(a, b), i, j) for i, a in enumerate(truth) for j, b in enumerate(found)]
    ious = [0.0] * len(truth)
    left, free = set(range(len(truth))), set(range(len(found)))
    for iou, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if i in left and j in free and iou > 0:
            ious[i] = iou
            left.discard(i)
            free.discard(j)
    return ious
