"""Command line options: a namespace that `devhost.boot` fills before anything else is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

cmd_opts = argparse.Namespace(
    data_dir=".",
    ckpt_dir=None,
    lora_dir=None,
    embeddings_dir=None,
    freeze_settings=False,
    api=True,
    api_auth=None,
    gradio_auth=None,
    no_half=True,
    no_half_vae=True,
    use_cpu=["all"],
    disable_nan_check=False,
    disable_console_progressbars=True,
    no_prompt_history=True,
    hide_ui_dir_config=False,
    opt_channelslast=False,
    lowvram=False,
    medvram=False,
    xformers=False,
    subpath=None,
)
parser = argparse.ArgumentParser()


def configure(data_dir: Path) -> None:
    """Point every folder option below `data_dir`."""
    cmd_opts.data_dir = str(data_dir)
    cmd_opts.ckpt_dir = str(data_dir / "models" / "Stable-diffusion")
    cmd_opts.lora_dir = str(data_dir / "models" / "Lora")
    cmd_opts.embeddings_dir = str(data_dir / "embeddings")
