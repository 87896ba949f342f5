"""`python -m bench.masks`: who is found by attention in a layout, against exact truth.

Oracle scenes: an oracle denoiser walks the layout pass from noise to a drawn scene, so that the UNet sees what it sees
while it draws just that picture; what the extension then finds is compared with the scene's own masks.
Drawn layouts: what the UNet draws by itself; what is found is compared with what the toy world's detector finds there,
in the pictures in which that is what the prompt asked for.
The constants of lib_omg/vision were chosen on the half "tuning"; "held-out" are scenes that nobody looked at.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import host, statistics
from devhost.datadir import TOY_WEIGHTS
from toyworld.identity import PLURALS, random_identity
from toyworld.instruments.detector import Detector
from toyworld.instruments.measures import mask_iou
from toyworld.pixels import to_pixels
from toyworld.scene import Scene, draw_scene

PAIRS = (
    ("man", "woman"), ("man", "man"), ("woman", "woman"), ("vase", "lamp"),
    ("dog", "man"), ("woman", "dog"), ("vase", "vase"), ("man", "lamp"),
)  # fmt: skip
APART = 0.02
"""Nobody hides more than this share of another."""
FOUND_IOU = 0.5
HALVES: Mapping[str, str] = {"tuning": "masks {}", "held-out": "masks held out {}"}
"""Seeds of the two halves' scenes."""
HELD_OUT_NOISE = 1_000_000
OTHERS = "not as asked"


@dataclass(frozen=True)
class Sample:
    """A drawn scene, the words its prompt names everybody by, from left to right, and the noise it is drawn from."""

    scene: Scene
    words: tuple[str, ...]
    seed: int

    @property
    def kind(self) -> str:
        """Two apart, two overlapping, or how many more."""
        if len(self.words) > 2:
            return f"{len(self.words)}"
        return "2 apart" if max(one.occlusion for one in self.scene.instances) <= APART else "2 overlapping"


