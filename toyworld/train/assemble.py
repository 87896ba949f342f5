"""Writes what was trained as a checkpoint in SD1's format: `python -m toyworld.train.assemble --out DIR`.

DIR gets name.safetensors, name.yaml, and clip/, the tokenizer that the yaml names.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from safetensors.torch import load_file, save_file

from toyworld.models import (
    CLIP_DIR,
    LINEAR_END,
    LINEAR_START,
    TIMESTEPS,
    UNET_CONFIG,
    VAE_CONFIG,
    alphas_cumprod,
)
from toyworld.train.loop import RUNS

if TYPE_CHECKING:
    import torch

PREFIXES: Mapping[str, str] = {
    "unet": "model.diffusion_model.",
    "text": "cond_stage_model.transformer.",
    "vae": "first_stage_model.",
}
"""By the trainers' file names, where SD1's files keep these weights."""
CLIP_VERSION = "models/Stable-diffusion/clip"
"""Where the text encoder's yaml entry looks, from the WebUI's folder."""


@dataclass(frozen=True)
class Parts:
    """State dicts of "unet", "vae" and "text", and what latents are multiplied with.

    `digest` is of the checkpoint's weights: of parts as they were trained the same as of the checkpoint made of them.
    """

    weights: Mapping[str, Mapping[str, torch.Tensor]]
    scale: float
    digest: str


def main(arguments: list[str]) -> int:
    """Write the checkpoint, its yaml and the tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folder", type=Path, default=RUNS, help="what was trained")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="toy")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    parts = {part: load_file(given.folder / f"{part}.safetensors") for part in PREFIXES}
    scale = float((given.folder / "scale.txt").read_text(encoding="utf8"))
    path = given.out / f"{given.name}.safetensors"
    save_file(checkpoint(parts), path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(config(scale), sort_keys=False), encoding="utf8")
    shutil.copytree(CLIP_DIR, given.out / "clip", dirs_exist_ok=True)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1e6:.1f} MB\n")
    return 0


def checkpoint(parts: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """State dict of the whole model under SD1's keys.

    Args:
        parts: state dicts of "unet", "vae" and "text".

    Returns:
        Weights in half precision, integers and `alphas_cumprod` (1000,) as they are.
    """
    found = {"alphas_cumprod": alphas_cumprod()}
    for part, prefix in PREFIXES.items():
        for key, tensor in parts[part].items():
            kept = tensor.half() if tensor.is_floating_point() else tensor
            found[prefix + key] = kept.contiguous()
    return found


def read_parts(folder: Path) -> Parts:
    """What was trained, from a folder of the trainers, or if that has none of it, from the checkpoint in it.

    Args:
        folder: with unet.safetensors, vae.safetensors, text.safetensors and scale.txt, or with one checkpoint and its
            yaml, as `main` writes them.

    Returns:
        The weights; those of a checkpoint are in half precision.

    Raises:
        FileNotFoundError: neither is there.
    """
    files = [folder / f"{part}.safetensors" for part in PREFIXES]
    if any(path.exists() for path in files):
        scale = float((folder / "scale.txt").read_text(encoding="utf8"))
        return _parts({path.stem: load_file(path) for path in files}, scale)
    path = next((found.with_suffix(".safetensors") for found in sorted(folder.glob("*.yaml"))), None)
    if path is None:
        raise FileNotFoundError(f"expected {', '.join(found.name for found in files)} or a checkpoint in {folder}")
    parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in PREFIXES}
    for key, tensor in load_file(path).items():
        for part, prefix in PREFIXES.items():
            if key.startswith(prefix):
                parts[part][key.removeprefix(prefix)] = tensor
    given = yaml.safe_load(path.with_suffix(".yaml").read_text(encoding="utf8"))
    return _parts(parts, float(given["model"]["params"]["scale_factor"]))


def _parts(weights: Mapping[str, Mapping[str, torch.Tensor]], scale: float) -> Parts:
    digest = hashlib.sha256()
    for key, tensor in sorted(checkpoint(weights).items()):
        digest.update(key.encode("utf8"))
        digest.update(tensor.numpy().tobytes())
    return Parts(weights, scale, digest.hexdigest())


def config(scale: float) -> dict[str, Any]:
    """The checkpoint's yaml: its classes and their parameters.

    Args:
        scale: what latents are multiplied with.

    Returns:
        The mapping to write.
    """
    ldm = "ldm.modules"
    autoencoder = {
        "embed_dim": VAE_CONFIG["z_channels"],
        "monitor": "val/rec_loss",
        "ddconfig": dict(VAE_CONFIG),
        "lossconfig": {"target": "torch.nn.Identity"},
    }
    params = {
        "linear_start": LINEAR_START,
        "linear_end": LINEAR_END,
        "num_timesteps_cond": 1,
        "log_every_t": 200,
        "timesteps": TIMESTEPS,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": UNET_CONFIG["image_size"],
        "channels": UNET_CONFIG["in_channels"],
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "monitor": "val/loss_simple_ema",
        "scale_factor": scale,
        "use_ema": False,
        "unet_config": _part(f"{ldm}.diffusionmodules.openaimodel.UNetModel", UNET_CONFIG),
        "first_stage_config": _part("ldm.models.autoencoder.AutoencoderKL", autoencoder),
        "cond_stage_config": _part(f"{ldm}.encoders.modules.FrozenCLIPEmbedder", {"version": CLIP_VERSION}),
    }
    return {"model": _part("ldm.models.diffusion.ddpm.LatentDiffusion", params)}


def _part(target: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"target": target, "params": dict(params)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
