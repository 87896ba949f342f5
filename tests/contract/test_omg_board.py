"""What the layout board asks of the server: layouts told, kept over a restart, deleted; the final masks; clicks."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
import torch
from omg_tools import concept, found_pair, spy
from PIL import Image

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("large")]
STEPS = 4


@pytest.fixture(scope="module")
def layout() -> Any:
    """One kept layout, and nothing of it left on disk."""
    harness.run({**found_pair(), "layout_only": True}, steps=STEPS, **harness.LARGE)
    shelf = harness.omg_script().runtime.shelf
    kept = shelf.all()[0]
    yield kept
    shelf.remove(kept.id)


def call(method: str, /, **params: Any) -> Any:
    """As the channel calls, through JSON."""
    from lib_omg.ui.channel import answer

    asked = json.dumps({"id": 1, "method": method, "params": params})
    told = json.loads(answer(harness.omg_script().board.methods(), asked))
    if "error" in told:
        raise RuntimeError(told["error"])
    return told["result"]


def picture(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))))


def test_a_layout_is_told_as_it_is(layout: Any) -> None:
    from lib_omg.vision.painted import unpack

    told = call("layout.latest")
    assert told == call("layout.get", id=layout.id)
    assert told["seed"] == 1
    assert (told["height"], told["width"], told["latent"]) == (128, 128, [16, 16])
    assert told["ready"]
    assert not told["kept"]
    assert told["labels"] == ["man", "woman"]
    assert [told["instances"][owner]["label"] for owner in told["owners"]] == ["man", "woman"]
    assert told["fields"]["Prompt"] == harness.PROMPT
    assert told["settings"]["concept1_lora"] == "rex"
    assert told["settings"]["layout"] == layout.id
    assert told["settings"]["layout_only"] is False
    plain = harness.run(steps=STEPS).images[0]
    assert np.abs(picture(told["picture"]).astype(int) - plain).max() <= 1
    for one, kept in zip(told["instances"], layout.instances, strict=True):
        np.testing.assert_array_equal(unpack(one["mask"]), kept.mask.numpy() > 0.5)


def test_the_final_masks_are_those_a_run_uses(layout: Any) -> None:
    owners = layout.owners
    concepts = [{"instance": owners[1], "depth": 0}, {"instance": owners[0], "depth": 1}]
    told = call("masks.final", id=layout.id, concepts=concepts, feather_px=8, dilation_px=16)
    omg = {
        "concepts": [concept("man", "rex", instance=owners[1]), concept("woman", "ida", instance=owners[0], depth=1)],
        "layout": layout.id,
    }
    with spy() as seen:
        harness.run(omg, steps=STEPS)
    assert told["size"] == [16, 16]
    for url, plan in zip(told["masks"], seen.plans, strict=True):
        np.testing.assert_allclose(picture(url) / 255, plan.masks[0].numpy(), atol=0.003)


def test_a_painted_and_a_boxed_concept_in_the_final_masks(layout: Any) -> None:
    from lib_omg.vision.painted import pack

    mask = np.zeros((16, 16), np.float32)
    mask[:, :4] = 1
    concepts = [
        {"mask_source": "painted", "mask": pack(mask)},
        {"mask_source": "box", "box": [0.5, 0, 1, 1]},
        {"instance": 99},
    ]
    told = call("masks.final", id=layout.id, concepts=concepts, feather_px=0, dilation_px=0)
    np.testing.assert_array_equal(picture(told["masks"][0]) > 127, mask > 0)
    np.testing.assert_array_equal(picture(told["masks"][1])[:, 8:], 255)
    assert not picture(told["masks"][2]).any()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from lib_omg.host.kept_layouts import LayoutFolder

    folder = LayoutFolder(tmp_path / "layouts")
    monkeypatch.setattr(harness.omg_script().runtime.shelf, "disk", folder)
    return folder


@pytest.mark.parametrize("name", ["beach", "a/b\\..\\c", "../../x", 'ünï "q" <b>', " two  spaces "])
def test_a_named_layout_outlives_the_webui(layout: Any, disk: Any, name: str) -> None:
    from lib_omg.host.shelf import Shelf

    board = {"owners": [1, 0], "depths": [0, 0]}
    listed = call("layout.keep", id=layout.id, name=name, board=board)
    assert listed[0]["name"] == " ".join(name.split())
    assert listed[0]["kept"]
    assert [file.name for file in disk.path.iterdir()] == [f"{layout.id}.json"]
    assert next(disk.path.iterdir()).stat().st_size < 200_000
    (again,) = Shelf(disk).all()
    assert again.trace is None
    assert (again.id, again.name, again.board, again.fields) == (layout.id, layout.name, board, layout.fields)
    assert (again.owners, again.settings, again.seed) == (layout.owners, layout.settings, layout.seed)
    assert torch.allclose(again.picture, layout.picture, atol=1.01 / 255)
    for one, other in zip(again.instances, layout.instances, strict=True):
        assert torch.equal(one.mask > 0.5, other.mask > 0.5)
        assert one.box == pytest.approx(other.box)


def test_a_recalled_layout_is_made_again_once_and_draws_the_same(
    layout: Any, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_omg.host.shelf import Shelf

    call("layout.keep", id=layout.id, name="kept", board=None)
    expected = harness.latents(found_pair(layout=layout.id), steps=STEPS)
    monkeypatch.setattr(harness.omg_script().runtime, "shelf", Shelf(disk))
    for layout_calls in (STEPS, 0):
        with spy() as seen:
            made = harness.latents(found_pair(layout=layout.id), steps=STEPS, seed=-1)
        assert len(seen.layout) == layout_calls
        torch.testing.assert_close(made, expected, atol=2e-3, rtol=0)


def test_a_deleted_layout_is_gone_from_the_disk(layout: Any, disk: Any) -> None:
    call("layout.keep", id=layout.id, name="kept", board=None)
    disk.delete(layout.id)
    assert list(disk.path.iterdir()) == []
    disk.delete(layout.id)


def test_damaged_files_are_passed_over_and_stay(layout: Any, disk: Any, caplog: pytest.LogCaptureFixture) -> None:
    call("layout.keep", id=layout.id, name="kept", board=None)
    good = json.loads((disk.path / f"{layout.id}.json").read_text())
    bad = {
        "half": '{"version": 1, "id"',
        "newer": json.dumps({**good, "version": 99}),
        "list": "[]",
        "owners": json.dumps({**good, "owners": [7]}),
        "picture": json.dumps({**good, "picture": "data:image/png;base64,AAAA"}),
        "id": json.dumps({**good, "id": "../evil"}),
        "setting": json.dumps({**good, "settings": {"concepts": [{"halo": 1}]}}),
    }
    for name, text in bad.items():
        (disk.path / f"{name}.json").write_text(text)
    assert [one.id for one in disk.read_all()] == [layout.id]
    assert len(caplog.records) >= len(bad)
    assert len(list(disk.path.glob("*.json"))) == len(bad) + 1


def test_a_disk_that_refuses_is_said_and_the_layout_stays(
    layout: Any, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = layout.name
    disk.path.parent.mkdir(exist_ok=True)
    disk.path.write_text("a file in the folder's place")
    with pytest.raises(RuntimeError, match="can't be written"):
        call("layout.keep", id=layout.id, name="elsewhere", board=None)
    assert layout.name == name
    assert call("layout.get", id=layout.id)["id"] == layout.id


@pytest.mark.parametrize(
    ("method", "params", "told"),
    [
        ("layout.get", {"id": "../../etc/passwd"}, "isn't kept any more"),
        ("layout.get", {"id": 7}, "id: expected a text"),
        ("layout.keep", {"name": " ", "board": None}, "name: expected 1 to"),
        ("layout.keep", {"name": "x" * 1000, "board": None}, "name: expected 1 to"),
        ("layout.keep", {"name": "x", "board": [1]}, "board: expected an object"),
        ("masks.final", {"concepts": "all"}, "concepts: expected a list"),
        ("masks.final", {"concepts": [{"mask_source": "painted", "mask": "bits:4x4:AAAA"}]}, "mask: expected"),
        ("masks.final", {"concepts": [{"mask_source": "painted", "mask": "data:image/png;base64,AAAA"}]}, "mask"),
        ("masks.final", {"concepts": [{"instance": -1}]}, "instance"),
        ("masks.final", {"concepts": [{}], "feather_px": float("nan")}, "feather_px"),
        ("sam.click", {"points": [[0.5, 0.5, 1]], "box": None}, "No SAM model was found"),
        ("sam.click", {"points": [[0.5, 0.5, 1]] * 10_000, "box": None}, "points: expected at most"),
        ("sam.click", {"points": [[float("nan"), 0.5, 1]], "box": None}, "points: expected finite"),
    ],
)
def test_bad_input_is_told_and_loses_nothing(
    layout: Any, method: str, params: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_omg.host import model_files

    monkeypatch.setattr(model_files, "sam_files", list)
    with pytest.raises(RuntimeError, match=told):
        call(method, **{"id": layout.id, **params})
    assert call("layout.get", id=layout.id)["id"] == layout.id


def toy_sam() -> Any:
    from lib_omg.vision.sam_file import SamFile

    file = Path(__file__).parents[2] / "toyworld" / "weights" / "instruments" / "sam.safetensors"
    return SamFile(file)


def test_clicks_on_somebody_outline_them(layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_omg.host import model_files
    from lib_omg.vision.painted import unpack

    monkeypatch.setattr(model_files, "sam_file", toy_sam)
    one = layout.instances[0]
    left, top, right, bottom = one.box
    found = unpack(call("sam.click", id=layout.id, points=[], box=[left, top, right, bottom])["mask"]) > 0.5
    truth = np.asarray(Image.fromarray(one.mask.numpy() > 0.5).resize(found.shape[::-1])) > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.6
    clicks = harness.omg_script().board.clicks
    assert clicks._session is not None
    harness.run(steps=2)
    assert clicks._session is None, "it is let go before a picture is drawn"
