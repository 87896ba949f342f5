"""The list of pictures: prompts as people would write them, everybody shown as often, the same every time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from bench.cases import Case, PairKind, close, crowd, pairs, single
from toyworld.identity import CAST
from toyworld.scene import LIGHTS, PLACES

TWO = Case(("rex", "ida"), "park", "day", 1)


def test_prompts_of_two() -> None:
    assert TWO.class_words == ("man", "woman")
    assert TWO.layout_prompt == "a man and a woman in the park"
    assert TWO.concept_prompt == "a rex man and an ida woman in the park"
    assert [TWO.scene_prompt(i) for i in (0, 1)] == [
        "a rex man and a woman in the park",
        "a man and an ida woman in the park",
    ]
    assert [TWO.own_prompt(i) for i in (0, 1)] == ["a rex man in the park", "an ida woman in the park"]


def test_prompts_of_one_class_and_of_a_light() -> None:
    case = Case(("bob", "ace", "tom"), "snow", "night", 1)
    assert case.layout_prompt == "two men and a dog in the snow at night"
    assert case.concept_prompt == "a bob man, an ace dog and a tom man in the snow at night"
    assert case.scene_prompt(2) == "a man, a dog and a tom man in the snow at night"
    assert [case.layout_word(i) for i in range(3)] == ["men", "dog", "men"]
    for index in range(3):
        assert case.layout_word(index) in case.layout_prompt.split()


def test_one_concept_alone_has_one_prompt() -> None:
    case = Case(("lux",), "city", "sunset", 1)
    assert case.concept_prompt == case.own_prompt(0) == case.scene_prompt(0) == "a lux lamp in the city at sunset"


@pytest.mark.parametrize(("size", "width_px"), [(1, 128), (2, 128), (3, 192), (4, 256), (5, 256)])
def test_width_follows_the_number_of_concepts(size: int, width_px: int) -> None:
    assert {case.width_px for case in crowd(size, 20)} == {width_px}
    assert {len(case.names) for case in crowd(size, 20)} == {size}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": ()}, "names: expected 1 to 5"),
        ({"names": ("rex", "rex")}, "different"),
        ({"names": ("rex", "max")}, "found max"),
        ({"place": "moon"}, "place: expected one of park"),
        ({"light": "dawn"}, "light: expected one of day"),
    ],
)
def test_wrong_cases_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Case(**{"names": ("rex",), "place": "park", "light": "day", "seed": 1, **fields})


def classes(case: Case) -> str:
    return "+".join(sorted({"vase": "thing", "lamp": "thing"}.get(word, word) for word in case.class_words))


@pytest.mark.parametrize("kind", [kind for kind in PairKind if kind is not PairKind.DOG_PERSON])
def test_pairs_are_of_their_kind(kind: PairKind) -> None:
    assert {classes(case) for case in pairs(kind, 40)} == {kind.value}


def test_dogs_go_with_men_and_women() -> None:
    assert {classes(case) for case in pairs("dog+person", 12)} == {"dog+man", "dog+woman"}


@pytest.mark.parametrize("kind", list(PairKind))
def test_pairs_are_spread_evenly(kind: PairKind) -> None:
    cases = pairs(kind, 32)
    shown = Counter(name for case in cases for name in case.names)
    del shown["ace"]  # the only dog
    assert max(shown.values()) - min(shown.values()) <= 2
    scenes = Counter((case.place, case.light) for case in cases)
    assert len(scenes) == len(PLACES) * len(LIGHTS)
    assert max(scenes.values()) - min(scenes.values()) <= 1
    first = Counter(case.names[0] < case.names[1] for case in cases)
    assert min(first[True], first[False]) >= 8
    assert len({case.seed for case in cases}) == 32


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_crowds_show_the_whole_cast_as_often(size: int) -> None:
    shown = Counter(name for case in crowd(size, 36) for name in case.names)
    assert set(shown) == set(CAST)
    assert max(shown.values()) - min(shown.values()) <= 2


def test_those_close_together_are_people_with_little_room() -> None:
    cases = close(20)
    assert {word for case in cases for word in case.class_words} == {"man", "woman"}
    assert {(len(case.names), case.width_px) for case in cases} == {(3, 128)}
    assert cases[0].again(1).close


def test_lists_are_the_same_every_time_and_longer_ones_go_on() -> None:
    assert pairs("man+man", 32)[:7] == pairs("man+man", 7)
    assert crowd(4, 10) == crowd(4, 10)
    assert single("eva", 3)[0] == single("eva", 15)[0]
    assert Counter(case.names for case in single("eva", 9)) == {("eva",): 9}


def test_figures_told_today_are_of_the_same_pictures_tomorrow() -> None:
    assert pairs("man+woman", 1) == [Case(("rex", "ida"), "snow", "sunset", 1979888609)]


def test_other_lights_change_nothing_but_the_scene() -> None:
    night, every = pairs("man+woman", 10, lights=("night",)), pairs("man+woman", 10)
    assert {case.light for case in night} == {"night"}
    assert [(c.names, c.seed) for c in night] == [(c.names, c.seed) for c in every]
    with pytest.raises(ValueError, match="lights"):
        pairs("man+woman", 1, lights=())


def test_no_two_lists_share_a_seed() -> None:
    lists = [pairs(kind, 32) for kind in PairKind] + [crowd(size, 32) for size in range(1, 6)] + [close(32)]
    seeds = [case.seed for case in itertools.chain(*lists)]
    assert len(set(seeds)) == len(seeds)
