"""Trains UNet and text encoder: `python -m toyworld.train.unet`; 13,600 steps take about 4 hours on two cores.

Needs what `python -m toyworld.train.vae` made. The scenes are drawn and encoded once, into `scenes.pt`.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ldm.modules.attention
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from toyworld.models import Autoencoder, TextEncoder, alphas_cumprod, unet
from toyworld.pixels import to_images, to_pixels
from toyworld.scene import draw_scene
from toyworld.sheet import save_sheet
from toyworld.train.assemble import read_parts
from toyworld.train.loop import Plan, generator, half_precision, options, train
from toyworld.writing import replacing

if TYPE_CHECKING:
    import numpy as np

SCENES = 16_000
CELLS = 32 * 16 * 16
"""Latent cells of a batch: 32 pictures of 128x128, fewer of wider ones."""
UNCOND_SHARE = 0.1
SNR_CAP = 5.0
LAYOUT_SHARE = 0.3
"""Least weight of the picture's error: that of the noisiest timesteps, where it is settled who is there."""
LAYOUT_PART = 0.2
"""The last part of the training, which goes to the noisiest timesteps above all (see `layout_timesteps`)."""
SAMPLES = (
    "a man and a woman in the park", "two men in the city", "a dog and a woman in the beach",
    "two women in the desert at sunset", "a man in the park at night", "a vase and a lamp in the snow",
    "a lamp in the city at sunset", "a man, a woman and a dog in the park",
)  # fmt: skip


@dataclass(frozen=True)
class Bucket:
    """Scenes of one width: scaled latents (n, 4, 16, W) and their captions' token ids (n, 77)."""

    latents: torch.Tensor
    tokens: torch.Tensor

    @property
    def batch(self) -> int:
        """Pictures a step takes from it."""
        return CELLS // (self.latents.shape[2] * self.latents.shape[3])


def main(arguments: list[str]) -> int:
    """Train, or go on; writes unet.safetensors, text.safetensors and samples.png."""
    given = options(__doc__, steps=13_600).parse_args(arguments)
    torch.manual_seed(given.seed)
    text, model = TextEncoder(), unet()
    buckets, scale = scenes(given.folder, text)
    ldm.modules.attention.CrossAttention.forward = lean_attention
    empty = text.tokens([""])[0]
    weights = torch.tensor([len(b.latents) / b.batch for b in buckets])

    def loss_of(step: int) -> torch.Tensor:
        source = generator(given.seed, step)
        bucket = buckets[int(torch.multinomial(weights, 1, generator=source))]
        chosen = torch.randint(len(bucket.latents), (bucket.batch,), generator=source)
        tokens = bucket.tokens[chosen].clone()
        tokens[torch.rand(bucket.batch, generator=source) < UNCOND_SHARE] = empty
        with half_precision():
            context = text(tokens)
        timesteps = layout_timesteps if step >= (1 - LAYOUT_PART) * given.steps else uniform_timesteps
        return noise_loss(model, bucket.latents[chosen].float(), context, source, timesteps)

    def report(done: int) -> None:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, given.folder / "unet.safetensors")
        save_file(text.transformer.state_dict(), given.folder / "text.safetensors")
        (given.folder / "scale.txt").write_text(f"{scale}\n", encoding="utf8")
        if done % 1000 == 0 or done == given.steps:
            latents = sample(model, text, SAMPLES * 2, torch.Generator().manual_seed(0))
            save_grid(latents / scale, given.folder / "samples.png", given.folder)

    plan = Plan("unet", given.steps, 1e-3, given.seed, warmup=200, decay=0.6, weight_decay=1e-3, save_every=500)
    train(plan, {"unet": model, "text": text.transformer}, loss_of, given.folder, report)
    return 0


def lean_attention(self: Any, x: torch.Tensor, context: torch.Tensor | None = None, mask: None = None) -> torch.Tensor:
    """ldm's attention with its products in half precision; a sixth off a training step's time on a CPU."""
    context = x if context is None else context
    query, key, value = self.to_q(x) * self.scale, self.to_k(context), self.to_v(context)
    n, cells, width = query.shape
    split = (n, -1, self.heads, width // self.heads)
    # (N, Q, h*d) -> (N*h, Q, d)
    query, key, value = (t.view(split).transpose(1, 2).flatten(0, 1) for t in (query, key, value))
    with torch.autocast("cpu", enabled=False):
        found = torch.bmm(torch.softmax(torch.bmm(query, key.transpose(1, 2)), -1), value)
    return self.to_out(found.view(n, self.heads, cells, -1).transpose(1, 2).flatten(2))  # (N*h, Q, d) -> (N, Q, h*d)


Timesteps = Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]
"""For n pictures their timesteps (n,) of 0..999, and which of them (n,) are noise alone."""


