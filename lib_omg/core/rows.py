"""The explicit row map: which row of a UNet batch belongs to which image, to cond or uncond, to which concept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .errors import OmgError

GLOBAL = -1
"""The `concept` of rows that predict the whole picture."""


@dataclass(frozen=True)
class Row:
    """One row of a UNet batch."""

    image: int
    is_cond: bool
    concept: int = GLOBAL


def global_rows(cond_counts: Sequence[int]) -> tuple[Row, ...]:
    """Rows of the host's own call: every image's cond rows in order, then one uncond row an image.

    Args:
        cond_counts: number of cond rows of each image (more than one for prompts with AND).
    """
    cond = [Row(image, True) for image, count in enumerate(cond_counts) for _ in range(count)]
    uncond = [Row(image, False) for image in range(len(cond_counts))]
    return (*cond, *uncond)


@dataclass
class RowCursor:
    """Follows the UNet's calls through a row map; the host may split one denoiser call into several UNet calls.

    `rows` are those of the UNet call now running; empty outside `follow`, so hooks that ask it do nothing then.
    """

    rows: tuple[Row, ...] = ()
    first: int = 0
    """Index in the row map of the first of `rows`."""
    seen: int = 0
    """How many rows of the map the UNet has had in this denoiser call."""
    total: int = 0
    """How many rows the UNet has had in all denoiser calls followed."""
    _map: tuple[Row, ...] = field(default=(), repr=False)

    @contextmanager
    def follow(self, row_map: tuple[Row, ...]) -> Iterator[RowCursor]:
        """Follow one denoiser call whose rows are (a first part of) `row_map`, in order."""
        self._map, self.rows, self.first, self.seen = row_map, (), 0, 0
        try:
            yield self
        finally:
            self._map, self.rows = (), ()

    def advance(self, count: int) -> None:
        """Note that the UNet begins a call on the next `count` rows.

        Raises:
            OmgError: the UNet is given more rows than the row map has.
        """
        if not self._map:
            return
        if self.seen + count > len(self._map):
            raise OmgError(
                f"OMG can't tell whose rows the UNet is working on: expected at most {len(self._map)} rows in a "
                f"denoiser call, found {self.seen + count}. Another extension changes the batch; turn it off for OMG."
            )
        self.first = self.seen
        self.seen += count
        self.total += count
        self.rows = self._map[self.first : self.seen]

    def cond_span(self) -> tuple[int, int]:
        """(start, stop) of the global cond rows within the running UNet call; start == stop when there are none."""
        return self._span([row.is_cond and row.concept == GLOBAL for row in self.rows])

    def concept_spans(self) -> list[tuple[int, int, int]]:
        """(concept, start, stop) of every run of rows of one concept within the running UNet call."""
        spans: list[tuple[int, int, int]] = []
        for index, row in enumerate(self.rows):
            if row.concept == GLOBAL:
                continue
            if spans and spans[-1][0] == row.concept and spans[-1][2] == index:
                spans[-1] = (row.concept, spans[-1][1], index + 1)
            else:
                spans.append((row.concept, index, index + 1))
        return spans

    @staticmethod
    def _span(wanted: list[bool]) -> tuple[int, int]:
        if True not in wanted:
            return 0, 0
        start = wanted.index(True)
        return start, start + sum(wanted)
