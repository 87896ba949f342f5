"""The measuring instruments: grouping, crops, training data and formulas against slow oracles; no trained weights."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from toyworld.identity import CLASSES, Identity, random_identity
from toyworld.instruments import detector as detector_module
from toyworld.instruments.ahead import Ahead
from toyworld.instruments.crops import CROP_SIZE, GREY, crop, dilated, eroded
from toyworld.instruments.data import (
    ATTRIBUTES,
    FAMILIES,
    TELLING_PX,
    UNSEEN,
    VIEWS,
    attribute_values,
    difference_px,
    scene_batch,
    scene_truth,
    shown_attributes,
    sibling,
    view_batch,
)
from toyworld.instruments.detector import Detection, Detector, DetectorNet, Heads, group
from toyworld.instruments.embedder import DIMENSIONS, Embedder, EmbedderNet
from toyworld.instruments.evaluate import CAST_VIEWS, cast_similarity, judge
from toyworld.instruments.measures import accuracy_at, best_ious, mask_iou, verification
from toyworld.instruments.nets import save_weights
from toyworld.instruments.train import TEMPERATURE, contrastive_loss
from toyworld.scene import Scene, draw_scene

MOST_PARAMETERS = 800_000


def drawn(seed: int) -> Scene:
    return draw_scene(random.Random(f"test {seed}"))


def perfect_heads(scene: Scene) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    semantic, heat, offsets = (torch.from_numpy(part) for part in scene_truth(scene))
    shares = torch.nn.functional.one_hot(semantic.long(), 1 + len(CLASSES)).permute(2, 0, 1).float()  # HWC -> CHW
    return shares, heat, offsets


def test_true_heads_give_back_the_truth() -> None:
    hidden = 0.0
    for seed in range(25):
        scene = drawn(seed)
        found = group(*perfect_heads(scene))
        assert [d.class_word for d in found] == [i.identity.class_word for i in scene.instances]
        for detection, instance in zip(found, scene.instances, strict=True):
            assert np.array_equal(detection.mask, instance.visible)
            assert detection.box == instance.box
            assert detection.score == pytest.approx(1)
            hidden = max(hidden, instance.occlusion)
    assert hidden > 0.3


def blank(height: int = 48, width: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heads that see nobody."""
    semantic = torch.zeros(1 + len(CLASSES), height, width)
    semantic[0] = 1
    return semantic, torch.zeros(height, width), torch.zeros(2, height, width)


def put(heads: tuple[torch.Tensor, ...], rows: slice, columns: slice, label: int, middle: tuple[int, int]) -> None:
    """Let a rectangle show a class and point to a middle."""
    semantic, heat, offsets = heads
    semantic[:, rows, columns] = 0
    semantic[label, rows, columns] = 1
    heat[middle] = 0.9
    grid = torch.stack(torch.meshgrid(*(torch.arange(n) for n in heat.shape), indexing="ij")).float()
    offsets[:, rows, columns] = (torch.tensor(middle, dtype=torch.float)[:, None, None] - grid)[:, rows, columns]


def test_someone_parted_by_another_stays_one() -> None:
    heads = blank()
    man, woman = CLASSES.index("man") + 1, CLASSES.index("woman") + 1
    put(heads, slice(4, 44), slice(10, 20), man, (20, 31))
    put(heads, slice(4, 44), slice(44, 54), man, (20, 31))
    put(heads, slice(10, 46), slice(20, 44), woman, (33, 32))

    found = {detection.class_word: detection for detection in group(*heads)}

    assert set(found) == {"man", "woman"}
    assert found["man"].box == (10, 4, 54, 44)
    assert found["man"].mask.sum() == 2 * 40 * 10
    assert not (found["man"].mask & found["woman"].mask).any()


def test_pixels_vote_for_the_class() -> None:
    heads = blank()
    dog, vase = CLASSES.index("dog") + 1, CLASSES.index("vase") + 1
    put(heads, slice(10, 30), slice(10, 22), dog, (20, 20))
    put(heads, slice(10, 30), slice(22, 30), vase, (20, 20))

    (found,) = group(*heads)

    assert found.class_word == "dog"
    assert found.mask.sum() == 20 * 20
    assert found.score == pytest.approx(0.9 * 12 / 20)


