"""Trains the tables' baselines: `python -m toyworld.train.baselines dreambooth textual_inversion custom_diffusion`.

Needs an assembled checkpoint. On two cores about: dreambooth 11 minutes (38 MB), textual_inversion 12 (9 files of
2 KB), custom_diffusion 5 (1 MB), and once 4 to encode 3,700 pictures. What is there already is left; an interrupted run
goes on. All is written to baselines/ beside the checkpoint, which git does not see.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ldm.modules.attention

from toyworld.models import WEIGHTS
from toyworld.train.baselines.files import FOLDER, Baseline
from toyworld.train.baselines.runs import STEPS, Run, train_baseline
from toyworld.train.loop import options
from toyworld.train.unet import lean_attention


def main(arguments: list[str]) -> int:
    """Train, or go on; writes `FOLDER` beside the checkpoint."""
    parser = options(__doc__, steps=None)
    kinds = [baseline.value for baseline in Baseline]
    told = ", ".join(f"{baseline.value} ({steps} steps)" for baseline, steps in STEPS.items())
    parser.add_argument("baselines", nargs="+", choices=kinds, metavar="BASELINE", help=told)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of toy.safetensors, toy.yaml and clip/")
    given = parser.parse_args(arguments)
    ldm.modules.attention.CrossAttention.forward = lean_attention
    run = Run(given.weights, given.folder, given.seed, given.steps)
    out = given.weights / FOLDER
    out.mkdir(exist_ok=True)
    (out / ".gitignore").write_text("*\n", encoding="utf8")
    for kind in given.baselines:
        written = train_baseline(Baseline(kind), run)
        for path in written:
            sys.stdout.write(f"{path}: {path.stat().st_size / 1e6:.3f} MB\n")
        if not written:
            sys.stdout.write(f"{kind}: in {out} already\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
