"""The small SAM's lessons: the same for a step, prompts that are true of their masks, a loss of the best mask."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_omg.vision.sam_model import sizes_of
from toyworld.instruments.decoded import Pool
from toyworld.sam import data, evaluate
from toyworld.sam import train as trainer
from toyworld.scene import draw_scene


def scene_masks(number: int) -> np.ndarray:
    return data.true_masks(draw_scene(random.Random(f"sam test {number}")))


def pool_of(count: int) -> Pool:
    from toyworld.instruments.decoded import drawn_scene

    return Pool([drawn_scene(number).image // 2 for number in range(count)])


def test_a_step_always_has_the_same_pictures_and_prompts() -> None:
    pool = pool_of(3)
    first, again, other = (data.examples(1, step, pool) for step in (5, 5, 6))
    assert len(first) == data.BATCH
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.masks, two.masks)
        for a, b in zip(one.prompts, two.prompts, strict=True):
            for name in ("boxes", "points", "labels"):
                assert np.array_equal(getattr(a, name), getattr(b, name))
    assert not all(np.array_equal(one.image, two.image) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("step", range(4))
def test_prompts_are_true_of_their_masks(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "STRAY", 0.0)
    for example in data.examples(2, step):
        height, width = example.masks.shape[1:]
        assert example.image.shape == (height, width, 3)
        boxed, clicked = example.prompts
        assert boxed.boxes is not None
        assert clicked.boxes is None
        for mask, (x0, y0, x1, y1) in zip(example.masks, boxed.boxes, strict=True):
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            inside = mask[round(y0) : round(y1), round(x0) : round(x1)].sum()
            assert inside > 0.3 * mask.sum()
        for prompts in example.prompts:
            if prompts.points is None or prompts.labels is None:
                continue
            for mask, points, labels in zip(example.masks, prompts.points, prompts.labels, strict=True):
                assert (labels == 1).any()
                assert not prompts.single or (labels != -1).sum() == 1
                for (x, y), label in zip(points, labels, strict=True):
                    assert label == -1 or mask[int(y), int(x)] == label


def test_mirrored_pictures_keep_their_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands in a bright colour is bright where the mask says."""
    monkeypatch.setattr(data, "wear", lambda _, image: image)
    for example in data.examples(3, 0):
        ground = np.median(example.image.reshape(-1, 3), axis=0)
        away = np.abs(example.image - ground).sum(2)
        assert away[example.masks.any(0)].mean() > away[~example.masks.any(0)].mean()


def test_targets_are_shares_of_cells() -> None:
    masks = scene_masks(0)
    size = (masks.shape[1] // 4, masks.shape[2] // 4)
    expected = masks.reshape(len(masks), size[0], 4, size[1], 4).mean((2, 4))
    assert data.targets(masks, size) == pytest.approx(expected, abs=1e-6)


def test_the_loss_is_that_of_the_best_mask() -> None:
    wanted = torch.zeros(1, 8, 8)
    wanted[0, 2:6, 2:6] = 1
    right, wrong = (wanted * 2 - 1)[:, None] * 20, (1 - wanted * 2)[:, None] * 20
    guesses = torch.tensor([[1.0, 0.0]])
    both = trainer.prompt_loss(torch.cat([right, wrong], 1), guesses, wanted)
    assert float(both) == pytest.approx(0, abs=1e-3)
    assert float(trainer.prompt_loss(wrong, guesses[:, 1:], wanted)) > 10
    said_wrong = trainer.prompt_loss(right, torch.tensor([[0.0]]), wanted)
    assert float(said_wrong) == pytest.approx(trainer.IOU_WEIGHT, abs=1e-3)
    assert trainer.ious(right, wanted[:, None]).tolist() == [[1.0]]
    assert trainer.ious(wrong, wanted[:, None]).tolist() == [[0.0]]


def test_training_writes_a_sam_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the right sizes after one step; the second run makes the second step."""
    monkeypatch.setattr(data, "BATCH", 1)
    assert trainer.main(["--steps", "1", "--scenes", "0", "--folder", str(tmp_path)]) == 0
    file = evaluate.SamFile(tmp_path / trainer.NAME)
    assert sizes_of(file.load().state_dict()) == trainer.SIZES
    before = (tmp_path / trainer.NAME).read_bytes()
    assert trainer.main(["--steps", "2", "--scenes", "0", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / trainer.NAME).read_bytes() != before
    assert len(before) < 1_500_000


def test_rough_regions_are_rough_disjoint_and_somewhere_near() -> None:
    ious = []
    for number in range(6):
        masks = scene_masks(number)
        rough = evaluate.rough_masks(masks)
        assert torch.equal(rough, evaluate.rough_masks(masks))
        assert rough.shape == masks.shape
        assert rough.sum(0).max() <= 1
        ious += [evaluate.mask_iou(one.numpy() > 0.5, true) for one, true in zip(rough, masks, strict=True)]
    assert 0.4 < float(np.mean(ious)) < 0.85
