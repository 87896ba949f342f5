"""Scenes that went through the autoencoder, for the instruments to learn from: generated pictures look like that.

Made once, before training, and kept in the training folder. Only the pictures are kept: their truth is drawn again
from their numbers.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from toyworld.instruments.data import SHOWINGS, sibling
from toyworld.pixels import to_images
from toyworld.scene import Scene, draw_scene, random_identities
from toyworld.train.loop import half_precision
from toyworld.writing import replacing

if TYPE_CHECKING:
    from toyworld.identity import Identity
    from toyworld.models import Autoencoder

SCENES = 2600
TROUPE_SCENES = 2 * SHOWINGS
"""Scenes of a troupe: in half of them plays an identity, in the other half its sibling."""
MOST_STRAIN = 0.15
"""Most noise added to a latent, as a share of the latents' spread: a UNet's are not perfect."""
BATCH = 4
"""Pictures through the autoencoder at once: with 16, which leave the CPU's cache, each takes 1.4 times as long."""
POOL_FILE, VAE_FILE = "decoded.npz", "vae.safetensors"
PROBED_SCENES = 8


@dataclass(frozen=True)
class Troupe:
    """Identities who play in the same scenes: each is followed by its sibling. `casts` holds for each of the
    `TROUPE_SCENES` scenes the indexes of who plays, from left to right; everyone plays in `SHOWINGS` of them."""

    identities: tuple[Identity, ...]
    casts: tuple[tuple[int, ...], ...]


@cache
def troupe_of(number: int) -> Troupe:
    """The troupe of a number, as many identities and siblings as a scene has individuals."""
    rng = random.Random(f"decoded troupe {number}")
    identities = [member for first in random_identities(rng) for member in (first, sibling(rng, first))]
    casts = []
    for _ in range(SHOWINGS):
        chosen = [first + rng.randrange(2) for first in range(0, len(identities), 2)]
        # 2k and 2k + 1 are siblings: whoever does not play now plays in the next scene, with others
        for cast in (chosen, [member ^ 1 for member in chosen]):
            casts.append(tuple(rng.sample(cast, len(cast))))
    return Troupe(tuple(identities), tuple(casts))


def drawn_scene(number: int) -> Scene:
    """The scene of a number as drawn; `TROUPE_SCENES` in a row are those of a troupe."""
    troupe = troupe_of(number // TROUPE_SCENES)
    cast = troupe.casts[number % TROUPE_SCENES]
    return draw_scene(random.Random(f"decoded scene {number}"), [troupe.identities[member] for member in cast])


@dataclass(frozen=True)
class Pool:
    """Decoded pictures uint8 (H, W, 3) by the numbers of their scenes."""

    pictures: Sequence[np.ndarray]

    @property
    def troupes(self) -> int:
        """Number of troupes all of whose scenes are here."""
        return len(self.pictures) // TROUPE_SCENES

    def scene(self, number: int) -> Scene:
        """The scene of a number, with the decoded picture."""
        return replace(drawn_scene(number), image=self.pictures[number])

    def of_width(self, width_px: int) -> list[int]:
        """Numbers of the scenes of a width."""
        return [number for number, picture in enumerate(self.pictures) if picture.shape[1] == width_px]

    def shows(self, number: int) -> tuple[tuple[Identity, ...], list[tuple[tuple[int, ...], Scene]]]:
        """Identities of a troupe, and its scenes, each after the indexes of who plays in it, from left to right."""
        troupe = troupe_of(number)
        first = number * TROUPE_SCENES
        return troupe.identities, [(cast, self.scene(first + place)) for place, cast in enumerate(troupe.casts)]


def decoded_pool(folder: Path, count: int = SCENES) -> Pool:
    """Draw scenes and send them through the folder's autoencoder, or read what was kept of it.

    Args:
        folder: holds vae.safetensors; decoded.npz is kept there, and made anew when it is of another autoencoder,
            of another world or of another number of scenes.
        count: scenes.

    Returns:
        The pool.

    Raises:
        FileNotFoundError: no autoencoder in the folder.
    """
    weights, path = folder / VAE_FILE, folder / POOL_FILE
    if not weights.is_file():
        raise FileNotFoundError(f"no autoencoder at {weights}: train it with `python -m toyworld.train.vae`")
    origin = _origin(weights)
    pool = _read(path, origin) if path.is_file() else None
    if pool is None or len(pool.pictures) != count:
        pool = Pool(_make(folder, count))
        _write(path, pool, origin)
    return pool


def _origin(weights: Path) -> str:
    """Tells autoencoders and worlds apart: with a world's drawing changed, the truth would no longer fit."""
    found = hashlib.sha256(weights.read_bytes())
    for number in range(PROBED_SCENES):
        found.update(drawn_scene(number).image.tobytes())
    return found.hexdigest()


def _read(path: Path, origin: str) -> Pool | None:
    """What a file keeps, None if it is of another origin."""
    with np.load(path) as kept:
        if str(kept["origin"]) != origin:
            return None
        return Pool(np.split(kept["strip"], np.cumsum(kept["widths"])[:-1], axis=1))


def _write(path: Path, pool: Pool, origin: str) -> None:
    widths = [picture.shape[1] for picture in pool.pictures]
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, strip=np.concatenate(pool.pictures, axis=1), widths=widths, origin=origin)


def _make(folder: Path, count: int) -> list[np.ndarray]:
    """Decoded pictures uint8 (H, W, 3) of the first scenes."""
    # Heavy, and needs the WebUI's ldm
    from toyworld.train.unet import read_vae

    with multiprocessing.get_context("fork").Pool(2) as workers:
        drawn = workers.imap(_picture, range(count), chunksize=TROUPE_SCENES)
        pictures = list(tqdm(drawn, total=count, desc="draw", file=sys.stderr, mininterval=5))
    vae = read_vae(folder)
    for width in sorted({picture.shape[1] for picture in pictures}):
        chosen = [number for number, picture in enumerate(pictures) if picture.shape[1] == width]
        for number, picture in zip(chosen, _decoded(vae, [pictures[n] for n in chosen]), strict=True):
            pictures[number] = picture
    return pictures


def _picture(number: int) -> np.ndarray:
    return drawn_scene(number).image


@torch.no_grad()
def _decoded(vae: Autoencoder, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pictures uint8 (H, W, 3) of one size, each encoded, its latent strained a little, and decoded."""
    from toyworld.train.unet import encode

    latents = encode(vae, images, BATCH)
    source = torch.Generator().manual_seed(latents.shape[3])
    strain = torch.rand((len(latents), 1, 1, 1), generator=source) * MOST_STRAIN * latents.std()
    latents += strain * torch.randn(latents.shape, generator=source)
    # Three quarters of the time that decoding takes in torch's own layout
    latents = latents.contiguous(memory_format=torch.channels_last)
    found: list[np.ndarray] = []
    for part in tqdm(latents.split(BATCH), desc=f"decode {images[0].shape[1]} px", file=sys.stderr, mininterval=5):
        with half_precision():
            found += to_images(vae.decode(part).float())
    return found
