"""The shelf: what is kept, what goes first, and that asking while a picture is drawn finds it whole."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lib_omg.core.errors import OmgError
from lib_omg.core.settings import ConceptSettings, OmgSettings
from lib_omg.core.store import AttentionStore
from lib_omg.core.trace import LayoutTrace, TracedCall
from lib_omg.host.shelf import MOST_LAYOUTS, KeptLayout, Shelf, changes, in_ram, same

SETTINGS = OmgSettings(concepts=(ConceptSettings(class_word="man"),))


def layout(seed: int = 1, **fields: Any) -> KeptLayout:
    """A layout whose trace holds 2 x 64 bytes."""
    x = torch.zeros(1, 1, 4, 4)
    trace = LayoutTrace(AttentionStore(0, 0), [TracedCall(x, 1.0, x)], x)
    asked = {"Seed": seed, "Prompt": "a man"}
    return KeptLayout(asked, seed, 0, (32, 32), (4, 4), torch.zeros(3, 32, 32), (), (None,), SETTINGS, trace, **fields)


def test_the_newest_comes_first_and_the_oldest_without_a_name_go() -> None:
    shelf = Shelf()
    named = layout(0, name="kept")
    shelf.add(named, 10**6)
    made = [layout(seed) for seed in range(1, MOST_LAYOUTS + 4)]
    for one in made:
        shelf.add(one, 10**6)
    assert [one.seed for one in shelf.all()] == [*range(MOST_LAYOUTS + 3, 3, -1), 0]
    with pytest.raises(OmgError, match="isn't kept any more"):
        shelf.get(made[0].id)


def test_traces_go_oldest_first_beyond_the_limit() -> None:
    shelf = Shelf()
    made = [layout(seed) for seed in range(4)]
    for one in made:
        shelf.add(one, 2 * one.nbytes)
    assert [one.trace is not None for one in made] == [False, False, True, True]
    shelf.hold(0)
    assert [one.trace is not None for one in made] == [False, False, False, True], "the newest keeps its own"


def test_it_can_be_asked_while_it_is_filled() -> None:
    shelf, wrong = Shelf(), []

    def ask() -> None:
        while not done.is_set():
            try:
                shelf.all()
            except RuntimeError as error:
                wrong.append(error)

    done = threading.Event()
    asking = threading.Thread(target=ask)
    asking.start()
    for seed in range(300):
        shelf.add(layout(seed), 10**6)
    done.set()
    asking.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"Seed": 1, "Prompt": "a man"}, []),
        ({"Seed": 2, "Prompt": "a man"}, ["Seed was 1, now 2"]),
        ({"Seed": 1}, ["Prompt was a man, now nothing"]),
        ({"Seed": 1, "Prompt": "a man", "VAE": "x"}, ["VAE was nothing, now x"]),
    ],
)
def test_changes_are_told_by_name(now: dict[str, Any], told: list[str]) -> None:
    assert changes(layout(), now, None) == told


def test_hosts_values_are_compared_down_to_their_tensors() -> None:
    def cond(value: float, weight: float = 1.0) -> Any:
        schedule = [(10, {"crossattn": torch.full((2, 3), value), "vector": torch.zeros(4)})]
        return [SimpleNamespace(schedules=schedule, weight=weight)]

    kept = in_ram(cond(1.0))
    assert same(kept, cond(1.0))
    assert not same(kept, cond(1.5))
    assert not same(kept, cond(1.0, weight=0.5))
    assert not same(kept, cond(1.0) * 2)
    assert not same(torch.zeros(2), torch.zeros(3))
    source = torch.zeros(2)
    copied = in_ram([source])
    source += 1
    assert copied[0].sum() == 0
