"""The masks' bench: scenes of both halves, pairing, and scores that faults in what was found bring down."""

from __future__ import annotations

import numpy as np
import pytest

from bench.masks import HALVES, OTHERS, Sample, Score, Seen, named, paired, sample, table

H, W = 24, 40


def block(left: int, right: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[4:20, left:right] = True
    return mask


TRUTH = [block(2, 12), block(20, 30)]
WORDS = ("man", "woman")


def seen(masks: list[np.ndarray], labels: tuple[str, ...]) -> Seen:
    return Seen(tuple(mask.astype(np.float32) for mask in masks), labels, np.zeros((H, W, 3), np.uint8))


def test_the_halves_are_the_same_in_every_process_and_share_no_scene() -> None:
    first = [sample(number, half) for half in HALVES for number in range(5)]
    again = [sample(number, half) for half in HALVES for number in range(5)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.scene.image, other.scene.image)
    pictures = {one.scene.image.tobytes() for one in first}
    assert len(pictures) == len({one.seed for one in first}) == len(first)
    assert len(first[4].words) == 3


def test_kinds() -> None:
    kinds = {sample(number, "tuning").kind for number in range(20)}
    assert kinds == {"2 apart", "2 overlapping", "3", "4", "5"}
    assert named(("man", "dog", "man")) == ("men", "dog", "men")


def test_pairs_are_made_best_first() -> None:
    ious, partner = paired(TRUTH, [block(1, 13), block(2, 12)])
    assert partner == [1, None]
    assert ious == [1.0, 0.0]


def test_all_right_scores_all() -> None:
    score = Score.of("2", WORDS, TRUTH, seen(TRUTH, WORDS))
    assert score == Score("2", (1.0, 1.0), (True, True), 2, 2, True)


@pytest.mark.parametrize(
    ("masks", "labels", "words", "found"),
    [
        (TRUTH, ("woman", "man"), (False, False), 2),
        (TRUTH[:1], ("man",), (True, False), 1),
        ([*TRUTH, block(32, 38)], ("man", "woman", "man"), (True, True), 3),
        ([], (), (False, False), 0),
    ],
)
def test_faults_are_counted(masks: list, labels: tuple[str, ...], words: tuple[bool, ...], found: int) -> None:
    score = Score.of("2", WORDS, TRUTH, seen(masks, labels))
    assert score.words == words
    assert score.found == found


def test_the_table_counts_numbers_everywhere_and_classes_where_they_are_mixed() -> None:
    right = Score("2", (1.0, 0.6), (True, True), 2, 2, True)
    wrong = Score("2", (0.4, 0.6), (True, False), 3, 2, True)
    alike = Score("2", (1.0, 1.0), (True, False), 2, 2, False)
    other = Score(OTHERS, (), (), 1, 3, False)
    lines = table("title", [right, wrong, alike, other]).splitlines()
    assert [line.split()[0] for line in lines] == ["title", "2", "not", "all"]
    assert lines[1].split()[1:3] == ["3", "0.767"]
    assert [lines[1].split()[place] for place in (4, 6, 8)] == ["0.667", "0.667", "0.500"]
    assert lines[2].split()[3:6] == ["1", "-", "-"]
    assert lines[2].split()[6] == "0.000"
    assert lines[3].split()[3] == "3"


def test_a_sample_of_one_scene_has_a_word_for_everybody() -> None:
    asked = sample(9, "held-out")
    assert isinstance(asked, Sample)
    assert len(asked.words) == len(asked.scene.instances)
