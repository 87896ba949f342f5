"""Measures the trained UNet on 256 fixed prompts: `python -m toyworld.train.check`; about 3 minutes.

A picture is right when the detector finds the classes that its prompt names, each as often as named, and nobody else.
Needs what `python -m toyworld.train.unet` and `python -m toyworld.instruments.train detector` made, or what is
committed: `--folder toyworld/weights --detector toyworld/weights/instruments/detector.safetensors --out out/check.png`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ldm.modules.attention
import numpy as np
import torch
from tqdm import tqdm

from toyworld.instruments.detector import Detector
from toyworld.instruments.measures import same_classes
from toyworld.pixels import to_images
from toyworld.scene import HEIGHT_PX, LIGHTS, PLACES, WIDTHS_PX, caption, random_identities
from toyworld.sheet import save_sheet
from toyworld.train.loop import half_precision, options
from toyworld.train.lora import Base, read_base
from toyworld.train.unet import lean_attention, sample
from toyworld.train.vae import CELL_PX

PROMPTS = 256
BATCH_PX = 16 * HEIGHT_PX
SHEET_COLUMNS, SHEET_ROWS = 8, 6


@dataclass(frozen=True)
class Task:
    """A prompt, whom it names, and the picture's width."""

    class_words: tuple[str, ...]
    prompt: str
    width_px: int


def main(arguments: list[str]) -> int:
    """Draw, judge, and write a sheet of the first pictures of the narrowest width."""
    parser = options(__doc__, steps=25)
    parser.add_argument("--detector", type=Path, help="its weights; detector.safetensors in the folder if not given")
    parser.add_argument("--count", type=int, default=PROMPTS)
    parser.add_argument("--cond-scale", type=float, default=5.0, help="CFG scale")
    parser.add_argument("--eta", type=float, default=0.0, help="noise added on the way: 0 none (DDIM), 1 as ancestral")
    parser.add_argument("--out", type=Path, help="the sheet; check.png in the folder if not given")
    given = parser.parse_args(arguments)
    ldm.modules.attention.CrossAttention.forward = lean_attention
    base = read_base(given.folder)
    asked = tasks(given.count)
    sampler = {"steps": given.steps, "cond_scale": given.cond_scale, "eta": given.eta}
    images = draw(base, asked, torch.Generator().manual_seed(given.seed), sampler)
    found = Detector.load(given.detector or given.folder / "detector.safetensors").detect(images)
    right = [
        same_classes(task.class_words, [instance.class_word for instance in instances])
        for task, instances in zip(asked, found, strict=True)
    ]
    sheet = given.out or given.folder / "check.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    save_sheet(shown(images), sheet, SHEET_COLUMNS)
    sys.stdout.write(report(asked, right))
    return 0


def tasks(count: int = PROMPTS) -> list[Task]:
    """Fixed prompts, spread as the world's scenes are."""
    rng = random.Random("check")
    made = []
    for _ in range(count):
        class_words = tuple(identity.class_word for identity in random_identities(rng))
        prompt = caption(class_words, rng.choice(list(PLACES)), rng.choice(list(LIGHTS)))
        made.append(Task(class_words, prompt, rng.choice(WIDTHS_PX[len(class_words)])))
    return made


def draw(base: Base, asked: Sequence[Task], source: torch.Generator, sampler: Mapping[str, Any]) -> list[np.ndarray]:
    """A picture uint8 (128, W, 3) for every task, in their order; `sampler` are `sample`'s steps and the like."""
    images: dict[int, np.ndarray] = {}
    for width in sorted({task.width_px for task in asked}):
        chosen = [index for index, task in enumerate(asked) if task.width_px == width]
        size = BATCH_PX // width
        for begin in tqdm(range(0, len(chosen), size), desc=f"{width} px", file=sys.stderr):
            part = chosen[begin : begin + size]
            prompts = [asked[index].prompt for index in part]
            with torch.no_grad(), half_precision():
                latents = sample(base.unet, base.text, prompts, source, width=width // CELL_PX, **sampler)
                pixels = base.vae.decode(latents / base.scale).float()
            images.update(zip(part, to_images(pixels), strict=True))
    return [images[index] for index in range(len(asked))]


def shown(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first pictures of the narrowest width in whole rows, the last filled up with black."""
    narrow = [image for image in images if image.shape[1] == HEIGHT_PX][: SHEET_COLUMNS * SHEET_ROWS]
    return narrow + [np.zeros((HEIGHT_PX, HEIGHT_PX, 3), np.uint8)] * (-len(narrow) % SHEET_COLUMNS)


def report(asked: Sequence[Task], right: Sequence[bool]) -> str:
    """The shares of right pictures, whole and by number of individuals."""
    lines = [f"right: {np.mean(right):.1%} of {len(right)}"]
    for size in sorted({len(task.class_words) for task in asked}):
        own = [good for task, good in zip(asked, right, strict=True) if len(task.class_words) == size]
        lines.append(f"  {size} named: {np.mean(own):.1%} of {len(own)}")
    wrong = [task.prompt for task, good in zip(asked, right, strict=True) if not good]
    return "\n".join([*lines, "wrong:", *(f"  {prompt}" for prompt in wrong)]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
