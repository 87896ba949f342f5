"""Checkpoints: listing, and loading of the one that is used."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import safetensors
import safetensors.torch
import torch
import yaml

from modules import devices, extra_networks, script_callbacks, shared

logger = logging.getLogger(__name__)
checkpoints_list: dict[str, CheckpointInfo] = {}
checkpoint_aliases: dict[str, CheckpointInfo] = {}


class CheckpointInfo:
    """A checkpoint file and its names."""

    def __init__(self, filename: str) -> None:
        path = Path(filename)
        self.filename = filename
        self.is_safetensors = path.suffix == ".safetensors"
        self.name = path.name
        self.name_for_extra = self.model_name = path.stem
        self.metadata = read_metadata_from_safetensors(filename)
        self.sha256: str | None = None
        self.hash = self.shorthash = None
        self.title = self.name
        self.short_title = self.name_for_extra
        self.ids = [self.name, self.name_for_extra]

    def register(self) -> None:
        """Make the checkpoint known under all its names."""
        checkpoints_list[self.title] = self
        for name in self.ids:
            checkpoint_aliases[name] = self

    def calculate_shorthash(self) -> str:
        """First ten digits of the file's sha256; titles get it too."""
        if self.shorthash is None:
            checkpoints_list.pop(self.title, None)
            self.sha256 = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
            self.shorthash = self.sha256[:10]
            self.title = f"{self.name} [{self.shorthash}]"
            self.short_title = f"{self.name_for_extra} [{self.shorthash}]"
            self.ids += [self.shorthash, self.sha256, self.title, self.short_title]
            self.register()
        return self.shorthash


class SkipWritingToConfig:
    """Meanwhile a loaded checkpoint is not written to the settings; devhost never writes it."""

    def __enter__(self) -> SkipWritingToConfig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to restore."""


def list_models() -> None:
    """Find the checkpoints anew."""
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    for filename in shared.walk_files(shared.cmd_opts.ckpt_dir, [".safetensors"]):
        CheckpointInfo(filename).register()


def select_checkpoint() -> CheckpointInfo:
    """The set checkpoint, else the first.

    Raises:
        FileNotFoundError: there is none.
    """
    chosen = checkpoint_aliases.get(shared.opts.sd_model_checkpoint) or next(iter(checkpoints_list.values()), None)
    if chosen is None:
        raise FileNotFoundError(f"no checkpoint in {shared.cmd_opts.ckpt_dir}")
    return chosen


def get_closet_checkpoint_match(search_string: str) -> CheckpointInfo | None:
    """The checkpoint of a name (the spelling is the WebUI's)."""
    return checkpoint_aliases.get(search_string)


get_closest_checkpoint_match = get_closet_checkpoint_match


def read_metadata_from_safetensors(filename: str) -> dict[str, Any]:
    """Metadata in the file's header, values that are json decoded."""
    with safetensors.safe_open(filename, framework="pt") as file:
        metadata = file.metadata() or {}
    return {key: _decode(value) for key, value in metadata.items()}


def _decode(value: str) -> Any:
    if value[:1] == "{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def read_state_dict(filename: str) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file."""
    return safetensors.torch.load_file(filename, device="cpu")


def load_model(checkpoint_info: CheckpointInfo | None = None) -> Any:
    """Build the model from the checkpoint's yaml, load it and make it `shared.sd_model`."""
    from modules import sd_hijack
    from modules.latent_diffusion import LatentDiffusion

    info = checkpoint_info or select_checkpoint()
    config = yaml.safe_load(Path(info.filename).with_suffix(".yaml").read_text(encoding="utf8"))
    model = LatentDiffusion(config["model"]["params"])
    missing, unexpected = model.load_state_dict(read_state_dict(info.filename), strict=False)
    logger.info("loaded %s, missing %s, unexpected %s", info.filename, missing, unexpected)
    model.eval().requires_grad_(False)
    model.sd_model_hash = info.calculate_shorthash()
    model.sd_model_checkpoint = info.filename
    model.sd_checkpoint_info = info
    shared.opts.data["sd_model_checkpoint"] = info.title
    shared.opts.data["sd_checkpoint_hash"] = info.sha256
    sd_hijack.model_hijack.hijack(model)
    shared.sd_model = model
    script_callbacks.model_loaded_callback(model)
    with devices.autocast(), torch.no_grad():
        model.cond_stage_model_empty_prompt = get_empty_cond(model)
    return model


def get_empty_cond(sd_model: Any) -> torch.Tensor:
    """Cond of the empty prompt (1, 77, C), no networks active."""
    from modules import processing

    extra_networks.activate(processing.StableDiffusionProcessingTxt2Img(), {})
    return sd_model.get_learned_conditioning([""])


def reload_model_weights(sd_model: Any = None, info: CheckpointInfo | None = None, forced_reload: bool = False) -> Any:
    """Keep the loaded model: devhost knows one checkpoint."""
    return shared.sd_model


def apply_token_merging(sd_model: Any, token_merging_ratio: float) -> None:
    """Token merging is not there."""


def apply_alpha_schedule_override(sd_model: Any, p: Any = None) -> None:
    """The noise schedule is the checkpoint's."""
