"""Model files: whatever their form, tensors come out or a message; no program in them ever runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.weights import read_weights, tensor_names

STATE = {"first.weight": torch.arange(12.0).reshape(3, 4), "second.bias": torch.tensor([1.5], dtype=torch.float16)}


class Program:
    """Unpickled, it writes a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


def save(path: Path, value: object, zipped: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in STATE.items()
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_what_torch_saves_is_read(tmp_path: Path, zipped: bool, wrapper: str | None) -> None:
    value = STATE if wrapper is None else {wrapper: STATE, "epoch": 3}
    assert same(read_weights(save(tmp_path / "x.pth", value, zipped)))


@pytest.mark.parametrize("name", ["x.safetensors", "named_wrongly.pth"])
def test_safetensors_are_told_by_their_contents(tmp_path: Path, name: str) -> None:
    save_file(STATE, tmp_path / name)
    assert same(read_weights(tmp_path / name))
    assert tensor_names(tmp_path / name) == STATE.keys()


def test_names_are_found_without_reading_the_tensors(tmp_path: Path) -> None:
    assert tensor_names(save(tmp_path / "x.pth", STATE, True)) >= STATE.keys()
    assert tensor_names(save(tmp_path / "old.pth", STATE, False)) == frozenset()
    assert tensor_names(tmp_path / "none.pth") == frozenset()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_program_in_a_file_does_not_run(tmp_path: Path, zipped: bool) -> None:
    victim = tmp_path / "it ran"
    path = save(tmp_path / "evil.pth", {**STATE, "third": Program(victim)}, zipped)

    with pytest.raises(SourceUnavailable, match=r"evil\.pth.*holds more than tensors"):
        read_weights(path)
    tensor_names(path)
    assert not victim.exists()

    torch.load(path)  # that it would have
    assert victim.exists()


@pytest.mark.parametrize("kind", ["pth", "old", "safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 0.3, 0.9])
def test_damaged_files_give_a_message(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        save(path, STATE, kind == "pth")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    with pytest.raises(SourceUnavailable, match=r"did not read x\."):
        read_weights(path)


@pytest.mark.parametrize("value", [[STATE], {"weight": "text"}, {}, {"model": 3}, torch.zeros(2)])
def test_other_things_give_a_message(tmp_path: Path, value: object) -> None:
    with pytest.raises(SourceUnavailable, match=r"expected tensors by name in x\.pth, found"):
        read_weights(save(tmp_path / "x.pth", value, True))


def test_no_file_gives_a_message(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"found none"):
        read_weights(tmp_path / "x.pth")


def test_the_webui_s_torch_load_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers None to what it does not like, and loads with pickle what it likes."""
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: None)
    assert same(read_weights(save(tmp_path / "x.pth", STATE, True)))
