"""One generation of the txt2img tab, on the host that runs in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

EXTENSION = "OMG"
SIDE_PX = 128
SELECTED_SCRIPT = 0
"""Which of all scripts' arguments tells the script chosen in the tab's list; 0 there is none of them."""

Around = Callable[[Any], AbstractContextManager[None]]
"""Given the processing object: what is to be open while it is processed."""


@dataclass(frozen=True)
class Request:
    """What the tab is asked for."""

    prompt: str
    seed: int
    steps: int = 25
    width_px: int = SIDE_PX
    height_px: int = SIDE_PX
    cfg_scale: float = 5.0
    sampler: str = "DPM++ 2M"
    scheduler: str = "Karras"


def generate(request: Request, omg: Mapping[str, Any] | None = None, around: Around | None = None) -> list[Image.Image]:
    """Draw as the tab does.

    Args:
        request: prompt, noise and size.
        omg: the extension's settings in their plain form; None: the extension is off.
        around: opened before the pictures are drawn, and closed after.

    Returns:
        The pictures, first the result.

    Raises:
        LookupError: the host runs without the extension.
    """
    from modules import processing, scripts, shared

    fields = {
        "prompt": request.prompt,
        "seed": request.seed,
        "steps": request.steps,
        "width": request.width_px,
        "height": request.height_px,
        "cfg_scale": request.cfg_scale,
        "sampler_name": request.sampler,
        "scheduler": request.scheduler,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
    }
    with ExitStack() as stack:
        run = processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, **fields)
        p = stack.enter_context(closing(run))
        p.is_api = True  # else the host's own scripts overwrite steps, sampler and seed from the components
        p.scripts, p.script_args = scripts.scripts_txt2img, script_args(scripts.scripts_txt2img, omg)
        if around is not None:
            stack.enter_context(around(p))
        shared.state.begin(job="txt2img")
        try:
            return list(processing.process_images(p).images)
        finally:
            shared.state.end()


def script_args(runner: Any, omg: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Arguments of all scripts as their components stand, the extension's first one set; see `generate`."""
    values = [getattr(component, "value", None) for component in runner.inputs]
    values[SELECTED_SCRIPT] = 0
    titles = {script.title(): script for script in runner.alwayson_scripts}
    if EXTENSION not in titles:
        raise LookupError(f"expected a script titled {EXTENSION}, found {', '.join(titles) or 'none'}")
    values[titles[EXTENSION].args_from] = dict(omg) if omg is not None else False
    return tuple(values)
