"""Pictures and what was found in them, kept by content, so that a run goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench import measures
from bench.measures import Instance
from toyworld.writing import replacing

if TYPE_CHECKING:
    from bench.instruments import Detector, Embedder
    from bench.plans import Draw

BATCH = 64


@dataclass
class Album:
    """Draws every picture once.

    Attributes:
        folder: where pictures are kept.
        paint: draws one, uint8 (H, W, 3).
        key: hash of everything a picture depends on.
    """

    folder: Path
    paint: Callable[[Draw], np.ndarray]
    key: Callable[[Draw], str]

    def has(self, draw: Draw) -> bool:
        """Whether a picture is kept already."""
        return self._path(draw).is_file()

    def picture(self, draw: Draw) -> np.ndarray:
        """A picture uint8 (H, W, 3), drawn if it is not kept."""
        path = self._path(draw)
        if not path.is_file():
            image = self.paint(draw)
            with replacing(path) as part:
                Image.fromarray(image).save(part, format="PNG")
        with Image.open(path) as kept:
            return np.asarray(kept.convert("RGB"))

    def instances(
        self, draws: Sequence[Draw], detector: Detector, embedder: Embedder, stamp: str
    ) -> dict[Draw, tuple[Instance, ...]]:
        """What the instruments find in pictures.

        Args:
            draws: whose pictures.
            detector, embedder: the instruments. stamp: hash of them.
        """
        paths = {draw: self._path(draw).with_suffix(f".{stamp}.npz") for draw in draws}
        missing = [draw for draw, path in paths.items() if not path.is_file()]
        for begin in range(0, len(missing), BATCH):
            part = missing[begin : begin + BATCH]
            found = measures.observe([self.picture(draw) for draw in part], detector, embedder)
            for draw, instances in zip(part, found, strict=True):
                _save(paths[draw], instances)
        return {draw: _load(path) for draw, path in paths.items()}

    def _path(self, draw: Draw) -> Path:
        return self.folder / f"{self.key(draw)}.png"


def _save(path: Path, instances: Sequence[Instance]) -> None:
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            class_words=np.array([instance.class_word for instance in instances], dtype=str),
            masks=np.array([instance.mask for instance in instances], dtype=bool),
            embeddings=np.array([instance.embedding for instance in instances], dtype=np.float64),
        )


def _load(path: Path) -> tuple[Instance, ...]:
    with np.load(path) as kept:
        parts = zip(kept["class_words"], kept["masks"], kept["embeddings"], strict=True)
        return tuple(Instance(str(word), mask, embedding) for word, mask, embedding in parts)
