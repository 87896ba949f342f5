"""YOLO-World with a stand-in for ultralytics: what it is asked, what comes of its answers, and what is missing."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from lib_omg.vision import yolo
from lib_omg.vision.boxes import Thresholds
from lib_omg.vision.found import Search, SourceUnavailable
from lib_omg.vision.yolo import YoloSource, decoded, is_world_model

HEIGHT, WIDTH = 60, 100
COCO = {0: "person", 16: "dog", 56: "chair"}


def boxes(*rows: tuple[tuple[float, float, float, float], float, int]) -> Any:
    """What ultralytics calls `Boxes`, of (corners in fractions, score, class number)."""
    return SimpleNamespace(
        xyxyn=torch.tensor([row[0] for row in rows]).reshape(-1, 4),
        conf=torch.tensor([row[1] for row in rows]),
        cls=torch.tensor([float(row[2]) for row in rows]),
    )


class FakeUltralytics(ModuleType):
    """Finds `answer`, whatever the picture; keeps what it was asked."""

    def __init__(self, answer: Any, fails: dict[str, Exception] | None = None) -> None:
        super().__init__("ultralytics")
        self.asked: dict[str, Any] = {}
        self.loaded: list[str] = []
        self.told: list[str] = []
        fake, fails = self, fails or {}

        class YOLOWorld:
            def __init__(self, file: str) -> None:
                if "load" in fails:
                    raise fails["load"]
                fake.loaded.append(file)
                self.names: Any = dict(COCO)

            def set_classes(self, words: list[str]) -> None:
                if "set_classes" in fails:
                    raise fails["set_classes"]
                self.names = fake.told = list(words)

            def predict(self, image: Any, **asked: Any) -> list[Any]:
                if "predict" in fails:
                    raise fails["predict"]
                fake.asked = {"image": image, **asked}
                return [SimpleNamespace(boxes=answer)]

        self.YOLOWorld = YOLOWorld


TWO = boxes(((0.1, 0.1, 0.4, 0.9), 0.8, 0), ((0.5, 0.5, 0.9, 1.2), 0.6, 16), ((0, 0, 0.1, 0.1), 0.9, 56))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "yolov8s-worldv2.pt"
    path.write_bytes(b"never read by OMG itself")
    return path


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeUltralytics) -> FakeUltralytics:
    monkeypatch.setitem(sys.modules, "ultralytics", fake)
    return fake


def with_clip(monkeypatch: pytest.MonkeyPatch, folder: Path, package: bool = True, weights: bool = True) -> None:
    clip = ModuleType("clip")
    clip.__spec__ = importlib.machinery.ModuleSpec("clip", None)
    monkeypatch.setitem(sys.modules, "clip", clip)
    if not package:
        monkeypatch.delitem(sys.modules, "clip")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = folder / "ViT-B-32.pt"
    monkeypatch.setattr(yolo, "clip_file", lambda: path)
    if weights:
        path.write_bytes(b"")


def picture() -> torch.Tensor:
    made = torch.zeros(3, HEIGHT, WIDTH)
    made[0, :, :50] = 1  # red on the left
    return made


def test_words_that_the_file_knows_need_no_clip(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    fake = use(monkeypatch, FakeUltralytics(TWO))
    found = YoloSource(file, "cpu").find(Search(picture(), {"Person": 1, "dog": 1}))
    assert [(one.label, one.box) for one in found] == [
        ("Person", pytest.approx((0.1, 0.1, 0.4, 0.9))),
        ("dog", pytest.approx((0.5, 0.5, 0.9, 1.0))),
    ]
    assert [one.score for one in found] == pytest.approx([0.8, 0.6])
    assert found[0].mask.shape == (HEIGHT, WIDTH)
    assert found[0].mask[30, 20] == 1
    assert found[0].mask[30, 60] == 0
    assert fake.loaded == [str(file)]
    assert fake.told == []
    assert fake.asked["classes"] == [0, 16]
    assert (fake.asked["conf"], fake.asked["device"], fake.asked["verbose"]) == (0.1, "cpu", False)


def test_the_picture_reaches_it_upright_and_in_its_colours(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    fake = use(monkeypatch, FakeUltralytics(TWO))
    YoloSource(file, "cpu").find(Search(picture(), {"person": 1}))
    image = fake.asked["image"]
    assert (image.mode, image.size) == ("RGB", (WIDTH, HEIGHT))
    assert image.getpixel((10, 50)) == (255, 0, 0)
    assert image.getpixel((90, 10)) == (0, 0, 0)


def test_new_words_are_told_where_clip_is_there(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    fake = use(monkeypatch, FakeUltralytics(boxes(((0.5, 0, 1, 1), 0.7, 1), ((0, 0, 0.4, 1), 0.5, 0))))
    with_clip(monkeypatch, tmp_path)
    found = YoloSource(file, "cpu").find(Search(picture(), {"old  Man": 1, "dog": 1}))
    assert fake.told == ["old man", "dog"]
    assert fake.asked["classes"] == [0, 1]
    assert [one.label for one in found] == ["old  Man", "dog"]


@pytest.mark.parametrize(("package", "weights"), [(False, True), (True, False)])
def test_nothing_is_downloaded_for_new_words(
    monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path, package: bool, weights: bool
) -> None:
    fake = use(monkeypatch, FakeUltralytics(TWO))
    with_clip(monkeypatch, tmp_path, package, weights)
    with pytest.raises(SourceUnavailable, match=r"does not know man by itself.*package clip, and ViT-B-32\.pt in"):
        YoloSource(file, "cpu").find(Search(picture(), {"man": 1, "dog": 1}))
    assert (fake.told, fake.asked) == ([], {})


def test_further_individuals_have_to_be_surer(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    answer = boxes(((0, 0, 0.2, 1), 0.9, 0), ((0.3, 0, 0.5, 1), 0.5, 0), ((0.6, 0, 0.8, 1), 0.2, 0))
    use(monkeypatch, FakeUltralytics(answer))
    source = YoloSource(file, "cpu", Thresholds(0.1, 0.4))
    assert [one.score for one in source.find(Search(picture(), {"person": 1}))] == pytest.approx([0.9, 0.5])
    assert len(source.find(Search(picture(), {"person": 3}))) == 3


@pytest.mark.parametrize("answer", [boxes(), boxes(((float("nan"), 0, 1, 1), 0.9, 0)), boxes(((0, 0, 1, 1), 0.9, 56))])
def test_nobody_found_is_no_error(monkeypatch: pytest.MonkeyPatch, file: Path, answer: Any) -> None:
    use(monkeypatch, FakeUltralytics(answer))
    assert YoloSource(file, "cpu").find(Search(picture(), {"person": 1})) == []


def test_scores_out_of_range_are_held() -> None:
    (one,) = decoded(boxes(((0, 0, 1, 1), 1.5, 0)), {0: "man"})
    assert one.score == 1


def test_no_file_no_package_no_words(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    search = Search(picture(), {"person": 1})
    with pytest.raises(SourceUnavailable, match=r"expected a YOLO-World file at .*none\.pt, found none"):
        YoloSource(tmp_path / "none.pt", "cpu").find(search)
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(SourceUnavailable, match="pip install ultralytics"):
        YoloSource(file, "cpu").find(search)
    monkeypatch.setitem(sys.modules, "ultralytics", ModuleType("ultralytics"))  # too old to have YOLOWorld
    with pytest.raises(SourceUnavailable, match=r"8\.1\.26 or newer"):
        YoloSource(file, "cpu").find(search)
    assert YoloSource(file, "cpu").find(Search(picture(), {"  ": 1, "dog": 0})) == []
    with pytest.raises(ValueError, match="picture: expected"):
        YoloSource(file, "cpu").find(Search(picture() + 7, {"dog": 1}))


@pytest.mark.parametrize("where", ["load", "set_classes", "predict"])
@pytest.mark.parametrize("error", [RuntimeError("bad file"), AttributeError("no world"), KeyError("model")])
def test_what_ultralytics_can_t_use_is_told(
    monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path, where: str, error: Exception
) -> None:
    use(monkeypatch, FakeUltralytics(TWO, {where: error}))
    with_clip(monkeypatch, tmp_path)
    with pytest.raises(SourceUnavailable, match=rf"can't use yolov8s-worldv2\.pt \({type(error).__name__}"):
        YoloSource(file, "cpu").find(Search(picture(), {"man": 1}))


def test_no_memory_is_told(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    use(monkeypatch, FakeUltralytics(TWO, {"predict": torch.cuda.OutOfMemoryError("full")}))
    with pytest.raises(SourceUnavailable, match="not enough memory"):
        YoloSource(file, "cpu").find(Search(picture(), {"dog": 1}))


class WorldModel(torch.nn.Module):
    """Its name is what tells a YOLO-World."""


def test_world_models_are_told_without_unpickling(tmp_path: Path) -> None:
    torch.save({"model": WorldModel()}, tmp_path / "renamed.pt")
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "face_yolov8n.pt")
    (tmp_path / "yolov8x-worldv2.pt").write_bytes(b"")
    told = {path.name: is_world_model(path) for path in tmp_path.glob("*.pt")}
    assert told == {"renamed.pt": True, "face_yolov8n.pt": False, "yolov8x-worldv2.pt": True}
