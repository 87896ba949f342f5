"""SAM sessions and outlines: the same as the package's own way gives, kept while wanted, and gone after."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything import sam_model_registry
from torch.nn import functional

from lib_omg.core.errors import OmgError
from lib_omg.vision import sam
from lib_omg.vision.boxes import box_of
from lib_omg.vision.found import Instance, Search, SourceUnavailable
from lib_omg.vision.sam import Outline, SamSession, SamSource, agrees, outlined
from lib_omg.vision.sam_file import SamFile
from lib_omg.vision.sam_prompts import Prompt, rough_prompts
from tests.vision.small_sam import saved, small_sam

HEIGHT, WIDTH = 40, 96  # never square: (H, W) and (x, y) must not be told apart by luck


def picture(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> torch.Tensor:
    """Smooth noise (3, H, W)."""
    coarse = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, (height, width), mode="bilinear")[0]


@pytest.fixture
def file(tmp_path: Path) -> SamFile:
    return SamFile(saved(tmp_path, small_sam()))


def by_the_package(model: Any, image: torch.Tensor, prompt: Prompt) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (masks, H, W) and guessed IoUs (masks,), written out without its predictor."""
    height, width = image.shape[1:]
    scale = model.image_encoder.img_size / max(height, width)
    size = (int(height * scale + 0.5), int(width * scale + 0.5))
    drawn = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    scaled = np.asarray(drawn.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    record: dict[str, Any] = {"image": torch.from_numpy(scaled.copy()).permute(2, 0, 1)}
    if prompt.points:
        told = torch.tensor(prompt.points)
        record["point_coords"] = (told[:, :2] * torch.tensor([size[1], size[0]]))[None]
        record["point_labels"] = told[:, 2][None]
    if prompt.box:
        record["boxes"] = torch.tensor([prompt.box]) * torch.tensor([size[1], size[0], size[1], size[0]])
    with torch.no_grad():
        embedding = model.image_encoder(torch.stack([model.preprocess(record["image"])]))
        points = (record["point_coords"], record["point_labels"]) if prompt.points else None
        sparse, dense = model.prompt_encoder(points=points, boxes=record.get("boxes"), masks=None)
        low, scores = model.mask_decoder(
            embedding, model.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=prompt.is_click
        )
        side = model.image_encoder.img_size
        large = functional.interpolate(low, (side, side), mode="bilinear")[..., : size[0], : size[1]]
        return functional.interpolate(large, (height, width), mode="bilinear")[0], scores[0]


PROMPTS = [
    Prompt(((0.8, 0.3, 1),)),
    Prompt(((0.8, 0.3, 1), (0.1, 0.9, 0))),
    Prompt(box=(0.6, 0.1, 0.95, 0.9)),
    Prompt(((0.8, 0.3, 1),), (0.6, 0.1, 0.95, 0.9)),
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (96, 40), (200, 130)])
def test_outlines_are_those_of_the_package(file: SamFile, prompt: Prompt, size: tuple[int, int]) -> None:
    image = picture(*size)
    with SamSession(file, "cpu") as session:
        session.set_picture(image)
        outline = session.outline(prompt)
    logits, scores = by_the_package(small_sam(), image, prompt)
    best = int(scores.argmax())
    assert outline.logits.shape == size
    assert outline.score == pytest.approx(min(1, max(0, float(scores[best]))), abs=1e-4)
    assert float(logits[best].std()) > 0.01
    torch.testing.assert_close(outline.logits, logits[best], atol=1e-4, rtol=1e-4)
    assert torch.equal(outline.mask, (outline.logits > 0).float())


def test_clicks_on_one_picture_encode_it_once(file: SamFile) -> None:
    with SamSession(file, "cpu") as session:
        calls = []
        session._predictor.model.image_encoder.register_forward_hook(lambda *_: calls.append(1))
        session.set_picture(picture())
        found = [session.click([[x / 10, 0.5, 1]]).logits for x in range(1, 10)]
        assert len(calls) == 1
        again = session.click([[0.1, 0.5, 1]]).logits
        assert torch.equal(found[0], again)
        assert not torch.equal(found[0], found[-1])
        session.set_picture(picture(seed=1))
        assert len(calls) == 2
        assert not torch.equal(session.click([[0.1, 0.5, 1]]).logits, again)


