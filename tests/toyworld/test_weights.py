"""The weights that come with the repository: of one base, complete, small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from toyworld.models import CLIP_DIR, WEIGHTS, Autoencoder, TextEncoder, unet
from toyworld.train import assemble
from toyworld.train.baselines.files import FOLDER
from toyworld.train.lora import all_names, read_job

MOST_BYTES = 60_000_000


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_the_checkpoint_has_the_layers_of_the_networks() -> None:
    parts = {"unet": unet(), "vae": Autoencoder(), "text": TextEncoder().transformer}
    wanted = assemble.checkpoint({part: module.state_dict() for part, module in parts.items()})
    found = load_file(WEIGHTS / "toy.safetensors")
    assert {key: t.shape for key, t in found.items()} == {key: t.shape for key, t in wanted.items()}
    assert all(torch.isfinite(tensor).all() for tensor in found.values())


def test_the_yaml_and_the_tokenizer_are_the_networks() -> None:
    config = yaml.safe_load((WEIGHTS / "toy.yaml").read_text(encoding="utf8"))
    assert config == assemble.config(config["model"]["params"]["scale_factor"])
    for path in CLIP_DIR.iterdir():
        assert (WEIGHTS / "clip" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", all_names())
def test_a_network_has_its_card_and_its_preview(name: str) -> None:
    told = metadata(WEIGHTS / f"{name}.safetensors")
    card = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf8"))
    assert (told["ss_output_name"], card["activation text"]) == (name, read_job(name).trigger)
    assert (WEIGHTS / f"{name}.preview.png").is_file()


def test_all_networks_were_trained_on_the_checkpoint() -> None:
    bases = {metadata(WEIGHTS / f"{name}.safetensors")["toyworld.base"] for name in all_names()}
    assert bases == {assemble.read_parts(WEIGHTS).digest}


def test_all_together_they_stay_small() -> None:
    paths = [path for path in WEIGHTS.rglob("*") if path.is_file() and FOLDER not in path.relative_to(WEIGHTS).parts]
    assert sum(path.stat().st_size for path in paths) < MOST_BYTES
