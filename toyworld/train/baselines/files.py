"""What the trained baselines' files are called and hold, and what the cast is called in their prompts."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toyworld.identity import CAST, Member
from toyworld.writing import replacing

if TYPE_CHECKING:
    import torch

CHECKPOINT = "toy.safetensors"
FOLDER = "baselines"
"""Beside the checkpoint that they were trained from."""
COMMAND = "python -m toyworld.train.baselines"
EMBEDDING = "emb_params"
"""The WebUI's key of an embedding's vectors; the file's name is the word."""
_MODIFIER = "modifier_token."
_TRAINED_FROM = "toyworld.checkpoint"
_PLAN = "toyworld.plan"


class Baseline(str, enum.Enum):
    """Ways to teach a whole model the cast."""

    DREAMBOOTH = "dreambooth"
    TEXTUAL_INVERSION = "textual_inversion"
    CUSTOM_DIFFUSION = "custom_diffusion"


@dataclass(frozen=True)
class Weights:
    """What was trained.

    Attributes:
        parameters: by their names in an SD1 checkpoint.
        vectors: (n, C) by the word that they are to the text encoder.
    """

    parameters: Mapping[str, torch.Tensor]
    vectors: Mapping[str, torch.Tensor]


def word_of(baseline: Baseline, member: Member) -> str:
    """The word that a member's vectors answer to; bench/painting.py counts a file by its baseline's name in it."""
    return f"{member.name}-{baseline.value}"


def words_of(baseline: Baseline, member: Member) -> str:
    """What a member is called in prompts, as in the originals.

    DreamBooth: a rare word and the class, "rex man". Textual Inversion: the new word stands for the whole phrase.
    Custom Diffusion: a new modifier and the class.
    """
    if baseline is Baseline.DREAMBOOTH:
        return member.words
    word = word_of(baseline, member)
    return word if baseline is Baseline.TEXTUAL_INVERSION else f"{word} {member.class_word}"


def paths(folder: Path, baseline: Baseline) -> dict[str, Path]:
    """A baseline's files: one by its name, or one by the name of each member."""
    if baseline is Baseline.TEXTUAL_INVERSION:
        return {name: folder / f"{word_of(baseline, member)}.safetensors" for name, member in CAST.items()}
    return {baseline.value: folder / f"{baseline.value}.safetensors"}


def digest_of(checkpoint: Path) -> str:
    """Hash of a checkpoint's file."""
    return hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def write(path: Path, weights: Weights, digest: str, plan: str) -> None:
    """Write a baseline's file: parameters in half precision, vectors as they are.

    Args:
        path: one of `paths`.
        weights: of a file for one member, the one word's vectors.
        digest: `digest_of` the checkpoint.
        plan: how it was trained.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().half().contiguous() for name, tensor in weights.parameters.items()}
    for word, vectors in weights.vectors.items():
        # cloned: slices of one tensor are refused as shared
        tensors[EMBEDDING if word == path.stem else _MODIFIER + word] = vectors.detach().float().clone()
    with replacing(path) as part:
        save_file(tensors, part, {_TRAINED_FROM: digest, _PLAN: plan})


def is_written(path: Path, digest: str, plan: str) -> bool:
    """Whether a file is there that was trained so, from this checkpoint."""
    if not path.is_file():
        return False
    told = _header(path)
    return (told.get(_TRAINED_FROM), told.get(_PLAN)) == (digest, plan)


def read(checkpoint: Path, baseline: Baseline) -> Weights:
    """What was trained of a baseline.

    Args:
        checkpoint: the model to draw with; the baselines lie in `FOLDER` beside it.
        baseline: which.

    Raises:
        FileNotFoundError: it isn't trained yet.
        ValueError: it was trained from another checkpoint.
    """
    from safetensors.torch import load_file

    cure = f"train it: {COMMAND} {baseline.value} --weights {checkpoint.parent}"
    files = paths(checkpoint.parent / FOLDER, baseline).values()
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"no {missing[0].name} in {missing[0].parent}; {cure}")
    digest = digest_of(checkpoint)
    parameters: dict[str, torch.Tensor] = {}
    vectors: dict[str, torch.Tensor] = {}
    for path in files:
        if _header(path).get(_TRAINED_FROM) != digest:
            raise ValueError(f"{path} was trained from another checkpoint than {checkpoint}; {cure}")
        for key, tensor in load_file(path).items():
            if key == EMBEDDING:
                vectors[path.stem] = tensor
            elif key.startswith(_MODIFIER):
                vectors[key.removeprefix(_MODIFIER)] = tensor
            else:
                parameters[key] = tensor
    return Weights(parameters, vectors)


def _header(path: Path) -> Mapping[str, str]:
    from safetensors import safe_open

    return safe_open(path, framework="pt").metadata() or {}  # type: ignore[attr-defined]
