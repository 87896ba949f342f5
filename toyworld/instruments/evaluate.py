"""Measures the instruments on scenes kept apart: `python -m toyworld.instruments.evaluate`; about three minutes.

On pictures as drawn, on blurred ones, and, where the folder holds a vae.safetensors, on what it makes of them. Writes
instruments.json beside the weights: figures, and the thresholds that `Embedder` reads. Thresholds are chosen on half
of the identities and judged on the other half.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from toyworld.identity import CAST, CLASSES, Identity, random_identity
from toyworld.instruments.data import TELLING_PX, difference_px, sibling
from toyworld.instruments.decoded import VAE_FILE
from toyworld.instruments.detector import Detection, Detector
from toyworld.instruments.embedder import Embedder
from toyworld.instruments.measures import Verification, accuracy_at, best_ious, same_classes, verification
from toyworld.instruments.nets import RESULTS_FILE, WEIGHTS
from toyworld.scene import LIGHTS, Scene, draw_scene, random_identities
from toyworld.train.loop import RUNS

Change = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""What is done to pictures uint8 (H, W, 3) before they are measured."""
Pairs = tuple[np.ndarray, np.ndarray]
"""Similarities (n,) of pairs of the same individual, and of others."""
Halves = tuple[Pairs, Pairs]
"""Pairs to choose a threshold on, and pairs of other identities to judge it by."""
DRAWN, BLURRED, DECODED = "drawn", "blurred", "decoded"
SAME_CLASS, ONE_ATTRIBUTE, UNHIDDEN = "same_class", "one_attribute", "one_attribute_unhidden"
"""Kinds of pairs: with whom an identity is compared. Of the last kind, nobody hides what differs."""
HIDDEN = 0.02
BLUR_PX = 1.0
CAST_VIEWS = 8


@dataclass(frozen=True)
class Finding:
    """How well the detector finds: shares of pictures, mean IoU of masks; who is not found counts 0."""

    right: float
    iou_apart: float
    iou_overlapping: float


@dataclass(frozen=True)
class View:
    """One individual in a scene: picture uint8 (H, W, 3), visible mask bool (H, W), hidden share 0 to 1."""

    image: np.ndarray
    mask: np.ndarray
    occlusion: float


@dataclass(frozen=True)
class Quads:
    """For each held-out identity: two views of it in two lights, one of a sibling, one of another of its class."""

    first: list[View]
    second: list[View]
    siblings: list[View]
    others: list[View]


def main(arguments: list[str]) -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folder", type=Path, default=RUNS, help="weights, and perhaps a vae.safetensors")
    parser.add_argument("--count", type=int, default=400, help="scenes, and identities")
    parser.add_argument("--keep", action="store_true", help="copy weights and results into the repository")
    given = parser.parse_args(arguments)
    changes = pictures_changes(given.folder)
    detector = Detector.load(given.folder / "detector.safetensors")
    embedder = Embedder.load(given.folder / "embedder.safetensors")
    results = {
        "detector": evaluate_detector(detector, changes, given.count),
        "embedder": evaluate_embedder(embedder, changes, given.count),
    }
    path = given.folder / RESULTS_FILE
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
    show_cast(embedder)
    if given.keep:
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        for name in ("detector.safetensors", "embedder.safetensors", RESULTS_FILE):
            shutil.copyfile(given.folder / name, WEIGHTS / name)
    return 0


def pictures_changes(folder: Path) -> dict[str, Change]:
    """Ways to change pictures, by name, from none to the harshest there is."""
    changes: dict[str, Change] = {DRAWN: list, BLURRED: blur}
    if (folder / VAE_FILE).is_file():
        changes[DECODED] = decoder_of(folder)
    return changes


