"""Approve, then spend: a layout is made alone, kept, and drawn on again and again without a layout row."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import harness
import pytest
import torch
from omg_tools import concept, found_pair, spy

pytestmark = pytest.mark.contract
STEPS = 3
WORDS = ("man", "woman")


def shelf() -> Any:
    return harness.omg_script().runtime.shelf


def keep(omg: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Make a layout alone; gives it as it is kept."""
    harness.run({**(omg or found_pair()), "layout_only": True}, steps=STEPS, **fields)
    return shelf().all()[0]


@functools.cache
def in_one_go() -> torch.Tensor:
    """The pair without a kept layout."""
    return harness.latents(found_pair(), steps=STEPS)


def rows_of(omg: dict[str, Any], **fields: Any) -> tuple[torch.Tensor, list[int]]:
    with harness.unet_calls() as calls:
        made = harness.latents(omg, steps=STEPS, **fields)
    return made, calls.rows


def test_a_layout_alone_is_the_plain_picture_and_runs_no_concept_row() -> None:
    plain, plain_rows = rows_of(None)  # type: ignore[arg-type]
    with spy() as seen:
        made, rows = rows_of(found_pair(layout_only=True))
    assert torch.equal(made, plain)
    assert rows == plain_rows
    assert seen.concept == []


def test_it_names_itself_and_shows_layout_and_masks() -> None:
    run = harness.run(found_pair(layout_only=True), steps=STEPS)
    kept = shelf().all()[0]
    assert f"OMG layout: {kept.id}" in run.processed.infotexts[0]
    assert len(run.images) == 3, "the picture, which is the layout, the layout, its masks"
    assert [one.label for one in kept.instances] in (["man", "woman"], ["woman", "man"])
    assert kept.fields["Seed"] == 1


def test_an_approved_layout_costs_no_layout_row_and_gives_the_same_picture() -> None:
    kept = keep()
    with spy() as seen:
        made, rows = rows_of(found_pair(layout=kept.id))
    at_once, all_rows = rows_of(found_pair())
    assert torch.equal(made, at_once)
    assert seen.layout == []
    assert seen.replayed > 0
    calls_drawn = STEPS - seen.replayed
    assert sum(rows) == 2 * calls_drawn * (1 + len(WORDS))
    assert sum(all_rows) - sum(rows) == 2 * STEPS


def test_other_loras_weights_prompts_and_starts_cost_only_the_second_pass() -> None:
    kept = keep()
    made = []
    for man in (
        concept("man", "bob"),
        concept("man", "rex", prompt="rex man in red"),
        concept("man", "rex", start=0.05),
        {**concept("man"), "loras": [{"name": "rex", "weight": 0.4}]},
    ):
        omg = {"concepts": [man, concept("woman", "ida")]}
        with spy() as seen:
            made.append(harness.latents({**omg, "layout": kept.id}, steps=STEPS))
        assert seen.layout == []
        assert torch.equal(made[-1], harness.latents(omg, steps=STEPS))
    for one, other in itertools.pairwise(made):
        assert not torch.equal(one, other)


def masks_of(omg: dict[str, Any]) -> torch.Tensor:
    with spy() as seen:
        harness.run(omg, steps=STEPS)
    return torch.stack([plan.masks[0] for plan in seen.plans])


def test_who_is_who_can_be_swapped() -> None:
    kept = keep()
    owners = list(kept.owners)
    swapped = {
        "concepts": [
            concept("man", "rex", instance=owners[1]),
            concept("woman", "ida", instance=owners[0]),
        ]
    }
    before, after = masks_of(found_pair(layout=kept.id)), masks_of({**swapped, "layout": kept.id})
    assert torch.equal(before, after.flip(0))
    assert not torch.equal(before, after)
    assert torch.equal(after, masks_of(swapped)), "the same numbers in a new layout"


def test_the_order_of_the_concepts_counts_for_nothing() -> None:
    """Nobody gets what lies between two for being named first."""
    kept = keep()
    man = concept("man", "rex", instance=kept.owners[0])
    woman = concept("woman", "ida", instance=kept.owners[1])
    made, turned = (
        harness.latents({"concepts": concepts, "layout": kept.id}, steps=STEPS)
        for concepts in ([man, woman], [woman, man])
    )
    torch.testing.assert_close(turned, made, rtol=0, atol=1e-3)
    assert float((made - in_one_go()).abs().max()) < 1e-3, "and it is the usual picture"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"seed": 2}, "Seed was 1, now 2"),
        ({"prompt": "a man and a woman in the snow"}, "Prompt was a man and a woman in the park, now"),
        ({"negative_prompt": "blurry"}, "Negative prompt was nothing, now blurry"),
        ({"width": 96}, "Size was 64x64, now 96x64"),
        ({"sampler_name": "DPM++ 2M"}, "Sampler was Euler, now DPM"),
        ({"cfg_scale": 7.0}, "CFG scale was 5.0, now 7.0"),
        ({"subseed": 3, "subseed_strength": 0.5}, "Variation seed was nothing, now 3"),
    ],
)
def test_what_makes_the_layout_invalid_is_said(fields: dict[str, Any], told: str) -> None:
    from lib_omg.core.errors import OmgError

    kept = keep()
    with pytest.raises(OmgError, match=told) as caught:
        harness.run(found_pair(layout=kept.id), **{"steps": STEPS, **fields})
    assert caught.value.status_code == 422
    assert torch.equal(harness.latents(found_pair(layout=kept.id), steps=STEPS), in_one_go())