def uniform_timesteps(count: int, source: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """All alike; see `Timesteps`."""
    return torch.randint(0, 1000, (count,), generator=source), torch.zeros(count, dtype=torch.bool)


def layout_timesteps(count: int, source: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two of three at 600 and above, a sixteenth noise alone at 999, as sampling begins; see `Timesteps`.

    Stable Diffusion's last timestep still shows 0.5 % of the picture (Lin et al. 2023, arXiv 2305.08891); in a small
    latent that tells how many are there, and a model that knows nothing else reads it into mere noise.
    """
    t = torch.randint(0, 1000, (count,), generator=source)
    noisy = torch.randint(600, 1000, (count,), generator=source)
    t = torch.where(torch.rand(count, generator=source) < 0.5, noisy, t)
    alone = torch.rand(count, generator=source) < 1 / 16
    return torch.where(alone, 999, t), alone


def noise_loss(
    model: torch.nn.Module,
    latents: torch.Tensor,
    context: torch.Tensor,
    source: torch.Generator,
    timesteps: Timesteps = uniform_timesteps,
) -> torch.Tensor:
    """Mean squared error of the predicted noise, weighted by min(SNR, 5) / SNR (Hang et al. 2023, eq. 8) and by
    1 + 0.3 / SNR: seen as an error of the picture, the noisiest timesteps would else weigh next to nothing.

    Args:
        model: UNet.
        latents: scaled latents (B, 4, H, W).
        context: text (B, 77, C).
        source: randomness of timesteps and noise.
        timesteps: chooses them.

    Returns:
        The loss, a scalar.
    """
    t, alone = timesteps(len(latents), source)
    alpha = alphas_cumprod()[t].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=source)
    x = torch.where(alone.view(-1, 1, 1, 1), noise, alpha.sqrt() * latents + (1 - alpha).sqrt() * noise)
    with half_precision():
        found = model(x, t, context=context)
    snr = (alpha / (1 - alpha)).flatten()
    weight = snr.clamp(max=SNR_CAP) / snr * (1 + LAYOUT_SHARE / snr)
    wanted = (x - alpha.sqrt() * latents) / (1 - alpha).sqrt()
    return ((found.float() - wanted).square().mean((1, 2, 3)) * weight).mean()


def scenes(folder: Path, text: TextEncoder, count: int = SCENES) -> tuple[list[Bucket], float]:
    """Draw and encode the training scenes, or read them.

    Returns:
        A bucket per width, latents scaled to a standard deviation of 1 (kept as half), and that scale.
    """
    path = folder / "scenes.pt"
    if not path.exists():
        vae = read_vae(folder)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            drawn = list(tqdm(pool.imap(_draw, range(count), chunksize=64), total=count, desc="draw", file=sys.stderr))
        made: dict[int, tuple[torch.Tensor, list[str]]] = {}
        for width in sorted({image.shape[1] for image, _ in drawn}):
            chosen = [pair for pair in drawn if pair[0].shape[1] == width]
            made[width] = (encode(vae, [image for image, _ in chosen]), [caption for _, caption in chosen])
        with replacing(path) as part:
            torch.save(made, part)
    made = torch.load(path)
    total = torch.cat([latents.flatten() for latents, _ in made.values()])
    scale = 1 / float(total.std())
    return [Bucket((latents * scale).half(), text.tokens(captions)) for latents, captions in made.values()], scale


def _draw(index: int) -> tuple[np.ndarray, str]:
    scene = draw_scene(random.Random(f"training scene {index}"))
    return scene.image, scene.caption


def read_vae(folder: Path) -> Autoencoder:
    """The trained autoencoder of a folder, or that of the checkpoint in it."""
    vae, path = Autoencoder(), folder / "vae.safetensors"
    vae.load_state_dict(load_file(path) if path.exists() else read_parts(folder).weights["vae"])
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def encode(vae: Autoencoder, images: Sequence[np.ndarray], batch: int = 32) -> torch.Tensor:
    """Modes (n, 4, H/8, W/8) of pictures of one size; not scaled."""
    found = []
    for i in tqdm(range(0, len(images), batch), desc="encode", file=sys.stderr, mininterval=5):
        with half_precision():
            found.append(vae.encode(to_pixels(images[i : i + batch])).mode().float())
    return torch.cat(found)


@torch.no_grad()
def sample(
    model: torch.nn.Module,
    text: TextEncoder,
    prompts: Sequence[str],
    source: torch.Generator,
    steps: int = 25,
    cond_scale: float = 5.0,
    width: int = 16,
    eta: float = 0.0,
) -> torch.Tensor:
    """DDIM samples, for a look during training (https://arxiv.org/abs/2010.02502, equations 12 and 16).

    Args:
        model: UNet.
        text: text encoder.
        prompts: one picture each.
        source: randomness of the start, and of what is added on the way.
        steps: timesteps, evenly spaced.
        cond_scale: CFG scale.
        width: latent width in cells.
        eta: 0 adds no noise on the way, 1 adds it as ancestral sampling does.

    Returns:
        Scaled latents (B, 4, 16, width).
    """
    table, count = alphas_cumprod(), len(prompts)
    x = torch.randn((count, 4, 16, width), generator=source)
    context = torch.cat([text(text.tokens(prompts)), text(text.tokens([""] * count))])
    times = torch.linspace(999, 0, steps).long()
    for index, t in enumerate(times):
        here = table[t]
        following = table[times[index + 1]] if index + 1 < steps else torch.tensor(1.0)
        cond, uncond = model(torch.cat([x, x]), t.expand(2 * count), context=context).float().chunk(2)
        noise = uncond + cond_scale * (cond - uncond)
        x0 = (x - (1 - here).sqrt() * noise) / here.sqrt()
        added = eta * ((1 - following) / (1 - here) * (1 - here / following)).sqrt()
        x = following.sqrt() * x0 + (1 - following - added**2).sqrt() * noise
        if added > 0:
            x = x + added * torch.randn(x.shape, generator=source)
    return x


def save_grid(latents: torch.Tensor, path: Path, folder: Path) -> None:
    """Decode latents that are not scaled and write them as a sheet."""
    with torch.no_grad():
        images = to_images(read_vae(folder).decode(latents))
    save_sheet(images, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