def test_a_bad_click_or_picture_loses_nothing(file: SamFile) -> None:
    with SamSession(file, "cpu") as session:
        session.set_picture(picture())
        before = session.click([[0.5, 0.5, 1]]).logits
        for points in ([[0.5, 0.5, 1]] * 10_000, [[7, 0.5, 1]], []):
            with pytest.raises(ValueError, match="points: expected"):
                session.click(points)
        for bad in (picture() * float("nan"), picture()[:1], picture() * 255, torch.zeros(3, 8, 9000)):
            with pytest.raises(ValueError, match="picture: expected"):
                session.set_picture(bad)
        assert torch.equal(session.click([[0.5, 0.5, 1]]).logits, before)


def test_what_is_not_open_says_so(file: SamFile) -> None:
    session = SamSession(file, "cpu")
    with pytest.raises(OmgError, match="not looked at a picture"):
        session.click([[0.5, 0.5, 1]])
    session.set_picture(picture())
    assert session.size == (HEIGHT, WIDTH)
    session.close()
    session.close()
    for use in (lambda: session.click([[0.5, 0.5, 1]]), lambda: session.set_picture(picture())):
        with pytest.raises(OmgError, match="closed"):
            use()


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_gone_after(file: SamFile, fails: bool) -> None:
    session = SamSession(file, "cpu")  # it stays; what it held must not

    def use() -> list[weakref.ref[Any]]:
        with session:
            session.set_picture(picture())
            references.extend(map(weakref.ref, (session._predictor.model, session._predictor.features)))
            if fails:
                raise RuntimeError("in between")
        return references

    references: list[weakref.ref[Any]] = []
    if fails:
        with pytest.raises(RuntimeError, match="in between"):
            use()
    else:
        use()
    gc.collect()
    assert [reference() for reference in references] == [None, None]
    assert session.size is None


def test_a_source_lets_go_after_an_error(file: SamFile, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    outline = SamSession.outline

    def failing(session: SamSession, prompt: Prompt) -> Outline:
        if seen:
            raise RuntimeError("the second fails")
        seen.append(weakref.ref(session._predictor.model))
        return outline(session, prompt)

    monkeypatch.setattr(SamSession, "outline", failing)
    with pytest.raises(RuntimeError, match="the second fails"):
        SamSource(file, "cpu").find(Search(picture(), {"man": 2}, rough()))
    gc.collect()
    assert seen[0]() is None


def test_no_memory_is_told_and_the_encoder_goes_back(file: SamFile) -> None:
    with SamSession(file, "cpu") as session:
        encoder = session._predictor.model.image_encoder
        moves: list[str] = []
        original = encoder.to
        encoder.to = lambda *args: (moves.append(str(args[0])), original(*args))[1]

        def full(*_: Any) -> None:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

        hook = encoder.register_forward_hook(full)
        with pytest.raises(SourceUnavailable, match=r"not enough memory for small\.pth.*ViT-B or MobileSAM"):
            session.set_picture(picture())
        assert moves == ["cpu", "cpu"]
        hook.remove()
        with pytest.raises(OmgError, match="not looked at a picture"):
            session.click([[0.5, 0.5, 1]])
        session.set_picture(picture())
        assert session.click([[0.5, 0.5, 1]]).logits.shape == (HEIGHT, WIDTH)


def test_half_precision_is_for_graphics_cards(file: SamFile) -> None:
    with SamSession(file, "cpu", torch.float16) as session:
        assert {p.dtype for p in session._predictor.model.parameters()} == {torch.float32}


def test_an_encoder_in_another_precision_gives_single(file: SamFile) -> None:
    model = file.load()
    image = picture(64, 64)[None]
    expected = model.image_encoder(image)
    sam._cast(model.image_encoder, torch.bfloat16)
    assert {p.dtype for p in model.image_encoder.parameters()} == {torch.bfloat16}
    found = model.image_encoder(image)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()


def rough() -> list[Instance]:
    left, right = torch.zeros(20, 48), torch.zeros(20, 48)
    left[4:16, 4:18] = 1
    left[4:7, 4:9] = 0  # no box
    right[6:18, 26:40] = 1
    return [Instance("man", 0.9, left, box_of(left)), Instance("dog", 0.8, right, box_of(right))]


def test_a_source_outlines_everybody(file: SamFile) -> None:
    found = SamSource(file, "cpu").find(Search(picture(), {"man": 1, "dog": 1}, rough()))
    assert [(one.label, one.score) for one in found] == [("man", 0.9), ("dog", 0.8)]
    for one in found:
        assert one.mask.shape == (HEIGHT, WIDTH)
        assert one.box == box_of(one.mask)
    with SamSession(file, "cpu") as session:
        session.set_picture(picture())
        outlines = [session.outline(prompt) for prompt in rough_prompts(rough()) if prompt]
    expected = outlined(rough(), outlines, (HEIGHT, WIDTH))
    assert all(torch.equal(one.mask, other.mask) for one, other in zip(found, expected, strict=True))


def test_nobody_found_needs_no_sam(tmp_path: Path) -> None:
    nowhere = SamSource(SamFile(tmp_path / "none.pth"), "cpu")
    assert nowhere.find(Search(picture(), {"man": 1})) == []
    with pytest.raises(SourceUnavailable, match="found none"):
        nowhere.find(Search(picture(), {"man": 1}, rough()))


def planted(left: float, top: float, right: float, bottom: float, height: float = 5.0) -> Outline:
    logits = torch.full((HEIGHT, WIDTH), -5.0)
    rows, columns = slice(round(top * HEIGHT), round(bottom * HEIGHT)), slice(round(left * WIDTH), round(right * WIDTH))
    logits[rows, columns] = height
    return Outline(logits, 0.9)


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        (planted(0.08, 0.2, 0.38, 0.8), True),  # just there
        (planted(0.1, 0.3, 0.3, 0.7), True),  # smaller
        (planted(0.02, 0.15, 0.42, 0.85), True),  # somewhat larger
        (planted(0, 0, 1, 1), False),  # the ground
        (planted(0.6, 0.3, 0.8, 0.8), False),  # the other one
        (planted(0.2, 0.4, 0.24, 0.5), False),  # a button
        (planted(0, 0, 0, 0), False),
    ],
)
def test_outlines_of_something_else_are_told(outline: Outline, expected: bool) -> None:
    assert agrees(outline, rough()[0]) is expected


