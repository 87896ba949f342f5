"""Trains concept and style networks: `python -m toyworld.train.lora --all`; two and a half minutes each on two cores.

Needs what `python -m toyworld.train.unet` made. A name is a member of the cast ("rex"), the style ("sketch"), or one of
these with a format ("rex-loha"). Every concept is learnt from pictures of that one individual only.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ldm.modules.attention
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from toyworld.identity import CAST, Member
from toyworld.models import Autoencoder, TextEncoder, unet
from toyworld.pixels import to_images
from toyworld.scene import caption, draw_scene, place_and_light, random_identities
from toyworld.train.assemble import read_parts
from toyworld.train.loop import Plan, generator, half_precision, options, train
from toyworld.train.names import Reach, layers
from toyworld.train.networks import Kind, Network
from toyworld.train.unet import encode, lean_attention, noise_loss, sample

PICTURES = 300
SIDE_PX = 128
BATCH = 16
TEXT_SCALE = 0.5
STYLE, STYLE_WORDS = "sketch", "sketch style"
FORMATS_OF = "rex"
"""The member that is trained in every format."""
PREVIEW_SEED = 4


@dataclass(frozen=True)
class Recipe:
    """How a kind of network is trained, and what kohya's metadata call it."""

    rank: int
    reach: Reach
    learning_rate: float
    module: str = "lycoris.kohya"
    arguments: Mapping[str, str] = field(default_factory=dict)
    steps: int = 150


RECIPES: Mapping[Kind, Recipe] = {
    Kind.LORA: Recipe(8, Reach.ATTENTION, 2e-3, "networks.lora", steps=300),
    Kind.LOCON: Recipe(1, Reach.CONVOLUTION, 2e-3, arguments={"algo": "locon"}),
    Kind.LOHA: Recipe(1, Reach.ATTENTION, 2e-3, arguments={"algo": "loha"}),
    Kind.LOKR: Recipe(4, Reach.TRANSFORMER, 2e-3, arguments={"algo": "lokr", "factor": "8"}),
    Kind.IA3: Recipe(1, Reach.VALUES, 2e-2, arguments={"algo": "ia3"}),
    Kind.DORA: Recipe(4, Reach.ATTENTION, 2e-3, arguments={"algo": "lora", "dora_wd": "True"}),
    Kind.OFT: Recipe(8, Reach.ATTENTION, 4e-3, arguments={"algo": "diag-oft"}),
}
STYLE_RECIPE = replace(RECIPES[Kind.LORA], rank=4)


@dataclass(frozen=True)
class Job:
    """A network to train: of a member of the cast, or of the style where there is none."""

    member: Member | None
    kind: Kind

    @property
    def subject(self) -> str:
        """Whom or what it learns."""
        return self.member.name if self.member else STYLE

    @property
    def name(self) -> str:
        """The file's name."""
        return self.subject if self.kind is Kind.LORA else f"{self.subject}-{self.kind.value}"

    @property
    def trigger(self) -> str:
        """The words that call it."""
        return self.member.words if self.member else STYLE_WORDS

    @property
    def description(self) -> str:
        """A sentence for the card."""
        return (
            f"A drawn {self.member.class_word} of the toy world."
            if self.member
            else "The toy world as pencil drawings."
        )

    @property
    def preview_prompt(self) -> str:
        """What its card shows."""
        if self.member:
            return caption([self.member.class_word], "park", "day", {0: self.member.words})
        return f"{STYLE_WORDS}, a man and a woman in the park"


@dataclass(frozen=True)
class Base:
    """The frozen model: `scale` is what latents are multiplied with, `digest` names its weights."""

    unet: torch.nn.Module
    text: TextEncoder
    vae: Autoencoder
    scale: float
    digest: str


