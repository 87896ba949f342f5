"""Draws the layouts of the board's harness, people of the toy world: `python -m tests.browser.harness.draw`."""

from __future__ import annotations

import base64
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lib_omg.vision import painted
from toyworld.identity import CAST
from toyworld.scene import Scene, draw_scene

OUT = Path(__file__).resolve().parent / "layouts.js"
LONGEST_CELLS = 256
LAYOUTS = (
    # id, seed, who from left to right, place, kept name
    ("a1", 1, ("eva", "ida"), "beach", ""),
    ("a2", 2, ("mia", "eva"), "park", ""),
    ("a3", 3, ("ida", "mia"), "snow", ""),
    ("b1", 7, ("rex", "ida", "ace"), "city", "three in town"),
)


def main() -> int:
    """Write the file."""
    layouts = [_layout(*one) for one in LAYOUTS]
    text = json.dumps(layouts, indent=1)
    OUT.write_text(f"// Made by draw.py.\nglobalThis.layouts = {text};\n", encoding="utf8")
    return 0


def _layout(layout_id: str, seed: int, names: tuple[str, ...], place: str, kept: str) -> dict[str, Any]:
    scene = draw_scene(random.Random(seed), [CAST[name].identity for name in names], place, "day", 192)
    height, width = scene.image.shape[:2]
    fields = {
        "Prompt": scene.caption,
        "Negative prompt": "",
        "Seed": seed,
        "Size": f"{width}x{height}",
        "Sampler": "Euler a",
        "Schedule type": "Automatic",
        "Steps": 20,
        "CFG scale": 7,
        "Model": "toy",
    }
    return {
        "id": layout_id,
        "name": kept,
        "seed": seed,
        "width": width,
        "height": height,
        "latent": [height // 8, width // 8],
        "picture": _data_url(scene),
        "instances": [_instance(scene, number) for number in range(len(names))],
        "owners": list(range(len(names))),
        "fields": fields,
        "ready": not kept,
        "kept": bool(kept),
        "board": None,
    }


def _instance(scene: Scene, number: int) -> dict[str, Any]:
    """Those of the last scene overlap, as a detector's would."""
    one = scene.instances[number]
    mask = (one.whole if len(scene.instances) > 2 else one.visible).astype(np.float32)
    return {"label": one.identity.class_word, "score": 0.9, "mask": painted.pack(mask, LONGEST_CELLS)}


def _data_url(scene: Scene) -> str:
    out = io.BytesIO()
    Image.fromarray(scene.image).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


if __name__ == "__main__":
    sys.exit(main())
