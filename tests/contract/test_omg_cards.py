"""LoRA cards from real files: what is told of them, their previews, and files that are not as they should be."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

TEXT_LAYER = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k"


@pytest.fixture
def cards() -> Any:
    from lib_omg.host.cards import Cards

    return Cards()


@pytest.fixture
def lora() -> Iterator[Callable[..., Path]]:
    """Writes LoRA files below the host's folder and lets the host find them; all are removed at the end."""
    import networks
    from modules import shared

    top = Path(shared.cmd_opts.lora_dir)
    before = set(top.rglob("*"))

    def write(name: str, notes: Any = None, width: int = 64, **metadata: Any) -> Path:
        path = top / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
        weights = {
            f"{TEXT_LAYER}.lora_down.weight": torch.zeros(1, width),
            f"{TEXT_LAYER}.lora_up.weight": torch.zeros(64, 1),
        }
        safetensors.torch.save_file(weights, str(path), metadata=texts or None)
        if notes is not None:
            text = notes if isinstance(notes, str) else json.dumps(notes)
            path.with_name(f"{path.stem}.json").write_text(text, encoding="utf8")
        networks.list_available_networks()
        return path

    yield write
    for path in sorted(set(top.rglob("*")) - before, reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    networks.list_available_networks()


def card(cards: Any, name: str) -> dict[str, Any]:
    (found,) = (one for one in cards.everything({}) if one["name"] == name)
    return found


def picture(path: Path, size: tuple[int, int] = (400, 100), mode: str = "RGB", colour: Any = "red") -> Path:
    Image.new(mode, size, colour).save(path)
    return path


def opened(url: str) -> Image.Image:
    head, data = url.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


# --- what is told -----------------------------------------------------------------------------------------------------


def test_the_toy_loras_have_cards(cards: Any) -> None:
    listed = cards.everything({})
    names = [one["name"] for one in listed]
    assert {"rex", "ida", "rex-loha"} <= set(names)
    assert names == sorted(names, key=str.casefold)
    ida = card(cards, "ida")
    assert ida["triggers"] == "ida woman"
    assert (ida["base_model"], ida["fits"], ida["preferred_weight"]) == ("SD1", True, 1.0)
    assert ida["has_preview"] is True
    assert "pictures" in ida["notes"]
    assert (ida["alias"], ida["title"], ida["folder"], ida["class_word"]) == ("ida", "ida", "", "")
    json.dumps(listed, allow_nan=False)


@pytest.mark.parametrize(
    ("metadata", "notes", "width", "base_model", "fits"),
    [
        ({"ss_base_model_version": "sdxl_base_v1-0"}, None, 64, "SDXL", False),
        ({"ss_base_model_version": "sd_v1"}, None, 64, "SD1", True),
        ({"ss_base_model_version": "sd_v2_v", "ss_v2": "True"}, None, 64, "SD2", False),
        ({"ss_v2": "True"}, None, 64, "SD2", False),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, None, 64, "SDXL", False),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, None, 64, "SD1", True),
        ({"ss_base_model_version": "flux1"}, None, 64, "Flux", False),
        # The host takes any metadata for SD1; the weights know better.
        ({"ss_network_dim": "1"}, None, 2048, "SDXL", False),
        ({"ss_network_dim": "1"}, None, 1024, "SD2", False),
        ({}, None, 768, "SD1", True),
        ({}, None, 64, "", None),
        # The user knows best.
        ({"ss_base_model_version": "sdxl_base_v1-0"}, {"sd version": "SD1"}, 2048, "SD1", True),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, {"sd version": "Unknown"}, 64, "SDXL", False),
    ],
)
def test_base_model_and_whether_it_fits(
    cards: Any, lora: Callable[..., Path], metadata: Any, notes: Any, width: int, base_model: str, fits: bool | None
) -> None:
    lora("some", notes, width, **metadata)
    found = card(cards, "some")
    assert (found["base_model"], found["fits"]) == (base_model, fits)


