"""`python -m bench.masks`: regions found by attention against exact truth.

An oracle denoiser walks the layout pass from noise to a drawn scene, so that the UNet sees what it sees while it draws
just that picture, and what the extension then finds in it is compared with the scene's own masks.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import host, statistics
from devhost.datadir import TOY_WEIGHTS
from toyworld.identity import PLURALS, random_identity
from toyworld.instruments.measures import best_ious
from toyworld.pixels import to_pixels
from toyworld.scene import Scene, draw_scene

PAIRS = (
    ("man", "woman"), ("man", "man"), ("woman", "woman"), ("vase", "lamp"),
    ("dog", "man"), ("woman", "dog"), ("vase", "vase"), ("man", "lamp"),
)  # fmt: skip
APART = 0.02
"""Nobody hides more than this share of another."""
FOUND_IOU = 0.5


@dataclass(frozen=True)
class Sample:
    """A drawn scene, and the words its prompt names everybody by, from left to right."""

    scene: Scene
    words: tuple[str, ...]
    seed: int

    @property
    def kind(self) -> str:
        """Two apart, two overlapping, or how many more."""
        if len(self.words) > 2:
            return f"{len(self.words)}"
        return "two apart" if max(one.occlusion for one in self.scene.instances) <= APART else "two overlapping"


def sample(number: int) -> Sample:
    """Scenes of two, every fifth of three to five; the same in every process."""
    rng = random.Random(f"masks {number}")
    if number % 5 == 4:
        classes = [rng.choice(("man", "woman", "dog", "vase", "lamp")) for _ in range(3 + number // 5 % 3)]
    else:
        classes = rng.sample(PAIRS[number % len(PAIRS)], 2)
    scene = draw_scene(rng, [random_identity(rng, name) for name in classes])
    words = [PLURALS[name] if classes.count(name) > 1 else name for name in classes]
    return Sample(scene, tuple(words), number)


@contextmanager
def walked_to(latent: torch.Tensor) -> Iterator[None]:
    """While open, layout passes run their UNet as ever but come to this latent (1, C, H, W)."""
    from lib_omg.host import layout
    from lib_omg.host.patching import replaced

    def make(layout_forward: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Callable[..., Any]:
            recorded = layout_forward(*args)

            def oracle(forward: Callable[..., torch.Tensor]) -> Any:
                def call(x: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
                    return latent.to(forward(x, sigma, **kwargs)).expand_as(x).clone()

                return recorded(call)

            return oracle

        return made

    with replaced(layout, "layout_forward", make):
        yield


@contextmanager
def regions_found() -> Iterator[list[np.ndarray]]:
    """While open, collects what the extension finds: (N, H, W) in 0..1 for every picture."""
    from lib_omg.host import session
    from lib_omg.host.patching import replaced

    found: list[np.ndarray] = []

    def make(find: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            regions = find(*args)
            found.extend(masks.numpy() for masks in regions)
            return regions

        return call

    with replaced(session, "find_regions", make):
        yield found


def ious(sample: Sample, regions: np.ndarray) -> list[float]:
    """IoU of everybody's true mask with the region it is paired with, at the picture's size."""
    truth = [one.visible for one in sample.scene.instances]
    size = truth[0].shape[::-1]
    found = [
        np.asarray(Image.fromarray((mask * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)) > 127
        for mask in regions
    ]
    return best_ious(truth, found)


def told(values: Sequence[float]) -> str:
    """The mean of values and half of its interval."""
    made = statistics.mean(values)
    return f"{made.value:.3f} ±{(made.high - made.low) / 2:.3f}"


def main(arguments: list[str]) -> int:
    """Print the table, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=160, help="scenes")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    drawing = host.boot(TOY_WEIGHTS)
    from modules import shared

    results: dict[str, list[list[float]]] = {}
    for number in range(options.count):
        asked = sample(number)
        with torch.no_grad():
            pixels = to_pixels([asked.scene.image])
            latent = shared.sd_model.get_first_stage_encoding(shared.sd_model.encode_first_stage(pixels))
        # a start near the end: only the layout pass matters here
        concepts = [{"class_word": word, "prompt": word, "start": 0.98} for word in asked.words]
        with walked_to(latent), regions_found() as found:
            drawing.draw(
                asked.scene.caption, asked.seed, pixels.shape[-1], {"concepts": concepts, "on_missing": "skip"}
            )
        results.setdefault(asked.kind, []).append(ious(asked, found[0]))
    sys.stdout.write(f"{'scenes':18}{'number':>8}{'mean IoU':>18}{'all found':>18}\n")
    for kind, values in sorted(results.items()):
        mean = told([float(np.mean(ious)) for ious in values])
        found_all = told([min(ious) >= FOUND_IOU for ious in values])
        sys.stdout.write(f"{kind:18}{len(values):8}{mean:>18}{found_all:>18}\n")
    sys.stdout.write(json.dumps(results) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
