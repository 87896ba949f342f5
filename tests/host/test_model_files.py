"""Where model files are looked for, in which order, and what is said where there are none."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from lib_omg.vision import owlvit, yolo
from lib_omg.vision.found import SourceUnavailable

MODULE = "lib_omg.host.model_files"
SAM_KEYS = ("image_encoder.patch_embed.proj.weight", "mask_decoder.mask_tokens.weight")
MOBILE_KEYS = ("image_encoder.patch_embed.seq.0.c.weight", "mask_decoder.mask_tokens.weight")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, in a WebUI whose folders are in `tmp_path`."""
    paths: Any = ModuleType("modules.paths")
    paths.models_path, paths.extensions_dir = str(tmp_path / "models"), str(tmp_path / "extensions")
    shared: Any = ModuleType("modules.shared")
    shared.opts = SimpleNamespace()
    modules: Any = ModuleType("modules")
    modules.paths, modules.shared = paths, shared
    for name, module in (("modules", modules), ("modules.paths", paths), ("modules.shared", shared)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setattr(owlvit, "cached_folders", list)
    monkeypatch.setattr(yolo, "cached_file", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "segment_anything" or None)
    yield importlib.import_module(MODULE)
    sys.modules.pop(MODULE, None)  # it holds the stand-ins
    delattr(sys.modules["lib_omg.host"], "model_files")


def save(path: Path, keys: tuple[str, ...], size: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({key: torch.zeros(size) for key in keys}, path)
    return path


def test_nothing_there_says_which_file_to_put_where(files: Any, tmp_path: Path) -> None:
    assert (files.sam_files(), files.owlvit_folders(), files.yolo_files()) == ([], [], [])
    for ask, words in (
        (files.sam_file, ("sam_vit_b_01ec64.pth", tmp_path / "models" / "sam")),
        (files.owlvit_folder, ("model.safetensors", tmp_path / "models" / "owlvit")),
        (files.yolo_file, ("yolov8s-worldv2.pt", tmp_path / "models" / "yolo")),
    ):
        with pytest.raises(SourceUnavailable) as caught:
            ask()
        for word in words:
            assert str(word) in str(caught.value)
    assert not (tmp_path / "models").exists()  # looking makes no folders


def test_sam_files_are_found_in_both_places_small_ones_first(files: Any, tmp_path: Path) -> None:
    own, theirs = files.sam_folders()
    assert theirs == tmp_path / "extensions" / "sd-webui-segment-anything" / "models" / "sam"
    large = save(own / "sam_vit_h_4b8939.pth", SAM_KEYS, 9000)
    small = save(theirs / "sam_vit_b_01ec64.PTH", SAM_KEYS, 5000)
    mobile = save(own / "mobile_sam.pt", MOBILE_KEYS)
    save(own / "u2net.pth", ("conv.weight",))
    (own / "put models here.txt").write_text("", encoding="utf8")
    (own / "folder.pth").mkdir()
    assert [file.path for file in files.sam_files()] == [small, large, mobile]  # mobile_sam is not installed
    assert [file.usable for file in files.sam_files()] == [True, True, False]
    assert files.sam_file().path == small


def test_a_linked_folder_counts_once(files: Any, tmp_path: Path) -> None:
    own, theirs = files.sam_folders()
    path = save(own / "sam.pth", SAM_KEYS)
    theirs.parent.mkdir(parents=True)
    theirs.symlink_to(own)
    assert [file.path for file in files.sam_files()] == [path]


@pytest.mark.parametrize("name", ["sam_l.pth", "sam_l", " sam_l.pth "])
def test_the_settings_page_chooses(files: Any, name: str) -> None:
    own, _ = files.sam_folders()
    save(own / "sam_b.pth", SAM_KEYS)
    chosen = save(own / "sam_l.pth", SAM_KEYS, 9000)
    sys.modules["modules.shared"].opts.omg_sam_file = name  # type: ignore[attr-defined]
    assert files.sam_file().path == chosen


def test_a_choice_that_is_gone_is_told(files: Any) -> None:
    save(files.sam_folders()[0] / "sam_b.pth", SAM_KEYS)
    sys.modules["modules.shared"].opts.omg_sam_file = "sam_l.pth"  # type: ignore[attr-defined]
    with pytest.raises(SourceUnavailable, match=r"'sam_l\.pth' .* was not found\. There are: sam_b\.pth"):
        files.sam_file()


def owl(folder: Path, kind: str = "owlvit") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf8")
    (folder / "pytorch_model.bin").write_bytes(b"")
    return folder


def test_owlvits_are_found_in_the_folder_below_it_and_in_the_cache(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = owl(tmp_path / "cache")
    monkeypatch.setattr(files, "cached_folders", lambda: [cached])
    assert files.owlvit_folders() == [cached]
    below = owl(files.owlvit_home() / "owlvit-base-patch32")
    owl(files.owlvit_home() / "another", "owlv2")
    assert files.owlvit_folders() == [below, cached]
    assert files.owlvit_folder() == below


def test_yolo_worlds_are_found_in_omg_s_and_adetailer_s_folders(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, theirs = files.yolo_homes()
    large = save(own / "yolov8x-worldv2.pt", ("a",), 9000)
    small = save(theirs / "yolov8s-world.pt", ("a",))
    save(theirs / "face_yolov8n.pt", ("a",))
    cached = save(tmp_path / "cache" / "yolov8x-worldv2.pt", ("a",))
    monkeypatch.setattr(files, "cached_file", lambda: cached)
    assert files.yolo_files() == [small, large, cached]
    assert files.yolo_file() == small
