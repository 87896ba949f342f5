"""Individuals: as many as asked for, fewer or more where the layout plainly shows it."""

from __future__ import annotations

import pytest
import torch

from lib_omg.vision.affinity import Affinity
from lib_omg.vision.individuals import BOND_COUNTS, MOST, apart, individuals, on_edge, scaled, sideways

H, W = 16, 32


def body(column: float, width: float = 2.5, height: float = 5.5) -> torch.Tensor:
    """A warm upright ellipse (H, W) with soft edges."""
    y, x = torch.arange(H)[:, None] - 8.0, torch.arange(W)[None, :] - column
    return torch.sigmoid(6 * (1 - (y / height) ** 2 - (x / width) ** 2))


def together(*bodies: torch.Tensor) -> Affinity:
    """Every body looks at itself, the rest at the rest."""
    owner = torch.zeros(H, W, dtype=torch.long)
    for number, one in enumerate(bodies, 1):
        owner[one > 0.5] = number
    same = (owner.flatten()[:, None] == owner.flatten()[None, :]).float() + 1e-3
    return Affinity(same / same.sum(1, keepdim=True), (H, W))


def noise(seed: int) -> torch.Tensor:
    return 0.1 * torch.rand(H, W, generator=torch.Generator().manual_seed(seed))


def owners(masks: torch.Tensor, bodies: list[torch.Tensor]) -> list[int]:
    """For every mask the body that it covers most of."""
    return [max(range(len(bodies)), key=lambda n: float((mask * (bodies[n] > 0.5)).sum())) for mask in masks]


A, B, C = body(6), body(12), body(24)


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_as_many_as_there_are_whatever_was_asked_for(wanted: int) -> None:
    bodies = [A, C]
    heat = (A + C + noise(wanted))[None]
    made = individuals(heat, heat, [wanted], together(*bodies))
    assert made.words == (0, 0)
    assert sorted(owners(made.masks, bodies)) == [0, 1]
    assert float(made.masks.sum(0).max()) == 1


def test_touching_ones_stay_two_when_two_were_asked_for() -> None:
    near = body(11)
    heat = (A + near + noise(0)).clamp(max=1)[None]
    made = individuals(heat, heat, [2], together(A, near))
    assert sorted(owners(made.masks, [A, near])) == [0, 1]


def test_two_who_look_alike_stay_two() -> None:
    """Each looks at the other's like: only where they meet do they not look at each other."""
    near = body(12, width=3)
    one = body(6, width=3)
    alike = torch.zeros(H, W, dtype=torch.long)
    for who in (one, near):  # thirds from left to right: the right third of one meets the left third of the other
        inside = who > 0.5
        columns = torch.arange(W).expand(H, W)[inside].float()
        alike[inside] = 1 + ((columns - columns.min()) / (columns.max() - columns.min() + 1) * 3).long()
    same = (alike.flatten()[:, None] == alike.flatten()[None, :]).float() + 1e-3
    heat = (one + near + noise(6)).clamp(max=1)[None]
    made = individuals(heat, heat, [2], Affinity(same / same.sum(1, keepdim=True), (H, W)))
    assert sorted(owners(made.masks, [one, near])) == [0, 1]


def test_one_broad_individual_is_not_two() -> None:
    broad = body(16, width=6)
    heat = (broad + noise(1))[None]
    made = individuals(heat, heat, [2], together(broad))
    assert len(made.words) == 1
    assert float((made.masks[0] * (broad > 0.5)).sum()) > 0.8 * float((broad > 0.5).sum())


def test_without_affinity_there_are_as_many_as_asked_for() -> None:
    broad = body(16, width=6)
    heat = (broad + noise(1))[None]
    assert individuals(heat, heat, [2], None).words == (0, 0)


def test_classes_are_told_by_the_heat_that_tells_them() -> None:
    """Sharp maps of both words are alike; the other ones are not."""
    sharp = (A + C + noise(2)).expand(2, H, W)
    told = torch.stack([C + 0.5 * A, A + 0.5 * C])
    made = individuals(told, sharp, [1, 1], together(A, C))
    found = dict(zip(made.words, owners(made.masks, [A, C]), strict=True))
    assert found == {0: 1, 1: 0}


def test_an_individual_too_few_is_found_by_its_own_word() -> None:
    first, second = A + noise(3), B + C + noise(4)
    heat = torch.stack([first, second])
    made = individuals(heat, heat, [1, 1], together(A, B, C))
    assert sorted(zip(made.words, owners(made.masks, [A, B, C]), strict=True)) == [(0, 0), (1, 1), (1, 2)]


def test_warm_ground_is_nobody() -> None:
    """It stands well apart and belongs together, but reaches the picture's sides."""
    ground = torch.zeros(H, W)
    ground[11:] = 1
    heat = (A + 0.8 * ground + noise(5)).clamp(max=1)[None]
    made = individuals(heat, heat, [1], together(ground, A))
    assert owners(made.masks, [A, ground]) == [0]
    beside = torch.zeros(2, H, W)
    beside[:, 3:7, 0], beside[0, 15], beside[1, 0, 4:9] = 1, 1, 1
    assert on_edge(beside) == 4 + 1 + 1 + 4 + 5


def test_words_that_are_nowhere_give_nobody() -> None:
    assert individuals(torch.zeros(1, H, W), torch.zeros(1, H, W), [2], together(A)).words == ()


def test_never_more_than_the_most() -> None:
    bodies = [body(2 + 3 * n, width=1) for n in range(10)]
    heat = torch.stack(bodies).sum(0)[None]
    made = individuals(heat, heat, [MOST - 1], together(*bodies))
    assert len(made.words) <= MOST


def test_sideways_is_mean_and_deviation() -> None:
    piece = torch.zeros(4, 10)
    piece[1:3, 2:5] = 1
    middle, spread = sideways(piece)
    assert middle == pytest.approx(3)
    assert spread == pytest.approx((2 / 3 + 1 / 12) ** 0.5)


def test_apart_falls_with_the_bond_and_rises_with_distance() -> None:
    one, two, three = torch.zeros(3, H, W)
    one[:, 4:8], two[:, 8:12], three[:, 20:24] = 1, 1, 1
    parted, joined = together(one, two, three), together(one + two, three)
    assert apart(one, two, parted) > apart(one, two, joined) + 0.9 * BOND_COUNTS
    assert apart(one, three, parted) > apart(one, two, parted)
    assert apart(one, two, parted) == pytest.approx(apart(two, one, parted), abs=1e-5)


def test_scaled_is_held_between_the_cold_and_the_warm() -> None:
    made = scaled(torch.tensor([[0.0, 0.0, 0.2], [5.0, 5.0, 5.6]]))
    assert made.min() == 0
    assert made.max() == 1
    assert torch.equal(scaled(torch.ones(2, 3)), torch.zeros(2, 3))
