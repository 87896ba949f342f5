"""The page's masks and lib_omg's are one form: what either packs the other reads, large ones made small alike."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lib_omg.vision import painted

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST = 256
# Reads [{text} | {height, width, bits}, ...]; answers with the text that it packs of each, and the bits that it read.
SCRIPT = """
require(process.argv[1]);
const asked = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const answer = async ({text, height, width, bits}) => {
    const mask = text ? await omg.masks.unpack(text) : omg.masks.make(height, width, Uint8Array.from(bits, Number));
    return {text: await omg.masks.pack(mask), height: mask.height, width: mask.width, bits: mask.cells.join("")};
};
Promise.all(asked.map(answer)).then((answers) => console.log(JSON.stringify(answers)));
"""


def in_node(asked: list[dict[str, object]]) -> list[dict[str, object]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node isn't installed")
    script = REPOSITORY / "javascript" / "omg_masks.js"
    command = [node, "-e", SCRIPT, str(script)]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=60)
    answers: list[dict[str, object]] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (1, 7), (3, 8), (9, 9), (48, 64), (256, 171), (300, 200), (512, 768), (1, 999), (257, 255)]
    out = [(rng.random(size) < 0.5).astype(np.float32) for size in sizes]
    rows, columns = np.mgrid[:640, :480]
    return [*out, ((rows - 300) ** 2 + (columns - 200) ** 2 < 150**2).astype(np.float32)]


def test_the_page_reads_what_python_packs(masks: list[np.ndarray]) -> None:
    texts = [painted.pack(mask, LONGEST) for mask in masks]
    for text, answer in zip(texts, in_node([{"text": text} for text in texts]), strict=True):
        expected = painted.unpack(text)
        assert (answer["height"], answer["width"]) == expected.shape
        assert answer["bits"] == "".join(str(int(cell)) for cell in expected.ravel())


def test_python_reads_what_the_page_packs(masks: list[np.ndarray]) -> None:
    asked: list[dict[str, object]] = [
        {"height": mask.shape[0], "width": mask.shape[1], "bits": "".join(str(int(cell)) for cell in mask.ravel())}
        for mask in masks
    ]
    for mask, answer in zip(masks, in_node(asked), strict=True):
        expected = painted.unpack(painted.pack(mask, LONGEST))
        np.testing.assert_array_equal(painted.unpack(str(answer["text"])), expected)