def test_without_a_loaded_model_nothing_is_said_to_fit(
    cards: Any, lora: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modules import sd_models, shared

    holder = getattr(sd_models, "model_data", shared)
    monkeypatch.setattr(holder, "sd_model", None)
    assert card(cards, "ida")["fits"] is None


def test_trigger_words_are_the_users_then_the_files(cards: Any, lora: Callable[..., Path]) -> None:
    from lib_omg.host import loras

    lora("mine", {"activation text": " my words, red coat "}, **{"modelspec.trigger_phrase": "its words"})
    lora("its", {"activation text": ""}, **{"modelspec.trigger_phrase": "its words"})
    lora("none", ss_tag_frequency={"10_x": {"smile": 5}})
    assert [card(cards, name)["triggers"] for name in ("mine", "its", "none")] == [
        "my words, red coat",
        "its words",
        "",
    ]
    assert loras.trigger_words("its") == "its words", "as generation takes them for an empty prompt"


def test_a_name_that_is_anothers_alias_keeps_its_own_words(cards: Any, lora: Callable[..., Path]) -> None:
    lora("aaa", {"activation text": "words of aaa"})
    lora("zzz", {"activation text": "words of zzz"}, ss_output_name="aaa")
    assert card(cards, "aaa")["triggers"] == "words of aaa"
    assert card(cards, "zzz")["triggers"] == "words of zzz"


def test_the_tags_used_most_come_first_and_captions_are_left_out(cards: Any, lora: Callable[..., Path]) -> None:
    caption = "a very long caption of a picture that somebody wrote in full sentences"
    many = {f"tag {number}": number for number in range(50_000)}
    frequency = {"5_a": {" smile ": 60_000, caption: 99_999, "hat": 40_000, "": 7}, "5_b": {**many, "hat": 30_000}}
    lora("tagged", ss_tag_frequency=frequency, ss_datasets="x" * 5_000_000)
    tags = card(cards, "tagged")["tags"]
    assert list(tags[:3]) == ["hat", "smile", "tag 49999"]
    assert len(tags) == 16


@pytest.mark.parametrize(
    "frequency", ["no json", "[1, 2]", '{"a": 1}', '{"a": {"b": "c"}}', "{broken", '{"a": {"b": null}}']
)
def test_tags_that_are_not_as_trainers_write_them(cards: Any, lora: Callable[..., Path], frequency: str) -> None:
    lora("odd", ss_tag_frequency=frequency)
    assert card(cards, "odd")["tags"] == ()


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [
        (0.7, 0.7),
        ("0.7", 0.7),
        (0, None),
        (None, None),
        ("much", None),
        ([1], None),
        (float("nan"), None),
        (True, 1.0),
        (-1, -1.0),
    ],
)
def test_preferred_weights(cards: Any, lora: Callable[..., Path], weight: object, wanted: float | None) -> None:
    lora("heavy", {"preferred weight": weight})
    assert card(cards, "heavy")["preferred_weight"] == wanted


@pytest.mark.parametrize(
    "notes", ["{broken", "[1, 2]", '"text"', "null", "", '{"activation text": 5, "notes": {"a": 1}}']
)
def test_notes_that_cannot_be_read_cost_nothing_but_themselves(
    cards: Any, lora: Callable[..., Path], notes: str
) -> None:
    lora("broken", notes)
    found = card(cards, "broken")
    assert found["notes"] == ""
    assert found["triggers"] in ("", "5")
    assert card(cards, "ida")["triggers"] == "ida woman"


def test_long_notes_are_cut_and_the_description_stands_in(cards: Any, lora: Callable[..., Path]) -> None:
    lora("long", {"notes": "x" * 100_000})
    lora("described", {"notes": "", "description": "Of a queen.", "class word": " queen "})
    assert len(card(cards, "long")["notes"]) == 4000
    found = card(cards, "described")
    assert (found["notes"], found["class_word"]) == ("Of a queen.", "queen")