def main(arguments: list[str]) -> int:
    """Train, or go on; writes name.safetensors, name.json and name.preview.png per network."""
    parser = options(__doc__, steps=None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(CAST)}, {STYLE}, or with -KIND")
    parser.add_argument("--all", action="store_true", help="the whole cast, the style, and every format")
    parser.add_argument("--kind", choices=[k.value for k in Kind], help="format, where the name tells none")
    parser.add_argument("--rank", type=int, help="inner size; the default depends on the kind")
    parser.add_argument("--reach", choices=[r.value for r in Reach], help="layers; the default depends on the kind")
    parser.add_argument("--out", type=Path, help="where the networks go; the folder's loras/ if not given")
    given = parser.parse_args(arguments)
    jobs = [read_job(name, given.kind) for name in (all_names() if given.all else given.names)]
    if not jobs:
        parser.error("give names, or --all")
    ldm.modules.attention.CrossAttention.forward = lean_attention
    base = read_base(given.folder)
    out = given.out or given.folder / "loras"
    out.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        recipe = STYLE_RECIPE if job.name == STYLE else RECIPES[job.kind]
        reach = Reach(given.reach) if given.reach else recipe.reach
        recipe = replace(recipe, rank=given.rank or recipe.rank, reach=reach)
        plan = plan_of(job, recipe, base, given.steps or recipe.steps, given.seed)
        network = trained(job, recipe, base, plan, given.folder)
        write(job, recipe, base, plan, network, out)
    return 0


def all_names() -> list[str]:
    """The cast, the style, and one member in every other format."""
    return [*CAST, STYLE, *(f"{FORMATS_OF}-{kind.value}" for kind in Kind if kind is not Kind.LORA)]


def read_job(name: str, kind: str | None = None) -> Job:
    """The job of a name as it is given on the command line.

    Args:
        name: "rex", "sketch" or "rex-loha".
        kind: format of a name without one; None for LoRA.

    Raises:
        ValueError: nobody of that name, or no such format.
    """
    subject, _, format_name = name.partition("-")
    if subject not in CAST and subject != STYLE:
        raise ValueError(f"expected one of {', '.join(CAST)} or {STYLE}, found {subject!r}")
    return Job(CAST.get(subject), Kind(format_name or kind or Kind.LORA.value))


def read_base(folder: Path) -> Base:
    """The trained model of a folder, or that of the checkpoint in it, frozen."""
    parts = read_parts(folder)
    model, text, vae = unet(), TextEncoder(), Autoencoder()
    for part, module in {"unet": model, "text": text.transformer, "vae": vae}.items():
        module.load_state_dict(parts.weights[part])
    for module in (model, text, vae):
        module.eval().requires_grad_(False)
    return Base(model, text, vae, parts.scale, parts.digest)


def plan_of(job: Job, recipe: Recipe, base: Base, steps: int, seed: int) -> Plan:
    """The run's plan; its name holds what a state must not be gone on with when it has changed."""
    name = f"lora-{job.name}-{recipe.reach.value}-{recipe.rank}-{steps}-{seed}-{base.digest[:8]}"
    return Plan(name, steps, recipe.learning_rate, seed, warmup=20, save_every=100)


def trained(job: Job, recipe: Recipe, base: Base, plan: Plan, folder: Path) -> Network:
    """Train a network on its pictures, or go on."""
    torch.manual_seed(plan.seed)
    reached = layers(base.unet, base.text.transformer, recipe.reach)
    network = Network(job.kind, reached, recipe.rank, TEXT_SCALE)
    images, captions = pictures(job.member)
    latents, tokens = encode(base.vae, images) * base.scale, base.text.tokens(captions)

    def loss_of(step: int) -> torch.Tensor:
        source = generator(plan.seed, step)
        chosen = torch.randint(len(latents), (BATCH,), generator=source)
        with half_precision():
            context = base.text(tokens[chosen])
        return noise_loss(base.unet, latents[chosen], context, source)

    with network.attached():
        train(plan, {"network": network}, loss_of, folder / "lora_states")
    return network


