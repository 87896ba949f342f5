"""The whole way of a SAM, from the file in the repository to outlines of who is in a picture."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lib_omg.core.masks import box_mask
from lib_omg.vision.boxes import box_of
from lib_omg.vision.found import Instance, Search
from lib_omg.vision.sam import SamSession, SamSource
from lib_omg.vision.sam_file import SamFile
from lib_omg.vision.sam_prompts import depth_of, inside_points
from toyworld.identity import random_identity
from toyworld.instruments.measures import mask_iou
from toyworld.instruments.nets import WEIGHTS
from toyworld.sam.evaluate import rough_masks
from toyworld.scene import Scene, draw_scene

FILE = SamFile(WEIGHTS / "sam.safetensors")


def scene(number: int, width: int) -> Scene:
    rng = random.Random(f"sam in tests {number}")
    return draw_scene(rng, [random_identity(rng, name) for name in ("man", "woman")], "park", "day", width)


def picture_of(drawn: Scene) -> torch.Tensor:
    return torch.from_numpy(drawn.image).permute(2, 0, 1).float() / 255  # (H, W, 3) -> (3, H, W)


def truth_of(drawn: Scene) -> list[torch.Tensor]:
    return [torch.from_numpy(instance.visible) for instance in drawn.instances]


def iou(found: torch.Tensor, truth: torch.Tensor) -> float:
    return mask_iou(found.numpy() > 0.5, truth.numpy() > 0.5)


@pytest.fixture(scope="module")
def session() -> Iterator[SamSession]:
    with SamSession(FILE, "cpu") as opened:
        yield opened


@pytest.mark.parametrize(("number", "width"), [(0, 128), (1, 192)])
def test_clicks_and_boxes_outline_who_is_there(session: SamSession, number: int, width: int) -> None:
    drawn = scene(number, width)
    session.set_picture(picture_of(drawn))
    for truth in truth_of(drawn):
        (point,) = inside_points(depth_of(truth.float()), 1)
        for outline in (session.click([[*point, 1]]), session.click([], box_of(truth.float()))):
            assert outline.mask.shape == (128, width)
            assert iou(outline.mask, truth) > 0.6
            assert outline.score > 0.5


def test_a_turned_picture_is_outlined_upright(session: SamSession) -> None:
    """A tall picture, (192, 128), of one who stands at its foot: (x, y) and (row, column) must not be mixed up."""
    drawn = scene(2, 128)
    left = drawn.image[:, :128]
    tall = np.concatenate([np.broadcast_to(left[:1], (64, 128, 3)), left])
    session.set_picture(torch.from_numpy(tall.copy()).permute(2, 0, 1).float() / 255)
    truth = torch.cat([torch.zeros(64, 128), truth_of(drawn)[0].float()])
    outline = session.click([], box_of(truth))
    assert outline.mask.shape == (192, 128)
    assert iou(outline.mask, truth) > 0.6


@pytest.mark.parametrize("as_boxes", [False, True])
def test_rough_regions_and_boxes_become_better_outlines(as_boxes: bool) -> None:
    before, after = [], []
    for number in range(3, 7):
        drawn = scene(number, 192)
        truth = truth_of(drawn)
        rough = [
            Instance(name, 0.7, box_mask(box_of(true.float()), 64, 96) if as_boxes else mask, box_of(mask))
            for name, mask, true in zip(
                ("man", "woman"), rough_masks(np.stack([one.numpy() for one in truth])), truth, strict=True
            )
        ]
        if as_boxes:
            rough = [Instance(one.label, one.score, one.mask, box_of(one.mask)) for one in rough]
        found = SamSource(FILE, "cpu").find(Search(picture_of(drawn), {"man": 1, "woman": 1}, rough))
        assert [one.label for one in found] == ["man", "woman"]
        assert float((found[0].mask * found[1].mask).sum()) == 0
        for one, outlined, true in zip(rough, found, truth, strict=True):
            large = torch.nn.functional.interpolate(one.mask[None, None], (128, 192), mode="bilinear")[0, 0]
            before.append(iou(large, true))
            after.append(iou(outlined.mask, true))
    assert np.mean(after) > np.mean(before) + 0.02
    assert np.mean(after) > 0.7
