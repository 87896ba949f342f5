"""Trains the decoder on noisy latents: `python -m toyworld.train.decoder`; about 10 minutes on two cores.

A UNet's latents are never quite clean, and the autoencoder's own training shows its decoder clean ones only: it then
paints their noise as blotches. The encoder stays as it is, so this may come before or after the UNet's training.
Needs what `python -m toyworld.train.vae` made.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from toyworld.train.loop import Plan, generator, half_precision, options, train
from toyworld.train.unet import read_vae
from toyworld.train.vae import crops, picture_error, pool, show
from toyworld.writing import replacing

if TYPE_CHECKING:
    from toyworld.models import Autoencoder

MOST_NOISE = 0.2
"""Of the latents' own spread; every crop has its own share of it."""


def main(arguments: list[str]) -> int:
    """Train, or go on; writes vae.safetensors anew, and decoder.png (drawn above, decoded below)."""
    given = options(__doc__, steps=1500).parse_args(arguments)
    model = read_vae(given.folder)
    trained = {"decoder": model.decoder, "post_quant_conv": model.post_quant_conv}
    for module in trained.values():
        module.requires_grad_(True)
    drawn = pool(given.seed)

    def loss_of(step: int) -> torch.Tensor:
        source = generator(given.seed, step)
        return noisy_error(model, crops(drawn, source), source)

    def report(done: int) -> None:
        show(model, given.folder / "decoder.png")
        if done == given.steps:
            # Read above: half written, it would be gone
            with replacing(given.folder / "vae.safetensors") as part:
                save_file(model.state_dict(), part)

    plan = Plan("decoder", given.steps, 4e-4, given.seed, beta2=0.999, clip=None, ema=0.99)
    train(plan, trained, loss_of, given.folder, report)
    return 0


def noisy_error(model: Autoencoder, pixels: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """Error of pictures (B, 3, H, W) decoded from latents with noise."""
    with torch.no_grad(), half_precision():
        latents = model.encode(pixels).mode().float()
    share = MOST_NOISE * torch.rand((len(latents), 1, 1, 1), generator=source)
    noise = torch.randn(latents.shape, generator=source)
    with half_precision():
        found = model.decode(latents + share * latents.std() * noise)
    return picture_error(found.float(), pixels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
