"""Baselines that are trained as a whole on the cast's pictures; `toyworld.train.baselines` makes their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.methods.weights import forget_conds, loaded
from toyworld.identity import CAST
from toyworld.scene import caption
from toyworld.train.baselines.files import Baseline, Weights, read, words_of

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.cases import Case
    from bench.methods.base import Resources


@dataclass
class Trained:
    """Everybody in one prompt, drawn with the trained weights and words.

    Attributes:
        checkpoint: beside which the weights lie; None: the host's own.
    """

    resources: Resources
    baseline: Baseline
    title: str
    checkpoint: Path | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.baseline.value

    @cached_property
    def weights(self) -> Weights:
        """What was trained, read once; see `toyworld.train.baselines.files.read` for what it raises."""
        return read(self.checkpoint or host_checkpoint(), self.baseline)

    def prompt(self, case: Case) -> str:
        """The scene with every concept's words put in, as the baseline was taught to call them."""
        words = {index: words_of(self.baseline, CAST[name]) for index, name in enumerate(case.names)}
        return caption(case.class_words, case.place, case.light, words)

    def draw(self, case: Case) -> np.ndarray:
        """See `Method`."""
        with ExitStack() as stack:
            if self.weights.parameters:
                stack.enter_context(loaded(self.weights.parameters))
            if self.weights.vectors:
                stack.enter_context(named(self.weights.vectors))
            return self.resources.host.draw(self.prompt(case), case.seed, case.width_px)[0]


def dreambooth(resources: Resources) -> Trained:
    """All of UNet and text encoder fine-tuned on the whole cast together."""
    return Trained(resources, Baseline.DREAMBOOTH, "joint DreamBooth")


def textual_inversion(resources: Resources) -> Trained:
    """A new word for each member, the model as it was."""
    return Trained(resources, Baseline.TEXTUAL_INVERSION, "Textual Inversion")


def custom_diffusion(resources: Resources) -> Trained:
    """Keys and values of cross-attention and a new modifier for each member, trained on the whole cast together."""
    return Trained(resources, Baseline.CUSTOM_DIFFUSION, "Custom Diffusion")


def host_checkpoint() -> Path:
    """The file of the checkpoint that the host draws with, where the host's link leads."""
    from modules import shared

    return Path(shared.sd_model.sd_checkpoint_info.filename).resolve()


@contextmanager
def named(vectors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """While open, the host takes words in prompts for these vectors, as it takes the names of its embeddings.

    Args:
        vectors: (n, C) by the word.

    Raises:
        ValueError: the host has an embedding of such a name.
    """
    from modules import sd_hijack, shared
    from modules.textual_inversion.textual_inversion import Embedding

    database, model = sd_hijack.model_hijack.embedding_db, shared.sd_model
    with ExitStack() as stack:
        stack.callback(forget_conds)
        forget_conds()
        for word, own in vectors.items():
            if word in database.word_embeddings:
                raise ValueError(f"expected no embedding named {word}, but the host has one")
            embedding = Embedding(own, word)
            embedding.vectors, embedding.shape = own.shape  # the host itself sets them where it reads files
            stack.callback(database.register_embedding_by_name, None, model, word)
            database.register_embedding(embedding, model)
        yield
