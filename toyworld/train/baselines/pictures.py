"""What the baselines learn from: the cast's pictures, the very same as the LoRAs', and other individuals."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from toyworld.identity import CAST, CLASSES, Member, random_identity
from toyworld.scene import caption, draw_scene, place_and_light
from toyworld.train.baselines.files import Baseline, words_of
from toyworld.train.lora import PICTURES, SIDE_PX, pictures
from toyworld.train.unet import encode
from toyworld.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from toyworld.train.lora import Base

PRIOR_PICTURES = 200
"""Of each class, as the originals have."""
BATCH = 16
"""The cast's pictures in a batch; joint training adds as many of others, so that both count the same."""


@dataclass(frozen=True)
class Examples:
    """Pictures as scaled latents (n, 4, H, W), and their captions."""

    latents: torch.Tensor
    captions: list[str]


def of_member(member: Member, baseline: Baseline, base: Base, folder: Path) -> Examples:
    """The pictures of a member, named as the baseline names it."""
    images, captions = pictures(member, PICTURES)
    named = [text.replace(member.words, words_of(baseline, member)) for text in captions]
    return Examples(latents(images, base, folder), named)


def of_class(class_word: str, base: Base, folder: Path) -> Examples:
    """Class prior: pictures of random individuals, each alone, in all places and lights, in class words."""
    images, captions = [], []
    for index in range(PRIOR_PICTURES):
        place, light = place_and_light(index)
        rng = random.Random(f"prior {class_word} {index}")
        scene = draw_scene(rng, [random_identity(rng, class_word)], place, light, SIDE_PX)
        images.append(scene.image)
        captions.append(caption([class_word], place, light))
    return Examples(latents(images, base, folder), captions)


def latents(images: Sequence[np.ndarray], base: Base, folder: Path) -> torch.Tensor:
    """Scaled latents (n, 4, H/8, W/8) of pictures of one size, encoded once.

    Args:
        images: uint8 (H, W, 3).
        base: whose autoencoder it is.
        folder: where they are kept, by what they were made from.
    """
    digest = hashlib.sha256(base.digest.encode())
    for image in images:
        digest.update(image.tobytes())
    path = folder / f"latents-{digest.hexdigest()[:16]}.pt"
    if not path.exists():
        encoded = encode(base.vae, images)
        with replacing(path) as part:
            torch.save(encoded, part)
    return torch.load(path) * base.scale


class Joint:
    """Pictures of the whole cast, and for each as a prior one of another individual of its class.

    Args:
        baseline: how members are named.
        base, folder: see `latents`.
        tokens: prompts to ids (B, 77).
    """

    def __init__(
        self, baseline: Baseline, base: Base, folder: Path, tokens: Callable[[Sequence[str]], torch.Tensor]
    ) -> None:
        own = [of_member(member, baseline, base, folder) for member in CAST.values()]
        prior = [of_class(class_word, base, folder) for class_word in CLASSES]
        self.latents = torch.cat([examples.latents for examples in own])
        self.tokens = torch.cat([tokens(examples.captions) for examples in own])
        self.prior_latents = torch.stack([examples.latents for examples in prior])
        self.prior_tokens = torch.stack([tokens(examples.captions) for examples in prior])
        classes = [CLASSES.index(member.class_word) for member in CAST.values()]
        self.classes = torch.tensor(classes).repeat_interleave(len(own[0].captions))

    def batch(self, source: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (2 * BATCH, 4, H, W) and token ids (2 * BATCH, 77): the cast's, then others of the same classes."""
        chosen = torch.randint(len(self.latents), (BATCH,), generator=source)
        others = self.classes[chosen], torch.randint(self.prior_latents.shape[1], (BATCH,), generator=source)
        return (
            torch.cat([self.latents[chosen], self.prior_latents[others]]),
            torch.cat([self.tokens[chosen], self.prior_tokens[others]]),
        )
