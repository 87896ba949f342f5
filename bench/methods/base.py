"""What a method of the tables is, and what it may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.methods.regions import Box, Found, assigned, box_of, equal_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.cases import Case
    from bench.host import Host
    from bench.instruments import Detector

Segment = Callable[[np.ndarray], Sequence[Found]]
"""A picture uint8 (H, W, 3) to what is in it."""
_LAYOUTS_KEPT = 256


class Method(Protocol):
    """A way to draw several concepts into one picture.

    Attributes:
        name: its key in JSON. title: its heading in tables.
    """

    name: str
    title: str

    def draw(self, case: Case) -> np.ndarray:
        """The picture uint8 (128, W, 3) of a case; the host is left as it was."""


def segment_with(detector: Detector) -> Segment:
    """A detector as a `Segment`."""

    def segment(image: np.ndarray) -> list[Found]:
        return [(found.class_word, np.asarray(found.mask, bool)) for found in detector.detect([image])[0]]

    return segment


@dataclass
class Resources:
    """What methods draw with: the host, and eyes that find the people of a layout picture."""

    host: Host
    segment: Segment
    _layouts: dict[Case, np.ndarray] = field(default_factory=dict, repr=False)

    def layout(self, case: Case) -> np.ndarray:
        """The plain picture uint8 (128, W, 3) of the case's layout prompt."""
        if case not in self._layouts:
            while len(self._layouts) >= _LAYOUTS_KEPT:
                self._layouts.pop(next(iter(self._layouts)))
            self._layouts[case] = self.host.draw(case.layout_prompt, case.seed, case.width_px)[0]
        return self._layouts[case]

    def masks(self, case: Case) -> list[NDArray[np.bool_]] | None:
        """Every concept's mask (H, W) in the layout picture; None when it shows other classes than asked for."""
        return assigned(case.class_words, self.segment(self.layout(case)))

    def boxes(self, case: Case) -> list[Box]:
        """Every concept's box in the layout picture; equal columns when it shows other classes than asked for."""
        masks = self.masks(case)
        return equal_columns(len(case.names)) if masks is None else [box_of(mask) for mask in masks]