def test_neither_crumbs_nor_pixels_without_a_middle_are_found() -> None:
    heads = blank()
    put(heads, slice(0, 9), slice(0, 11), 1, (4, 5))
    assert group(*heads) == []
    put(heads, slice(0, 10), slice(0, 10), 1, (4, 5))
    assert len(group(*heads)) == 1
    heads[1].fill_(0.29)
    assert group(*heads) == []


def test_grouping_agrees_with_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "LEAST_AREA_PX", 1)
    source = torch.Generator().manual_seed(0)
    semantic = torch.rand(1 + len(CLASSES), 20, 60, generator=source).softmax(0)
    offsets = torch.randn(2, 20, 60, generator=source) * 4
    heat = torch.zeros(20, 60)
    middles = [(10, 50), (4, 8), (15, 27)]
    for row, column in middles:
        heat[row, column] = 0.5 + column / 200
    expected = {middle: np.zeros((20, 60), bool) for middle in middles}
    for row in range(20):
        for column in range(60):
            if semantic[1:, row, column].max() > semantic[0, row, column]:
                y, x = row + float(offsets[0, row, column]), column + float(offsets[1, row, column])
                expected[min(middles, key=lambda m: math.hypot(m[0] - y, m[1] - x))][row, column] = True

    found = group(semantic, heat, offsets)

    assert len(found) == 3
    for detection, middle in zip(found, sorted(middles, key=lambda m: m[1]), strict=True):
        assert np.array_equal(detection.mask, expected[middle])
        votes = [
            sum(float(semantic[1 + c, y, x]) for y, x in np.argwhere(expected[middle])) for c in range(len(CLASSES))
        ]
        assert detection.class_word == CLASSES[int(np.argmax(votes))]


def rectangle_heads(pixels: torch.Tensor) -> Heads:
    """A network's stand-in: what is white is one man."""
    count, _, height, width = pixels.shape
    semantic = torch.zeros(count, 1 + len(CLASSES), height, width)
    heat, offsets = torch.full((count, height, width), -20.0), torch.zeros(count, 2, height, width)
    for index, picture in enumerate(pixels):
        white = picture[0] > 0
        semantic[index, 1] = torch.where(white, 20.0, -20.0)
        rows, columns = white.nonzero(as_tuple=True)
        middle = torch.stack([rows.float().mean().round(), columns.float().mean().round()])
        heat[index, int(middle[0]), int(middle[1])] = 20
        offsets[index][:, white] = middle[:, None] - torch.stack([rows, columns])
    return Heads(semantic, heat, offsets)


def test_pictures_of_several_sizes_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "BATCH", 2)
    boxes = [(8 + 3 * i, 20 + i, 40 + 5 * i, 90 + i) for i in range(7)]
    images = []
    for (x0, y0, x1, y1), width in zip(boxes, (128, 192, 128, 256, 128, 192, 128), strict=True):
        images.append(np.zeros((128, width, 3), np.uint8))
        images[-1][y0:y1, x0:x1] = 255

    found = Detector(rectangle_heads).detect(images)  # type: ignore[arg-type]

    assert [[detection.box for detection in detections] for detections in found] == [[box] for box in boxes]
    assert all(d[0].mask.shape == image.shape[:2] for d, image in zip(found, images, strict=True))


def test_detect_refuses_other_pictures() -> None:
    detector = Detector(rectangle_heads)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8"):
        detector.detect([np.zeros((128, 128, 3), np.float32)])
    with pytest.raises(ValueError, match="multiples of 16"):
        detector.detect([np.zeros((128, 120, 3), np.uint8)])
    assert detector.detect([]) == []


def test_networks_are_small_and_give_full_size() -> None:
    for net in (DetectorNet(), EmbedderNet()):
        assert sum(parameter.numel() for parameter in net.parameters()) <= MOST_PARAMETERS
    for width in (128, 192, 256):
        heads = DetectorNet()(torch.zeros(1, 3, 128, width))
        assert heads.semantic.shape == (1, 1 + len(CLASSES), 128, width)
        assert heads.heat.shape == (1, 128, width)
        assert heads.offsets.shape == (1, 2, 128, width)


