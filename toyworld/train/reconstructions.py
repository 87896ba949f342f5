"""Draws what the autoencoder keeps, drawn above, decoded below: `python -m toyworld.train.reconstructions`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from toyworld.train.unet import read_vae
from toyworld.train.vae import show

TOYWORLD = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folder", type=Path, default=TOYWORLD / "weights", help="of the trainers, or of a checkpoint")
    parser.add_argument("--out", type=Path, default=TOYWORLD / "pictures" / "vae.png")
    given = parser.parse_args(arguments)
    show(read_vae(given.folder), given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
