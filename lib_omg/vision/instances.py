"""From heat maps to one region per concept; concepts of one class get different instances."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch.nn import functional

HEIGHT_COUNTS = 0.35
"""Weight of vertical against horizontal distance between instances: people and animals stand side by side."""

CONTRAST_COUNTS = 1.0
"""Weight of the difference between class words' heat against distance, which counts in shares of the foreground's
width for each individual."""

ROUNDS = 30

EDGE_CELLS = 2
"""Warm cells on the picture's sides and top from which on they are ground or wall."""

ABOVE_GROUND = 0.1
"""So much hotter than ground and walls are heads and legs, as a share of the way from warm to hot."""


def standardise(heat: torch.Tensor) -> torch.Tensor:
    """Maps (..., H, W) with mean 0 and standard deviation 1 each."""
    flat = heat.flatten(-2)
    centred = flat - flat.mean(-1, keepdim=True)
    return (centred / centred.std(-1, keepdim=True).clamp(min=1e-12)).reshape(heat.shape)


def regions(heat: torch.Tensor, groups: Sequence[Sequence[int]], telling: torch.Tensor | None = None) -> torch.Tensor:
    """Disjoint regions of concepts: where any class word is hot, split into as many instances as concepts.

    Cells are clustered by place and by which class word is hotter there, so that well told apart words decide by
    themselves, and one word for several concepts ("two women") is split into side by side instances.

    Args:
        heat: (N, H, W), heat of every concept's class word (see `word_maps`); a map of zeros is a word not found.
        groups: the concepts, grouped by class.
        telling: (N, H, W), heat that tells classes apart better than where somebody ends; None: `heat`.

    Returns:
        (N, H, W) of 0 and 1, disjoint; all zero for a concept without heat.
    """
    out = torch.zeros_like(heat)
    present = [n for n in range(len(heat)) if float(heat[n].std()) > 0]
    kinds = [[n for n in group if n in present] for group in groups]
    kinds = [group for group in kinds if group]
    if not kinds:
        return out
    standard = standardise(heat)
    words = torch.stack([standard[group].mean(0) for group in kinds])  # (K, H, W)
    warmth = words.mean(0) + words.amax(0)
    inside = smooth(warmth) > otsu(smooth(warmth))
    order = [n for group in kinds for n in group]
    apart = standard if telling is None else standardise(telling)
    pieces = split(inside, torch.stack([apart[group].mean(0) for group in kinds]), len(order))
    assigned = assign(pieces, apart[order])
    for concept, piece, near in zip(order, assigned, surroundings(assigned), strict=True):
        out[concept] = keep_main(tightened(standard[concept], near) if bool(piece.any()) else piece)
    return out


def surroundings(pieces: torch.Tensor) -> torch.Tensor:
    """For every piece (N, H, W) the cells that are nearer to it than to the others; bool, disjoint, all cells."""
    height, width = pieces.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.stack([rows, columns], -1).reshape(-1, 2).float()
    distances = []
    for piece in pieces:
        inside = piece > 0
        edge = cells[(inside & (functional.avg_pool2d(piece[None].float(), 3, 1, 1)[0] < 1)).flatten()]
        far = torch.cdist(cells, edge).amin(1) if len(edge) else torch.full((len(cells),), torch.inf)
        distances.append(far.where(~inside.flatten(), torch.zeros(())))  # to the edge alone: all cells are far too many
    nearest = torch.stack(distances).argmin(0).reshape(height, width)
    return torch.stack([nearest == index for index in range(len(pieces))])


