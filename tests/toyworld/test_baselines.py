"""The trained baselines on tiny networks: what each may change, what its files give back, that runs go on."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import ldm.modules.attention
import pytest
import torch
from safetensors.torch import load_file, save_file

from toyworld import models
from toyworld.identity import CAST, CLASSES
from toyworld.scene import draw_scene
from toyworld.train import assemble, lora
from toyworld.train.baselines import __main__ as command
from toyworld.train.baselines import files, pictures, runs
from toyworld.train.baselines.files import Baseline, Weights, paths, read, words_of
from toyworld.train.baselines.modules import TOKEN_TABLE, Shift, Words

DIGEST = "of no checkpoint"
REX_INVERTED = words_of(Baseline.TEXTUAL_INVERSION, CAST["rex"])


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """Small networks, few pictures; steps so large that half precision shows them."""
    small = {"model_channels": 32, "channel_mult": [1, 1], "attention_resolutions": [1, 2], "num_res_blocks": 1}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in small.items():
            patch.setitem(models.UNET_CONFIG, key, value)
        for key, value in {"ch": 32, "ch_mult": [1, 1, 1, 1]}.items():
            patch.setitem(models.VAE_CONFIG, key, value)
        for module, name, value in (
            (pictures, "PICTURES", 3),
            (pictures, "PRIOR_PICTURES", 2),
            (pictures, "BATCH", 2),
            (runs, "INVERSION_BATCH", 2),
            (runs, "RATES", dict.fromkeys(Baseline, 0.3)),
        ):
            patch.setattr(module, name, value)
        attention = ldm.modules.attention.CrossAttention
        patch.setattr(attention, "forward", attention.forward)  # put back what the command changes
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random networks."""
    torch.manual_seed(0)
    folder, out = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("weights")
    unet, vae, text = models.unet(), models.Autoencoder(), models.TextEncoder()
    with torch.no_grad():
        for parameter in unet.parameters():  # a fresh UNet has zeros where a trained one has none
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    for name, module in (("unet", unet), ("vae", vae), ("text", text.transformer)):
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, folder / f"{name}.safetensors")
    (folder / "scale.txt").write_text("0.3\n", encoding="utf8")
    assemble.main(["--folder", str(folder), "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def trained(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    """A run that trained everything for two steps."""
    run = runs.Run(weights, tmp_path_factory.mktemp("states"), steps=2)
    for baseline in Baseline:
        assert runs.train_baseline(baseline, run) == list(paths(weights / files.FOLDER, baseline).values())
    return run


def contents(run: runs.Run, baseline: Baseline) -> Weights:
    return read(run.weights / files.CHECKPOINT, baseline)


def before(run: runs.Run) -> dict[str, torch.Tensor]:
    """UNet and text encoder of the checkpoint, as floats."""
    kept = tuple(assemble.PREFIXES[part] for part in ("unet", "text"))
    tensors = load_file(run.weights / files.CHECKPOINT)
    return {k: v for k, v in tensors.items() if k.startswith(kept) and v.is_floating_point()}


def changed(run: runs.Run, found: Weights) -> set[str]:
    old = before(run)
    return {name for name, tensor in found.parameters.items() if not torch.equal(tensor, old[name])}


def test_dreambooth_changes_everything(trained: runs.Run) -> None:
    found = contents(trained, Baseline.DREAMBOOTH)
    assert set(found.parameters) == set(before(trained))
    assert changed(trained, found) == set(before(trained))
    assert all(tensor.dtype == torch.float16 for tensor in found.parameters.values())
    assert found.vectors == {}


def test_custom_diffusion_changes_keys_and_values_and_its_modifiers(trained: runs.Run) -> None:
    found = contents(trained, Baseline.CUSTOM_DIFFUSION)
    expected = {name for name in before(trained) if "attn2.to_k." in name or "attn2.to_v." in name}
    assert len(expected) == 2 * (2 + 1 + 4)  # transformers down, in the middle and up
    assert changed(trained, found) == set(found.parameters) == expected
    assert list(found.vectors) == sorted(f"{name}-custom_diffusion" for name in CAST)
    table = before(trained)[assemble.PREFIXES["text"] + TOKEN_TABLE].float()
    for vectors in found.vectors.values():
        assert vectors.shape == (1, models.CONTEXT_DIM)
        assert (table != vectors).any(1).all()


def test_textual_inversion_changes_nothing_but_four_vectors_a_member(trained: runs.Run) -> None:
    found = contents(trained, Baseline.TEXTUAL_INVERSION)
    assert found.parameters == {}
    assert set(found.vectors) == {f"{name}-textual_inversion" for name in CAST}
    assert len({vectors.numpy().tobytes() for vectors in found.vectors.values()}) == len(CAST)
    path = paths(trained.weights / files.FOLDER, Baseline.TEXTUAL_INVERSION)["rex"]
    (held,) = load_file(path).items()
    assert (path.stem, held[0], held[1].shape) == (REX_INVERTED, "emb_params", (4, models.CONTEXT_DIM))


def test_training_leaves_the_networks_it_began_with(trained: runs.Run) -> None:
    fresh = runs.read_checkpoint(trained.weights, DIGEST)
    for module, other in ((trained.base.unet, fresh.unet), (trained.base.text, fresh.text)):
        for one, two in zip(module.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two)
            assert one.grad is None


def test_what_is_there_is_left_and_anything_else_trained_anew(
    trained: runs.Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for baseline in Baseline:
        assert runs.train_baseline(baseline, trained) == []
    asked: list[str] = []
    monkeypatch.setattr(runs, "TRAINERS", dict.fromkeys(Baseline, lambda _run, plan, _name: asked.append(plan.name)))
    monkeypatch.setattr(runs, "write", lambda *_args: None)
    for other in (replace(trained, seed=1), replace(trained, steps=3)):
        runs.train_baseline(Baseline.DREAMBOOTH, other)
    assert len(set(asked)) == 2
    where = ["--weights", str(trained.weights), "--folder", str(trained.folder), "--steps", "2"]
    assert command.main(["dreambooth", "custom_diffusion", *where]) == 0
    assert capsys.readouterr().out.count("already") == 2
    assert (trained.weights / files.FOLDER / ".gitignore").read_text(encoding="utf8") == "*\n"


@torch.no_grad()
@pytest.mark.parametrize("all_of_it", [True, False])
def test_saved_weights_predict_what_the_trained_ones_did(weights: Path, tmp_path: Path, all_of_it: bool) -> None:
    base = runs.read_checkpoint(weights, DIGEST)
    names = [name for name, _ in base.unet.named_parameters() if all_of_it or runs.KEYS_AND_VALUES.fullmatch(name)]
    shift = Shift(base.unet, names, scale=0.5)
    for change in shift.differences:
        change.normal_(std=0.1)
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([10, 800]), torch.randn(2, 77, models.CONTEXT_DIM)
    expected = shift(x, t, context=context)
    checkpoint = tmp_path / files.CHECKPOINT
    checkpoint.write_bytes(b"any")
    (path,) = paths(tmp_path / files.FOLDER, Baseline.DREAMBOOTH).values()
    files.write(path, Weights(runs._named("unet", shift), {}), files.digest_of(checkpoint), "plan")
    prefix = assemble.PREFIXES["unet"]
    found = {k.removeprefix(prefix): v for k, v in read(checkpoint, Baseline.DREAMBOOTH).parameters.items()}
    assert set(found) == set(names)
    plain = base.unet(x, t, context=context)
    base.unet.load_state_dict(found, strict=False)
    effect, error = (expected - plain).abs().max(), (base.unet(x, t, context=context) - expected).abs().max()
    assert effect > 0.05
    assert error < 0.03 * effect  # of half precision


@cache
def text_encoder() -> models.TextEncoder:
    torch.manual_seed(1)
    return models.TextEncoder().eval().requires_grad_(False)


def test_a_new_word_takes_as_many_places_as_it_has_vectors() -> None:
    text = text_encoder()
    words = Words(text, {REX_INVERTED: "man", "ida-textual_inversion": "woman"}, 4)
    rex, ida = (list(range(len_, len_ + 4)) for len_ in (1054, 1058))
    prompt = f"a {REX_INVERTED} and an ida-textual_inversion in the park"
    plain = {w: text.tokens([w])[0, 1].item() for w in ("a", "and", "an", "in", "the", "park")}
    expected = [1052, plain["a"], *rex, plain["and"], plain["an"], *ida, plain["in"], plain["the"], plain["park"]]
    assert words.tokens([prompt])[0].tolist() == expected + [1053] * (77 - len(expected))
    prompts = ["a man in the park at night", ""]
    assert torch.equal(words.tokens(prompts), text.tokens(prompts))


@torch.no_grad()
def test_new_words_begin_at_their_start_and_are_put_in_as_the_host_does() -> None:
    text = text_encoder()
    words = Words(text, {REX_INVERTED: "man"}, 4)
    prompt, same = f"a {REX_INVERTED} in the park", "a man man man man in the park"
    torch.testing.assert_close(words(words.tokens([prompt])), text(text.tokens([same])))
    words.vectors.normal_(std=0.05)

    def put_in(_layer: Any, _args: Any, embedded: torch.Tensor) -> torch.Tensor:
        embedded = embedded.clone()
        embedded[0, 2:6] = words.by_word()[REX_INVERTED]
        return embedded

    with text.transformer.get_submodule(TOKEN_TABLE.rpartition(".")[0]).register_forward_hook(put_in):
        expected = text(text.tokens([same]))
    torch.testing.assert_close(words(words.tokens([prompt])), expected)
    assert (text(text.tokens([same])) - expected).abs().max() > 0.01


def test_every_member_gets_another_of_its_class_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "latents", lambda images, _base, _folder: torch.zeros(len(images), 4, 1, 1))
    seen: dict[str, int] = {}

    def numbered(captions: list[str]) -> torch.Tensor:
        return torch.tensor([[seen.setdefault(caption, len(seen))] for caption in captions])

    joint = pictures.Joint(Baseline.CUSTOM_DIFFUSION, None, tmp_path, numbered)  # type: ignore[arg-type]
    told = list(seen)
    counts = dict.fromkeys(CAST, 0)
    for step in range(60):
        latents, tokens = joint.batch(torch.Generator().manual_seed(step))
        assert len(latents) == len(tokens) == 4
        texts = [told[number] for number in tokens.flatten()]
        for own, other in zip(texts[:2], texts[2:], strict=True):
            name = own.split()[1].removesuffix("-custom_diffusion")
            counts[name] += 1
            assert own.split()[2] == CAST[name].class_word == other.split()[1]
    assert min(counts.values()) > 0


def test_the_pictures_are_those_of_the_loras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = []
    monkeypatch.setattr(pictures, "latents", lambda images, *_rest: shown.append(images))
    examples = pictures.of_member(CAST["ida"], Baseline.TEXTUAL_INVERSION, None, tmp_path)  # type: ignore[arg-type]
    images, _ = lora.pictures(CAST["ida"], 3)
    assert all((one == two).all() for one, two in zip(shown[0], images, strict=True))
    assert examples.captions[0] == "an ida-textual_inversion in the park"
    prior = pictures.of_class("dog", None, tmp_path)  # type: ignore[arg-type]
    assert prior.captions == ["a dog in the park", "a dog in the beach"]


def test_pictures_are_encoded_once(trained: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {path: path.stat().st_mtime_ns for path in trained.states.glob("latents-*.pt")}
    assert len(kept) == len(CAST) + len(CLASSES)
    image = draw_scene(random.Random(0), width_px=128).image
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "encode", lambda _vae, images: torch.ones(len(images), 4, 16, 16))
        found = pictures.latents([image], trained.base, trained.states)
    assert torch.equal(pictures.latents([image], trained.base, trained.states), found)
    assert found.unique().tolist() == [pytest.approx(0.3)]


class StoppedError(Exception):
    """An interruption."""


def test_an_interrupted_training_ends_as_an_unbroken_one(
    trained: runs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(trained.plan(Baseline.CUSTOM_DIFFUSION), steps=3, save_every=1)
    loss, calls = runs.noise_loss, []

    def stopping(*args: Any) -> torch.Tensor:
        calls.append(args)
        if len(calls) == 3:
            raise StoppedError
        return loss(*args)

    def made(folder: Path, **changes: Any) -> Weights:
        run = copy.copy(trained)  # with its networks
        object.__setattr__(run, "folder", folder)
        return runs.custom_diffusion(run, replace(plan, **changes), "")

    unbroken = made(tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(runs, "noise_loss", stopping)
        with pytest.raises(StoppedError):
            made(tmp_path / "two")
        resumed = made(tmp_path / "two")
    assert len(calls) == 4
    other = made(tmp_path / "three", seed=5)
    for one, two, three in zip(*(w.parameters.values() for w in (unbroken, resumed, other)), strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, three)


def test_a_checkpoint_of_other_networks_is_refused(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.UNET_CONFIG, "context_dim", 64)
    with pytest.raises(ValueError, match=r"expected toyworld\.models' networks.*unet input_blocks"):
        runs.read_checkpoint(weights, DIGEST)


def test_files_of_nobody_yet_and_of_another_checkpoint_name_the_command(tmp_path: Path) -> None:
    checkpoint = tmp_path / files.CHECKPOINT
    checkpoint.write_bytes(b"one")
    for baseline in Baseline:
        told = rf"python -m toyworld\.train\.baselines {baseline.value} --weights {tmp_path}"
        with pytest.raises(FileNotFoundError, match=told):
            read(checkpoint, baseline)
        for path in paths(tmp_path / files.FOLDER, baseline).values():
            files.write(path, Weights({}, {path.stem: torch.ones(1, 2)}), files.digest_of(checkpoint), "plan")
        assert read(checkpoint, baseline).vectors
        checkpoint.write_bytes(b"another")
        with pytest.raises(ValueError, match=f"another checkpoint.*{told}"):
            read(checkpoint, baseline)
        checkpoint.write_bytes(b"one")
