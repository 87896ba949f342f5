"""Trains an instrument: `python -m toyworld.instruments.train detector` or `embedder`; each takes about 7 minutes.

On two cores; the first of them some minutes more, in which scenes are sent through the folder's autoencoder
(`python -m toyworld.train.vae`), into `decoded.npz`. Other scenes are drawn on the fly by two forked processes. Writes
detector.safetensors or embedder.safetensors into the folder; `python -m toyworld.instruments.evaluate` then measures
them and sets the embedder's thresholds.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from toyworld.instruments.ahead import Ahead
from toyworld.instruments.data import ATTRIBUTES, UNSEEN, SceneBatch, ViewBatch, scene_batch, view_batch
from toyworld.instruments.decoded import SCENES, Pool, decoded_pool
from toyworld.instruments.detector import OFFSET_PX, DetectorNet
from toyworld.instruments.embedder import FEATURES, EmbedderNet
from toyworld.instruments.nets import save_weights
from toyworld.pixels import to_pixels
from toyworld.train.loop import Plan, half_precision, options, said_time, train

STEPS = {"detector": 1400, "embedder": 1300}
HEAT_WEIGHT, OFFSET_WEIGHT = 10.0, 0.5
TEMPERATURE = 0.1
ATTRIBUTE_WEIGHT = 0.3


def main(arguments: list[str]) -> int:
    """Train, or go on."""
    parser = options(__doc__, steps=None)
    parser.add_argument("instrument", choices=tuple(STEPS))
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes to send through the autoencoder")
    given = parser.parse_args(arguments)
    given.steps = given.steps or STEPS[given.instrument]
    began = time.monotonic()
    pool = decoded_pool(given.folder, given.scenes)
    # After the pool: the weights begin the same, whether it was made or read
    torch.manual_seed(given.seed)
    {"detector": train_detector, "embedder": train_embedder}[given.instrument](given, pool)
    sys.stdout.write(f"{given.instrument}: {given.steps} steps, {said_time(began)}\n")
    return 0


def train_detector(given: Namespace, pool: Pool) -> None:
    """Train the detector, also on the pool's pictures; writes detector.safetensors."""
    net = DetectorNet()
    with Ahead(partial(scene_batch, given.seed, pool=pool), given.steps) as batches:
        train(
            _plan(given),
            {"detector": net},
            lambda step: detector_loss(net, batches(step)),
            given.folder,
            lambda _: save_weights(net, given.folder / "detector.safetensors"),
        )


def detector_loss(net: DetectorNet, batch: SceneBatch) -> torch.Tensor:
    """Cross-entropy of classes and of middles (Panoptic-DeepLab squares the latter), absolute error of offsets."""
    with half_precision():
        heads = net(to_pixels(list(batch.images)))
    semantic = torch.from_numpy(batch.semantic).long()
    shown = (semantic > 0)[:, None]
    offset_error = ((heads.offsets - torch.from_numpy(batch.offsets)).abs() * shown).sum() / shown.sum() / 2
    return (
        functional.cross_entropy(heads.semantic, semantic)
        + HEAT_WEIGHT * functional.binary_cross_entropy_with_logits(heads.heat, torch.from_numpy(batch.heat))
        + OFFSET_WEIGHT * offset_error / OFFSET_PX
    )


def train_embedder(given: Namespace, pool: Pool) -> None:
    """Train the embedder, also on the pool's pictures; writes embedder.safetensors."""
    net = EmbedderNet()
    heads = nn.Linear(FEATURES, sum(map(len, ATTRIBUTES.values())))
    with Ahead(partial(view_batch, given.seed, pool=pool), given.steps) as batches:
        train(
            _plan(given),
            {"embedder": net, "heads": heads},
            lambda step: embedder_loss(net, heads, batches(step)),
            given.folder,
            lambda _: save_weights(net, given.folder / "embedder.safetensors"),
        )


def embedder_loss(net: EmbedderNet, heads: nn.Linear, batch: ViewBatch) -> torch.Tensor:
    """Contrastive loss of the vectors, helped by naming the attributes; the heads that name them are not kept."""
    with half_precision():
        features = net.features(to_pixels(list(batch.crops)))
        vectors, named = net.vectors(features), heads(features).float()
    attributes = torch.from_numpy(batch.attributes)
    parts = named.split([len(values) for values in ATTRIBUTES.values()], 1)
    naming = sum(
        functional.cross_entropy(part, attributes[:, index], ignore_index=UNSEEN) for index, part in enumerate(parts)
    )
    return contrastive_loss(vectors, torch.from_numpy(batch.who)) + ATTRIBUTE_WEIGHT * naming


def contrastive_loss(vectors: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2, https://arxiv.org/abs/2004.11362).

    Args:
        vectors: unit vectors (n, C); everyone is seen twice at least.
        who: identity of each (n,).

    Returns:
        The loss, a scalar.
    """
    itself = torch.eye(len(who), dtype=torch.bool)
    logits = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    positive = (who[:, None] == who) & ~itself
    log_share = logits.log_softmax(1).masked_fill(~positive, 0)
    return -(log_share.sum(1) / positive.sum(1)).mean()


def _plan(given: Namespace) -> Plan:
    # Short runs: an average over more than the last few hundred steps would lag behind
    return Plan(given.instrument, given.steps, 2e-3, given.seed, ema=0.99, weight_decay=1e-3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
