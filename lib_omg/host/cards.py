"""The LoRAs the WebUI knows, as cards: what their files, their metadata and the user's notes tell of them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networks
from modules import sd_models, shared

from lib_omg.host import loras
from lib_omg.host.thumbnails import Thumbnails, find_preview, has_cover

MOST_PREVIEWS = 24
"""How many thumbnails one call may ask for."""

_MOST_TAGS = 16
_LONGEST_TAG = 48
"""Letters; longer ones are whole captions."""
_LONGEST_NOTES = 4000
_LARGEST_HEADER = 100_000_000
"""Bytes, as safetensors itself allows."""

_TOLD = (
    ("SDXL", ("sdxl", "stable-diffusion-xl")),
    ("SD1", ("sd_v1", "sd1", "stable-diffusion-v1")),
    ("SD2", ("sd_v2", "sd2", "stable-diffusion-v2")),
    ("SD3", ("sd3", "stable-diffusion-v3", "stable-diffusion-3")),
    ("Flux", ("flux",)),
)
"""How trainers name the base model, by the beginning of the name."""
_TEXT_WIDTHS = {768: "SD1", 1024: "SD2", 2048: "SDXL"}
"""Channels of the text that cross-attention reads."""
_TEXT_LAYER = re.compile(r"attn2[._]to_k\.(lora_down\.weight|lora_A\.weight|hada_w1_b)$")


@dataclass(frozen=True)
class Card:
    """One LoRA."""

    name: str
    """As the WebUI lists it, and as the panel's list holds it."""
    alias: str
    title: str
    base_model: str
    """SD1, SD2, SDXL, SD3 or Flux; "" when unknown."""
    fits: bool | None
    """The loaded checkpoint; None when it is unknown."""
    triggers: str
    class_word: str
    """What the user noted as "class word" in `name.json`; "" as a rule."""
    preferred_weight: float | None
    notes: str
    has_preview: bool
    folder: str
    """Below the LoRA folder, with slashes; "" at its top."""
    tags: tuple[str, ...]
    """Tags used most in training, the most used first. Suggestions: nobody says that they are triggers."""


