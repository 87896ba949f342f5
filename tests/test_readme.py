"""README tells the truth about settings, API and make targets."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lib_omg.core.settings import ConceptSettings, OmgSettings

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf8")


def settings_table(heading: str) -> dict[str, Any]:
    """The defaults in the table below a heading, by the setting's name."""
    section = README.split(f"### {heading}", 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \|.*?\| `([^`]*)` \|[^|]*\|$", section, re.MULTILINE)
    return {name: json.loads(default) for name, default in rows}


def defaults(cls: type) -> dict[str, Any]:
    """The defaults of a settings class in the form the API has them."""
    return {f.name: json.loads(json.dumps(f.default)) for f in dataclasses.fields(cls)}


@pytest.mark.parametrize(
    ("heading", "cls"),
    [("For each concept", ConceptSettings), ("For the whole picture", OmgSettings)],
)
def test_tables_name_every_setting_and_its_default(heading: str, cls: type) -> None:
    assert settings_table(heading) == defaults(cls)


def test_the_api_example_is_valid() -> None:
    request = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])
    (settings,) = request["alwayson_scripts"]["OMG"]["args"]

    assert len(OmgSettings.from_dict(settings).concepts) == 2


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", README))

    assert named
    assert named <= targets
