"""`make page`: devhost's page in a browser, with the toy checkpoint, its LoRAs and this extension."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from pathlib import Path

from devhost import boot
from devhost.datadir import make_data_dir

PORT = 7862
QUEUE = 64
"""Events at a time, as in the WebUI: Interrupt has to get through while a picture is drawn."""


def main(arguments: list[str]) -> None:
    """Serve the page until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--data-dir", type=Path, help="models, settings and what is kept; filled if new (a fresh one)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("OMG").setLevel(logging.INFO)
    url = serve(options.port, options.data_dir)
    sys.stdout.write(f"devhost's page: {url}\n")
    sys.stdout.flush()
    threading.Event().wait()


def serve(port: int, data_dir: Path | None = None) -> str:
    """Start the page in the background.

    Args:
        port: on this machine.
        data_dir: filled by `make_data_dir` if it has no settings file yet. None for a fresh temporary one.

    Returns:
        The page's address, which answers now.

    Raises:
        OSError: the port is taken.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if data_dir is not None:
        data_dir = data_dir.resolve()
        if not (data_dir / "config.json").exists():
            make_data_dir(data_dir)
    shared = boot.boot(data_dir)
    folders = [str(boot.WEBUI), shared.cmd_opts.data_dir]
    app, url, _ = shared.demo.queue(QUEUE).launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, allowed_paths=folders, quiet=True
    )
    app.middleware_stack = None  # built anew at the next request, with what the API adds
    boot.create_app(app)
    return str(url)


if __name__ == "__main__":
    main(sys.argv[1:])
