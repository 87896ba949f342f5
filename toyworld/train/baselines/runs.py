"""The three trainings. All begin at a finished checkpoint and leave its own weights as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import torch
import yaml
from safetensors.torch import load_file

from toyworld.identity import CAST, Member
from toyworld.models import Autoencoder, TextEncoder, unet
from toyworld.train.assemble import PREFIXES
from toyworld.train.baselines.files import (
    CHECKPOINT,
    FOLDER,
    Baseline,
    Weights,
    digest_of,
    is_written,
    paths,
    word_of,
    write,
)
from toyworld.train.baselines.modules import Shift, Words
from toyworld.train.baselines.pictures import Joint, of_member
from toyworld.train.loop import Plan, generator, half_precision, train
from toyworld.train.lora import Base
from toyworld.train.unet import noise_loss

STEPS: Mapping[Baseline, int] = MappingProxyType(
    {Baseline.DREAMBOOTH: 600, Baseline.TEXTUAL_INVERSION: 300, Baseline.CUSTOM_DIFFUSION: 400}
)
RATES: Mapping[Baseline, float] = MappingProxyType(
    {Baseline.DREAMBOOTH: 3e-4, Baseline.TEXTUAL_INVERSION: 5e-3, Baseline.CUSTOM_DIFFUSION: 5e-3}
)
"""Of DreamBooth's UNet and of the vectors."""
TEXT_SCALE = 1 / 3
"""Rate of DreamBooth's text encoder, as a fraction of the UNet's."""
KEYS_SCALE = 0.2
"""Rate of Custom Diffusion's keys and values, as a fraction of its vectors'."""
INVERSION_VECTORS = 4
INVERSION_BATCH = 8
KEYS_AND_VALUES = re.compile(r".*\.attn2\.to_[kv]\.weight")
_STATES = "baseline_states"


@dataclass(frozen=True)
class Run:
    """What was asked for.

    Attributes:
        weights: folder of the checkpoint, its yaml and tokenizer; what is trained goes into its `FOLDER`.
        folder: training states.
        seed: of all randomness.
        steps: None for those of the baseline.
    """

    weights: Path
    folder: Path
    seed: int = 0
    steps: int | None = None

    @cached_property
    def digest(self) -> str:
        """Names the checkpoint."""
        return digest_of(self.weights / CHECKPOINT)

    @cached_property
    def base(self) -> Base:
        """The checkpoint's networks."""
        return read_checkpoint(self.weights, self.digest)

    @property
    def states(self) -> Path:
        """Folder of what unfinished runs go on from."""
        return self.folder / _STATES

    def plan(self, baseline: Baseline, member: Member | None = None) -> Plan:
        """A training's plan; its name holds what a state must not be gone on with when it has changed."""
        steps, rate = self.steps or STEPS[baseline], RATES[baseline]
        subject = word_of(baseline, member) if member else baseline.value
        name = f"{subject}-{steps}-{rate}-{self.seed}-{self.digest[:8]}"
        return Plan(name, steps, rate, self.seed, warmup=20, save_every=100)


def train_baseline(baseline: Baseline, run: Run) -> list[Path]:
    """Train a baseline, or go on; files that are there already are left.

    Returns:
        What was written.
    """
    written = []
    for name, path in paths(run.weights / FOLDER, baseline).items():
        plan = run.plan(baseline, CAST.get(name))
        if not is_written(path, run.digest, repr(plan)):
            write(path, TRAINERS[baseline](run, plan, name), run.digest, repr(plan))
            written.append(path)
    return written


def dreambooth(run: Run, plan: Plan, _name: str) -> Weights:
    """Joint DreamBooth (Ruiz et al. 2023) on the whole cast: all of UNet and text encoder, prior preservation 1."""
    base = run.base
    joint = Joint(Baseline.DREAMBOOTH, base, run.states, base.text.tokens)
    model, text = Shift(base.unet), Shift(base.text.transformer, scale=TEXT_SCALE)

    def loss_of(step: int) -> torch.Tensor:
        source = generator(plan.seed, step)
        latents, tokens = joint.batch(source)
        with half_precision():
            context = text(input_ids=tokens).last_hidden_state
        return noise_loss(model, latents, context, source)

    train(plan, {"unet": model, "text": text}, loss_of, run.states)
    return Weights(_named("unet", model) | _named("text", text), {})