NAMES = [
    "with 'quotes\" and <b>",
    "雪の女王",
    "v1.5 dots. and blanks",
    "people/women/anna",
    "percent %41 & hash #",
    "[brackets]*?",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_has_its_card_and_preview(cards: Any, lora: Callable[..., Path], name: str) -> None:
    path = lora(name, {"activation text": "words"})
    picture(path.with_name(f"{path.stem}.preview.png"))
    found = card(cards, path.stem)
    assert (found["triggers"], found["has_preview"]) == ("words", True)
    assert found["folder"] == "/".join(name.split("/")[:-1])
    assert set(cards.previews({"names": [path.stem]})) == {path.stem}


def test_a_file_that_is_no_network_has_no_say(cards: Any, lora: Callable[..., Path]) -> None:
    path = lora("fine")
    for name, data in (
        ("empty", b""),
        ("noise", os.urandom(300)),
        ("huge", b"\xff" * 8 + b"{}"),
        ("deep", b"\xff\xff\0\0\0\0\0\0" + b"[" * 65535),
    ):
        path.with_name(f"{name}.safetensors").write_bytes(data)
    found = {one["name"]: one for one in cards.everything({"refresh": True})}
    assert found["fine"]["base_model"] == ""
    for name in ("empty", "noise", "huge", "deep"):
        assert name not in found or found[name]["base_model"] == ""


def test_refresh_finds_what_is_new(cards: Any, lora: Callable[..., Path]) -> None:
    path = lora("first")
    second = path.with_name("second.safetensors")
    second.write_bytes(path.read_bytes())
    assert "second" not in {one["name"] for one in cards.everything({})}
    assert "second" in {one["name"] for one in cards.everything({"refresh": True})}


@pytest.mark.parametrize("refresh", [1, "yes", None])
def test_refresh_is_a_truth_value(cards: Any, refresh: object) -> None:
    with pytest.raises(ValueError, match="expected true or false"):
        cards.everything({"refresh": refresh})


def test_five_hundred_loras(cards: Any, lora: Callable[..., Path]) -> None:
    path = lora("crowd/first", {"activation text": "words"})
    data = path.read_bytes()
    for number in range(500):
        path.with_name(f"crowd {number:03}.safetensors").write_bytes(data)
    listed = [one for one in cards.everything({"refresh": True}) if one["folder"] == "crowd"]
    assert len(listed) == 501


# --- previews ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "preview.png", "jpg", "preview.jpeg", "webp", "preview.webp", "gif"])
def test_previews_lie_where_the_host_looks(cards: Any, lora: Callable[..., Path], ending: str) -> None:
    path = lora("pretty")
    picture(path.with_name(f"pretty.{ending}"))
    assert card(cards, "pretty")["has_preview"] is True
    small = opened(cards.previews({"names": ["pretty"]})["pretty"])
    assert small.size == (192, 48)  # PIL's (W, H)
    red, green, blue = small.convert("RGB").getpixel((96, 24))
    assert red > 200
    assert max(green, blue) < 60


def test_the_host_finds_the_same_file(lora: Callable[..., Path]) -> None:
    pytest.importorskip("modules.ui_extra_networks", reason="only the real WebUI has this page")
    import networks
    from modules import ui_extra_networks

    from lib_omg.host.thumbnails import find_preview

    for ending in ("png", "preview.png", "preview.jpeg", "webp"):
        path = lora(f"pretty {ending}")
        shown = picture(path.with_name(f"{path.stem}.{ending}"))
        page = ui_extra_networks.ExtraNetworksPage("test")
        assert shown.name.replace(" ", "%20") in (page.find_preview(str(path.with_suffix(""))) or "")
        assert find_preview(networks.available_networks[path.stem]) == shown


@pytest.mark.parametrize(
    ("mode", "colour"), [("RGBA", (255, 0, 0, 0)), ("LA", (255, 0)), ("P", 0), ("1", 1), ("I;16", 9), ("CMYK", 0)]
)
def test_every_kind_of_picture(cards: Any, lora: Callable[..., Path], mode: str, colour: Any) -> None:
    path = lora("kind")
    picture(path.with_name("kind.jpg" if mode == "CMYK" else "kind.png"), (30, 40), mode, colour)
    small = opened(cards.previews({"names": ["kind"]})["kind"])
    assert small.size == (30, 40)
    if mode in ("RGBA", "LA"):
        assert abs(small.convert("L").getpixel((15, 20)) - 64) < 4, "grey shows through"


def test_a_phones_photo_stands_upright(cards: Any, lora: Callable[..., Path]) -> None:
    path = lora("photo")
    image = Image.new("RGB", (400, 200))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path.with_name("photo.jpg"), exif=exif)
    assert opened(cards.previews({"names": ["photo"]})["photo"]).size == (96, 192)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_broken_picture_is_told_once_and_left_out(
    cards: Any, lora: Callable[..., Path], caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    path = lora("spoilt")
    path.with_name("spoilt.png").write_bytes(data)
    with caplog.at_level(logging.WARNING, logger="lib_omg.host.thumbnails"):
        for _ in range(3):
            assert set(cards.previews({"names": ["spoilt", "ida"]})) == {"ida"}
    assert [record.name for record in caplog.records].count("lib_omg.host.thumbnails") == 1


def test_a_picture_too_large_to_open_is_left_out(
    cards: Any, lora: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lora("bomb")
    picture(path.with_name("bomb.png"), (600, 600))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert cards.previews({"names": ["bomb"]}) == {}


def test_a_thumbnail_is_made_once_for_every_state_of_its_file(
    cards: Any, lora: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_omg.host import thumbnails

    made = []
    encode = thumbnails._encoded
    monkeypatch.setattr(thumbnails, "_encoded", lambda image: made.append(1) or encode(image))
    path = lora("changing")
    shown = picture(path.with_name("changing.png"))
    first = cards.previews({"names": ["changing"]})
    assert cards.previews({"names": ["changing"]}) == first
    assert len(made) == 1
    picture(shown, colour="blue")
    os.utime(shown, ns=(1, 1))
    assert cards.previews({"names": ["changing"]}) != first
    assert len(made) == 2
    shown.unlink()
    assert cards.previews({"names": ["changing"]}) == {}


def test_a_cover_inside_the_file_will_do(cards: Any, lora: Callable[..., Path]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (50, 60), "green").save(file, "PNG")
    lora("covered", ssmd_cover_images=["", base64.b64encode(file.getvalue()).decode()])
    lora("bare", ssmd_cover_images=["AAAA"])
    lora("odd", ssmd_cover_images="{}")
    assert card(cards, "covered")["has_preview"] is True
    made = cards.previews({"names": ["covered", "bare", "odd"]})
    assert set(made) == {"covered"}
    assert opened(made["covered"]).size == (50, 60)


@pytest.mark.parametrize(
    "name",
    ["../secret", "../../secret", "/secret", "secret", "ida/../../secret", "secret.png", "", "\0", "ida.preview"],
)
def test_a_name_is_never_a_path(cards: Any, lora: Callable[..., Path], name: str) -> None:
    path = lora("people/inside")
    for folder in (path.parent, path.parent.parent):
        picture(folder / "secret.png")
    assert cards.previews({"names": [name]}) == {}


@pytest.mark.parametrize("names", [None, "ida", [1], {"ida": 1}, ["ida"] * 25])
def test_names_are_a_short_list_of_texts(cards: Any, names: object) -> None:
    with pytest.raises(ValueError, match="names: expected"):
        cards.previews({"names": names})


def test_the_methods_are_those_the_page_calls(cards: Any) -> None:
    from lib_omg.ui.channel import answer

    reply = json.loads(
        answer(cards.methods(), json.dumps({"id": 1, "method": "cards.previews", "params": {"names": ["ida"]}}))
    )
    assert set(reply["result"]) == {"ida"}
    reply = json.loads(answer(cards.methods(), '{"id": 2, "method": "cards.list"}'))
    assert "ida" in {one["name"] for one in reply["result"]}