def test_a_crop_shows_the_masked_pixels_only() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (128, 128, 3), np.uint8)
    mask = np.zeros((128, 128), bool)
    mask[30:90, 40:70] = True
    other, moved = image.copy(), np.zeros_like(image)
    other[~mask] = 7
    moved[10:70, 90:120] = image[30:90, 40:70]

    found = crop(image, mask)

    assert found.shape == (*CROP_SIZE, 4)
    assert np.array_equal(found, crop(other, mask))
    assert np.array_equal(found, crop(moved, np.roll(mask, (-20, 50), (0, 1))))
    outside, inside = found[..., 3] == 0, found[..., 3] == 255
    assert (found[outside][:, :3] == GREY).all()
    # 60 of 65 rows, and 30 of 52 columns; the edge is blended
    assert inside.mean() == pytest.approx(60 / 65 * 30 / 52, abs=0.04)
    assert np.abs(found[inside][:, :3].mean(0) - image[mask].mean(0)).max() < 3


def test_a_wide_individual_fits_too_and_stray_pixels_do_not_shrink_it() -> None:
    image = np.full((128, 192, 3), 200, np.uint8)
    mask = np.zeros((128, 192), bool)
    mask[60:90, 20:90] = True
    strayed = mask.copy()
    strayed[2, 180] = True

    found = crop(image, mask)

    columns = np.flatnonzero((found[..., 3] > 127).any(0))
    assert columns[0] > 0
    assert columns[-1] < CROP_SIZE[1] - 1
    assert len(columns) > 0.85 * CROP_SIZE[1]
    assert np.array_equal(found, crop(image, strayed))


def test_a_crop_of_nobody_is_refused() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    for mask in (np.zeros((128, 128), bool), np.ones((128, 192), bool)):
        with pytest.raises(ValueError, match="mask"):
            crop(image, mask)
    line = np.zeros((128, 128), bool)
    line[5] = True
    assert crop(image, line).shape == (*CROP_SIZE, 4)


def test_masks_shrink_and_grow_by_a_pixel() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    centre, cross = np.zeros_like(mask), mask.copy()
    centre[4, 4] = True
    cross[2:7, 3:6] = cross[3:6, 2:7] = True
    assert np.array_equal(eroded(mask), centre)
    assert np.array_equal(dilated(mask), cross)


def test_vectors_are_of_unit_length_and_depend_on_nobody_else() -> None:
    torch.manual_seed(0)
    embedder = Embedder(EmbedderNet().eval())
    scene = drawn(3)
    pairs = [(scene.image, instance.visible) for instance in scene.instances] + [
        (drawn(4).image, drawn(4).instances[0].visible)
    ]

    together = embedder.embed(*zip(*pairs, strict=True))
    alone = torch.cat([embedder.embed([image], [mask]) for image, mask in pairs])

    assert together.shape == (len(pairs), DIMENSIONS)
    assert torch.allclose(together.norm(dim=1), torch.ones(len(pairs)))
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(embedder.similarity(together, together).diagonal(), torch.ones(len(pairs)))
    assert embedder.embed([], []).shape == (0, DIMENSIONS)


def test_weights_come_back_from_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    nets = {"embedder": EmbedderNet(), "detector": DetectorNet()}
    for name, net in nets.items():
        save_weights(net, tmp_path / f"{name}.safetensors")
    crops, pixels = torch.rand(2, 4, *CROP_SIZE), torch.rand(1, 3, 128, 128)

    unmeasured = Embedder.load(tmp_path / "embedder.safetensors")
    results = {"embedder": {"threshold": 0.5, "strict_threshold": 0.75}}
    (tmp_path / "instruments.json").write_text(json.dumps(results), encoding="utf8")
    measured = Embedder.load(tmp_path / "embedder.safetensors")

    assert (unmeasured.threshold, measured.threshold, measured.strict_threshold) == (None, 0.5, 0.75)
    assert next(measured.net.parameters()).dtype == torch.float32
    assert torch.allclose(measured.net(crops), nets["embedder"](crops), atol=1e-2)
    loaded = Detector.load(tmp_path / "detector.safetensors").net
    assert torch.allclose(loaded(pixels).heat, nets["detector"](pixels).heat, atol=2e-2)
    with pytest.raises(FileNotFoundError, match=r"python -m toyworld\.instruments\.train"):
        Detector.load(tmp_path / "none.safetensors")


