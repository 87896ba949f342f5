"""The pictures every method is asked for: who, where, in which light, from which noise. Knows no host and no torch."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from toyworld.identity import CAST, PEOPLE, PLURALS
from toyworld.scene import LIGHTS, PLACES, caption

CROWD_WIDTHS_PX: Mapping[int, int] = MappingProxyType({1: 128, 2: 128, 3: 192, 4: 256, 5: 256})
"""Width of a picture by the number of its concepts."""
MOST_CONCEPTS = max(CROWD_WIDTHS_PX)
CLOSE_SIZE, CLOSE_WIDTH_PX = 3, 128
"""Three who have little room hide each other; two of them rarely do."""
_SEEDS = 2**31
_NEXT_SEED = 1_000_003
_THINGS = frozenset({"vase", "lamp"})


class PairKind(str, Enum):
    """The columns of the paper's table of pairs, and one more."""

    MAN_WOMAN = "man+woman"
    MAN_MAN = "man+man"
    WOMAN_WOMAN = "woman+woman"
    THING_THING = "thing+thing"
    DOG_PERSON = "dog+person"


_SIDES: Mapping[PairKind, tuple[frozenset[str], frozenset[str]]] = MappingProxyType(
    {
        PairKind.MAN_WOMAN: (frozenset({"man"}), frozenset({"woman"})),
        PairKind.MAN_MAN: (frozenset({"man"}), frozenset({"man"})),
        PairKind.WOMAN_WOMAN: (frozenset({"woman"}), frozenset({"woman"})),
        PairKind.THING_THING: (_THINGS, _THINGS),
        PairKind.DOG_PERSON: (frozenset({"dog"}), PEOPLE),
    }
)


@dataclass(frozen=True)
class Case:
    """One picture to draw: `names` are members of the cast from left to right; `close`: they are to hide each other."""

    names: tuple[str, ...]
    place: str
    light: str
    seed: int
    close: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MOST_CONCEPTS or len(set(self.names)) != len(self.names):
            raise ValueError(f"names: expected 1 to {MOST_CONCEPTS} different ones, found {self.names}")
        for what, value, known in (("place", self.place, PLACES), ("light", self.light, LIGHTS)):
            if value not in known:
                raise ValueError(f"{what}: expected one of {', '.join(known)}, found {value!r}")
        unknown = [name for name in self.names if name not in CAST]
        if unknown:
            raise ValueError(f"names: expected some of {', '.join(CAST)}, found {', '.join(unknown)}")

    def again(self, attempt: int) -> Case:
        """The same from another seed; attempt 0 is the case itself."""
        return replace(self, seed=(self.seed + attempt * _NEXT_SEED) % _SEEDS)

    @property
    def class_words(self) -> tuple[str, ...]:
        """Class of every concept."""
        return tuple(CAST[name].class_word for name in self.names)

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return CLOSE_WIDTH_PX if self.close else CROWD_WIDTHS_PX[len(self.names)]

    @property
    def layout_prompt(self) -> str:
        """The scene in class words only: "a man and a woman in the park"."""
        return caption(self.class_words, self.place, self.light)

    @property
    def concept_prompt(self) -> str:
        """The scene with every concept's words put in: "a rex man and an ida woman in the park"."""
        return caption(self.class_words, self.place, self.light, {i: CAST[n].words for i, n in enumerate(self.names)})

    def scene_prompt(self, index: int) -> str:
        """The scene with one concept's words put in: "a rex man and a woman in the park"."""
        return caption(self.class_words, self.place, self.light, {index: CAST[self.names[index]].words})

    def own_prompt(self, index: int) -> str:
        """One concept alone in the same place and light: "a rex man in the park"."""
        return caption([self.class_words[index]], self.place, self.light, {0: CAST[self.names[index]].words})

    def layout_word(self, index: int) -> str:
        """The word that stands for a concept in `layout_prompt`: "men" where there are two men."""
        word = self.class_words[index]
        return word if self.class_words.count(word) == 1 else PLURALS[word]


def pairs(kind: PairKind | str, count: int, lights: Collection[str] = tuple(LIGHTS)) -> list[Case]:
    """Pictures of two.

    Args:
        kind: a `PairKind` or its value.
        count: how many; a longer list begins with the shorter one.
        lights: which lights may come up.

    Returns:
        Cases over which members, sides, places and lights are spread evenly; the same in every process.
    """
    kind = PairKind(kind)
    one, other = (sorted(name for name, m in CAST.items() if m.class_word in side) for side in _SIDES[kind])
    teams = sorted({tuple(sorted(team)) for team in itertools.product(one, other) if team[0] != team[1]})
    return _cases(f"pairs {kind.value}", teams, count, lights)


def single(name: str, count: int, lights: Collection[str] = tuple(LIGHTS)) -> list[Case]:
    """Pictures of one member of the cast, spread evenly over places and lights; see `pairs`."""
    return _cases(f"single {name}", [(name,)], count, lights)


def crowd(size: int, count: int, lights: Collection[str] = tuple(LIGHTS)) -> list[Case]:
    """Pictures of `size` concepts, 1 to 5, spread evenly over the cast, places and lights; see `pairs`."""
    if not 1 <= size <= MOST_CONCEPTS:
        raise ValueError(f"size: expected 1 to {MOST_CONCEPTS}, found {size}")
    return _cases(f"crowd {size}", list(itertools.combinations(sorted(CAST), size)), count, lights)


def close(count: int, lights: Collection[str] = tuple(LIGHTS)) -> list[Case]:
    """Pictures of men and women who hide each other, spread evenly over them, places and lights; see `pairs`."""
    people = sorted(name for name, member in CAST.items() if member.class_word in PEOPLE)
    teams = list(itertools.combinations(people, CLOSE_SIZE))
    return [replace(case, close=True) for case in _cases("close", teams, count, lights)]


def _cases(label: str, teams: Sequence[tuple[str, ...]], count: int, lights: Collection[str]) -> list[Case]:
    # one generator for each choice, so that a longer list or other lights change nothing else
    who, where, noise = (random.Random(f"{label} {part}") for part in ("who", "where", "noise"))
    scenes = [(place, light) for place in PLACES for light in LIGHTS if light in lights]
    if not scenes:
        raise ValueError(f"lights: expected some of {', '.join(LIGHTS)}, found {', '.join(lights) or 'none'}")
    chosen = zip(_teams(who, teams), _rounds(where, scenes), strict=False)
    return [
        Case(names, place, light, noise.randrange(_SEEDS)) for names, (place, light) in itertools.islice(chosen, count)
    ]


def _teams(rng: random.Random, teams: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Without end, the team whose members were shown least, then the least used one; sides by chance."""
    shown: Counter[str] = Counter()
    used: Counter[tuple[str, ...]] = Counter()
    while True:
        team = min(teams, key=lambda t: (sum(shown[name] for name in t), used[t], rng.random()))
        shown.update(team)
        used[team] += 1
        yield tuple(rng.sample(team, len(team)))


def _rounds(rng: random.Random, items: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Without end, all items in a new order each round."""
    while True:
        yield from rng.sample(items, len(items))
