"""OWL-ViT of random weights: boxes and scores against transformers' own way; missing and wrong files; no network."""

from __future__ import annotations

import gc
import json
import shutil
import socket
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_omg.core.errors import OmgError
from lib_omg.vision import owlvit
from lib_omg.vision.boxes import Thresholds
from lib_omg.vision.found import Search, SourceUnavailable
from lib_omg.vision.owlvit import OwlVitSource, cached_folders, decoded, download, is_owlvit

HEIGHT, WIDTH = 60, 100
WORDS = {"man": 1, "woman": 1, "red  dog": 2}
ALL = Thresholds(0.0, 0.0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing here may open a connection."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: refuse(None, a))  # type: ignore[arg-type]
    return tried


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer of letters alone, as OWL-ViT's are written."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = ["!pad", "do", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\nd o\n", encoding="utf8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub has it, of a model a thousand times smaller."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection

    folder = tmp_path_factory.mktemp("owlvit")
    write_tokenizer(folder)
    text = {"vocab_size": 200, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 16, "pad_token_id": 0}  # fmt: skip
    sight = {"hidden_size": 24, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
             "image_size": 48, "patch_size": 12}  # fmt: skip
    config = OwlViTConfig(text_config=text, vision_config=sight, projection_dim=16)
    torch.manual_seed(0)
    model = OwlViTForObjectDetection(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    model.save_pretrained(folder, safe_serialization=True)
    assert (folder / "model.safetensors").is_file()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "owl"))


def picture() -> torch.Tensor:
    return torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


@dataclass
class Output:
    """What `post_process_object_detection` reads."""

    logits: torch.Tensor
    pred_boxes: torch.Tensor


