"""Hosts and tools of the browser tests. Where a tool is missing all of them are skipped, in one loud line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "contract")]  # for `import hosts` and `import boot_hosts`

import boot_hosts  # noqa: E402
import hosts  # noqa: E402

PLAYWRIGHT = boot_hosts.REPOSITORY / ".cache/playwright/node_modules/playwright-core"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_WEBUI = "*** SKIPPED: browser tests on the real WebUI; none found (set OMG_WEBUI_DIR) ***"


def missing_tools() -> list[str]:
    """What to install before a browser test can run."""
    missing = []
    if not shutil.which("node"):
        missing.append("node (Debian: apt-get install nodejs npm)")
    if not os.environ.get("OMG_CHROMIUM") and not any(map(shutil.which, BROWSERS)):
        missing.append("chromium (Debian: apt-get install chromium), or OMG_CHROMIUM")
    if not Path(os.environ.get("OMG_PLAYWRIGHT") or PLAYWRIGHT).is_dir():
        missing.append("playwright-core (`make browser` installs it where npm is), or OMG_PLAYWRIGHT")
    return missing


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first. Leave out what needs a browser where there is none; said once, at the end."""
    items.sort(key=lambda item: "host" not in getattr(item, "fixturenames", ()))
    if not missing_tools():
        return
    needy = [item for item in items if "tools" in getattr(item, "fixturenames", ())]
    items[:] = [item for item in items if item not in needy]
    config.hook.pytest_deselected(items=needy)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The loud line."""
    if missing := missing_tools():
        terminalreporter.write_line(f"*** SKIPPED: browser tests; install {'; '.join(missing)} ***")


@pytest.fixture(scope="session")
def tools() -> None:
    """Marks what needs node, Chromium and playwright-core."""


@pytest.fixture(scope="module")
def host(tools: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A running host with the toy weights and this extension."""
    name = request.param
    if name == "webui" and not hosts.there_is_a_webui():
        pytest.skip(NO_WEBUI)
    place = tmp_path_factory.mktemp(name)
    host = hosts.BrowserHost(name, place / "data", place / "log.txt")
    try:
        host.start()
        yield host
    finally:
        host.stop()
