"""Kept pictures: drawn once, taken for no other, whole after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench import fingerprints
from bench.cases import Case
from bench.pictures import Album
from bench.plans import MERGE, OURS, Draw

CASES = [Case(("rex", "ida"), "park", "day", seed) for seed in range(3)]
DRAWS = [Draw(variant, case) for variant in (MERGE, OURS) for case in CASES]


class Painter:
    """Paints noise that says which picture it is; can be made to fail."""

    def __init__(self) -> None:
        self.painted: list[Draw] = []
        self.fails_at: int | None = None

    def paint(self, draw: Draw) -> np.ndarray:
        if len(self.painted) == self.fails_at:
            raise KeyboardInterrupt
        self.painted.append(draw)
        return np.random.default_rng(DRAWS.index(draw)).integers(0, 255, (16, 24, 3), np.uint8)


@dataclass(frozen=True)
class Half:
    """The half of a picture."""

    class_word: str
    mask: np.ndarray
    score: float = 1.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)


class Instruments:
    def __init__(self) -> None:
        self.seen = 0

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Half]]:
        self.seen += len(images)
        halves = []
        for image in images:
            left = np.zeros(image.shape[:2], bool)
            left[:, : image.shape[1] // 2] = True
            halves.append([] if image.mean() < 1 else [Half("man", left), Half("woman", ~left)])
        return halves

    def embed(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[image[mask].mean(), 100.0] for image, mask in zip(images, masks, strict=True)])


def album(folder: Path, painter: Painter) -> Album:
    return Album(folder, painter.paint, lambda draw: fingerprints.of_value([draw.variant.method, draw.case.seed]))


def test_a_picture_is_drawn_once(tmp_path: Path) -> None:
    painter = Painter()
    first = [album(tmp_path, painter).picture(draw) for draw in DRAWS]
    again = [album(tmp_path, painter).picture(draw) for draw in DRAWS]
    assert painter.painted == DRAWS
    for index, (one, other) in enumerate(zip(first, again, strict=True)):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(
            one, np.random.default_rng(index).integers(0, 255, (16, 24, 3), np.uint8)
        )  # bit for bit


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    painter = Painter()
    painter.fails_at = 2
    kept = album(tmp_path, painter)
    kept.picture(DRAWS[0])
    kept.picture(DRAWS[1])
    with pytest.raises(KeyboardInterrupt):
        kept.picture(DRAWS[2])
    assert [kept.has(draw) for draw in DRAWS] == [True, True, False, False, False, False]
    painter.fails_at = None
    for draw in DRAWS:
        kept.picture(draw)
    assert painter.painted == DRAWS


def test_instances_are_kept_with_the_picture(tmp_path: Path) -> None:
    painter, instruments = Painter(), Instruments()
    kept = album(tmp_path, painter)
    first = kept.instances(DRAWS, instruments, instruments, "one")
    again = album(tmp_path, painter).instances(DRAWS, instruments, instruments, "one")
    assert instruments.seen == len(DRAWS)
    assert [[i.class_word for i in again[draw]] for draw in DRAWS] == [["man", "woman"]] * len(DRAWS)
    for draw in DRAWS:
        for one, other in zip(first[draw], again[draw], strict=True):
            np.testing.assert_array_equal(one.mask, other.mask)
            np.testing.assert_array_equal(one.embedding, other.embedding)
    kept.instances(DRAWS[:2], instruments, instruments, "retrained")
    assert instruments.seen == len(DRAWS) + 2


def test_an_empty_picture_is_kept_as_empty(tmp_path: Path) -> None:
    instruments = Instruments()
    dark = Album(tmp_path, lambda _draw: np.zeros((16, 24, 3), np.uint8), lambda _draw: "dark")
    for _ in range(2):
        assert dark.instances(DRAWS[:1], instruments, instruments, "one")[DRAWS[0]] == ()
    assert instruments.seen == 1


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with bench/a.py, which imports bench/b.py in a function, and bench/c.py, which nobody imports."""
    monkeypatch.setattr(fingerprints, "REPOSITORY", tmp_path)
    for name, text in {
        "a": "def f():\n    from bench.b import g\n    return g()\n",
        "b": 'def g():\n    """Text."""\n    return 1\n',
        "c": "x = 1\n",
    }.items():
        (tmp_path / "bench").mkdir(exist_ok=True)
        (tmp_path / "bench" / f"{name}.py").write_text(text)
    return tmp_path / "bench"


def code_of(path: Path) -> str:
    for part in (fingerprints._parsed, fingerprints._code):
        part.cache_clear()
    return fingerprints.of_code([path])


def test_code_counts_with_all_it_imports_and_its_comments_do_not(package: Path) -> None:
    before = code_of(package / "a.py")
    (package / "c.py").write_text("x = 2\n")
    (package / "b.py").write_text('# why\ndef g():\n    """Other text."""\n\n    return 1\n')
    assert code_of(package / "a.py") == before
    (package / "b.py").write_text("def g():\n    return 2\n")
    assert code_of(package / "a.py") != before


def test_values_and_files_count_by_content(tmp_path: Path) -> None:
    assert fingerprints.of_value({"a": 1, "b": 2}) == fingerprints.of_value({"b": 2, "a": 1})
    assert fingerprints.of_value(["a", 1]) != fingerprints.of_value(["a", 2])
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    assert fingerprints.of_files([one, other]) == fingerprints.of_files([other, one])
    assert fingerprints.of_files([one]) != fingerprints.of_files([other])
