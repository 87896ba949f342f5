"""Trains the autoencoder: `python -m toyworld.train.vae`; 12,000 steps take about 80 minutes on two cores."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from safetensors.torch import save_file
from torch.nn import functional

from toyworld.models import Autoencoder
from toyworld.pixels import to_images, to_pixels
from toyworld.scene import draw_scene
from toyworld.sheet import save_sheet
from toyworld.train.loop import Plan, generator, half_precision, options, train

if TYPE_CHECKING:
    from pathlib import Path

CROP_PX = 64
BATCH = 8
POOL = 4000
EDGE_WEIGHT, KL_WEIGHT = 0.5, 1e-5
EDGE_PX = (1, 2)
COARSE_PX = (4, 16)
CELL_PX = 8
LATENT_CHANNELS = 4
FIRST_LOGVAR = -5.0
GUIDED_STEPS = 500


def main(arguments: list[str]) -> int:
    """Train, or go on; writes vae.safetensors and vae.png (drawn above, decoded below)."""
    given = options(__doc__, steps=12_000).parse_args(arguments)
    torch.manual_seed(given.seed)
    model = Autoencoder()
    start_simple(model)
    drawn = pool(given.seed)

    def loss_of(step: int) -> torch.Tensor:
        source = generator(given.seed, step)
        return autoencoder_loss(model, crops(drawn, source), source, guide=max(0.0, 1 - step / GUIDED_STEPS))

    def report(_: int) -> None:
        save_file(model.state_dict(), given.folder / "vae.safetensors")
        show(model, given.folder / "vae.png")

    plan = Plan("vae", given.steps, 7e-4, given.seed, beta2=0.999, clip=None)
    train(plan, {"vae": model}, loss_of, given.folder, report)
    return 0


def pool(seed: int) -> list[np.ndarray]:
    """The pictures that crops are taken from."""
    rng = random.Random(seed + 1)
    return [draw_scene(rng).image for _ in range(POOL)]


def start_simple(model: Autoencoder) -> None:
    """Begin with empty residual branches and a small spread of the latent: colours are then learned at once."""
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith((".conv2", ".proj_out")):
                module.weight.zero_()
                module.bias.zero_()
        weight, bias = model.quant_conv.parameters()
        weight[LATENT_CHANNELS:] = 0
        bias[LATENT_CHANNELS:] = FIRST_LOGVAR


def autoencoder_loss(model: Autoencoder, pixels: torch.Tensor, source: torch.Generator, guide: float) -> torch.Tensor:
    """Error of the picture decoded from a sampled latent, and a little KL.

    Args:
        model: autoencoder.
        pixels: (B, 3, H, W) in [-1, 1].
        source: randomness of the latent.
        guide: weight of a first hint: three of the latent's channels follow the cell's mean colour.

    Returns:
        The loss, a scalar.
    """
    with half_precision():
        moments = model.encode(pixels).parameters
    posterior = DiagonalGaussianDistribution(moments.float())
    latent = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=source)
    with half_precision():
        found = model.decode(latent)
    kl = posterior.kl().mean() / latent[0].numel()
    hint = (posterior.mean[:, :3] - functional.avg_pool2d(pixels, CELL_PX)).square().mean()
    return guide * hint + picture_error(found.float(), pixels) + KL_WEIGHT * kl


def picture_error(found: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, at coarser scales also that of the colour differences (else greens come late), and
    that of the slopes (they carry glasses and stripes).

    Args:
        found, pixels: (B, 3, H, W) in [-1, 1].

    Returns:
        The error, a scalar.
    """
    error = found - pixels
    edges = sum(_slopes(functional.avg_pool2d(error, side)) for side in EDGE_PX)
    opponent = torch.cat([error, error[:, :1] - error[:, 1:2], error[:, 1:2] - error[:, 2:]], 1)
    coarse = sum(functional.avg_pool2d(opponent, side).abs().mean() for side in COARSE_PX)
    return error.abs().mean() + error.square().mean() + coarse + EDGE_WEIGHT * edges


def _slopes(error: torch.Tensor) -> torch.Tensor:
    """Mean absolute slope of an error (B, 3, H, W), across plus down."""
    return error.diff(dim=3).abs().mean() + error.diff(dim=2).abs().mean()


def crops(drawn: list[np.ndarray], source: torch.Generator) -> torch.Tensor:
    """A batch of random crops, half of them mirrored."""
    found = []
    for _ in range(BATCH):
        image = drawn[int(torch.randint(len(drawn), (), generator=source))]
        y = int(torch.randint(image.shape[0] - CROP_PX + 1, (), generator=source))
        x = int(torch.randint(image.shape[1] - CROP_PX + 1, (), generator=source))
        crop = image[y : y + CROP_PX, x : x + CROP_PX]
        found.append(np.ascontiguousarray(crop[:, ::-1] if torch.rand((), generator=source) < 0.5 else crop))
    return to_pixels(found)


def show(model: Autoencoder, path: Path) -> None:
    """Write held-out pictures above their reconstructions."""
    images = [draw_scene(random.Random(f"held out {i}"), width_px=128).image for i in range(16)]
    with torch.no_grad():
        found = to_images(model.decode(model.encode(to_pixels(images)).mode()))
    save_sheet([*images[:8], *found[:8], *images[8:], *found[8:]], path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
