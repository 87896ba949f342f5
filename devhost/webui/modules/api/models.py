"""Shapes of API requests and answers."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel, create_model


class ScriptArg(BaseModel):
    """One argument of a script."""

    label: str = ""
    value: Any = None
    minimum: Any = None
    maximum: Any = None
    step: Any = None
    choices: list[str] | None = None


class ScriptInfo(BaseModel):
    """A script and its arguments."""

    name: str | None = None
    is_alwayson: bool | None = None
    is_img2img: bool | None = None
    args: list[ScriptArg]


class TextToImageResponse(BaseModel):
    """Answer of txt2img."""

    images: list[str] | None = None
    parameters: dict[str, Any]
    info: str


class ProgressResponse(BaseModel):
    """Answer of progress."""

    progress: float
    eta_relative: float
    state: dict[str, Any]
    current_image: str | None = None
    textinfo: str | None = None


def script_info(script: Any) -> ScriptInfo:
    """Describe a script whose components were built."""
    fields = ("value", "minimum", "maximum", "step")
    args = []
    for control in script.controls:
        values = {name: getattr(control, name, None) for name in fields}
        choices = [c[0] if isinstance(c, tuple) else c for c in getattr(control, "choices", None) or []]
        args.append(ScriptArg(label=getattr(control, "label", "") or "", choices=choices or None, **values))
    return ScriptInfo(name=script.name, is_alwayson=script.alwayson, is_img2img=script.is_img2img, args=args)


def txt2img_request(processing_class: type) -> type[BaseModel]:
    """A request model with every constructor field of the processing class plus the API's own."""
    fields: dict[str, Any] = {
        name: (Any, parameter.default)
        for name, parameter in inspect.signature(processing_class).parameters.items()
        if name not in ("sd_model", "outpath_samples", "outpath_grids", "overlay_images", "comments", "firstpass_image")
    }
    fields |= {
        "sampler_index": (str | None, "Euler"),
        "script_name": (str | None, None),
        "script_args": (list, []),
        "send_images": (bool, True),
        "save_images": (bool, False),
        "alwayson_scripts": (dict, {}),
        "force_task_id": (str | None, None),
        "infotext": (str | None, None),
    }
    integers = ("steps", "width", "height", "batch_size", "n_iter", "seed")
    fields |= {name: (int, fields[name][1]) for name in integers}
    fields |= {"prompt": (str | None, ""), "negative_prompt": (str | None, ""), "cfg_scale": (float, 7.0)}
    return create_model("StableDiffusionProcessingTxt2Img", **fields)
