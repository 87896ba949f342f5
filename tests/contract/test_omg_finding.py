"""Who looks and who outlines: each source falls back to the next with a message, and detectors and SAM find people."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
import torch
from omg_tools import concept, found_pair, spy
from test_omg_board import toy_sam

pytestmark = pytest.mark.contract
STEPS = 3


def masks_and_text(omg: dict[str, Any]) -> tuple[torch.Tensor, str]:
    with spy() as seen:
        run = harness.run(omg, steps=STEPS)
    return torch.stack([plan.masks[0] for plan in seen.plans]), run.processed.comments


class Boxes:
    """A detector that finds what it is told."""

    def __init__(self, *found: tuple[str, tuple[float, float, float, float]]) -> None:
        self.found = found
        self.asked: list[Any] = []

    def find(self, search: Any) -> list[Any]:
        from lib_omg.core.masks import box_mask
        from lib_omg.vision.found import Instance

        self.asked.append(search)
        return [Instance(label, 0.9, box_mask(box, 32, 32), box) for label, box in self.found]


def detect_by(monkeypatch: pytest.MonkeyPatch, source: Boxes) -> None:
    from lib_omg.host import finding

    monkeypatch.setattr(finding, "detector", lambda finder: source)


LEFT, RIGHT = (0.05, 0.1, 0.45, 1.0), (0.55, 0.1, 0.95, 1.0)


@pytest.mark.parametrize("finder", ["owlvit", "yolo"])
def test_without_model_files_it_says_what_to_put_where_and_attention_looks(finder: str) -> None:
    expected, _ = masks_and_text(found_pair())
    found, text = masks_and_text(found_pair(find_by=[finder]))
    assert torch.equal(found, expected)
    assert "Put " in text
    assert finder in text


def test_without_sam_the_edges_stay_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_omg.host import model_files

    monkeypatch.setattr(model_files, "sam_files", list)
    expected, _ = masks_and_text(found_pair())
    found, text = masks_and_text(found_pair(outline_by="sam"))
    assert torch.equal(found, expected)
    assert "sam_vit_b_01ec64.pth" in text


@pytest.mark.usefixtures("large")
def test_a_detectors_boxes_are_where_the_concepts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Boxes(("woman", LEFT), ("man", RIGHT))
    detect_by(monkeypatch, source)
    masks, text = masks_and_text(found_pair(find_by=["owlvit"], dilation_px=0, feather_px=0))
    (search,) = source.asked
    assert search.wanted == {"man": 1, "woman": 1}
    assert search.picture.shape == (3, 128, 128)
    columns = torch.arange(16.0)
    man, woman = ((mask.sum(0) * columns).sum() / mask.sum() for mask in masks)
    assert (woman < 7, man > 8) == (True, True), "the detector's word counts, not the attention's"
    assert text == ""


def test_a_detector_that_finds_too_few_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    detect_by(monkeypatch, Boxes(("woman", LEFT)))
    expected, _ = masks_and_text(found_pair())
    assert torch.equal(masks_and_text(found_pair(find_by=["yolo", "attention"]))[0], expected)


def test_more_than_asked_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    detect_by(monkeypatch, Boxes(("man", (0, 0, 0.3, 1)), ("man", (0.35, 0, 0.6, 1)), ("woman", (0.65, 0, 1, 1))))
    _, text = masks_and_text(found_pair(find_by=["owlvit"]))
    assert "shows 2 'man'; 1 of them belong to no concept" in text


@pytest.mark.usefixtures("large")
def test_sam_outlines_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_omg.host import model_files

    monkeypatch.setattr(model_files, "sam_file", toy_sam)
    rough, _ = masks_and_text(found_pair(dilation_px=0, feather_px=0))
    fine, text = masks_and_text(found_pair(outline_by="sam", dilation_px=0, feather_px=0))
    assert text == ""
    assert not torch.equal(rough, fine)
    for one, other in zip(rough, fine, strict=True):
        assert torch.minimum(one, other).sum() / torch.maximum(one, other).sum() > 0.4
    assert float((fine.sum(0)).max()) <= 1 + 1e-6


@pytest.mark.usefixtures("large")
def test_likest_first_reads_the_words_around_the_class_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever attention finds, each of two concepts gets the instance its own words are drawn to."""
    from lib_omg.host import regions

    asked: list[Any] = []

    def own(concepts: Any, layout: Any, frame: Any) -> list[torch.Tensor]:
        asked.append([c.class_word for c in concepts])
        heat = torch.zeros(2, 16, 16)
        heat[0, :, 8:], heat[1, :, :8] = 1, 1
        return [heat]

    monkeypatch.setattr(regions, "own_heats", own)
    detect_by(monkeypatch, Boxes(("woman", LEFT), ("woman", RIGHT)))
    omg = {"concepts": [concept("woman", "ida"), concept("woman", "mia")], "find_by": ["owlvit"]}
    prompt = "a woman in red and a woman in blue"
    with spy() as seen:
        harness.run({**omg, "assign_by": "similarity"}, steps=STEPS, prompt=prompt)
    first, second = (np.argwhere(plan.masks[0].numpy() > 0.5)[:, 1].mean() for plan in seen.plans)
    assert asked == [["woman", "woman"]]
    assert first > second
    monkeypatch.undo()
    with spy() as seen:
        harness.run({**omg, "find_by": ["attention"], "assign_by": "similarity"}, steps=STEPS, prompt=prompt)
    assert len(seen.plans) == 2


def test_sam_is_given_a_detectors_boxes_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_omg.host import model_files
    from lib_omg.vision import sam

    given: list[Any] = []
    find = sam.SamSource.find

    def finding(self: Any, search: Any) -> Any:
        given.extend(search.rough)
        return find(self, search)

    monkeypatch.setattr(sam.SamSource, "find", finding)
    monkeypatch.setattr(model_files, "sam_file", toy_sam)
    detect_by(monkeypatch, Boxes(("man", LEFT), ("woman", RIGHT)))
    masks_and_text(found_pair(find_by=["owlvit"], outline_by="sam", on_missing="skip"))
    assert [one.box for one in given] == [LEFT, RIGHT]


def test_a_source_that_chokes_on_the_picture_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Boxes()
    monkeypatch.setattr(
        source, "find", lambda search: (_ for _ in ()).throw(ValueError("expected numbers, found NaN."))
    )
    detect_by(monkeypatch, source)
    expected, _ = masks_and_text(found_pair())
    found, text = masks_and_text(found_pair(find_by=["yolo"]))
    assert torch.equal(found, expected)
    assert "found NaN" in text