def test_what_pnginfo_does_not_name_is_noticed_too() -> None:
    from lib_omg.core.errors import OmgError

    kept = keep()
    with harness.options(CLIP_stop_at_last_layers=2), pytest.raises(OmgError, match="encoded otherwise"):
        harness.run(found_pair(layout=kept.id), steps=STEPS)


def test_a_layout_that_is_gone_is_said() -> None:
    from lib_omg.core.errors import OmgError

    kept = keep()
    shelf().remove(kept.id)
    with pytest.raises(OmgError, match="isn't kept any more"):
        harness.run(found_pair(layout=kept.id), steps=STEPS)


def test_a_random_seed_is_the_layouts_and_a_batch_is_one() -> None:
    kept = keep(seed=-1)
    run = harness.run(found_pair(layout=kept.id), steps=STEPS, seed=-1, batch_size=2, n_iter=2)
    assert len(run.images) == 1
    assert run.processed.all_seeds == [kept.seed]
    assert torch.equal(run.latents[0], harness.latents(found_pair(), steps=STEPS, seed=kept.seed))


@pytest.mark.usefixtures("large")
def test_several_seeds_are_several_layouts() -> None:
    before = len(shelf().all())
    run = harness.run(found_pair(layout_only=True), **harness.STEADY, batch_size=2, n_iter=2)
    kept = shelf().all()[: len(shelf().all()) - before][:4]
    assert [one.seed for one in kept] == [4, 3, 2, 1]
    for index, one in enumerate(reversed(kept)):
        assert f"OMG layout: {one.id}" in run.processed.infotexts[index]
    for one in (kept[0], kept[-1]):  # second of the last batch, first of the first
        with spy() as seen:
            made = harness.latents(found_pair(layout=one.id, on_missing="skip"), **harness.STEADY, seed=one.seed)
        assert seen.layout == []
        at_once = harness.latents(found_pair(on_missing="skip"), **harness.STEADY, seed=one.seed)
        torch.testing.assert_close(made, at_once, atol=2e-3, rtol=0)  # a batch of two rounds otherwise


def test_a_layout_without_its_trace_is_made_again_once() -> None:
    kept = keep()
    expected = harness.latents(found_pair(layout=kept.id), steps=STEPS)
    kept.trace = kept.basis = None
    for layout_calls in (STEPS, 0):
        with spy() as seen:
            made = harness.latents(found_pair(layout=kept.id), steps=STEPS)
        assert len(seen.layout) == layout_calls
        assert torch.equal(made, expected)


def test_traces_are_held_to_the_limit_the_newest_stays() -> None:
    with harness.options(omg_shelf_limit_mb=0):
        first = keep()
        second = keep(seed=2)
    assert first.trace is None
    assert second.trace is not None


def test_painted_masks_on_an_approved_layout() -> None:
    import numpy as np

    from lib_omg.vision import painted

    kept = keep()
    mask = np.zeros((harness.CELLS, harness.CELLS), np.float32)
    mask[:, : harness.CELLS // 2] = 1
    man = concept("man", "rex", mask_source="painted", mask=painted.pack(mask))
    made = masks_of({"concepts": [man, concept("woman", "ida")], "layout": kept.id, "feather_px": 0})
    assert torch.equal(made[0], torch.from_numpy(mask))


def test_a_layout_alone_makes_no_hires_pass_and_an_approved_one_does() -> None:
    hires = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.5}
    run = harness.run(found_pair(layout_only=True), steps=STEPS, **hires)
    assert run.processed.images[0].size == (64, 64)
    kept = shelf().all()[0]
    run = harness.run(found_pair(layout=kept.id), steps=STEPS, **hires)
    assert run.processed.images[0].size == (96, 96)


def test_a_concept_that_is_not_found_does_not_stop_a_layout_alone() -> None:
    run = harness.run(
        {"concepts": [concept("man", "rex"), concept("man", "bob"), concept("man", "tom")], "layout_only": True},
        steps=STEPS,
        prompt="a man in the park",
    )
    assert shelf().all()[0].owners.count(None) == 3 - len(shelf().all()[0].instances)
    assert len(run.images) == 3


def test_an_error_in_the_second_pass_keeps_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_omg.core import passes

    kept = keep()
    expected = harness.latents(found_pair(layout=kept.id), steps=STEPS)
    plain = harness.latents(steps=STEPS)
    with monkeypatch.context() as patch:
        patch.setattr(passes, "blend", lambda *args: 1 / 0)
        with pytest.raises(Exception, match="OMG"):
            harness.run(found_pair(layout=kept.id), steps=STEPS)
    assert torch.equal(harness.latents(found_pair(layout=kept.id), steps=STEPS), expected)
    assert torch.equal(harness.latents(steps=STEPS), plain)
