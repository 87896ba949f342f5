"""Draws the README's pictures of the board: `python tests/browser/harness/readme_pictures.py [devhost|webui]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path += [str(REPOSITORY), str(HERE.parent), str(HERE.parents[1] / "contract")]

import hosts  # noqa: E402

DOCS = REPOSITORY / "docs"
TAB_PX = 920
WIDTH_PX, HEIGHT_PX, GAP_PX = 420, 280, 6


def main(name: str = "webui") -> None:
    """Write docs/board-tab.png and docs/board-swap.png."""
    place = Path(tempfile.mkdtemp(prefix="omg-readme-"))
    host = hosts.BrowserHost(name, place / "data", place / "log.txt")
    try:
        host.start()
        environment = {**os.environ, "OMG_URL": host.url, "OMG_SHOTS": str(place)}
        subprocess.run(["node", str(HERE / "readme.mjs")], env=environment, check=True)
    finally:
        host.stop()
    tab = Image.open(place / "readme-tab.png").convert("RGB")
    tab.thumbnail((TAB_PX, TAB_PX), Image.LANCZOS)
    tab.save(DOCS / "board-tab.png", optimize=True)
    row = Image.new("RGB", (4 * WIDTH_PX + 3 * GAP_PX, HEIGHT_PX), "white")
    names = ("before-board", "before-picture", "after-board", "after-picture")
    for column, part in enumerate(names):
        image = Image.open(place / f"readme-{part}.png").convert("RGB").resize((WIDTH_PX, HEIGHT_PX), Image.LANCZOS)
        row.paste(image, (column * (WIDTH_PX + GAP_PX), 0))
    row.save(DOCS / "board-swap.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
