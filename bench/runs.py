"""A run: instruments and pictures brought together."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from bench import measures, plans
from bench.approval import Approval, approve
from bench.fingerprints import of_code, of_files
from bench.painting import Keys, Painter
from bench.pictures import Album
from bench.plans import LAYOUT, Draw, Plan
from bench.scores import Score, Scorer
from bench.workers import Workers
from toyworld.instruments.detector import Detector
from toyworld.instruments.embedder import Embedder

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.measures import Instance

logger = logging.getLogger(__name__)
INSTRUMENTS = "instruments"
_DETECTOR, _EMBEDDER, _RESULTS = "detector.safetensors", "embedder.safetensors", "instruments.json"


class Run:
    """Instruments, references and pictures.

    Args:
        weights_dir: see `devhost.datadir.make_data_dir`; the instruments lie in its folder instruments/.
        cache_dir: where pictures are kept.
        workers: draw what is missing; None: this process draws a picture when it is asked for.

    Raises:
        FileNotFoundError: the instruments are missing.
        ValueError: the embedder's threshold was never measured.
    """

    def __init__(self, weights_dir: Path, cache_dir: Path, workers: Workers[Draw] | None = None) -> None:
        self.workers = workers
        folder = weights_dir / INSTRUMENTS
        self.detector = Detector.load(folder / _DETECTOR)
        self.embedder = Embedder.load(folder / _EMBEDDER)
        if self.embedder.threshold is None:
            raise ValueError(f"expected a verification threshold in {folder / _RESULTS}; evaluate the instruments")
        self.threshold = self.embedder.threshold
        code = of_code(Path(inspect.getfile(part)) for part in (measures, Detector, Embedder))
        self.stamp = f"{of_files([folder / _DETECTOR, folder / _EMBEDDER])}{code}"
        self.painter = Painter(weights_dir, self.detector)
        self.album = Album(cache_dir, self.painter.paint, Keys(weights_dir, folder / _DETECTOR).key)
        self.painter.picture = self.album.picture
        self.known = measures.references(self.embedder)

    def draw(self, draws: Sequence[Draw]) -> int:
        """Draw what is not kept yet, telling first how long that will take about; gives how many that were."""
        missing = [draw for draw in draws if not self.album.has(draw)]
        estimate = sum(map(plans.seconds, missing))
        minutes = estimate / 60 / (self.workers.count if self.workers else 1)
        logger.info("%d pictures, %d of them to draw: about %.0f minutes", len(draws), len(missing), minutes)
        if not missing:
            return 0
        taken: dict[str, list[float]] = {}
        with tqdm(total=round(estimate), unit="s", mininterval=2, file=sys.stderr) as bar:
            done = 0.0
            for draw, took in self._painted(missing):
                bar.set_postfix_str(draw.variant.label, refresh=False)
                taken.setdefault(draw.variant.method, []).append(took)
                done += plans.seconds(draw)
                bar.update(round(done) - bar.n)
        logger.info("seconds a picture: %s", ", ".join(f"{m} {sum(t) / len(t):.2f}" for m, t in taken.items()))
        return len(missing)

    def _painted(self, missing: Sequence[Draw]) -> Iterator[tuple[Draw, float]]:
        if self.workers is not None:
            yield from self.workers.each(missing)
            return
        for draw in missing:
            began = time.monotonic()
            self.album.picture(draw)
            yield draw, time.monotonic() - began

    def approve(self, plan: Plan, tables: Iterable[int]) -> tuple[Plan, Approval]:
        """The plan with seeds whose layouts are right, for the cases that some tables need; see `bench.approval`."""
        needed = {draw.case for draw in plan.draws(tables)}
        at_once = self.workers.count if self.workers else 1
        approval = approve([case for case in plan.groups if case in needed], self._right, at_once)
        return plan.with_cases(approval.chosen), approval

    def _right(self, cases: Sequence[Case]) -> list[bool]:
        layouts = [Draw(LAYOUT, case) for case in cases]
        self.draw(layouts)
        found = self.album.instances(layouts, self.detector, self.embedder, self.stamp)
        return [self._is_right(layout.case, found[layout]) for layout in layouts]

    @staticmethod
    def _is_right(case: Case, instances: tuple[Instance, ...]) -> bool:
        _, exact = measures.presence(instances, case.class_words)
        return exact and (not case.close or max(measures.occlusions(instances)) > measures.OCCLUDED)

    def scores(self, draws: Sequence[Draw]) -> dict[Draw, Score]:
        """Score pictures; those of cases whose layout was drawn also against it."""
        found = self.album.instances(draws, self.detector, self.embedder, self.stamp)
        scorer = Scorer(self.known, self.threshold)

        def score(draw: Draw, instances: tuple[Instance, ...]) -> Score:
            return scorer.score(draw.case, self.album.picture(draw), instances, found.get(Draw(LAYOUT, draw.case)))

        return {draw: score(draw, instances) for draw, instances in found.items()}


def painting(weights_dir: Path, cache_dir: Path) -> Callable[[Draw], object]:
    """For `Workers`: what a process draws with, given a run's folders."""
    return Run(weights_dir, cache_dir).album.picture


def workers(count: int, weights_dir: Path, cache_dir: Path) -> Workers[Draw]:
    """Processes that draw a run's pictures."""
    return Workers(count, partial(painting, weights_dir, cache_dir))