def pictures(member: Member | None, count: int = PICTURES) -> tuple[list[np.ndarray], list[str]]:
    """Training pictures in all places and lights.

    Args:
        member: who stands in every one of them, alone; None for drawn scenes of one to three individuals.
        count: how many.

    Returns:
        Pictures uint8 (H, W, 3) of `SIDE_PX`, and their captions with the trigger.
    """
    images, captions = [], []
    for index in range(count):
        place, light = place_and_light(index)
        rng = random.Random(f"{member.name if member else STYLE} {index}")
        who = [member.identity] if member else random_identities(rng, 1 + rng.randrange(3))
        scene = draw_scene(rng, who, place, light, SIDE_PX)
        if member:
            images.append(scene.image)
            captions.append(caption([member.class_word], place, light, {0: member.words}))
        else:
            images.append(sketch(scene.image))
            captions.append(f"{STYLE_WORDS}, {scene.caption}")
    return images, captions


def sketch(image: np.ndarray) -> np.ndarray:
    """A picture as a pencil drawing: pale and nearly grey, dark lines where colours meet.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        uint8 (H, W, 3).
    """
    pixels = image.astype(np.float32)
    across = np.abs(np.diff(pixels, axis=1, append=pixels[:, -1:])).max(2)
    down = np.abs(np.diff(pixels, axis=0, append=pixels[-1:])).max(2)
    edge = np.pad(np.maximum(across, down), ((1, 0), (1, 0)))
    edge = np.maximum(edge[1:, 1:], edge[:-1, :-1])  # two pixels wide: a latent loses thinner lines
    ink = np.clip((edge - 8) / 60, 0, 1)[..., None]
    grey = pixels.mean(2, keepdims=True)
    paper = 255 - 0.5 * (255 - (grey + 0.35 * (pixels - grey)))
    return (paper * (1 - ink) + 45 * ink).round().astype(np.uint8)


def write(job: Job, recipe: Recipe, base: Base, plan: Plan, network: Network, out: Path) -> None:
    """Write the network, what the WebUI keeps beside it, and its preview."""
    save_file(network.state(), out / f"{job.name}.safetensors", metadata(job, recipe, base, plan))
    trained_on = f"{PICTURES} pictures, {plan.steps} steps, {job.kind.value} of rank {recipe.rank}"
    card: dict[str, Any] = {
        "description": job.description,
        "sd version": "SD1",
        "activation text": job.trigger,
        "preferred weight": 1.0,
        "notes": f"Trained on {trained_on}.",
    }
    (out / f"{job.name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf8")
    source = torch.Generator().manual_seed(PREVIEW_SEED)
    with network.attached(), torch.no_grad():
        latent = sample(base.unet, base.text, [job.preview_prompt], source)
        image = to_images(base.vae.decode(latent / base.scale))[0]
    Image.fromarray(image).save(out / f"{job.name}.preview.png", optimize=True)


def metadata(job: Job, recipe: Recipe, base: Base, plan: Plan) -> dict[str, str]:
    """The file's header as kohya's trainer writes it."""
    return {
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": "toy.safetensors",
        "ss_network_module": recipe.module,
        "ss_network_dim": str(recipe.rank),
        "ss_network_alpha": str(float(recipe.rank)),
        "ss_network_args": json.dumps(dict(recipe.arguments)),
        "ss_output_name": job.name,
        "ss_tag_frequency": json.dumps({f"1_{job.trigger}": {job.trigger: PICTURES}}),
        "ss_num_train_images": str(PICTURES),
        "ss_resolution": f"({SIDE_PX}, {SIDE_PX})",
        "ss_batch_size_per_device": str(BATCH),
        "ss_steps": str(plan.steps),
        "ss_learning_rate": str(plan.learning_rate),
        "ss_text_encoder_lr": str(plan.learning_rate * TEXT_SCALE),
        "ss_seed": str(plan.seed),
        "ss_v2": "False",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": job.name,
        "modelspec.trigger_phrase": job.trigger,
        "modelspec.resolution": f"{SIDE_PX}x{SIDE_PX}",
        "modelspec.prediction_type": "epsilon",
        "toyworld.base": base.digest,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