class Cards:
    """Answers the page's questions about LoRAs; keeps thumbnails and what it read from the files' headers."""

    def __init__(self) -> None:
        self._thumbnails = Thumbnails()
        self._families: dict[str, tuple[tuple[int, int], str]] = {}

    def methods(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """For the page's channel."""
        return {"cards.list": self.everything, "cards.previews": self.previews}

    def everything(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All LoRAs as plain `Card`s, by name.

        Args:
            params: {"refresh": true} lets the WebUI look for LoRAs on disk again.

        Raises:
            ValueError: `refresh` is no truth value.
        """
        refresh = params.get("refresh", False)
        if not isinstance(refresh, bool):
            raise ValueError(f"refresh: expected true or false, found {refresh!r}")
        if refresh:
            networks.list_available_networks()
        loaded = _loaded_family()
        folders: dict[str, frozenset[str]] = {}
        known = sorted(networks.available_networks.items(), key=lambda item: item[0].casefold())
        return [dataclasses.asdict(self._card(name, on_disk, loaded, folders)) for name, on_disk in known]

    def previews(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Thumbnails by name; LoRAs that are unknown or have none are left out.

        Args:
            params: {"names": [...]}, names as in `everything`. A name is looked up, never made a path.

        Raises:
            ValueError: `names` is no list of texts, or too long.
        """
        names = params.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names: expected a list of LoRA names, found {str(names)[:100]!r}")
        if len(names) > MOST_PREVIEWS:
            raise ValueError(f"names: expected at most {MOST_PREVIEWS}, found {len(names)}")
        known = {name: networks.available_networks.get(name) for name in names}
        made = {name: self._thumbnails.of(on_disk) for name, on_disk in known.items() if on_disk is not None}
        return {name: thumbnail for name, thumbnail in made.items() if thumbnail is not None}

    def _card(self, name: str, on_disk: Any, loaded: str, folders: dict[str, frozenset[str]]) -> Card:
        noted = loras.user_metadata(on_disk)
        base_model = self._family(on_disk, noted)
        folder = str(Path(on_disk.filename).parent)
        if folder not in folders:
            folders[folder] = _file_names(folder)
        return Card(
            name=name,
            alias=str(on_disk.alias),
            title=_text(on_disk.metadata.get("modelspec.title")) or name,
            base_model=base_model,
            fits=base_model == loaded if base_model and loaded else None,
            triggers=loras.trigger_words(name),
            class_word=_text(noted.get("class word")),
            preferred_weight=_weight(noted.get("preferred weight")),
            notes=(_text(noted.get("notes")) or _text(noted.get("description")))[:_LONGEST_NOTES],
            has_preview=find_preview(on_disk, folders[folder]) is not None or has_cover(on_disk),
            folder=_below_the_lora_folder(folder),
            tags=_most_used_tags(on_disk.metadata),
        )

    def _family(self, on_disk: Any, noted: Mapping[str, Any]) -> str:
        """The user's word, then the trainer's, then the weights' shapes, then the host's guess."""
        if noted.get("sd version") in _TEXT_WIDTHS.values():
            return str(noted["sd version"])
        told = on_disk.metadata.get("ss_base_model_version") or on_disk.metadata.get("modelspec.architecture")
        for family, beginnings in _TOLD:
            if _text(told).lower().startswith(beginnings):
                return family
        if str(on_disk.metadata.get("ss_v2")) == "True":
            return "SD2"
        guess = on_disk.sd_version.name
        return self._family_of_weights(on_disk.filename) or ("" if guess == "Unknown" else str(guess))

    def _family_of_weights(self, filename: str) -> str:
        try:
            status = os.stat(filename)  # noqa: PTH116 - many files, and only the numbers are wanted
        except OSError:
            return ""
        state = status.st_mtime_ns, status.st_size
        known = self._families.get(filename)
        if known is None or known[0] != state:
            known = self._families[filename] = state, _read_family(filename)
        return known[1]


def _read_family(filename: str) -> str:
    """The base model by the width of the text the network's cross-attention reads; "" when the header has none."""
    if not filename.lower().endswith(".safetensors"):
        return ""
    try:
        with Path(filename).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LARGEST_HEADER else {}
        shapes = [entry["shape"] for key, entry in header.items() if _TEXT_LAYER.search(key)]
        widths = {shape[1] for shape in shapes if len(shape) > 1}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    return _TEXT_WIDTHS.get(widths.pop(), "") if len(widths) == 1 else ""


def _loaded_family() -> str:
    """The loaded checkpoint's; "" when there is none or it is of no kind we know. Never makes the host load one."""
    # `shared.sd_model` of the real host would load the checkpoint; it keeps the loaded one here.
    data = getattr(sd_models, "model_data", None)
    model = shared.sd_model if data is None else data.sd_model
    flags = (("is_sdxl", "SDXL"), ("is_sd3", "SD3"), ("is_sd2", "SD2"), ("is_sd1", "SD1"))
    return next((family for flag, family in flags if getattr(model, flag, False)), "")


def _file_names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names, no paths
    except OSError:
        return frozenset()


def _below_the_lora_folder(folder: str) -> str:
    for option in ("lora_dir", "lyco_dir_backcompat"):
        top = getattr(shared.cmd_opts, option, None)
        if top and Path(folder).is_relative_to(top):
            below = Path(folder).relative_to(top).as_posix()
            return "" if below == "." else below
    return ""


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _weight(value: object) -> float | None:
    """A weight that is one; the host's editor writes 0 for none."""
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return weight if weight and math.isfinite(weight) else None


def _most_used_tags(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """From `ss_tag_frequency`: {folder: {tag: how often}}; whole captions are left out."""
    frequency = metadata.get("ss_tag_frequency")
    counts: Counter[str] = Counter()
    for tags in frequency.values() if isinstance(frequency, Mapping) else ():
        for tag, count in tags.items() if isinstance(tags, Mapping) else ():
            text = str(tag).strip()
            if text and len(text) <= _LONGEST_TAG and isinstance(count, int):
                counts[text] += count
    return tuple(tag for tag, _ in counts.most_common(_MOST_TAGS))
