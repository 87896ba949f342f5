"""Runs and watches generations on whichever host is up; uses `modules.*` only, so it is the same on both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PROMPT = "a man and a woman in the park"
SIZE = 64
"""Pixels a side. A call costs little less than at 128, where people can be found, but with many rows half."""
CELLS = SIZE // 8
LARGE = {"width": 128, "height": 128}
"""Of the toy world's own pictures: for tests that look for people."""
STEADY = {"steps": 5, "cfg_scale": 2.0}
"""For tests that compare batches, which round otherwise. With CFG 5 1e-6 in the UNet's output became .005 in
some pictures; in 3 steps a pixel of a mask changed sides."""
DEFAULTS: dict[str, Any] = {
    "prompt": PROMPT,
    "seed": 1,
    "steps": 4,
    "width": SIZE,
    "height": SIZE,
    "cfg_scale": 5.0,
    "sampler_name": "Euler",
    "scheduler": "Automatic",
    "do_not_save_samples": True,
    "do_not_save_grid": True,
}
OMG_TITLE = "OMG"


@dataclass
class Run:
    """A finished run: result, latents of each batch as sampled, and the processing object (closed)."""

    processed: Any
    latents: list[Any]
    p: Any

    @property
    def images(self) -> list[np.ndarray]:
        """Pictures (H, W, 3), uint8."""
        return [np.asarray(image) for image in self.processed.images]


@dataclass
class UnetCalls:
    """What the UNet was given and gave, call by call."""

    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    timesteps: list[Any] = field(default_factory=list)
    vectors: list[Any] = field(default_factory=list)
    """SDXL's pooled text and sizes; None for other models."""

    @property
    def x_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each call's x."""
        return [tuple(x.shape) for x in self.inputs]

    @property
    def rows(self) -> list[int]:
        """Rows of each call."""
        return [shape[0] for shape in self.x_shapes]


def omg_script() -> Any:
    """The extension's script of the txt2img tab.

    Raises:
        LookupError: the host has none.
    """
    from modules import scripts

    runner = scripts.scripts_txt2img
    script = next((s for s in runner.alwayson_scripts if s.title() == OMG_TITLE), None)
    if script is None:
        raise LookupError(f"no script titled {OMG_TITLE!r}; found {[s.title() for s in runner.alwayson_scripts]}")
    return script


def default_script_args(omg: Any = None) -> list[Any]:
    """Arguments of all scripts as their components stand; the OMG script's first one is `omg` if given."""
    from modules import scripts

    runner = scripts.scripts_txt2img
    args = [getattr(component, "value", None) for component in runner.inputs]
    args[0] = 0
    if omg is not None:
        args[omg_script().args_from] = omg
    return args


def run(omg: Any = None, script_args: list[Any] | None = None, **fields: Any) -> Run:
    """Generate as the txt2img tab does and keep the latents."""
    from modules import processing, scripts, shared

    given = {**DEFAULTS, **fields}
    with closing(processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, **given)) as p:
        p.is_api = True  # else the host's own scripts overwrite steps, sampler and seed from the components
        p.scripts = scripts.scripts_txt2img
        p.script_args = tuple(default_script_args(omg) if script_args is None else script_args)
        latents: list[Any] = []
        sample = p.sample

        def keep(*args: Any, **kwargs: Any) -> Any:
            made = sample(*args, **kwargs)
            latents.append(made)
            return made

        p.sample = keep
        shared.state.begin(job="contract")
        try:
            processed = processing.process_images(p)
        finally:
            shared.state.end()
    return Run(processed, latents, p)


def txt2img(omg: Any = None, script_args: list[Any] | None = None, **fields: Any) -> Any:
    """Generate; gives the host's Processed."""
    return run(omg, script_args, **fields).processed


def latents(omg: Any = None, script_args: list[Any] | None = None, **fields: Any) -> Any:
    """Generate; gives the latents (B, 4, h, w) of the first batch."""
    return run(omg, script_args, **fields).latents[0]


@contextlib.contextmanager
def options(**values: Any) -> Iterator[None]:
    """Settings, put back at the end."""
    from modules.shared import opts

    before = {key: opts.data[key] for key in values if key in opts.data}
    for key, value in values.items():
        setattr(opts, key, value)
    try:
        yield
    finally:
        for key in values:
            opts.data.pop(key, None)
        opts.data.update(before)


@contextlib.contextmanager
def callback(category: str, function: Callable[..., Any]) -> Iterator[None]:
    """A callback registered through `script_callbacks.on_<category>`, removed at the end."""
    from modules import script_callbacks

    getattr(script_callbacks, f"on_{category}")(function)
    try:
        yield
    finally:
        script_callbacks.remove_callbacks_for_function(function)


@contextlib.contextmanager
def script(**hooks: Callable[..., Any]) -> Iterator[Any]:
    """An always-on script without components whose hooks are the given functions of (p, ...)."""
    from modules import scripts

    methods = {name: _without_self(hook) for name, hook in hooks.items()}
    made = type("ContractScript", (scripts.Script,), {"title": lambda self: "contract", **methods})()
    made.alwayson, made.args_from, made.args_to, made.filename = True, 0, 0, __file__
    runner = scripts.scripts_txt2img
    runner.alwayson_scripts.append(made)
    runner.callback_map.clear()
    try:
        yield made
    finally:
        runner.alwayson_scripts.remove(made)
        runner.callback_map.clear()


def _without_self(hook: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: hook(*args, **kwargs)


@contextlib.contextmanager
def unet_calls() -> Iterator[UnetCalls]:
    """Record every call of the UNet."""
    from modules import shared

    calls = UnetCalls()

    def record(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.inputs.append(args[0].clone())
        calls.timesteps.append((args[1] if len(args) > 1 else kwargs["timesteps"]).clone())
        calls.contexts.append(kwargs["context"].clone())
        calls.vectors.append(kwargs["y"].clone() if kwargs.get("y") is not None else None)

    def record_output(module: Any, args: tuple[Any, ...], output: Any) -> None:
        calls.outputs.append(output.clone())

    unet = shared.sd_model.model.diffusion_model
    handles = [unet.register_forward_pre_hook(record, with_kwargs=True), unet.register_forward_hook(record_output)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def denoiser_calls() -> Iterator[list[Any]]:
    """Record the `cfg_denoiser` callback's arguments."""
    seen: list[Any] = []

    def record(params: Any) -> None:
        seen.append(params)

    with callback("cfg_denoiser", record):
        yield seen
