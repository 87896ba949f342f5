"""The OMG tab in a real browser with a fake server: harness/tab_standalone.mjs. Needs no host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import boot_hosts
import pytest

SCRIPT = Path(__file__).parent / "harness" / "tab_standalone.mjs"


@pytest.mark.slow
def test_tab_alone(tools: None) -> None:
    """It ends without an error."""
    shots = Path(os.environ.get("OMG_SHOTS") or boot_hosts.REPOSITORY / "out" / "browser") / "tab alone"
    environment = {**os.environ, "OMG_SHOTS": str(shots)}
    done = subprocess.run(
        ["node", str(SCRIPT)], env=environment, timeout=300, capture_output=True, text=True, check=False
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert "SKIPPED" not in said, said
