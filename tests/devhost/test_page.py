"""devhost's page over HTTP: scripts, styles, the ids that extensions look for, the API. Pressing needs a browser."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
UP_S = 120
IDS = {
    *("tabs", "tab_txt2img", "paste", "setting_sd_model_checkpoint", "html_info_txt2img", "html_log_txt2img"),
    *("generation_info_txt2img", "txt2img_prompt", "txt2img_neg_prompt", "txt2img_generate", "txt2img_interrupt"),
    *("txt2img_seed", "txt2img_width", "txt2img_height", "txt2img_steps", "txt2img_sampling", "txt2img_scheduler"),
    *("txt2img_cfg_scale", "txt2img_batch_count", "txt2img_batch_size", "txt2img_gallery", "txt2img_omg"),
}
"""The WebUI's, and this extension's accordion in its place."""


@dataclass(frozen=True)
class Page:
    """A running page: its address, and the folder it was started with."""

    url: str
    data_dir: Path

    def get(self, path: str) -> str:
        """What is at a path."""
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return str(response.read().decode("utf8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page as `make page` starts it, until its line with the address comes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    data_dir = tmp_path_factory.mktemp("page") / "data"
    log = data_dir.parent / "log.txt"
    command = [sys.executable, "-m", "devhost.page", "--port", port, "--data-dir", str(data_dir)]
    with log.open("w", encoding="utf8") as out:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + UP_S
        while not (told := re.search(r"devhost's page: (\S+)/", log.read_text(encoding="utf8"))):
            running = process.poll() is None and time.monotonic() < deadline
            assert running, log.read_text(encoding="utf8")
            time.sleep(0.2)
        yield Page(told.group(1), data_dir)
    finally:
        process.kill()
        process.wait()


def _components(page: Page) -> list[dict[str, Any]]:
    return list(json.loads(page.get("/config"))["components"])


def test_ids_of_the_webui(page: Page) -> None:
    found = {component["props"].get("elem_id") for component in _components(page)}
    assert found >= IDS


def test_every_id_once(page: Page) -> None:
    ids = [component["props"].get("elem_id") for component in _components(page)]
    named = [name for name in ids if name]
    assert sorted(named) == sorted(set(named))


def test_scripts_and_styles_as_they_are_on_disk(page: Page) -> None:
    """The host's first, the extension's by name; each is served."""
    head, _, body = page.get("/").partition("</head>")
    extension = page.data_dir / "extensions" / "sd-webui-omg"
    expected = [
        REPOSITORY / "devhost/webui/script.js",
        *sorted(path for path in extension.glob("javascript/*.js")),
    ]
    sources = re.findall(r'<script type="text/javascript" src="(file=([^"?]+)\?[\d.]+)"', head)
    assert [path for _, path in sources] == [str(path) for path in expected]
    styles = re.findall(r'<link rel="stylesheet" href="(file=([^"?]+)\?[\d.]+)"', body)
    assert str(REPOSITORY / "devhost/webui/style.css") in [path for _, path in styles]
    for address, path in [*sources, *styles]:
        assert page.get(f"/{address}") == Path(path).read_text(encoding="utf8")


def test_only_what_it_has_to_is_served(page: Page) -> None:
    """Files beside its own and the data folder's are not the page's."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        page.get("/file=/etc/hostname")
    assert refused.value.code in (403, 404)


def test_api_beside_the_page(page: Page) -> None:
    assert json.loads(page.get("/sdapi/v1/progress"))["progress"] == 0
