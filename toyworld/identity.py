"""Who and what lives in the world: classes, their identity attributes, and the cast that has LoRAs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Colour = tuple[int, int, int]

CLASSES = ("man", "woman", "dog", "vase", "lamp")
PEOPLE = frozenset({"man", "woman"})
PLURALS: Mapping[str, str] = MappingProxyType(
    {"man": "men", "woman": "women", "dog": "dogs", "vase": "vases", "lamp": "lamps"}
)
COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "red": (215, 45, 45),
        "green": (55, 165, 65),
        "blue": (50, 85, 215),
        "yellow": (240, 205, 40),
        "purple": (140, 65, 185),
        "orange": (240, 130, 30),
        "white": (242, 242, 242),
        "black": (35, 35, 40),
        "pink": (240, 130, 185),
        "cyan": (60, 200, 210),
    }
)
HAIR: Mapping[str, Colour] = MappingProxyType(
    {
        "black": (30, 25, 22),
        "brown": (95, 58, 32),
        "blond": (215, 175, 80),
        "ginger": (185, 75, 30),
        "grey": (135, 135, 140),
        "pink": (225, 85, 165),
        "blue": (55, 115, 225),
        "green": (65, 185, 85),
    }
)
SKIN: Mapping[str, Colour] = MappingProxyType(
    {"light": (250, 215, 185), "tan": (222, 170, 128), "brown": (160, 108, 75), "dark": (98, 64, 46)}
)
STYLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "man": ("short", "mohawk", "afro", "bald"),
        "woman": ("long", "bun", "tails", "bob"),
        "dog": ("pointed", "floppy"),
        "vase": ("round", "tall", "bell"),
        "lamp": ("cone", "globe", "drum"),
    }
)
PATTERNS = ("plain", "stripes", "dots", "checks")
ACCESSORIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "man": ("none", "none", "glasses", "hat", "beard"),
        "woman": ("none", "none", "glasses", "hat"),
        "dog": ("none",),
        "vase": ("none", "handles", "flowers"),
        "lamp": ("none",),
    }
)


@dataclass(frozen=True)
class Identity:
    """One individual: what makes it itself in every scene and light.

    `style` is the hair of a person, the ears of a dog, the outline of a thing. `hair` is a dog's fur and unused for
    things. `top` is clothes, a dog's collar or a thing's body; `pattern_colour` is the pattern's and a dog's spots'.
    `bottom` is trousers, a flower's or a lamp foot's colour.
    """

    class_word: str
    style: str
    hair: str = "black"
    skin: str = "light"
    top: str = "red"
    bottom: str = "blue"
    pattern: str = "plain"
    pattern_colour: str = "white"
    accessory: str = "none"

    def __post_init__(self) -> None:
        if self.class_word not in CLASSES:
            raise ValueError(f"class_word must be one of {', '.join(CLASSES)}, found {self.class_word!r}")
        if self.style not in STYLES[self.class_word]:
            expected = ", ".join(STYLES[self.class_word])
            raise ValueError(f"style of a {self.class_word} must be one of {expected}, found {self.style!r}")


@dataclass(frozen=True)
class Member:
    """A member of the cast: a name that a LoRA was trained for, and who it is."""

    name: str
    identity: Identity

    @property
    def class_word(self) -> str:
        """The class word the layout prompt uses."""
        return self.identity.class_word

    @property
    def words(self) -> str:
        """The concept's words in a prompt, "rex man"."""
        return f"{self.name} {self.class_word}"


def random_identity(rng: random.Random, class_word: str) -> Identity:
    """An individual of a class, every attribute drawn at random.

    Args:
        rng: source of randomness.
        class_word: one of `CLASSES`.

    Returns:
        The identity; clothes and pattern always differ in colour.
    """
    top, pattern_colour = rng.sample(list(COLOURS), 2)
    return Identity(
        class_word,
        style=rng.choice(STYLES[class_word]),
        hair=rng.choice(list(HAIR)),
        skin=rng.choice(list(SKIN)),
        top=top,
        bottom=rng.choice(list(COLOURS)),
        pattern=rng.choice(PATTERNS),
        pattern_colour=pattern_colour,
        accessory=rng.choice(ACCESSORIES[class_word]),
    )


def _member(name: str, class_word: str, style: str, **attributes: str) -> tuple[str, Member]:
    return name, Member(name, Identity(class_word, style, **attributes))


CAST: Mapping[str, Member] = MappingProxyType(
    dict(
        (
            _member("rex", "man", "mohawk", hair="green", skin="light", top="yellow", bottom="blue",
                    pattern="stripes", pattern_colour="red", accessory="glasses"),
            _member("bob", "man", "afro", hair="black", skin="dark", top="white", bottom="red",
                    pattern="dots", pattern_colour="purple", accessory="none"),
            _member("tom", "man", "short", hair="ginger", skin="tan", top="cyan", bottom="black",
                    pattern="plain", pattern_colour="white", accessory="hat"),
            _member("ida", "woman", "tails", hair="pink", skin="brown", top="green", bottom="white",
                    pattern="dots", pattern_colour="white", accessory="none"),
            _member("eva", "woman", "long", hair="blond", skin="light", top="purple", bottom="black",
                    pattern="plain", pattern_colour="yellow", accessory="glasses"),
            _member("mia", "woman", "bun", hair="blue", skin="dark", top="orange", bottom="red",
                    pattern="checks", pattern_colour="white", accessory="none"),
            _member("ace", "dog", "pointed", hair="ginger", top="blue", pattern="dots", pattern_colour="white"),
            _member("ming", "vase", "round", top="blue", bottom="pink", pattern="stripes", pattern_colour="white",
                    accessory="handles"),
            _member("lux", "lamp", "cone", top="red", bottom="black", pattern="dots", pattern_colour="yellow"),
        )
    )
)  # fmt: skip
"""The cast by name: three men, three women, a dog and two things, no attribute of which any prompt names."""