def tightened(heat: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """An instance's cells (H, W) of 0 and 1 by the heat in its own surroundings, ground and walls left out.

    The surroundings have up to three kinds of cells: cold, warm and hot. What is warm belongs to the instance, but if
    it reaches the picture's sides or top, as ground, water and walls do, only what is warmer than it is there: heads
    and legs seldom are as hot as a body. People may be cut off by the lower edge.

    Args:
        heat: (H, W), of the instance's class word. near: (H, W) bool, its surroundings.
    """
    low, high = two_thresholds(heat[near])
    warm = near & (heat > low) & (heat <= high)
    edge = sides(heat)[sides(warm)]
    if len(edge) >= EDGE_CELLS:
        low = min(high, float(edge.max()) + ABOVE_GROUND * (high - low))
    return (near & (heat > low)).to(heat.dtype)


def sides(cells: torch.Tensor) -> torch.Tensor:
    """The left, the right and the upper edge of maps (..., H, W), one after the other: (..., H + H + W)."""
    return torch.cat([cells[..., 0], cells[..., -1], cells[..., 0, :]], -1)


def two_thresholds(values: torch.Tensor, bins: int = 48) -> tuple[float, float]:
    """The two thresholds that best part values (n,) in three (Otsu 1979: the largest variance between the classes)."""
    low, high = float(values.min()), float(values.max())
    counts = torch.histc(values.float(), bins, low, high) if high > low else torch.zeros(bins)
    if high <= low:
        return low, high
    width = (high - low) / bins
    middles = low + (torch.arange(bins) + 0.5) * width
    weight = torch.cat([torch.zeros(1), counts.cumsum(0)])
    moment = torch.cat([torch.zeros(1), (counts * middles).cumsum(0)])

    def between(first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """What the bins from `first` to before `last` add to the variance: (sum of their values)^2 / their count."""
        return (moment[last] - moment[first]) ** 2 / (weight[last] - weight[first]).clamp(min=1e-9)

    one, two = torch.triu_indices(bins, bins, 1)  # bins before `one + 1`, then before `two + 1`
    start, end = torch.zeros_like(one), torch.full_like(one, bins)
    total = between(start, one + 1) + between(one + 1, two + 1) + between(two + 1, end)
    best = int(total.argmax())
    return low + (int(one[best]) + 1) * width, low + (int(two[best]) + 1) * width


def smooth(heat: torch.Tensor) -> torch.Tensor:
    """A map (H, W) averaged over 3x3 cells."""
    padded = functional.pad(heat[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(padded, 3, 1)[0, 0]


def otsu(heat: torch.Tensor, bins: int = 64) -> float:
    """The threshold that best parts a map's values in two (Otsu 1979: the largest variance between the classes)."""
    values = heat.flatten().sort().values
    count = len(values)
    cuts = torch.unique(torch.linspace(1, count - 1, min(bins, count - 1)).long())
    sums = values.cumsum(0)
    low = sums[cuts - 1] / cuts
    high = (sums[-1] - sums[cuts - 1]) / (count - cuts)
    between = cuts * (count - cuts) * (low - high) ** 2
    cut = int(cuts[int(between.argmax())])
    return float((values[cut - 1] + values[cut]) / 2)


def split(inside: torch.Tensor, words: torch.Tensor, count: int) -> torch.Tensor:
    """Split a foreground into instances by k-means on place and contrast, from several beginnings.

    Args:
        inside: (H, W) bool. words: (K, H, W), standardised heat of each class word.

    Returns:
        (count, H, W) of 0 and 1, disjoint, their sum the foreground (all zero when it has too few cells).
    """
    rows, columns = torch.nonzero(inside, as_tuple=True)
    out = torch.zeros(count, *inside.shape)
    if len(rows) < count:
        return out
    points = _features(rows.float(), columns.float(), words[:, rows, columns], count)
    best, nearest = float("inf"), torch.zeros(len(rows), dtype=torch.long)
    for centres in _beginnings(points, columns, count):
        cost, labels = _k_means(points, centres)
        if cost < best:
            best, nearest = cost, labels
    out[nearest, rows, columns] = 1
    return out


def _features(rows: torch.Tensor, columns: torch.Tensor, words: torch.Tensor, count: int) -> torch.Tensor:
    """(P, 2 + K): place in units of the foreground's width, and each word's heat above the words' mean."""
    spread = columns.std(unbiased=False).clamp(min=1.0)
    place = torch.stack([(rows - rows.mean()) * HEIGHT_COUNTS / spread, (columns - columns.mean()) / spread], 1)
    return torch.cat([place, (words - words.mean(0)).T * CONTRAST_COUNTS / count], 1)


def _beginnings(points: torch.Tensor, columns: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Centres to begin with: slices from left to right, and the points farthest apart."""
    order = columns.argsort()
    slices = torch.stack([points[part].mean(0) for part in order.chunk(count)])
    if len(slices) < count:
        slices = points[order[torch.linspace(0, len(order) - 1, count).long()]]
    far = [points[order[0]]]
    while len(far) < count:
        distance = torch.cdist(points, torch.stack(far)).amin(1)
        far.append(points[int(distance.argmax())])
    return [slices, torch.stack(far)]


def _k_means(points: torch.Tensor, centres: torch.Tensor) -> tuple[float, torch.Tensor]:
    centres = centres.clone()
    for _ in range(ROUNDS):
        nearest = torch.cdist(points, centres).argmin(1)
        for index in range(len(centres)):
            mine = nearest == index
            if bool(mine.any()):
                centres[index] = points[mine].mean(0)
    distance = torch.cdist(points, centres)
    return float(distance.amin(1).square().sum()), distance.argmin(1)


def assign(pieces: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Give every concept its instance: the assignment with the most heat in all; of equals, from left to right.

    Args:
        pieces: (N, H, W) of 0 and 1. heat: (N, H, W), each concept's own, standardised.

    Returns:
        (N, H, W), in the order of the concepts.
    """
    columns = torch.arange(pieces.shape[-1], dtype=torch.float32)
    sizes = pieces.sum((1, 2)).clamp(min=1)
    middle = ((pieces.sum(1) * columns).sum(1) / sizes).tolist()
    order = sorted(range(len(pieces)), key=lambda index: middle[index])
    pieces, sizes = pieces[order], sizes[order]
    gain = torch.einsum("khw,jhw->kj", heat, pieces) / sizes
    best, chosen = float("-inf"), tuple(range(len(pieces)))
    for permutation in itertools.permutations(range(len(pieces))):  # left to right comes first
        total = sum(float(gain[concept, piece]) for concept, piece in enumerate(permutation))
        if total > best + 1e-6:
            best, chosen = total, permutation
    return pieces[list(chosen)]


def keep_main(piece: torch.Tensor) -> torch.Tensor:
    """The connected parts of a region (H, W) that matter: the largest, and those at least a quarter of its size."""
    labels = components(piece > 0)
    sizes = torch.bincount(labels.flatten())
    sizes[0] = 0
    if len(sizes) == 1:
        return torch.zeros_like(piece)
    kept = sizes >= max(1, 0.25 * int(sizes.max()))
    kept[0] = False
    return kept[labels].to(piece.dtype)


def components(inside: torch.Tensor) -> torch.Tensor:
    """Connected components (8 neighbours) of a region (H, W): labels from 1, 0 outside."""
    height, width = inside.shape
    labels = torch.arange(1, height * width + 1, dtype=torch.float32).reshape(1, 1, height, width) * inside
    while True:
        grown = functional.max_pool2d(labels, 3, 1, 1) * inside
        if torch.equal(grown, labels):
            break
        labels = grown
    _, dense = torch.unique(torch.cat([torch.zeros(1), labels.flatten()]), return_inverse=True)
    return dense[1:].reshape(height, width)
