"""What a picture's key depends on, and who draws what; no host is started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import host, plans
from bench.cases import Case
from bench.methods import METHODS
from bench.methods.omg import PromptForm
from bench.painting import Keys, Painter, omg_options
from bench.plans import LAYOUT, MERGE, OURS, OURS_TRUE_MASKS, PROMPTS, TRUTH, Draw, Variant, ours
from lib_omg.core.settings import DEFAULT_START

CASE = Case(("rex", "ida"), "park", "night", 7)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "loras").mkdir()
    for name in ("toy.safetensors", "loras/rex.safetensors", "loras/unused.safetensors", "detector.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def key(weights: Path, variant: Variant, case: Case = CASE) -> str:
    return Keys(weights, weights / "detector.safetensors").key(Draw(variant, case))


def test_every_picture_has_its_own_key(weights: Path) -> None:
    variants = [LAYOUT, TRUTH, MERGE, OURS, OURS_TRUE_MASKS, plans.NO_PRESERVATION, ours("later", start=0.9)]
    cases = [CASE, Case(CASE.names[::-1], "park", "night", 7), Case(CASE.names, "park", "night", 8)]
    assert len({key(weights, variant, case) for variant in variants for case in cases}) == len(variants) * len(cases)
    assert key(weights, OURS) == key(weights, OURS)


def test_saying_a_default_is_no_other_picture(weights: Path) -> None:
    assert key(weights, ours("start", start=DEFAULT_START)) == key(weights, OURS)


def test_only_ours_takes_options() -> None:
    with pytest.raises(ValueError, match="omg_true_masks: expected no options"):
        Variant("grown", OURS_TRUE_MASKS.method, (("start", 0.1),))


def test_another_noise_level_to_switch_at_is_another_picture(weights: Path) -> None:
    form = PromptForm.SCENE_THEN_ALONE.value
    keys = {key(weights, ours("switched", prompt_form=form, switch=switch)) for switch in (0.4, 0.5, 0.6)}
    assert len(keys) == 3


@pytest.mark.parametrize("name", ["toy.safetensors", "loras/rex.safetensors", "detector.safetensors"])
def test_other_weights_are_another_picture(weights: Path, name: str) -> None:
    keys = Keys(weights, weights / "detector.safetensors")
    before = keys.key(Draw(MERGE, CASE))
    (weights / name).rename(weights / "gone")
    assert key(weights, MERGE) != before
    assert keys.key(Draw(MERGE, CASE)) == before  # within a run it is read once


def test_networks_of_nobody_in_the_cast_do_not_count(weights: Path) -> None:
    before = key(weights, MERGE)
    (weights / "loras" / "another.safetensors").write_bytes(b"x")
    assert key(weights, MERGE) == before


def test_all_variants_of_ours_are_ones_that_exist() -> None:
    for variants in plans.ABLATIONS.values():
        for variant in variants:
            assert variant.method in METHODS
            omg_options(variant).settings(CASE)
    assert len({omg_options(variant) for variant in PROMPTS}) == len(PROMPTS)


def test_host_is_started_once_and_only_for_what_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        steps = 1
        asked: list[tuple[str, int, int]] = []  # noqa: RUF012

        def draw(self, prompt: str, seed: int, width_px: int) -> list[np.ndarray]:
            self.asked.append((prompt, seed, width_px))
            return [np.zeros((128, width_px, 3), np.uint8)]

    started: list[Path] = []

    def boot(weights_dir: Path) -> Host:
        started.append(weights_dir)
        return Host()

    monkeypatch.setattr(host, "boot", boot)
    painter = Painter(tmp_path, detector=None)
    assert painter.paint(Draw(TRUTH, CASE)).shape == (128, 128, 3)
    assert started == []
    painter.paint(Draw(LAYOUT, CASE))
    painter.paint(Draw(LAYOUT, Case(("rex", "ida", "ace"), "snow", "day", 3)))
    assert started == [tmp_path]
    assert Host.asked == [
        ("a man and a woman in the park at night", 7, 128),
        ("a man, a woman and a dog in the snow", 3, 192),
    ]
