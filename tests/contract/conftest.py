"""One host for the whole pytest process; the same tests run on devhost and on a real WebUI."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parent))  # for `import harness`; pytest's importlib mode adds nothing

import boot_hosts
import harness

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

MISSING = "NO WEBUI FOUND: contract tests against the real WebUI are SKIPPED (set OMG_WEBUI_DIR)"


def pytest_report_header() -> str:
    """Say which host is tested."""
    if boot_hosts.host_name() == "webui":
        return f"contract host: webui at {boot_hosts.webui_dir() or 'NOWHERE'}"
    return "contract host: devhost"


@pytest.fixture(scope="session")
def host() -> boot_hosts.Host:
    """The running host."""
    if boot_hosts.host_name() == "webui" and boot_hosts.webui_dir() is None:
        warnings.warn(MISSING, stacklevel=1)
        pytest.skip(MISSING)
    return boot_hosts.start()


@pytest.fixture(autouse=True)
def _host_at_rest(host: boot_hosts.Host) -> Iterator[None]:
    """Every test starts without stop flags and leaves none."""
    from modules import shared

    for flag in ("interrupted", "skipped", "stopping_generation"):
        setattr(shared.state, flag, False)
    yield
    for flag in ("interrupted", "skipped", "stopping_generation"):
        setattr(shared.state, flag, False)


@pytest.fixture
def large() -> Iterator[None]:
    """Pictures of the toy world's own size, on which people can be found, and rounding grows less."""
    with pytest.MonkeyPatch.context() as patch:  # not the test's own, which it may undo
        for side, pixels in harness.LARGE.items():
            patch.setitem(harness.DEFAULTS, side, pixels)
        yield


@pytest.fixture
def app_client(host: boot_hosts.Host) -> TestClient:
    """Client of the host's REST routes."""
    from fastapi.testclient import TestClient

    return TestClient(host.app, raise_server_exceptions=False)