def blur(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pictures uint8 (H, W, 3) blurred by `BLUR_PX`."""
    return [np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR_PX))) for image in images]


def decoder_of(folder: Path) -> Change:
    """The way through the folder's autoencoder and back."""
    # Heavy, and needs the WebUI's ldm
    from toyworld.pixels import to_images, to_pixels
    from toyworld.train.unet import read_vae

    vae = read_vae(folder)

    def decode(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            return [to_images(vae.decode(vae.encode(to_pixels([image])).mode()))[0] for image in images]

    return decode


def evaluate_detector(detector: Detector, changes: dict[str, Change], count: int) -> dict[str, dict[str, float]]:
    """Measure the detector on `count` held-out scenes and print the figures.

    Returns:
        The figures by name of the change.
    """
    scenes = [draw_scene(random.Random(f"held out detector {index}")) for index in range(count)]
    sys.stdout.write(f"detector, {count} scenes  classes and count right  IoU apart  IoU overlapping\n")
    results = {}
    for name, change in changes.items():
        finding = judge(scenes, detector.detect(change([scene.image for scene in scenes])))
        results[name] = _rounded(finding)
        sys.stdout.write(f"{name:22} {finding.right:24.1%} {finding.iou_apart:10.3f} {finding.iou_overlapping:16.3f}\n")
    return results


def judge(scenes: Sequence[Scene], found: Sequence[Sequence[Detection]]) -> Finding:
    """Compare what was found in scenes with their truth.

    Args:
        scenes: truth.
        found: detections of each scene's picture.

    Returns:
        Share of pictures whose detections are of the very classes and counts drawn, and the mean IoU of those who
        touch nobody's outline and of the rest; NaN where there is none.
    """
    right: list[float] = []
    apart: list[float] = []
    overlapping: list[float] = []
    for scene, detections in zip(scenes, found, strict=True):
        drawn = [instance.identity.class_word for instance in scene.instances]
        right.append(same_classes(drawn, [detection.class_word for detection in detections]))
        ious = best_ious([i.visible for i in scene.instances], [detection.mask for detection in detections])
        outlines = np.sum([instance.whole for instance in scene.instances], axis=0)
        for instance, iou in zip(scene.instances, ious, strict=True):
            (overlapping if (outlines[instance.whole] > 1).any() else apart).append(iou)
    means = [float(np.mean(values)) if values else float("nan") for values in (right, apart, overlapping)]
    return Finding(*means)


def evaluate_embedder(embedder: Embedder, changes: dict[str, Change], count: int) -> dict[str, object]:
    """Measure the embedder on `count` held-out identities and print the figures.

    A drawn view is compared with changed ones, as references are with generated pictures.

    Returns:
        The figures by name of the change, and the thresholds, which are those of the harshest change. Every accuracy
        is that of identities on whom no threshold was chosen.
    """
    quads = held_out_quads(count)
    references = _embed(embedder, quads.first, list)
    found: dict[str, dict[str, Halves]] = {}
    for name, change in changes.items():
        same, near, far = (
            (references * _embed(embedder, views, change)).sum(1).numpy()
            for views in (quads.second, quads.siblings, quads.others)
        )
        whole = np.array(
            [max(a.occlusion, b.occlusion) < HIDDEN for a, b in zip(quads.first, quads.siblings, strict=True)]
        )
        found[name] = {
            SAME_CLASS: halved(same, far),
            ONE_ATTRIBUTE: halved(same, near),
            UNHIDDEN: halved(same, near, whole),
        }
    harshest = list(changes)[-1]
    figures = {name: {kind: judged_apart(halves) for kind, halves in kinds.items()} for name, kinds in found.items()}
    threshold = figures[harshest][SAME_CLASS].threshold
    sys.stdout.write(f"\nembedder, {count} identities: thresholds chosen on every other one, judged on the rest\n")
    sys.stdout.write(f"{'':40} accuracy  at {threshold:.3f}     EER  threshold\n")
    for name, kinds in figures.items():
        for kind, line in kinds.items():
            at = accuracy_at(threshold, *found[name][kind][1])
            sys.stdout.write(f"{name + ', ' + kind:40} {line.accuracy:8.1%} {at:9.1%} {line.equal_error_rate:8.1%}")
            sys.stdout.write(f" {line.threshold:10.3f}\n")
    return {
        "threshold_from": harshest,
        "threshold": round(threshold, 4),
        "strict_threshold": round(figures[harshest][ONE_ATTRIBUTE].threshold, 4),
        **{name: {kind: _rounded(line) for kind, line in kinds.items()} for name, kinds in figures.items()},
    }


def halved(same: np.ndarray, other: np.ndarray, counted: np.ndarray | None = None) -> Halves:
    """Part pairs by their identities, of whom every second goes into either half.

    Args:
        same: similarities (n,) of two views of each identity.
        other: similarities (n,) of a view of each identity and one of somebody else.
        counted: bool (n,), whose pairs count; None for all.

    Returns:
        Both halves; every class is in each, as the classes take turns and are odd in number.
    """
    counted = np.ones(len(same), bool) if counted is None else counted
    first = np.arange(len(same)) % 2 == 0
    return (same[counted & first], other[counted & first]), (same[counted & ~first], other[counted & ~first])


def judged_apart(halves: Halves) -> Verification:
    """Best threshold of the first half; its accuracy, and the equal error rate, of the second."""
    chosen, judged = halves
    threshold = verification(*chosen).threshold
    return Verification(accuracy_at(threshold, *judged), threshold, verification(*judged).equal_error_rate)


def _rounded(figures: Finding | Verification) -> dict[str, float]:
    return {key: round(value, 4) for key, value in asdict(figures).items()}


def held_out_quads(count: int) -> Quads:
    """Views of identities that no training has seen, by seeds of their own."""
    quads = Quads([], [], [], [])
    for index in range(count):
        rng = random.Random(f"held out embedder {index}")
        identity = random_identity(rng, CLASSES[index % len(CLASSES)])
        other = identity
        while difference_px(identity, other) < TELLING_PX:
            other = random_identity(rng, identity.class_word)
        lights = rng.sample(list(LIGHTS), 2)
        quads.first.append(view(rng, identity, lights[0]))
        quads.second.append(view(rng, identity, lights[1]))
        quads.siblings.append(view(rng, sibling(rng, identity), lights[1]))
        quads.others.append(view(rng, other, lights[1]))
    return quads


def view(rng: random.Random, identity: Identity, light: str | None = None) -> View:
    """An individual in a scene of its own or with one or two others."""
    company = random_identities(rng, rng.choice((1, 2, 3)))
    place = rng.randrange(len(company))
    company[place] = identity
    scene = draw_scene(rng, company, light=light)
    instance = scene.instances[place]
    return View(scene.image, instance.visible, instance.occlusion)


def _embed(embedder: Embedder, views: Sequence[View], change: Change) -> torch.Tensor:
    """Vectors (n, 64) of views whose pictures are changed first."""
    return embedder.embed(change([view.image for view in views]), [view.mask for view in views])


def show_cast(embedder: Embedder) -> None:
    """Print how alike the members of the cast are; on the diagonal each and itself in other scenes."""
    table = cast_similarity(embedder)
    sys.stdout.write("\ncast  " + "".join(f"{name:>6}" for name in CAST) + "\n")
    for name, row in zip(CAST, table.tolist(), strict=True):
        sys.stdout.write(f"{name:6}" + "".join(f"{value:6.2f}" for value in row) + "\n")


def cast_similarity(embedder: Embedder) -> torch.Tensor:
    """Mean cosines (n, n) of the cast over `CAST_VIEWS` drawn views each; a view is not compared with itself."""
    views = [
        view(random.Random(f"cast {name} {index}"), member.identity)
        for name, member in CAST.items()
        for index in range(CAST_VIEWS)
    ]
    vectors = _embed(embedder, views, list)
    blocks = embedder.similarity(vectors, vectors).view(len(CAST), CAST_VIEWS, len(CAST), CAST_VIEWS).transpose(1, 2)
    means = blocks.mean((2, 3))  # (n, n)
    traces = blocks.diagonal(dim1=0, dim2=1).diagonal(dim1=0, dim2=1).sum(1)  # (n,): each view with itself
    own = (means.diagonal() * CAST_VIEWS**2 - traces) / (CAST_VIEWS**2 - CAST_VIEWS)
    return means.diagonal_scatter(own)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
