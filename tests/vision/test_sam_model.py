"""Sizes are told by tensors: Meta's B, L and H, and a small one, come out as their own package builds them."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.sam_file import SamFile
from lib_omg.vision.sam_model import HQ_KEY, MOBILE_KEY, built, kind_of, package, sizes_of
from tests.vision.small_sam import SIZES, saved, small_sam

NAMES = {"vit_b": "ViT-B", "vit_l": "ViT-L", "vit_h": "ViT-H"}


def windows(model: Any) -> list[int]:
    return [block.window_size for block in model.image_encoder.blocks]


@pytest.mark.parametrize("name", NAMES)
def test_meta_s_sams_are_told_by_their_tensors(name: str) -> None:
    with torch.device("meta"):  # shapes alone: the largest has 2.5 GB
        theirs = sam_model_registry[name]()
        ours = built(sizes_of(theirs.state_dict()))

    assert str(ours) == str(theirs)
    assert windows(ours) == windows(theirs)
    assert [b.attn.num_heads for b in ours.image_encoder.blocks] == [
        b.attn.num_heads for b in theirs.image_encoder.blocks
    ]
    assert ours.image_encoder.img_size == theirs.image_encoder.img_size == 1024
    assert ours.prompt_encoder.input_image_size == theirs.prompt_encoder.input_image_size


@pytest.mark.parametrize(
    "sizes",
    [
        SIZES,
        replace(SIZES, global_blocks=(0, 1, 2), window=0),
        replace(SIZES, global_blocks=(), masks=2, iou_depth=3, decoder_depth=1, mask_channels=16),
    ],
)
def test_any_sizes_are_told_by_their_tensors(sizes: Any) -> None:
    assert sizes_of(built(sizes).state_dict()) == sizes


@pytest.mark.parametrize("form", ["pth", "old.pth", "safetensors", "half.safetensors", "wrapped.pt"])
def test_a_file_gives_its_network(tmp_path: Path, form: str) -> None:
    model = small_sam()
    path, state = tmp_path / f"any_name.{form}", model.state_dict()
    if form.startswith("half"):
        save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, path)
    elif form == "safetensors":
        save_file(state, path)
    else:
        torch.save({"model": state} if "wrapped" in form else state, path,
                   _use_new_zipfile_serialization="old" not in form)  # fmt: skip
    file = SamFile(path)
    assert file.kind == ("unknown" if "old" in form else "vit")
    assert file.usable

    loaded = file.load()

    assert loaded.state_dict().keys() == state.keys()
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad
        torch.testing.assert_close(tensor, state[name], atol=2e-3 if "half" in form else 0, rtol=0)
    assert torch.equal(loaded.pixel_mean, model.pixel_mean)
    assert torch.equal(loaded.pixel_std, model.pixel_std)
    assert not any(buffer.is_meta for buffer in loaded.buffers())
    assert not loaded.training


def test_the_file_s_name_tells_nothing(tmp_path: Path) -> None:
    assert SamFile(saved(tmp_path, small_sam(), "sam_vit_h_4b8939.pth")).title == "ViT of 3 blocks"
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "sam_vit_b_01ec64.safetensors")
    file = SamFile(tmp_path / "sam_vit_b_01ec64.safetensors")
    assert (file.kind, file.usable, file.title) == ("other", False, "not a SAM")
    with pytest.raises(SourceUnavailable, match=r"is not a SAM.*holds 1 tensors, e\.g\. conv\.weight"):
        file.load()


def without(state: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {**s, HQ_KEY: torch.zeros(1, 32)}, "is a SAM-HQ"),
        (lambda s: without(s, "mask_decoder.mask_tokens.weight"), "is not a SAM"),
        (lambda s: without(s, "image_encoder.pos_embed"), "is not a whole SAM"),
        (lambda s: without(s, "prompt_encoder.no_mask_embed.weight"), "is not a whole SAM"),
        (lambda s: {n: t for n, t in s.items() if ".blocks." not in n}, "is not a whole SAM"),
        (lambda s: {**s, "image_encoder.neck.0.weight": torch.zeros(16, 24, 1, 1)}, "is not a whole SAM"),
    ],
)  # fmt: skip
def test_what_is_no_sam_or_not_all_of_one(tmp_path: Path, change: Any, said: str) -> None:
    torch.save(change(small_sam().state_dict()), tmp_path / "x.pth")
    with pytest.raises(SourceUnavailable, match=rf"x\.pth {said}"):
        SamFile(tmp_path / "x.pth").load()


def test_a_missing_package_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, small_sam())
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(SourceUnavailable, match="pip install segment-anything"):
        SamFile(path).load()
    monkeypatch.setitem(sys.modules, "mobile_sam", None)
    with pytest.raises(SourceUnavailable, match=r"mobile_sam .* pip install mobilesam-mirror timm"):
        package("mobile_sam")


def test_mobile_sam_is_told_and_goes_to_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its biases are computed when training ends: they must be those of the file."""

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image_encoder = torch.nn.Linear(2, 2)
            self.eval()

        def train(self, mode: bool = True) -> Tiny:
            self.bias_in_use = None if mode else self.image_encoder.bias.detach().clone()
            return super().train(mode)

    fake = type(sys)("mobile_sam")
    fake.sam_model_registry = {"vit_t": Tiny}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mobile_sam", fake)
    monkeypatch.setitem(sys.modules, "mobile_sam.modeling", type(sys)("mobile_sam.modeling"))
    from lib_omg.vision import sam_file

    state = {"image_encoder.weight": torch.eye(2), "image_encoder.bias": torch.tensor([3.0, 4.0])}
    made = sam_file._mobile(state)
    assert made.bias_in_use.tolist() == [3.0, 4.0]

    names = {MOBILE_KEY: torch.zeros(1), "mask_decoder.mask_tokens.weight": torch.zeros(4, 8)}
    assert kind_of(names) == "mobile"
    save_file(names, tmp_path / "m.safetensors")
    assert SamFile(tmp_path / "m.safetensors").title == "MobileSAM"


def test_an_index_that_is_no_pickle_gives_no_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("x/data.pkl", b"\xff\xff\xff")
    assert SamFile(tmp_path / "x.pth").kind == "unknown"
