"""What the txt2img tab's Generate runs."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from modules import processing, scripts, shared
from modules.ui_common import plaintext_to_html

FIELDS = (
    "prompt",
    "negative_prompt",
    "steps",
    "sampler_name",
    "scheduler",
    "cfg_scale",
    "width",
    "height",
    "seed",
    "n_iter",
    "batch_size",
)
"""The tab's own inputs, in the order in which their values come; the scripts' arguments follow them."""


def txt2img(id_task: str, *args: Any) -> tuple[list[Any], str, str, str]:
    """Pictures, facts as json, and the generation text and comments as html."""
    runner = scripts.scripts_txt2img
    fields = dict(zip(FIELDS, args, strict=False))
    p = processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, **fields)
    p.scripts, p.script_args = runner, args[len(FIELDS) :]
    with closing(p):
        processed = runner.run(p, *p.script_args) or processing.process_images(p)
    shared.total_tqdm.clear()
    info, comments = plaintext_to_html(processed.info), plaintext_to_html(processed.comments, classname="comments")
    return processed.images, processed.js(), info, comments
