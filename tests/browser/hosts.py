"""Starts hosts for the browser tests as processes of their own: devhost's page, and the real WebUI."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import boot_hosts

from devhost.datadir import make_data_dir

UP_S, DOWN_S = 180, 20
"""How long a host may take to start and to end, in seconds."""
LOGGED = ["--loglevel", "INFO"]
"""The WebUI's: the tests read from the log what a picture cost."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1"}
"""Of both hosts; unbuffered, or the line that says it is ready stays in the buffer."""
READY = {"devhost": b"devhost's page: ", "webui": b"Startup time: "}
"""What each host prints once its API is complete."""


def there_is_a_webui() -> bool:
    """A real one with its own Python."""
    folder = boot_hosts.webui_dir()
    return folder is not None and (folder / "venv/bin/python").exists()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class BrowserHost:
    """A host on a port of its own.

    Attributes:
        name: `devhost` or `webui`. data_dir: its models, settings and what it keeps; laid out at the first start.
        log: what it printed, over all starts.
    """

    name: str
    data_dir: Path
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until its API answers.

        Nobody asks before it says that it is ready. Gradio serves before the API's middleware is added, and a
        request in between ends the WebUI with "Cannot add middleware after an application has started".

        Raises:
            RuntimeError: it ended, or doesn't answer; the message has the end of its log.
        """
        if not self.data_dir.exists():
            make_data_dir(self.data_dir)
        command, folder = _command(self)
        environment = {**os.environ, **ENVIRONMENT}
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + UP_S
        while READY[self.name] not in self.log.read_bytes()[begin:] or not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.name} did not start; the end of its log:\n{self.end_of_log()}")
            time.sleep(0.5)

    def stop(self) -> None:
        """End it, with everything it started; may be called any number of times."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(process.pid, number)
            try:
                process.wait(DOWN_S)
                return
            except subprocess.TimeoutExpired:
                continue

    def end_of_log(self, lines: int = 40) -> str:
        """The last lines it printed."""
        return "\n".join(self.log.read_text(encoding="utf8", errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/sdapi/v1/progress", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _command(host: BrowserHost) -> tuple[list[str], Path]:
    """What starts a host, and the folder to start it in."""
    place = ["--port", str(host.port), "--data-dir", str(host.data_dir)]
    if host.name == "devhost":
        return [sys.executable, "-m", "devhost.page", *place], boot_hosts.REPOSITORY
    folder = boot_hosts.webui_dir()
    if folder is None:
        raise FileNotFoundError("no WebUI; set OMG_WEBUI_DIR")
    return [str(folder / "venv/bin/python"), "launch.py", *boot_hosts.WEBUI_ARGUMENTS, *LOGGED, *place], folder
