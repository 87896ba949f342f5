"""Runs the browser tests (*.mjs) on every host there is. Between the parts of one flow the host is started again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import boot_hosts
import pytest

if TYPE_CHECKING:
    from hosts import BrowserHost

HERE = Path(__file__).parent
FLOWS = {"panel": ["panel.mjs"]}
"""Parts of every flow in their order."""
PART_S = 300


def test_every_browser_test_is_run() -> None:
    """A file that no flow names would pass for ever."""
    named = {part for parts in FLOWS.values() for part in parts}
    assert named == {path.name for path in HERE.glob("*.mjs")} - {"tools.mjs"}


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS)
def test_flow(host: BrowserHost, flow: str) -> None:
    """Each part ends without an error."""
    shots = Path(os.environ.get("OMG_SHOTS") or boot_hosts.REPOSITORY / "out" / "browser") / host.name
    environment = {**os.environ, "OMG_URL": host.url, "OMG_SHOTS": str(shots), "OMG_LOG": str(host.log)}
    for number, part in enumerate(FLOWS[flow]):
        if number > 0:
            host.stop()
            host.start()
        done = subprocess.run(
            ["node", str(HERE / part)], env=environment, timeout=PART_S, capture_output=True, text=True, check=False
        )
        said = f"{done.stdout}\n{done.stderr}\nthe end of the host's log:\n{host.end_of_log()}"
        assert done.returncode == 0, f"{part} on {host.name}:\n{said}"