def sample(number: int, half: str) -> Sample:
    """Scenes of two, every fifth of three to five; the same in every process."""
    rng = random.Random(HALVES[half].format(number))
    if number % 5 == 4:
        classes = [rng.choice(("man", "woman", "dog", "vase", "lamp")) for _ in range(3 + number // 5 % 3)]
    else:
        classes = rng.sample(PAIRS[number % len(PAIRS)], 2)
    scene = draw_scene(rng, [random_identity(rng, name) for name in classes])
    return Sample(scene, named(classes), number + (HELD_OUT_NOISE if half == "held-out" else 0))


def named(classes: Sequence[str]) -> tuple[str, ...]:
    """The word that the prompt calls each of these by."""
    return tuple(PLURALS[name] if classes.count(name) > 1 else name for name in classes)


@dataclass(frozen=True)
class Score:
    """How one picture came out.

    Attributes:
        kind: the line of the table. ious: of everybody's true mask with the one it is paired with; 0 without one.
        words: whether each of those is found by its word. found, true: how many.
    """

    kind: str
    ious: tuple[float, ...]
    words: tuple[bool, ...]
    found: int
    true: int
    mixed: bool

    @classmethod
    def of(cls, kind: str, words: Sequence[str], truth: Sequence[np.ndarray], seen: Seen) -> Score:
        """Score what was found against true words and masks (H, W)."""
        size = truth[0].shape[::-1]
        masks = [
            np.asarray(Image.fromarray((mask * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)) > 127
            for mask in seen.masks
        ]
        ious, partner = paired(truth, masks)
        right = [other is not None and seen.labels[other] == word for other, word in zip(partner, words, strict=True)]
        return cls(kind, tuple(ious), tuple(right), len(masks), len(truth), len(set(words)) > 1)


def paired(truth: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> tuple[list[float], list[int | None]]:
    """IoU of each true mask with the found one it is paired with, the best pair first, and which one that is."""
    pairs = [(mask_iou(a, b), i, j) for i, a in enumerate(truth) for j, b in enumerate(found)]
    ious: list[float] = [0.0] * len(truth)
    partner: list[int | None] = [None] * len(truth)
    for iou, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if iou > 0 and partner[i] is None and j not in partner:
            ious[i], partner[i] = iou, j
    return ious, partner


@dataclass(frozen=True)
class Seen:
    """What the extension found in one layout: `masks` (H, W) in 0..1 and their `labels`; `picture` uint8 (H, W, 3)."""

    masks: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    picture: np.ndarray


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
def everybody_seen() -> Iterator[list[Seen]]:
    """While open, collects what the extension finds in every layout."""
    from lib_omg.host import session
    from lib_omg.host.patching import replaced

    collected: list[Seen] = []

    def make(see: Callable[..., Any]) -> Callable[..., Any]:
        def call(settings: Any, layout: Any, *args: Any) -> Any:
            made = see(settings, layout, *args)
            for one, picture in zip(made, layout.pictures, strict=True):
                masks = tuple(instance.mask.numpy() for instance in one.instances)
                labels = tuple(instance.label for instance in one.instances)
                pixels = (picture.permute(1, 2, 0) * 255).round().byte().numpy()  # (3, H, W) -> (H, W, 3)
                collected.append(Seen(masks, labels, pixels))
            return made

        return call

    with replaced(session, "see", make):
        yield collected


def drawn(drawing: host.Host, asked: Sample) -> Seen:
    """What is found in the layout that the UNet draws for a sample's prompt."""
    # a start near the end: only the layout pass matters here
    concepts = [{"class_word": word, "prompt": word, "start": 0.98} for word in asked.words]
    with everybody_seen() as found:
        width_px = asked.scene.image.shape[1]
        drawing.draw(asked.scene.caption, asked.seed, width_px, {"concepts": concepts, "on_missing": "skip"})
    return found[0]


def walked(drawing: host.Host, asked: Sample) -> Seen:
    """What is found in the layout that comes to a sample's own picture."""
    from modules import shared

    model = shared.sd_model
    with torch.no_grad():
        latent = model.get_first_stage_encoding(model.encode_first_stage(to_pixels([asked.scene.image])))
    with walked_to(latent):
        return drawn(drawing, asked)


def oracle_scores(drawing: host.Host, samples: Sequence[Sample]) -> list[Score]:
    """Against the scenes' own masks."""
    truths = [[one.visible for one in asked.scene.instances] for asked in samples]
    return [
        Score.of(asked.kind, asked.words, truth, walked(drawing, asked))
        for asked, truth in zip(samples, truths, strict=True)
    ]


def drawn_scores(drawing: host.Host, samples: Sequence[Sample]) -> list[Score]:
    """Against the detector; where that doesn't find what was asked for, only the number is looked at."""
    detector, scores = Detector.load(), []
    for asked in samples:
        seen = drawn(drawing, asked)
        there = detector.detect([seen.picture])[0]
        classes = [one.class_word for one in there]
        wanted = [one.identity.class_word for one in asked.scene.instances]
        if Counter(classes) == Counter(wanted):
            scores.append(Score.of(f"{len(there)}", named(classes), [one.mask for one in there], seen))
        else:
            scores.append(Score(OTHERS, (), (), len(seen.masks), len(there), False))
    return scores


def told(values: Sequence[float]) -> str:
    """The mean of values and half of its interval."""
    if not values:
        return "-"
    made = statistics.mean(values)
    return f"{made.value:.3f} ±{(made.high - made.low) / 2:.3f}"


def table(title: str, scores: Sequence[Score]) -> str:
    """One line for each kind, and one for all pictures that show what was asked for."""
    heads = ("mean IoU", "all found", "right number", "right class")
    lines = [f"{title:20}{'pictures':>9}" + "".join(f"{head:>16}" for head in heads)]
    asked = [score for score in scores if score.kind != OTHERS]
    kinds = {kind: [score for score in scores if score.kind == kind] for kind in sorted({s.kind for s in scores})}
    for kind, group in {**kinds, "all as asked": asked}.items():
        seen = [score for score in group if score.ious]
        cells = (
            told([float(np.mean(score.ious)) for score in seen]),
            told([float(min(score.ious) >= FOUND_IOU) for score in seen]),
            told([float(score.found == score.true) for score in group]),
            told([float(all(score.words)) for score in seen if score.mixed]),
        )
        lines.append(f"{kind:20}{len(group):9}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Print the tables, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=160, help="scenes")
    parser.add_argument("--half", choices=list(HALVES), default="held-out")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--oracle", action="store_true", help="oracle scenes only")
    only.add_argument("--drawn", action="store_true", help="drawn layouts only")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    drawing = host.boot(TOY_WEIGHTS)
    samples = [sample(number, options.half) for number in range(options.count)]
    results: dict[str, list[dict[str, Any]]] = {}
    for name, measure in (("oracle", oracle_scores), ("drawn", drawn_scores)):
        if (options.drawn and name == "oracle") or (options.oracle and name == "drawn"):
            continue
        scores = measure(drawing, samples)
        sys.stdout.write(table(f"{name}, {options.half}", scores) + "\n")
        results[name] = [asdict(score) for score in scores]
    sys.stdout.write(json.dumps({"half": options.half, "count": options.count, **results}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
