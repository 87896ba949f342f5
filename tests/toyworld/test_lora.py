"""What the networks are trained on and what their files say."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest

from toyworld.identity import CAST
from toyworld.scene import LIGHTS, PLACES, draw_scene
from toyworld.train import lora
from toyworld.train.loop import Plan
from toyworld.train.networks import Kind


def test_a_concept_is_learnt_from_its_own_pictures_in_every_place_and_light(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def recorded(*args: object) -> object:
        seen.append(args[1:])
        return draw_scene(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(lora, "draw_scene", recorded)
    images, captions = lora.pictures(CAST["ida"], 30)
    assert all(image.shape == (128, 128, 3) for image in images)
    assert [who for who, *_ in seen] == [[CAST["ida"].identity]] * 30
    assert Counter((place, light) for _, place, light, _ in seen) == {(p, t): 2 for p in PLACES for t in LIGHTS}
    assert captions[0] == "an ida woman in the park"
    assert captions[10] == "an ida woman in the park at night"


def test_the_style_is_of_many_and_named_in_front() -> None:
    images, captions = lora.pictures(None, 8)
    assert all(text.startswith("sketch style, ") for text in captions)
    assert any(" and " in text for text in captions)
    colours = [np.ptp(image.astype(int), axis=2).mean() for image in images]
    assert max(colours) < 40


def test_a_sketch_is_paler_and_greyer_with_dark_lines() -> None:
    image = draw_scene(random.Random(0), light="day", width_px=128).image
    drawn = lora.sketch(image)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert np.ptp(drawn.astype(int), axis=2).mean() < 0.25 * np.ptp(image.astype(int), axis=2).mean()
    assert drawn.mean() > image.mean()
    assert 0.03 < (drawn.max(2) < 60).mean() < 0.4


def test_names_and_kinds_of_the_command_line() -> None:
    names = [lora.read_job(name).name for name in lora.all_names()]
    assert names == [*CAST, "sketch", "rex-locon", "rex-loha", "rex-lokr", "rex-ia3", "rex-dora", "rex-oft"]
    assert lora.read_job("tom", "loha") == lora.read_job("tom-loha")
    with pytest.raises(ValueError, match="found 'nobody'"):
        lora.read_job("nobody")
    with pytest.raises(ValueError, match="xyz"):
        lora.read_job("rex-xyz")


def test_the_header_names_the_trigger_and_the_network() -> None:
    job = lora.read_job("ace-lokr")
    base = lora.Base(None, None, None, 1.0, "abc")  # type: ignore[arg-type]
    told = lora.metadata(job, lora.RECIPES[job.kind], base, Plan("x", 400, 1e-3))
    assert all(isinstance(value, str) for value in told.values())
    assert told["ss_output_name"] == "ace-lokr"
    assert json.loads(told["ss_tag_frequency"]) == {"1_ace dog": {"ace dog": lora.PICTURES}}
    assert json.loads(told["ss_network_args"])["algo"] == "lokr"
    assert told["ss_base_model_version"] == "sd_v1"


def test_every_kind_has_a_recipe() -> None:
    assert set(lora.RECIPES) == set(Kind)
