"""What is looked for in a layout picture, and what was found: the one form that every source of regions speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lib_omg.core.errors import OmgError

if TYPE_CHECKING:
    import torch

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in fractions of the picture."""


@dataclass(frozen=True)
class Instance:
    """One individual found in a layout picture.

    Attributes:
        label: the class word it was found by. score: 0..1, how sure its source is.
        mask: (H, W) in 0..1; all instances of one picture have one size. box: around the mask.
    """

    label: str
    score: float
    mask: torch.Tensor
    box: Box


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        picture: the decoded layout, (3, H, W) in 0..1, in RAM.
        wanted: how many the concepts ask for of each class word; a source may find more, or fewer.
        rough: what another source found already, to be outlined or to fall back to; may be empty.
    """

    picture: torch.Tensor
    wanted: Mapping[str, int]
    rough: Sequence[Instance] = ()


class SourceUnavailable(OmgError):  # noqa: N818 - a state of things more than a mistake
    """A source can't be used here and now (no model file, no package, no memory); says what to do about it."""


class Source(Protocol):
    """Finds individuals, or outlines those that another source found roughly."""

    def find(self, search: Search) -> list[Instance]:
        """The individuals of the picture, from left to right.

        Raises:
            SourceUnavailable: it can't look; the next source is asked.
        """