def test_attributes_that_do_not_show_are_known() -> None:
    plain_dog = shown_attributes(Identity("dog", "floppy"))
    assert plain_dog >= {"style", "hair", "pattern"}
    assert not plain_dog & {"skin", "bottom", "pattern_colour", "accessory"}
    assert shown_attributes(Identity("dog", "floppy", pattern="dots")) >= {"pattern_colour"}
    assert "hair" not in shown_attributes(Identity("man", "bald"))
    assert "hair" in shown_attributes(Identity("man", "bald", accessory="beard"))
    assert "bottom" not in shown_attributes(Identity("woman", "long"))
    assert "bottom" in shown_attributes(Identity("woman", "long", accessory="hat"))
    values = dict(zip(ATTRIBUTES, attribute_values(Identity("lamp", "drum", top="cyan")), strict=True))
    assert values["skin"] == values["hair"] == UNSEEN
    assert ATTRIBUTES["top"][values["top"]] == "cyan"
    assert ATTRIBUTES["style"][values["style"]] == "drum"


@pytest.mark.parametrize("class_word", CLASSES)
def test_siblings_differ_visibly_in_one_attribute(class_word: str) -> None:
    rng = random.Random(0)
    changed: Counter[str] = Counter()
    for _ in range(60):
        first = random_identity(rng, class_word)
        second = sibling(rng, first)
        (name,) = [f.name for f in fields(Identity) if getattr(first, f.name) != getattr(second, f.name)]
        changed[name] += 1
        assert difference_px(first, second) >= TELLING_PX
    assert len(changed) >= 4


def test_a_step_alone_decides_its_views() -> None:
    batch, again, next_step, other_seed = view_batch(0, 7), view_batch(0, 7), view_batch(0, 8), view_batch(1, 7)

    assert np.array_equal(batch.crops, again.crops)
    assert np.array_equal(batch.who, again.who)
    assert not np.array_equal(batch.crops, next_step.crops)
    assert not np.array_equal(batch.crops, other_seed.crops)
    assert Counter(batch.who.tolist()) == dict.fromkeys(range(2 * FAMILIES), VIEWS)
    values = {int(who): row for who, row in zip(batch.who, batch.attributes.tolist(), strict=True)}
    for who, row in zip(batch.who, batch.attributes.tolist(), strict=True):
        assert row == values[int(who)]
    for family in range(FAMILIES):
        assert values[2 * family] != values[2 * family + 1]


def test_a_step_alone_decides_its_scenes() -> None:
    batch, again, next_step = scene_batch(0, 7), scene_batch(0, 7), scene_batch(0, 9)

    assert np.array_equal(batch.images, again.images)
    assert np.array_equal(batch.offsets, again.offsets)
    assert batch.images.shape != next_step.images.shape or not np.array_equal(batch.images, next_step.images)
    assert batch.images.shape[:3] == batch.semantic.shape == batch.heat.shape
    # Nobody is background, so that nothing points anywhere from there
    assert not (np.abs(batch.offsets).sum(1)[batch.semantic == 0]).any()
    assert batch.heat.max() == 1


def squared(step: int) -> int:
    return step * step


def test_batches_made_ahead_are_those_of_their_steps() -> None:
    with Ahead(squared, steps=9, workers=1, depth=3) as batches:
        assert [batches(step) for step in range(5, 9)] == [25, 36, 49, 64]
        assert batches.pending == {}
        assert batches(0) == 0
        assert set(batches.pending) == {1, 2}


