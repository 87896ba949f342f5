"""What trained baselines are asked for and with which weights; that a host draws so is in tests/contract."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.cases import Case
from bench.methods import METHODS, trained
from bench.methods.base import Resources
from bench.painting import Keys
from bench.plans import MERGE, Draw, Variant
from toyworld.identity import CAST
from toyworld.train.baselines import files
from toyworld.train.baselines.files import Baseline, Weights, paths

CASE = Case(("rex", "ida"), "park", "night", 7)
PROMPTS = {
    Baseline.DREAMBOOTH: "a rex man and an ida woman in the park at night",
    Baseline.TEXTUAL_INVERSION: "a rex-textual_inversion and an ida-textual_inversion in the park at night",
    Baseline.CUSTOM_DIFFUSION: "a rex-custom_diffusion man and an ida-custom_diffusion woman in the park at night",
}
PARAMETER = "model.diffusion_model.out.2.bias"


class FakeHost:
    """Notes what it is asked for, and what is in place then."""

    def __init__(self) -> None:
        self.in_place: list[set[str]] = []
        self.asked: list[tuple[Any, ...]] = []

    def draw(self, *args: Any) -> list[np.ndarray]:
        self.asked.append((*args, sorted(set().union(*self.in_place))))
        return [np.zeros((128, 128, 3), np.uint8)]

    @contextlib.contextmanager
    def put_in(self, tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
        self.in_place.append(set(tensors))
        yield
        self.in_place.pop()


def made(checkpoint: Path, baseline: Baseline) -> None:
    """Files of a baseline with one parameter, or one vector for each member, or both."""
    checkpoint.write_bytes(b"a checkpoint")
    digest = files.digest_of(checkpoint)
    parameters = {PARAMETER: torch.ones(4)}
    vectors = {files.word_of(baseline, member): torch.ones(1, 2) for member in CAST.values()}
    for path in paths(checkpoint.parent / files.FOLDER, baseline).values():
        own = {
            Baseline.DREAMBOOTH: Weights(parameters, {}),
            Baseline.TEXTUAL_INVERSION: Weights({}, {path.stem: torch.ones(4, 2)}),
            Baseline.CUSTOM_DIFFUSION: Weights(parameters, vectors),
        }
        files.write(path, own[baseline], digest, "plan")


@pytest.mark.parametrize("baseline", Baseline)
def test_the_scene_is_drawn_in_its_words_with_its_weights(
    baseline: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    monkeypatch.setattr(trained, "loaded", host.put_in)
    monkeypatch.setattr(trained, "named", host.put_in)
    checkpoint = tmp_path / files.CHECKPOINT
    made(checkpoint, baseline)
    monkeypatch.setattr(trained, "host_checkpoint", lambda: checkpoint)
    METHODS[baseline.value](Resources(host, lambda _image: [])).draw(CASE)  # type: ignore[arg-type]
    words = [] if baseline is Baseline.DREAMBOOTH else [files.word_of(baseline, m) for m in CAST.values()]
    parameters = [] if baseline is Baseline.TEXTUAL_INVERSION else [PARAMETER]
    assert host.asked == [(PROMPTS[baseline], 7, 128, sorted(words + parameters))]
    assert host.in_place == []


@pytest.mark.parametrize("baseline", Baseline)
def test_nobody_draws_with_what_is_not_trained(
    baseline: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained, "host_checkpoint", lambda: tmp_path / files.CHECKPOINT)
    host = FakeHost()
    method = METHODS[baseline.value](Resources(host, lambda _image: []))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=rf"python -m toyworld\.train\.baselines {baseline.value} "):
        method.draw(CASE)
    assert host.asked == []


@pytest.mark.parametrize("baseline", Baseline)
def test_other_trained_weights_are_another_picture(baseline: Baseline, tmp_path: Path) -> None:
    detector = tmp_path / "detector.safetensors"
    detector.write_bytes(b"detector")
    made(tmp_path / files.CHECKPOINT, baseline)

    def keys() -> list[str]:
        known = Keys(tmp_path, detector)
        return [known.key(Draw(variant, CASE)) for variant in (Variant(baseline.value, baseline.value), MERGE)]

    own, merge = keys()
    for path in paths(tmp_path / files.FOLDER, baseline).values():
        path.rename(path.with_suffix(".away"))
        assert keys()[0] != own, path.name
        assert keys()[1] == merge
        path.with_suffix(".away").rename(path)
    assert keys() == [own, merge]


def test_the_tables_have_a_row_for_every_baseline() -> None:
    assert {baseline.value for baseline in Baseline} <= set(METHODS)
