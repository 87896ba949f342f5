"""The WebUI's side: API, PNG info, gallery, batches, progress, hires pass, messages."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest
import torch
from omg_tools import LEFT, RIGHT, boxed, concept, pair, spy
from PIL import Image

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

STEPS = 3
REQUEST = {"prompt": harness.PROMPT, "seed": 1, "steps": STEPS, "width": harness.SIZE, "height": harness.SIZE,
           "cfg_scale": 5, "sampler_name": "Euler"}  # fmt: skip


def _post(client: TestClient, omg: Any, **fields: Any) -> Any:
    scripts = {"OMG": {"args": [omg]}} if omg is not None else {}
    return client.post("/sdapi/v1/txt2img", json={**REQUEST, **fields, "alwayson_scripts": scripts})


def _images(answer: Any) -> list[Image.Image]:
    assert answer.status_code == 200, answer.text
    return [Image.open(io.BytesIO(base64.b64decode(image))) for image in answer.json()["images"]]


# --- API --------------------------------------------------------------------------------------------------------


def test_api_takes_one_settings_object(app_client: TestClient) -> None:
    (plain,) = _images(_post(app_client, None))
    images = _images(_post(app_client, pair(show_pictures=True)))
    assert len(images) == 3
    assert np.abs(np.asarray(images[0], int) - np.asarray(plain, int)).max() > 50
    assert np.array_equal(np.asarray(images[1]), np.asarray(plain)), "the layout is the plain picture"


@pytest.mark.parametrize(
    ("omg", "wanted"),
    [
        ({"concepts": [{"class_word": "man", "weigth": 1}]}, ["concepts[0]", "weigth", "class_word"]),
        ({"concepts": [concept("man", start=1.5)]}, ["start", "0 to 1", "1.5"]),
        ({"concepts": [concept("man", mask_source="magic")]}, ["mask_source", "attention, box, painted", "magic"]),
        ({"concepts": [concept("man", mask_source="box", box=[0, 0, 1])]}, ["box", "[left, top, right, bottom]"]),
        ({"concepts": [concept("man", mask_source="painted", mask="no picture")]}, ["mask", "no picture"]),
        ({"concepts": []}, ["at least one concept"]),
        ({"concepts": [concept("man")] * 6}, ["at most 5", "6"]),
    ],
)
def test_wrong_settings_are_answered_with_expected_and_found(
    app_client: TestClient, omg: Any, wanted: list[str]
) -> None:
    answer = _post(app_client, omg)
    assert answer.status_code == 422, answer.text
    for part in wanted:
        assert part in answer.text.replace("\\\\", "\\"), f"{part!r} not in {answer.text}"


def test_a_word_that_is_not_in_the_prompt_names_the_concept(app_client: TestClient) -> None:
    answer = _post(app_client, {"concepts": [concept("man", "rex"), concept("dog", "ida")]})
    assert answer.status_code == 500
    assert "concept 'dog'" in answer.json()["errors"]
    assert harness.PROMPT in answer.json()["errors"]


@pytest.mark.parametrize("by", ["mask", "prompt"])
def test_going_on_without_a_concept_is_a_choice(by: str) -> None:
    missing = boxed("dog", "ida", RIGHT, prompt_mode="alone") if by == "prompt" else concept("dog", "ida")
    omg = {"concepts": [boxed("man", "rex", LEFT), missing], "on_missing": "skip"}
    both = harness.run(omg, steps=STEPS)
    alone = harness.run({"concepts": omg["concepts"][:1]}, steps=STEPS)
    torch.testing.assert_close(both.latents[0], alone.latents[0], rtol=0, atol=1e-4)
    assert any("'dog'" in comment and "without it" in comment for comment in both.p.comments)


def test_an_empty_mask_stops_or_goes_on() -> None:
    man = boxed("man", "rex", LEFT, prompt_mode="scene")  # else it matters to him that she was to be there
    hidden = {"concepts": [man, boxed("woman", "ida", [0.1, 0.1, 0.4, 0.9])]}
    with pytest.raises(Exception, match="concept 'woman': no region"):
        harness.run(hidden, steps=STEPS)
    made = harness.run({**hidden, "on_missing": "skip"}, steps=STEPS)
    alone = harness.run({"concepts": hidden["concepts"][:1]}, steps=STEPS)
    torch.testing.assert_close(made.latents[0], alone.latents[0], rtol=0, atol=1e-4)


def test_a_painted_mask_is_the_same_as_its_box() -> None:
    picture = np.zeros((64, 128), np.uint8)
    picture[16:48, :64] = 255  # (H, W): a wide picture, to catch swapped sizes
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    painted = concept("man", "rex", mask_source="painted", mask=base64.b64encode(file.getvalue()).decode())
    box = boxed("man", "rex", [0, 0.25, 0.5, 0.75])
    size = {"width": 128, "height": 64, "steps": 4}
    made = harness.latents({"concepts": [painted]}, **size)
    torch.testing.assert_close(made, harness.latents({"concepts": [box]}, **size), rtol=0, atol=1e-4)


# --- PNG info ---------------------------------------------------------------------------------------------------


def test_settings_come_back_from_png_info(app_client: TestClient) -> None:
    omg = pair(attention_strength=0.5, view="crop", self_attention_end=0.2)
    omg["concepts"][0].update(start=0.25, cfg_scale=6.5, negative_prompt='hat, "quoted": yes', depth=2)
    omg["concepts"][1].update(prompt="ida woman, dots: many", loras=[{"name": "ida", "weight": 0.8}])
    first = _post(app_client, omg)
    text = json.loads(first.json()["info"])["infotexts"][0]
    assert "OMG: " in text
    again = app_client.post("/sdapi/v1/txt2img", json={"infotext": text})
    assert again.status_code == 200, again.text
    assert np.array_equal(np.asarray(_images(first)[0]), np.asarray(_images(again)[0]))
    assert json.loads(again.json()["info"])["infotexts"][0] == text


def test_plain_pictures_say_nothing_of_omg(app_client: TestClient) -> None:
    assert "OMG" not in json.loads(_post(app_client, None).json()["info"])["infotexts"][0]


# --- batches ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("source", ["attention", "box"])
def test_an_image_of_a_batch_is_its_single(source: str) -> None:
    omg = {"concepts": [concept("man", "rex"), concept("woman", "ida")]} if source == "attention" else pair()
    omg["show_pictures"] = True
    batches = 2 if source == "attention" else 1
    batch = harness.run(omg, **harness.STEADY, batch_size=2, n_iter=batches)
    latents = torch.cat(batch.latents)
    assert len(batch.images) == len(batch.processed.infotexts)
    extra = batch.images[-4 * batches :]
    for number in (0, 2 * batches - 1):  # first of the first batch, second of the last
        single = harness.run(omg, **harness.STEADY, seed=1 + number)
        torch.testing.assert_close(latents[number], single.latents[0][0], rtol=0, atol=5e-3)
        for mine, its in zip(extra[2 * number : 2 * number + 2], single.images[-2:], strict=True):
            assert np.abs(mine.astype(int) - its.astype(int)).mean() < 2, "another image's layout or masks"


def test_masks_differ_between_the_images_of_a_batch() -> None:
    with spy() as seen:
        harness.run({"concepts": [concept("man", "rex"), concept("woman", "ida")]}, steps=STEPS, batch_size=2)
    masks = torch.stack([plan.masks for plan in seen.plans], 1)  # (B, N, H, W)
    assert not torch.equal(masks[0], masks[1])
    assert float(masks.sum(1).max()) <= 1 + 1e-5


@pytest.mark.usefixtures("large")
def test_two_of_one_class_get_two_different_people() -> None:
    from lib_omg.core.masks import is_empty

    for prompt, words in (("two women in the park", "women"), ("a woman and a woman in the park", "woman")):
        with spy() as seen:
            omg = {"concepts": [concept(words, "ida", prompt="ida woman"), concept(words, None)]}
            harness.run(omg, prompt=prompt, steps=STEPS, seed=1)
        one, two = (plan.masks[0] for plan in seen.plans)
        assert not is_empty(one)
        assert not is_empty(two)
        overlap = float(torch.minimum(one, two).sum() / torch.minimum(one.sum(), two.sum()))
        assert overlap < 0.2
        columns = torch.arange(16.0)
        middle = [float((m.sum(0) * columns).sum() / m.sum()) for m in (one, two)]
        assert middle[1] - middle[0] > 2, "left to right, in the order of the concepts"


# --- regions ----------------------------------------------------------------------------------------------------


def test_a_late_start_finds_the_same_regions() -> None:
    """The attention that tells where somebody is is kept, however late the concepts begin."""
    masks = []
    for start in (0.3, 0.95):
        with spy() as seen:
            harness.run({"concepts": [concept(word, start=start) for word in ("man", "woman")]}, steps=STEPS)
        masks.append(torch.stack([plan.masks[0] for plan in seen.plans]))
    assert torch.equal(*masks)


def test_regions_use_self_attention_and_the_decoded_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_omg.vision import affinity, attention_source

    cells, pictures = [], []
    shares, refined = affinity.shares, attention_source.refined

    def sharing(q: torch.Tensor, *args: Any) -> torch.Tensor:
        cells.append(len(q))
        return shares(q, *args)

    def refining(picture: torch.Tensor, rough: torch.Tensor) -> torch.Tensor:
        pictures.append(picture)
        return refined(picture, rough)

    monkeypatch.setattr(affinity, "shares", sharing)
    monkeypatch.setattr(attention_source, "refined", refining)
    omg = {"concepts": [concept("man"), concept("woman")], "show_pictures": True}
    run = harness.run(omg, steps=STEPS)
    assert cells
    assert set(cells) == {harness.CELLS**2}, "the finest self-attention is the latent's own cells"
    assert len(pictures) == 1
    layout = pictures[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(layout - run.images[-2]).max() < 1.01


# --- concepts' own choices --------------------------------------------------------------------------------------


def test_a_concept_begins_at_its_own_noise_level() -> None:
    omg = pair()
    omg["concepts"][0]["start"], omg["concepts"][1]["start"] = 0.2, 0.7
    omg["view"] = "whole"
    with spy() as seen, harness.unet_calls() as unet:
        harness.run(omg, steps=6)
    from omg_tools import start_sigma

    first = [next(i for i, (_, s) in enumerate(seen.layout) if s <= start_sigma(f) * (1 + 1e-5)) for f in (0.2, 0.7)]
    assert seen.replayed == first[0] < first[1]
    assert sum(unet.rows) == 2 * 6 + 2 * (6 - first[0]) * 2 + 2 * (6 - first[1])


def test_prompt_editing_emphasis_and_lora_tags_in_a_concepts_prompt() -> None:
    """A concept's prompt is the host's own language: the same as written out."""
    tagged = boxed("man", None, LEFT, prompt="(rex:1.2) [man:man in a hat:0.5]<lora:rex:0.7>")
    made = harness.latents({"concepts": [tagged]}, steps=STEPS)
    plain = boxed("man", None, LEFT, prompt="(rex:1.2) [man:man in a hat:0.5]")
    plain["loras"] = [{"name": "rex", "weight": 0.7}]
    assert torch.equal(made, harness.latents({"concepts": [plain]}, steps=STEPS))
    unedited = {**plain, "prompt": "(rex:1.2) man"}
    assert not torch.equal(made, harness.latents({"concepts": [unedited]}, steps=STEPS))


def test_a_guidance_scale_of_its_own_acts_in_its_region_only() -> None:
    base = pair(attention_strength=0.0, feather_px=0.0)
    other = pair(attention_strength=0.0, feather_px=0.0)
    other["concepts"][1]["cfg_scale"] = 9.0
    base["concepts"][1]["start"] = other["concepts"][1]["start"] = 0.0
    base["concepts"][0]["start"] = other["concepts"][0]["start"] = 0.0
    difference = (harness.latents(base, steps=1) - harness.latents(other, steps=1)).abs()
    assert float(difference[..., : harness.CELLS // 2].max()) < 1e-4
    assert float(difference[..., harness.CELLS // 2 :].max()) > 1e-2


@pytest.mark.parametrize("view", ["whole", "crop"])
def test_both_views_run_and_a_crop_sees_its_window(view: str) -> None:
    with harness.unet_calls() as unet:
        harness.run({**pair(), "view": view, "crop_margin": 0.0}, steps=STEPS, width=2 * harness.SIZE)
    widths = {shape[-1] for shape in unet.x_shapes}
    crop = 10  # half of 16 cells, a cell of feather; it grows in steps of 2 cells, a quarter of the shorter side
    assert widths == ({16} if view == "whole" else {16, crop})


# --- progress ---------------------------------------------------------------------------------------------------


def test_progress_counts_both_passes_and_names_them() -> None:
    from modules import shared

    from lib_omg.core import passes

    steps = 8  # the last of 5 is called at .9, and has to be beyond it
    seen: list[tuple[str, float]] = []
    calls = {name: getattr(passes, name).call for name in ("LayoutPass", "ConceptPass")}

    def watching(name: str) -> Any:
        def call(self: Any, *args: Any) -> Any:
            state = shared.state
            done = (state.job_no + state.sampling_step / max(1, state.sampling_steps)) / state.job_count
            seen.append((state.job, done))
            return calls[name](self, *args)

        return call

    for name in calls:
        getattr(passes, name).call = watching(name)
    try:
        harness.run(pair(), steps=steps, n_iter=2)
    finally:
        for name, call in calls.items():
            getattr(passes, name).call = call
    labels = [label for label, _ in seen]
    assert labels[0] == "Batch 1 out of 2, OMG layout pass"
    assert labels[steps] == "Batch 1 out of 2, OMG concept pass"
    progress = [done for _, done in seen]
    assert progress == sorted(progress)
    assert progress[0] < 0.01
    assert progress[steps] == pytest.approx(0.25, abs=0.01)
    assert 0.9 < progress[-1] <= 1


# --- hires ------------------------------------------------------------------------------------------------------


def test_hires_pass_draws_the_concepts_again() -> None:
    hires = {"enable_hr": True, "hr_scale": 2.0, "hr_upscaler": "Latent", "denoising_strength": 0.6, "steps": STEPS}
    with harness.unet_calls() as unet:
        made = harness.run({**pair(), "view": "whole"}, **hires)
    assert made.images[0].shape == (2 * harness.SIZE, 2 * harness.SIZE, 3)
    large = [shape[0] for shape in unet.x_shapes if shape[-1] == 2 * harness.CELLS]
    with harness.unet_calls() as plain:
        harness.run(**hires)
    plain_rows = [shape[0] for shape in plain.x_shapes if shape[-1] == 2 * harness.CELLS]
    assert sum(large) == 3 * sum(plain_rows), "global rows and two concepts' in every call of the hires pass"


def test_a_refiner_is_refused() -> None:
    from modules import sd_models

    title = next(iter(sd_models.checkpoints_list))
    with pytest.raises(Exception, match="refiner"):
        harness.run(pair(), steps=STEPS, refiner_checkpoint=title, refiner_switch_at=0.5)


# --- not ours ---------------------------------------------------------------------------------------------------


def test_image_to_image_has_no_omg() -> None:
    from modules import scripts

    assert all(script.title() != "OMG" for script in scripts.scripts_img2img.alwayson_scripts)
    assert sum(script.title() == "OMG" for script in scripts.scripts_txt2img.alwayson_scripts) == 1


def test_right_is_right() -> None:
    """ida's box is on the right: the left half stays rex's and global."""
    only = {"concepts": [boxed("woman", "ida", RIGHT)], "attention_strength": 0.0}
    with spy() as seen:
        harness.run(only, steps=STEPS)
    mask = seen.plans[0].masks[0]
    assert float(mask[:, :3].max()) < 0.02
    assert float(mask[:, 5:].min()) > 0.98
