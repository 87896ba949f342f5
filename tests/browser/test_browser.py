"""Runs the browser tests (*.mjs) on a host. Between the parts of one flow the host is started again.

All flows run on the real WebUI, and one on devhost's page; on a machine without a WebUI all of them on devhost's.
`OMG_BROWSER_ALL=1` runs all on both.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import boot_hosts
import hosts
import numpy as np
import pytest
from PIL import Image

from bench.measures import references
from toyworld.identity import CAST
from toyworld.instruments.detector import Detector
from toyworld.instruments.embedder import Embedder

if TYPE_CHECKING:
    from hosts import BrowserHost

HERE = Path(__file__).parent
FLOWS = {"board": ["board.mjs", "board_again.mjs"], "panel": ["panel.mjs"], "tab": ["tab.mjs"]}
"""Parts of every flow in their order."""
ON_DEVHOST = FLOWS if os.environ.get("OMG_BROWSER_ALL") or not hosts.there_is_a_webui() else ["tab"]
CASES = [*(("webui", flow) for flow in FLOWS), *(("devhost", flow) for flow in ON_DEVHOST)]
HELPERS = {"tools.mjs", "board_tools.mjs"}
PART_S = 300
WOMEN = ("ida", "mia")


def test_every_browser_test_is_run() -> None:
    """A file that no flow names would pass for ever."""
    named = {part for parts in FLOWS.values() for part in parts}
    assert named == {path.name for path in HERE.glob("*.mjs")} - HELPERS


@pytest.mark.slow
@pytest.mark.parametrize(("host", "flow"), CASES, indirect=["host"])
def test_flow(host: BrowserHost, flow: str) -> None:
    """Each part ends without an error."""
    shots = Path(os.environ.get("OMG_SHOTS") or boot_hosts.REPOSITORY / "out" / "browser") / host.name
    for number, part in enumerate(FLOWS[flow]):
        if number > 0:
            host.stop()
            host.start()
        run(part, host, shots)
    if flow == "board":
        assert who_is_who(shots / "board-first.png") == WOMEN
        assert who_is_who(shots / "board-second.png") == WOMEN[::-1], "a swap by click swaps the people"


def run(part: str, host: BrowserHost, shots: Path) -> None:
    """Run one file; it gets the host's address and log, and a folder for screenshots."""
    environment = {**os.environ, "OMG_URL": host.url, "OMG_SHOTS": str(shots), "OMG_LOG": str(host.log)}
    done = subprocess.run(
        ["node", str(HERE / part)], env=environment, timeout=PART_S, capture_output=True, text=True, check=False
    )
    said = f"the end of the host's log:\n{host.end_of_log()}\n{part} on {host.name}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said


def who_is_who(path: Path) -> tuple[str, ...]:
    """From left to right, whom of `WOMEN` each woman in a picture is most like, by instruments that know no LoRA."""
    image = np.asarray(Image.open(path).convert("RGB"))
    found = sorted(Detector.load().detect([image])[0], key=lambda one: one.box[0])
    embedder = Embedder.load()
    known = references(embedder, [CAST[name] for name in WOMEN])
    vectors = np.asarray(embedder.embed([image] * len(found), [one.mask for one in found]))
    likeness = vectors @ np.stack([known[name] for name in WOMEN]).T  # (women found, WOMEN)
    return tuple(WOMEN[column] for column in likeness.argmax(1))