def test_the_contrastive_loss_agrees_with_a_slow_one() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    who = [0, 1, 0, 2, 1, 0, 2]
    total = 0.0
    for i in range(7):
        others = [j for j in range(7) if j != i]
        sums = sum(math.exp(float(vectors[i] @ vectors[j]) / TEMPERATURE) for j in others)
        positives = [j for j in others if who[j] == who[i]]
        total -= sum(math.log(math.exp(float(vectors[i] @ vectors[j]) / TEMPERATURE) / sums) for j in positives) / len(
            positives
        )

    assert float(contrastive_loss(vectors, torch.tensor(who))) == pytest.approx(total / 7, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_verification_agrees_with_a_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that there are ties within and across
    same = rng.normal(0.7, 0.2, 40 + seed).round(1 + seed % 2)
    other = rng.normal(0.3, 0.2, 55).round(1 + seed % 2)
    best, gap, rate = 0.0, 2.0, 0.0
    for threshold in np.arange(-1, 2, 0.005) + 0.0025:
        missed = sum(value < threshold for value in same) / len(same)
        accepted = sum(value >= threshold for value in other) / len(other)
        best = max(best, 1 - (missed + accepted) / 2)
        if abs(missed - accepted) < gap:
            gap, rate = abs(missed - accepted), (missed + accepted) / 2

    found = verification(same, other)

    assert found.accuracy == pytest.approx(best)
    assert found.equal_error_rate == pytest.approx(rate)
    assert accuracy_at(found.threshold, same, other) == pytest.approx(best)


def test_verification_of_clear_and_of_hopeless_pairs() -> None:
    clear = verification(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.4]))
    hopeless = verification(np.array([0.1, 0.1]), np.array([0.9, 0.9]))

    assert (clear.accuracy, clear.threshold, clear.equal_error_rate) == (1, pytest.approx(0.6), 0)
    assert hopeless.accuracy == 0.5
    assert hopeless.equal_error_rate == 1
    with pytest.raises(ValueError, match="found 0 and 1"):
        verification(np.array([]), np.array([0.5]))


def stripe(start: int, end: int) -> np.ndarray:
    mask = np.zeros((4, 20), bool)
    mask[:, start:end] = True
    return mask


def test_masks_are_paired_once_the_best_first() -> None:
    assert mask_iou(stripe(0, 10), stripe(5, 15)) == pytest.approx(5 / 15)
    assert mask_iou(stripe(0, 0), stripe(3, 3)) == 0
    truth = [stripe(0, 10), stripe(10, 20)]
    assert best_ious(truth, [stripe(10, 20), stripe(0, 8)]) == [0.8, 1]
    # One found over both goes to the one it fits best, the other was not found
    assert best_ious(truth, [stripe(4, 20)]) == [0, pytest.approx(10 / 16)]
    assert best_ious(truth, []) == [0, 0]


def true_detections(scene: Scene) -> list[Detection]:
    return [Detection(i.identity.class_word, 1.0, i.box, i.visible) for i in scene.instances]


def test_judging_the_truth_and_less_than_it() -> None:
    scenes = [drawn(seed) for seed in range(10)]
    truth = [true_detections(scene) for scene in scenes]

    perfect = judge(scenes, truth)
    without_first = judge(scenes, [[], *truth[1:]])
    nobody = judge(scenes, [[] for _ in scenes])

    assert (perfect.right, perfect.iou_apart, perfect.iou_overlapping) == (1, 1, 1)
    assert without_first.right == pytest.approx(0.9)
    assert (nobody.right, nobody.iou_apart, nobody.iou_overlapping) == (0, 0, 0)


class Recalling(Embedder):
    """Gives vectors kept for it, in the order asked for."""

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__(EmbedderNet())
        self.kept = vectors

    def embed(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> torch.Tensor:
        assert len(images) == len(masks) == len(self.kept)
        return self.kept


def test_the_casts_matrix_compares_no_view_with_itself() -> None:
    count = 9
    vectors = torch.nn.functional.normalize(torch.randn(count * CAST_VIEWS, 4), dim=1)

    found = cast_similarity(Recalling(vectors))

    for i in range(count):
        for j in range(count):
            cosines = [
                float(vectors[i * CAST_VIEWS + a] @ vectors[j * CAST_VIEWS + b])
                for a in range(CAST_VIEWS)
                for b in range(CAST_VIEWS)
                if (i, a) != (j, b)
            ]
            assert float(found[i, j]) == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)
