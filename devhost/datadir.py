"""Lays out a data folder (models, LoRAs, extension, settings) that devhost and a real WebUI both start from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TOY_WEIGHTS = REPOSITORY / "toyworld" / "weights"
EXTENSION_NAME = "sd-webui-omg"
CHECKPOINT = "toy.safetensors"
LORAS = "loras"
SETTINGS = {
    "samples_save": False,
    "grid_save": False,
    "return_grid": False,
    "show_progress_type": "Approx cheap",
    "multiple_tqdm": False,
    "sd_vae": "None",
}
FASTEST_ATTENTION = {
    "cross_attention_optimization": "sdp-no-mem - scaled dot product without memory efficient attention",
}
"""Settings of the optimisation that is fastest on a CPU; "Automatic" takes InvokeAI's there, for a fifth more."""


def make_data_dir(
    target: Path,
    weights_dir: Path = TOY_WEIGHTS,
    extension_dir: Path | None = REPOSITORY,
    settings: Mapping[str, object] | None = None,
) -> Path:
    """Fill `target` with links to the weights and the extension, and write its settings file.

    Args:
        target: folder to fill; made if missing. Links that exist are kept.
        weights_dir: holds toy.safetensors, toy.yaml, clip/ and the LoRAs, these beside it or in loras/.
        extension_dir: linked as the one extension; None for a host without extensions.
        settings: WebUI options that override `SETTINGS`.

    Returns:
        `target`, to be given to a host as its --data-dir.

    Raises:
        FileNotFoundError: the weights are missing.
    """
    checkpoint = weights_dir / CHECKPOINT
    if not checkpoint.exists():
        cure = f"make it: python -m toyworld.train.assemble --out {weights_dir}"
        raise FileNotFoundError(f"no {CHECKPOINT} in {weights_dir}; {cure}")
    models = target / "models" / "Stable-diffusion"
    loras = target / "models" / "Lora"
    for folder in (models, loras, target / "extensions", target / "embeddings"):
        folder.mkdir(parents=True, exist_ok=True)
    _link(checkpoint, models / CHECKPOINT)
    _write_config(checkpoint.with_suffix(".yaml"), models / "toy.yaml", weights_dir / "clip")
    for path in sorted([*weights_dir.glob("*.safetensors"), *weights_dir.glob(f"{LORAS}/*.safetensors")]):
        if path != checkpoint:
            for file in sorted(path.parent.glob(f"{path.stem}.*")):  # the network, the user's notes, the preview
                _link(file, loras / file.name)
    if extension_dir is not None:
        _link(extension_dir, target / "extensions" / EXTENSION_NAME)
    (target / "config.json").write_text(json.dumps({**SETTINGS, **(settings or {})}), encoding="utf8")
    return target


def _link(source: Path, target: Path) -> None:
    if not target.exists():
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())


def _write_config(source: Path, target: Path, clip_dir: Path) -> None:
    """Copy a checkpoint's yaml with the text encoder's folder made absolute."""
    text = source.read_text(encoding="utf8")
    target.write_text(re.sub(r"(version:\s*).*", lambda m: m.group(1) + str(clip_dir.resolve()), text), encoding="utf8")
