"""Trains the small SAM: `python -m toyworld.sam.train`; about half an hour on one core.

Learns from scenes drawn on the fly and from scenes sent through the autoencoder of the repository's checkpoint
(`decoded.npz` in the training folder, made once). Writes sam.safetensors into the folder;
`python -m toyworld.sam.evaluate` measures it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from segment_anything.utils.transforms import ResizeLongestSide
from torch.nn import functional

from lib_omg.vision.sam_model import SamSizes, built
from toyworld.instruments.decoded import VAE_FILE, decoded_pool
from toyworld.instruments.nets import save_weights
from toyworld.models import WEIGHTS
from toyworld.sam.data import Example, Prompts, examples, targets
from toyworld.train.assemble import read_parts
from toyworld.train.loop import RUNS, Plan, half_precision, options, said_time, train

if TYPE_CHECKING:
    from toyworld.instruments.decoded import Pool

STEPS = 1400
SCENES = 800
"""Scenes sent through the autoencoder."""
FOLDER = RUNS / "sam"
NAME = "sam.safetensors"

SIZES = SamSizes(
    image_px=192,
    patch_px=8,
    width=96,
    depth=4,
    heads=4,
    mlp_width=288,
    window=8,
    global_blocks=(3,),
    embedding=64,
    mask_channels=8,
    decoder_mlp=128,
    iou_width=64,
)

DICE_WEIGHT, IOU_WEIGHT = 1.0, 0.5


def main(arguments: list[str]) -> int:
    """Train, or go on."""
    parser = options(__doc__, steps=STEPS)
    parser.set_defaults(folder=FOLDER)
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes to send through the autoencoder")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    pool = decoded_scenes(given.folder, given.scenes) if given.scenes else None
    torch.manual_seed(given.seed)
    model = built(SIZES)
    begun(model)
    train(
        Plan("sam", given.steps, 1.5e-3, given.seed, ema=0.995, weight_decay=1e-2, save_every=100),
        {"sam": model},
        lambda step: loss_of(model, examples(given.seed, step, pool)),
        given.folder,
        lambda _: save_weights(model, given.folder / NAME),
    )
    sys.stdout.write(f"sam: {given.steps} steps, {said_time(began)}\n")
    return 0


def decoded_scenes(folder: Path, count: int) -> Pool:
    """Scenes through the repository's autoencoder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / VAE_FILE).is_file():
        save_file({name: value.contiguous() for name, value in read_parts(WEIGHTS).weights["vae"].items()},
                  folder / VAE_FILE)  # fmt: skip
    return decoded_pool(folder, count)


def begun(model: Any) -> None:
    """Positions of patches begin small, not at nothing."""
    torch.nn.init.trunc_normal_(model.image_encoder.pos_embed, std=0.02)


def loss_of(model: Any, batch: list[Example]) -> torch.Tensor:
    """Mean loss of a batch, over pictures and kinds of prompts."""
    transform = ResizeLongestSide(model.image_encoder.img_size)
    pictures = [torch.from_numpy(transform.apply_image(example.image)).permute(2, 0, 1) for example in batch]
    with half_precision():
        features = model.image_encoder(torch.stack([model.preprocess(picture) for picture in pictures])).float()
    total = torch.zeros(())
    for example, picture, feature in zip(batch, pictures, features, strict=True):
        size = [side * 4 // SIZES.patch_px for side in picture.shape[1:]]  # of the picture in low-resolution masks
        wanted = torch.from_numpy(targets(example.masks, size))
        for prompts in example.prompts:
            logits, guesses = predicted(model, feature[None], prompts, example.image.shape[:2])
            total = total + prompt_loss(logits[..., : size[0], : size[1]], guesses, wanted)
    return total / len(batch) / 2


def predicted(
    model: Any, feature: torch.Tensor, prompts: Prompts, original: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Low-resolution logits (n, masks, h, w) and guessed IoUs (n, masks) for a picture's prompts."""
    transform = ResizeLongestSide(model.image_encoder.img_size)
    boxes = points = None
    if prompts.boxes is not None:
        boxes = torch.from_numpy(transform.apply_boxes(prompts.boxes, original)).float()
    if prompts.points is not None and prompts.labels is not None:
        points = (torch.from_numpy(transform.apply_coords(prompts.points, original)).float(),
                  torch.from_numpy(prompts.labels))  # fmt: skip
    sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=None)
    return model.mask_decoder(
        image_embeddings=feature,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=prompts.single,
    )


def prompt_loss(logits: torch.Tensor, guesses: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and Dice of the best mask for each prompt, and the squared error of the guessed IoUs.

    Args:
        logits: (n, masks, h, w). guesses: (n, masks). wanted: (n, h, w) in 0..1.
    """
    truth = wanted[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))
    shares = logits.sigmoid()
    dice = 1 - (2 * (shares * truth).sum((2, 3)) + 1) / (shares.square() + truth.square()).sum((2, 3)).add(1)
    fit = (entropy * 4 + DICE_WEIGHT * dice).amin(1)
    guessed = (guesses - ious(logits, truth)).square().mean(1)
    return (fit + IOU_WEIGHT * guessed).mean()


@torch.no_grad()
def ious(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """IoU (n, masks) of the masks with the truth, both (n, masks, h, w)."""
    found, true = logits > 0, truth > 0.5
    union = (found | true).sum((2, 3)).clamp(min=1)
    return (found & true).sum((2, 3)) / union


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