def by_transformers(folder: Path, words: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (P, N) and boxes (P, 4) of the picture, with pixels prepared by hand."""
    from transformers import CLIPTokenizerFast, OwlViTForObjectDetection

    model = OwlViTForObjectDetection.from_pretrained(folder, local_files_only=True).eval()
    square = Image.fromarray((picture() * 255).round().byte().permute(1, 2, 0).numpy())
    pixels = np.asarray(square.resize((48, 48), Image.Resampling.BICUBIC), np.float32) / 255
    mean, spread = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    pixels = ((pixels - np.array(mean)) / np.array(spread)).astype(np.float32).transpose(2, 0, 1)
    texts = CLIPTokenizerFast.from_pretrained(folder)(
        [f"a photo of a {word}" for word in words], padding="max_length", max_length=16, truncation=True,
        return_tensors="pt",
    )  # fmt: skip
    with torch.no_grad():
        out = model(pixel_values=torch.from_numpy(pixels)[None], **texts)
    return out.logits[0], out.pred_boxes[0]


def candidates(folder: Path) -> list[Any]:
    return OwlVitSource(folder, "cpu", thresholds=ALL)._candidates(picture(), list(WORDS))


@pytest.mark.parametrize("form", ["safetensors", "bin", "without position ids"])
def test_boxes_and_scores_are_those_of_transformers(folder: Path, form: str) -> None:
    from transformers import OwlViTImageProcessor

    logits, boxes = by_transformers(folder, ["man", "woman", "red dog"])
    state = load_file(folder / "model.safetensors")
    if form == "bin":
        torch.save(state, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    elif form == "without position ids":
        state = {name: tensor for name, tensor in state.items() if not name.endswith("position_ids")}
        save_file(state, folder / "model.safetensors", {"format": "pt"})

    found = candidates(folder)

    assert len(found) == logits.numel()
    expected = {}
    for patch, (x, y, width, height) in enumerate(boxes.tolist()):
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for number, word in enumerate(WORDS):
            clipped = tuple(min(1, max(0, value)) for value in corners)
            expected[patch, word] = (float(logits[patch, number].sigmoid()), clipped)
    for one, (patch, word) in zip(found, expected, strict=True):
        score, box = expected[patch, word]
        assert one.label == word
        assert one.score == pytest.approx(score, abs=1e-5)
        assert one.box == pytest.approx(box, abs=1e-5)
    theirs = OwlViTImageProcessor().post_process_object_detection(
        Output(logits[None], boxes[None]), threshold=0.0, target_sizes=torch.tensor([[HEIGHT, WIDTH]])
    )[0]
    best = [
        max((one for one in found[start : start + 3]), key=lambda one: one.score) for start in range(0, len(found), 3)
    ]
    assert [one.score for one in best] == pytest.approx(theirs["scores"].tolist(), abs=1e-5)
    in_pixels = theirs["boxes"] / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    for one, box in zip(best, in_pixels.clamp(0, 1).tolist(), strict=True):
        assert one.box == pytest.approx(box, abs=1e-5)


def test_planted_boxes_come_out_where_they_are() -> None:
    logits = torch.full((3, 2), -20.0)
    logits[0, 1], logits[2, 0] = 2.0, 1.0
    boxes = torch.tensor([[0.25, 0.5, 0.3, 0.8], [0.5, 0.5, 1, 1], [0.9, 0.5, 0.4, 0.2]])
    first, second = decoded(logits, boxes, ["man", "dog"], 0.1)
    assert (first.label, second.label) == ("dog", "man")
    assert first.box == pytest.approx((0.1, 0.1, 0.4, 0.9))
    assert second.box == pytest.approx((0.7, 0.4, 1.0, 0.6))
    assert first.score == pytest.approx(0.880797)
    assert decoded(torch.full((3, 2), float("nan")), boxes, ["man", "dog"], 0.1) == []


def test_a_search_gives_instances_whose_masks_are_boxes(folder: Path) -> None:
    found = OwlVitSource(folder, "cpu", thresholds=Thresholds(0.0, 1.0)).find(Search(picture(), WORDS))
    assert found
    for word, count in WORDS.items():
        assert sum(one.label == word for one in found) <= count
    assert [one.box[0] + one.box[2] for one in found] == sorted(one.box[0] + one.box[2] for one in found)
    for one in found:
        assert one.mask.shape == (HEIGHT, WIDTH)
        left, top, right, bottom = one.box
        assert float(one.mask.sum()) == pytest.approx((right - left) * WIDTH * (bottom - top) * HEIGHT, rel=1e-3)


def test_a_file_s_own_crop_does_not_move_the_boxes(folder: Path) -> None:
    before = candidates(folder)
    crop = {"do_center_crop": True, "crop_size": {"height": 24, "width": 24}, "size": 32, "do_resize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(crop), encoding="utf8")
    assert candidates(folder) == before


def test_nobody_wanted_needs_no_files(tmp_path: Path) -> None:
    source = OwlVitSource(tmp_path / "none", "cpu")
    assert source.find(Search(picture(), {})) == []
    assert source.find(Search(picture(), {"  ": 1, "man": 0})) == []


def test_the_network_is_gone_after(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[weakref.ref[Any]] = []
    load = OwlVitSource._model

    def watched(self: OwlVitSource) -> Any:
        model = load(self)
        seen.append(weakref.ref(model))
        return model

    monkeypatch.setattr(OwlVitSource, "_model", watched)
    OwlVitSource(folder, "cpu").find(Search(picture(), WORDS))
    monkeypatch.setattr(OwlVitSource, "_inputs", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        OwlVitSource(folder, "cpu").find(Search(picture(), WORDS))
    gc.collect()
    assert [reference() for reference in seen] == [None, None]


def spoil(folder: Path, what: str) -> None:
    weights, state = folder / "model.safetensors", load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    if what == "no weights":
        weights.unlink()
    elif what == "half a file":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif what == "a layer less":
        save_file({name: t for name, t in state.items() if "box_head" not in name}, weights)
    elif what == "another model":
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "owlv2"}), encoding="utf8")
    elif what == "another size":
        config["vision_config"]["hidden_size"] = 32
        (folder / "config.json").write_text(json.dumps(config), encoding="utf8")
    elif what == "no json":
        (folder / "config.json").write_text("{", encoding="utf8")
    elif what == "no tokenizer":
        (folder / "vocab.json").unlink()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no weights", "expected an OWL-ViT"),
        ("half a file", r"did not read model\.safetensors"),
        ("a layer less", "is not a whole OWL-ViT: it lacks box_head"),
        ("another model", "expected an OWL-ViT"),
        ("another size", "can't be used"),
        ("no json", "expected an OWL-ViT"),
        ("no tokenizer", "tokenizer of the OWL-ViT"),
    ],
)
def test_spoiled_folders_give_a_message(folder: Path, what: str, said: str, no_network: list[Any]) -> None:
    spoil(folder, what)
    with pytest.raises(SourceUnavailable, match=said):
        OwlVitSource(folder, "cpu").find(Search(picture(), WORDS))
    assert no_network == []


def test_a_bad_picture_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="picture: expected"):
        OwlVitSource(tmp_path, "cpu").find(Search(picture() * float("nan"), WORDS))


def test_folders_are_told_by_their_contents(folder: Path, tmp_path: Path) -> None:
    assert is_owlvit(folder)
    assert not is_owlvit(tmp_path)
    (folder / "config.json").write_text("[1]", encoding="utf8")
    assert not is_owlvit(folder)


def test_the_hub_s_cache_is_looked_into(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    inside = {owlvit.REPOSITORY: str(folder / "config.json"), owlvit.REPOSITORIES[1]: str(tmp_path / "config.json")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, _: inside.get(name))
    assert cached_folders() == [folder]


class Hub:
    """The hub's two functions, of a repository with these files."""

    def __init__(self, source: Path, names: list[str]) -> None:
        self.source, self.names = source, names
        self.asked: list[str] = []

    def list_repo_files(self, repository: str) -> list[str]:
        return self.names

    def snapshot_download(self, repository: str, *, local_dir: Path, allow_patterns: list[str]) -> str:
        self.asked = allow_patterns
        local_dir.mkdir(parents=True)
        for name in allow_patterns:
            shutil.copy(self.source / name, local_dir / name)
        return str(local_dir)


def test_a_download_gets_what_is_needed_alone(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    names = [
        "config.json",
        "merges.txt",
        "vocab.json",
        "model.safetensors",
        "pytorch_model.bin",
        "README.md",
        "x/y.json",
    ]
    hub = Hub(made, names)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", hub.list_repo_files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    folder = download(tmp_path)
    assert folder == tmp_path / "owlvit-base-patch32"
    assert sorted(hub.asked) == ["config.json", "merges.txt", "model.safetensors", "vocab.json"]
    assert OwlVitSource(folder, "cpu", thresholds=ALL).find(Search(picture(), WORDS))


def test_no_connection_is_told(tmp_path: Path, no_network: list[Any]) -> None:
    import huggingface_hub

    with pytest.raises(OmgError, match=r"could not be downloaded \(.*\)\. Is there a connection"):
        download(tmp_path)
    assert bool(no_network) is not huggingface_hub.constants.HF_HUB_OFFLINE, "told to stay offline it tries nothing"


def test_a_repository_without_weights_is_told(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda _: ["config.json", "flax_model.msgpack"])
    with pytest.raises(OmgError, match=r"expected one of model\.safetensors, pytorch_model\.bin"):
        download(tmp_path)
