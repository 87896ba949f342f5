"""The assembled checkpoint in devhost's model, against the modules it came from."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from devhost.datadir import make_data_dir
from toyworld.models import Autoencoder, TextEncoder, unet
from toyworld.train import assemble

LATENT_DIFFUSION = Path(__file__).resolve().parents[2] / "devhost/webui/modules/latent_diffusion.py"
SCALE = 0.31
COMPUTED = {"betas"}
"""What the model works out itself; no file needs to hold it."""


@dataclass(frozen=True)
class Assembled:
    """A checkpoint on disk, laid out for a host, and what it was made from."""

    data_dir: Path
    unet: torch.nn.Module
    vae: Autoencoder
    text: TextEncoder

    @property
    def path(self) -> Path:
        return self.data_dir / "models" / "Stable-diffusion" / "toy.safetensors"


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    torch.manual_seed(0)
    folder, out = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("out")
    model, vae, text = unet(), Autoencoder(), TextEncoder()
    with torch.no_grad():
        for parameter in model.parameters():  # a fresh UNet has zeros where a trained one has none
            parameter.copy_(parameter.add_(torch.randn(parameter.shape) * 0.02).half())
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "unet.safetensors")
    save_file(vae.state_dict(), folder / "vae.safetensors")
    save_file(text.transformer.state_dict(), folder / "text.safetensors")
    (folder / "scale.txt").write_text(f"{SCALE}\n", encoding="utf8")
    assert assemble.main(["--folder", str(folder), "--out", str(out)]) == 0
    data_dir = make_data_dir(tmp_path_factory.mktemp("data"), weights_dir=out, extension_dir=None)
    return Assembled(data_dir, model.eval(), vae.eval(), text.eval())


@pytest.fixture(scope="module")
def loaded(assembled: Assembled) -> Any:
    """The host's model, and what was missing and left over when it took the weights."""
    spec = importlib.util.spec_from_file_location("devhost_latent_diffusion", LATENT_DIFFUSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = yaml.safe_load(assembled.path.with_suffix(".yaml").read_text(encoding="utf8"))
    model = module.LatentDiffusion(config["model"]["params"])
    schedule = model.alphas_cumprod.clone()
    missing, unexpected = model.load_state_dict(load_file(assembled.path), strict=False)
    assert set(missing) == COMPUTED
    assert unexpected == []
    torch.testing.assert_close(model.alphas_cumprod, schedule, atol=1e-6, rtol=0)
    return model.eval()


@torch.no_grad()
def test_the_unet_is_the_one_it_came_from(assembled: Assembled, loaded: Any) -> None:
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([10, 800]), torch.randn(2, 77, 128)
    expected = assembled.unet(x, t, context=context)
    assert expected.std() > 0.01
    torch.testing.assert_close(loaded.apply_model(x, t, context), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_text_encoder_and_the_autoencoder_are_those_they_came_from(assembled: Assembled, loaded: Any) -> None:
    tokens = assembled.text.tokens(["a man and a woman in the park", ""])
    found = loaded.cond_stage_model.transformer(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(found, assembled.text(tokens), atol=2e-2, rtol=1e-2)
    tokenizer = loaded.cond_stage_model.tokenizer
    assert tokenizer("a rex man")["input_ids"] == assembled.text.tokenizer("a rex man")["input_ids"]
    latent = torch.randn(1, 4, 4, 4)
    expected = assembled.vae.decode(latent)
    torch.testing.assert_close(loaded.decode_first_stage(latent * SCALE), expected, atol=1e-2, rtol=1e-2)


def test_the_file_is_half_precision_but_for_the_schedule(assembled: Assembled) -> None:
    tensors = load_file(assembled.path)
    whole = {key for key, tensor in tensors.items() if tensor.dtype != torch.float16}
    positions = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    assert whole == {"alphas_cumprod", positions}
    assert tensors["alphas_cumprod"].dtype == torch.float32


def test_the_yaml_names_the_text_encoder_from_the_hosts_folder() -> None:
    params = assemble.config(SCALE)["model"]["params"]
    assert params["cond_stage_config"]["params"]["version"] == "models/Stable-diffusion/clip"
    assert params["scale_factor"] == SCALE


def test_what_was_trained_is_read_back(assembled: Assembled, tmp_path: Path) -> None:
    """From a trainers' folder and from the checkpoint; a folder with neither is refused, one with half of it too."""
    parts = assemble.read_parts(assembled.path.parent)
    assert parts.scale == SCALE
    for name, module in {"unet": assembled.unet, "text": assembled.text.transformer, "vae": assembled.vae}.items():
        states = {key: tensor.half() for key, tensor in module.state_dict().items() if tensor.is_floating_point()}
        assert states.keys() <= parts.weights[name].keys()
        assert all(torch.equal(parts.weights[name][key], tensor) for key, tensor in states.items())
    with pytest.raises(FileNotFoundError, match="a checkpoint"):
        assemble.read_parts(tmp_path)
    for name in ("unet", "text"):
        save_file({name: torch.ones(1)}, tmp_path / f"{name}.safetensors")
    (tmp_path / "scale.txt").write_text("0.5", encoding="utf8")
    with pytest.raises(FileNotFoundError, match="vae"):
        assemble.read_parts(tmp_path)
    save_file({"vae": torch.ones(1)}, tmp_path / "vae.safetensors")
    loose = assemble.read_parts(tmp_path)
    assert loose.scale == 0.5
    assert loose.digest != parts.digest
    assert {part: list(weights) for part, weights in loose.weights.items()} == {
        part: [part] for part in ("unet", "vae", "text")
    }


def test_parts_and_the_checkpoint_made_of_them_are_one_base(assembled: Assembled, tmp_path: Path) -> None:
    states = {"unet": assembled.unet, "text": assembled.text.transformer, "vae": assembled.vae}
    for name, module in states.items():
        save_file(module.state_dict(), tmp_path / f"{name}.safetensors")
    (tmp_path / "scale.txt").write_text(str(SCALE), encoding="utf8")
    digest = assemble.read_parts(assembled.path.parent).digest
    assert assemble.read_parts(tmp_path).digest == digest
    changed = assembled.vae.state_dict()
    key = next(iter(changed))
    save_file(changed | {key: changed[key] + 1}, tmp_path / "vae.safetensors")
    assert assemble.read_parts(tmp_path).digest != digest