def textual_inversion(run: Run, plan: Plan, name: str) -> Weights:
    """Textual Inversion (Gal et al. 2022) of one member: a new word for the whole phrase, begun at the class word."""
    base, member, kind = run.base, CAST[name], Baseline.TEXTUAL_INVERSION
    words = Words(base.text, {word_of(kind, member): member.class_word}, INVERSION_VECTORS)
    examples = of_member(member, kind, base, run.states)
    tokens = words.tokens(examples.captions)

    def loss_of(step: int) -> torch.Tensor:
        source = generator(plan.seed, step)
        chosen = torch.randint(len(tokens), (INVERSION_BATCH,), generator=source)
        with half_precision():
            context = words(tokens[chosen])
        return noise_loss(base.unet, examples.latents[chosen], context, source)

    train(plan, {"words": words}, loss_of, run.states)
    return Weights({}, words.by_word())


def custom_diffusion(run: Run, plan: Plan, _name: str) -> Weights:
    """Custom Diffusion (Kumari et al. 2023), joint training: keys and values of what listens to text, and modifiers.

    A modifier begins at the first token of its member's name, which no caption of the base's training held: the
    original begins at rare tokens. Pictures of others stand for its retrieved ones; it also trains on resized
    pictures, which this does not.
    """
    base, kind = run.base, Baseline.CUSTOM_DIFFUSION
    words = Words(base.text, {word_of(kind, member): member.name for member in CAST.values()}, count=1)
    reached = [name for name, _ in base.unet.named_parameters() if KEYS_AND_VALUES.fullmatch(name)]
    model = Shift(base.unet, reached, KEYS_SCALE)
    joint = Joint(kind, base, run.states, words.tokens)

    def loss_of(step: int) -> torch.Tensor:
        source = generator(plan.seed, step)
        latents, tokens = joint.batch(source)
        with half_precision():
            context = words(tokens)
        return noise_loss(model, latents, context, source)

    train(plan, {"unet": model, "words": words}, loss_of, run.states)
    return Weights(_named("unet", model), words.by_word())


TRAINERS: Mapping[Baseline, Callable[[Run, Plan, str], Weights]] = MappingProxyType(
    {
        Baseline.DREAMBOOTH: dreambooth,
        Baseline.TEXTUAL_INVERSION: textual_inversion,
        Baseline.CUSTOM_DIFFUSION: custom_diffusion,
    }
)


def _named(part: str, shift: Shift) -> dict[str, torch.Tensor]:
    return {PREFIXES[part] + name: tensor.detach() for name, tensor in shift.weights().items()}


@torch.no_grad()
def read_checkpoint(weights: Path, digest: str) -> Base:
    """The networks of an assembled checkpoint, frozen.

    Args:
        weights: see `Run`.
        digest: names the checkpoint.

    Raises:
        ValueError: the checkpoint is of other networks than toyworld.models'.
    """
    path = weights / CHECKPOINT
    tensors = load_file(path)
    model, text, vae = unet(), TextEncoder(weights / "clip"), Autoencoder()
    for part, module in (("unet", model), ("text", text.transformer), ("vae", vae)):
        for name, parameter in module.named_parameters():
            found = tensors.get(PREFIXES[part] + name)
            if found is None or found.shape != parameter.shape:
                raise ValueError(f"{path}: expected toyworld.models' networks, found none or another {part} {name}")
            parameter.copy_(found)
        module.eval().requires_grad_(False)
    params = yaml.safe_load(path.with_suffix(".yaml").read_text(encoding="utf8"))["model"]["params"]
    return Base(model, text, vae, float(params["scale_factor"]), digest)
