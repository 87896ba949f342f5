"""Measures the small SAM on scenes kept apart: `python -m toyworld.sam.evaluate`; a few minutes.

Through the extension's own SAM source: prompted by true boxes, by one click, and by regions as rough as attention's.
On pictures as drawn, and, where the folder holds a vae.safetensors, on what it makes of them. Writes sam.json beside
the weights.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from lib_omg.vision.boxes import box_of
from lib_omg.vision.found import Instance, Search
from lib_omg.vision.sam import SamSession, SamSource
from lib_omg.vision.sam_file import SamFile
from lib_omg.vision.sam_prompts import Prompt, depth_of, inside_points
from toyworld.instruments.evaluate import pictures_changes
from toyworld.instruments.measures import mask_iou
from toyworld.instruments.nets import WEIGHTS
from toyworld.sam.data import true_masks
from toyworld.sam.train import FOLDER, NAME
from toyworld.scene import Scene, draw_scene

CELL_PX = 8
ROUGH_SPREAD, ROUGH_SHIFT = 1.2, 0.6
"""How far rough regions are smeared and moved, in cells of the latent."""

Find = Callable[[torch.Tensor, np.ndarray], Sequence[torch.Tensor]]
"""Masks for a picture (3, H, W) and the true masks bool (n, H, W), which it is prompted from."""


def main(arguments: list[str]) -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="weights, and perhaps a vae.safetensors")
    parser.add_argument("--count", type=int, default=100, help="scenes")
    parser.add_argument("--keep", action="store_true", help="copy weights and results into the repository")
    given = parser.parse_args(arguments)
    file = SamFile(given.folder / NAME)
    scenes = [draw_scene(random.Random(f"held out sam {number}")) for number in range(given.count)]
    results: dict[str, dict[str, dict[str, float]]] = {}
    for change, changed in pictures_changes(given.folder).items():
        if change == "blurred":
            continue
        pictures = changed([scene.image for scene in scenes])
        results[change] = {}
        for name, find in ways(file).items():
            figures = judged(scenes, pictures, find)
            results[change][name] = figures
            told = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
            sys.stdout.write(f"{change:10} {name:24} {told}\n")
    path = given.folder / "sam.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
    if given.keep:
        for name in (NAME, path.name):
            shutil.copyfile(given.folder / name, WEIGHTS / name)
    return 0


def ways(file: SamFile) -> dict[str, Find]:
    """Ways to prompt, by name; the rough regions themselves are there to compare with."""
    session = SamSession(file, "cpu")

    def by_box(picture: torch.Tensor, truth: np.ndarray) -> list[torch.Tensor]:
        session.set_picture(picture)
        return [session.outline(Prompt(box=box_of(torch.from_numpy(mask)))).mask for mask in truth]

    def by_click(picture: torch.Tensor, truth: np.ndarray) -> list[torch.Tensor]:
        session.set_picture(picture)
        points = [inside_points(depth_of(torch.from_numpy(mask).float()), 1)[0] for mask in truth]
        return [session.outline(Prompt(((*point, 1),))).mask for point in points]

    def by_rough(picture: torch.Tensor, truth: np.ndarray) -> list[torch.Tensor]:
        rough = [Instance("somebody", 1.0, mask, box_of(mask)) for mask in rough_masks(truth)]
        return [one.mask for one in SamSource(file, "cpu").find(Search(picture, {"somebody": len(rough)}, rough))]

    def rough_alone(picture: torch.Tensor, truth: np.ndarray) -> list[torch.Tensor]:
        return list(rough_masks(truth))

    return {"true box": by_box, "one click": by_click, "rough region": by_rough, "(rough region itself)": rough_alone}


def rough_masks(truth: np.ndarray) -> torch.Tensor:
    """Regions (n, H, W) of 0 and 1, disjoint, as attention gives them: coarse, smeared, moved."""
    source = torch.Generator().manual_seed(int(truth.sum()))
    cells = functional.avg_pool2d(torch.from_numpy(truth).float()[None], CELL_PX)[0]
    height, width = cells.shape[1:]
    reach = torch.arange(-3, 4).float()
    kernel = torch.exp(-reach.square() / (2 * ROUGH_SPREAD**2))
    smear = (kernel[:, None] * kernel)[None, None] / kernel.sum() ** 2
    heat = functional.conv2d(cells[:, None], smear, padding=3)
    shift = torch.randn(len(cells), 2, generator=source) * ROUGH_SHIFT * 2 / torch.tensor([width, height])
    grid = functional.affine_grid(
        torch.cat([torch.eye(2).expand(len(cells), 2, 2), shift[:, :, None]], 2), list(heat.shape), align_corners=False
    )
    moved = functional.grid_sample(heat, grid, padding_mode="border", align_corners=False)
    large = functional.interpolate(moved, truth.shape[1:], mode="bilinear")[:, 0]
    inside = large > 0.45 * large.amax((1, 2), keepdim=True)
    return (inside & (large == large.amax(0))).float()


def judged(scenes: Sequence[Scene], pictures: Sequence[np.ndarray], find: Find) -> dict[str, float]:
    """Mean IoU of those who touch nobody's outline, of the others, of all, and the share of all over 0.5."""
    apart: list[float] = []
    overlapping: list[float] = []
    for scene, image in zip(scenes, pictures, strict=True):
        truth = true_masks(scene)
        picture = torch.from_numpy(image).permute(2, 0, 1).float() / 255  # (H, W, 3) -> (3, H, W)
        outlines = np.sum([instance.whole for instance in scene.instances], axis=0)
        found = find(picture, truth)
        for instance, mask, true in zip(scene.instances, found, truth, strict=True):
            touched = (outlines[instance.whole] > 1).any()
            (overlapping if touched else apart).append(mask_iou(mask.numpy() > 0.5, true))
    every = [*apart, *overlapping]
    return {
        "apart": round(float(np.mean(apart)), 4),
        "overlapping": round(float(np.mean(overlapping)), 4),
        "all": round(float(np.mean(every)), 4),
        "over_half": round(float(np.mean(np.array(every) > 0.5)), 4),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
