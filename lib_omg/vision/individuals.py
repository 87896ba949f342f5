"""How many there are: the number that was asked for, unless the layout plainly shows fewer or more.

Two neighbouring pieces are two individuals when they stand apart sideways, or when their cells hardly look at each
other (`Affinity.bond`): the halves of one person do, two people don't, even where they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .instances import EDGE_CELLS, otsu, regions, sides, standardise

if TYPE_CHECKING:
    from .affinity import Affinity

BOND_COUNTS = 0.6
"""Weight of the bond of two pieces against their distance, fitted, as the limits are, to the toy world's scenes."""

ONE_OF_A_CLASS = 1.0
"""Two pieces that one word asks for are one individual when they are less apart than this ..."""

ONE_OF_TWO_CLASSES = 0.3
"""... and pieces that two words ask for when they are less apart than this: two words seldom mean one."""

ONE_MORE = 1.7
"""Somebody who wasn't asked for has to be this far apart from everybody."""

LEAST_WARMTH = 0.5
"""A piece colder than this share of the middle one's warmth is nobody."""

LEAST_SIZE = 0.2
"""A piece smaller than this share of the middle one is nobody ..."""

LEAST_SIZE_OF_MORE = 0.5
"""... and one that wasn't asked for has to be larger."""

MOST = 8
"""More than this are never looked for."""


@dataclass(frozen=True)
class Pieces:
    """Individuals: `words` by number of their class word, `masks` (N, H, W) of 0 and 1, disjoint and not empty."""

    words: tuple[int, ...]
    masks: torch.Tensor


def individuals(telling: torch.Tensor, sharp: torch.Tensor, wanted: Sequence[int], affinity: Affinity | None) -> Pieces:
    """Everybody whom class words stand for.

    Args:
        telling, sharp: (K, H, W), heat of K words, which tells classes apart, and which tells where somebody ends.
        wanted: how many each word asks for. affinity: of the maps' size; None: there are so many as wanted.
    """
    start = _solved(telling, sharp, [word for word, number in enumerate(wanted) for _ in range(number)])
    if affinity is None or not start.words:
        return start
    standard = standardise(sharp)
    warmth = scaled(standard.mean(0) + standard.amax(0))
    fewer = _merged(start, affinity, warmth, standardise(telling))
    if len(fewer.words) < len(start.words):
        return fewer
    while (more := _one_more(fewer, telling, sharp, affinity, warmth)) is not None:
        fewer = more
    return fewer


def _solved(telling: torch.Tensor, sharp: torch.Tensor, words: Sequence[int]) -> Pieces:
    """As many individuals as words."""
    groups = [[place for place, word in enumerate(words) if word == kind] for kind in dict.fromkeys(words)]
    masks = regions(sharp[list(words)], groups, telling[list(words)])
    kept = [place for place in range(len(words)) if bool(masks[place].any())]
    return Pieces(tuple(words[place] for place in kept), masks[kept])


def _merged(pieces: Pieces, affinity: Affinity, warmth: torch.Tensor, telling: torch.Tensor) -> Pieces:
    """Without the pieces that are nobody, and with the parts of one individual put together."""
    while len(pieces.words) > 1:
        least, pair = _least_apart(pieces, affinity)
        count = len(pieces.words)
        if least < 0:
            both = pieces.masks[list(pair)].sum(0)
            hottest = max((pieces.words[place] for place in pair), key=lambda word: float((telling[word] * both).sum()))
            rest = [place for place in range(count) if place not in pair]
            words = (*(pieces.words[place] for place in rest), hottest)
            pieces = Pieces(words, torch.cat([pieces.masks[rest], both[None]]))
            continue
        warm, large = strengths(pieces.masks, warmth)
        nobody = (warm < LEAST_WARMTH * warm.median()) | (large < LEAST_SIZE * large.median())
        if not bool(nobody.any()):
            break
        gone = int(nobody.nonzero()[0])
        rest = [place for place in range(count) if place != gone]
        pieces = Pieces(tuple(pieces.words[place] for place in rest), pieces.masks[rest])
    return pieces


def _one_more(
    pieces: Pieces, telling: torch.Tensor, sharp: torch.Tensor, affinity: Affinity, warmth: torch.Tensor
) -> Pieces | None:
    """With one more of the word for which that is best, if there is one at all."""
    if len(pieces.words) >= MOST:
        return None
    best, chosen = ONE_MORE, None
    for word in range(len(telling)):
        tried = _solved(telling, sharp, sorted((*pieces.words, word)))
        if len(tried.words) <= len(pieces.words):
            continue
        warm, large = strengths(tried.masks, warmth)
        if on_edge(tried.masks) >= on_edge(pieces.masks) + EDGE_CELLS:
            continue  # ground or a wall
        if warm.min() < LEAST_WARMTH * warm.median() or large.min() < LEAST_SIZE_OF_MORE * large.median():
            continue
        least = min(apart(a, b, affinity) for place, a in enumerate(tried.masks) for b in tried.masks[:place])
        if least > best:
            best, chosen = least, tried
    return chosen


def _least_apart(pieces: Pieces, affinity: Affinity) -> tuple[float, tuple[int, int]]:
    """The pair that is least apart, and by how much that is more than pieces of their words have to be."""
    pairs = []
    for first in range(len(pieces.words)):
        for second in range(first + 1, len(pieces.words)):
            limit = ONE_OF_A_CLASS if pieces.words[first] == pieces.words[second] else ONE_OF_TWO_CLASSES
            pairs.append((apart(pieces.masks[first], pieces.masks[second], affinity) - limit, (first, second)))
    return min(pairs)


def apart(one: torch.Tensor, other: torch.Tensor, affinity: Affinity) -> float:
    """How much two pieces (H, W) of 0 and 1 are two: sideways distance in their spreads, less their bond."""
    (middle, spread), (middle_too, spread_too) = sideways(one), sideways(other)
    distance = abs(middle - middle_too) / (spread + spread_too)
    return distance - BOND_COUNTS * affinity.bond(one, other)


def sideways(piece: torch.Tensor) -> tuple[float, float]:
    """Mean and standard deviation of a piece's (H, W) columns; a single column has that of its width."""
    columns = torch.arange(piece.shape[-1], dtype=torch.float32)
    weight = piece.sum(0) / piece.sum()
    middle = float((weight * columns).sum())
    return middle, float((weight * (columns - middle) ** 2).sum() + 1 / 12) ** 0.5


def strengths(pieces: torch.Tensor, warmth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean warmth and number of cells of pieces (N, H, W): two of (N,)."""
    sizes = pieces.sum((1, 2))
    return (pieces * warmth).sum((1, 2)) / sizes.clamp(min=1), sizes


def on_edge(pieces: torch.Tensor) -> int:
    """Cells of pieces (N, H, W) on the picture's sides and top."""
    return int(sides(pieces).sum())


def scaled(warmth: torch.Tensor) -> torch.Tensor:
    """A map (H, W) in which the cold cells' mean is 0 and the warm ones' is 1, held to 0..1."""
    limit = otsu(warmth)
    cold, warm = warmth[warmth <= limit].mean(), warmth[warmth > limit].mean()
    return ((warmth - cold) / (warm - cold).clamp(min=1e-12)).nan_to_num().clamp(0, 1)