def test_a_missed_outline_keeps_the_rough_one() -> None:
    first, second = outlined(rough(), [planted(0.6, 0, 0.9, 1), planted(0.55, 0.3, 0.8, 0.9)], (HEIGHT, WIDTH))
    large = functional.interpolate(rough()[0].mask[None, None], (HEIGHT, WIDTH), mode="bilinear")[0, 0]
    assert torch.equal(first.mask > 0.5, large > 0.5)
    assert second.box == pytest.approx((0.55, 0.3, 0.8, 0.9), abs=0.02)


def test_what_two_claim_goes_to_the_surer() -> None:
    outlines = [planted(0.08, 0.2, 0.6, 0.8, height=2.0), planted(0.5, 0.3, 0.85, 0.9, height=4.0)]
    first, second = outlined(rough(), outlines, (HEIGHT, WIDTH))
    assert (first.mask * second.mask).sum() == 0
    assert second.box == pytest.approx((0.5, 0.3, 0.85, 0.9), abs=0.02)
    assert torch.equal((first.mask + second.mask) > 0, (outlines[0].logits > 0) | (outlines[1].logits > 0))


def test_who_loses_everything_keeps_the_rough_outline() -> None:
    same = [planted(0.08, 0.2, 0.85, 0.9, height=2.0), planted(0.08, 0.2, 0.85, 0.9, height=4.0)]
    both = [rough()[0], Instance("dog", 0.8, torch.ones(20, 48), (0, 0, 1, 1))]
    first, second = outlined(both, same, (HEIGHT, WIDTH))
    assert first.mask.any()
    assert second.mask.any()


def test_large_pictures_are_outlined_smaller(file: SamFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "LONGEST_PX", 64)
    with SamSession(file, "cpu") as session:
        session.set_picture(picture(100, 256))
        assert session.click([[0.5, 0.5, 1]]).mask.shape == (25, 64)


@pytest.mark.slow
def test_meta_s_vit_b_loads_and_runs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = SamFile(saved(tmp_path, sam_model_registry["vit_b"](), "sam_vit_b_01ec64.pth"))
    assert file.title == "ViT-B"
    with SamSession(file, "cpu") as session:
        session.set_picture(picture(192, 256))
        outline = session.click([[0.5, 0.5, 1]], [0.25, 0.25, 0.75, 0.75])
        assert session._predictor.model.image_encoder.img_size == 1024
    assert outline.logits.shape == (192, 256)
    assert torch.isfinite(outline.logits).all()
    assert outline.logits.std() > 0
