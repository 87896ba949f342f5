"""The REST routes that the extension and the demo use, with the WebUI's treatment of script arguments and errors."""

from __future__ import annotations

import base64
import io
import time
from contextlib import closing
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request  # noqa: TC002 - fastapi reads the annotations
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from PIL import Image, PngImagePlugin

from modules import errors, infotext_utils, progress, script_callbacks, scripts, sd_samplers, shared
from modules.api import models
from modules.processing import StableDiffusionProcessingTxt2Img, process_images

TextToImageRequest = models.txt2img_request(StableDiffusionProcessingTxt2Img)
INFOTEXT_FIELDS = {
    "prompt": ("Prompt", str),
    "negative_prompt": ("Negative prompt", str),
    "steps": ("Steps", int),
    "sampler_name": ("Sampler", str),
    "scheduler": ("Schedule type", str),
    "cfg_scale": ("CFG scale", float),
    "seed": ("Seed", int),
    "width": ("Size-1", int),
    "height": ("Size-2", int),
}
"""Request field -> its name in a generation text, and its type."""
OWN_FIELDS = ("script_name", "script_args", "alwayson_scripts", "infotext", "send_images", "save_images")


def encode_pil_to_base64(image: Image.Image) -> str:
    """Png with its generation text."""
    texts = PngImagePlugin.PngInfo()
    for entry in image.info.items():
        if all(isinstance(part, str) for part in entry):
            texts.add_text(*entry)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=texts)
    return base64.b64encode(buffer.getvalue()).decode()


def _answer(request: Request, error: Exception) -> JSONResponse:
    """What a raised error looks like to the caller."""
    facts = vars(error)
    body = {
        "error": type(error).__name__,
        "detail": facts.get("detail", ""),
        "body": facts.get("body", ""),
        "errors": str(error),
    }
    if not isinstance(error, HTTPException):
        errors.report(f"API error: {request.method}: {request.url} {body}", exc_info=True)
    return JSONResponse(status_code=facts.get("status_code", 500), content=jsonable_encoder(body))


def api_middleware(app: FastAPI) -> None:
    """Answer errors as json."""

    @app.middleware("http")
    async def exception_handling(request: Request, call_next: Any) -> Any:
        try:
            return await call_next(request)
        except Exception as error:
            return _answer(request, error)

    @app.exception_handler(Exception)
    async def any_exception(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, error)

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> JSONResponse:
        return _answer(request, error)


class Api:
    """Routes over one application."""

    def __init__(self, app: FastAPI, queue_lock: Any) -> None:
        self.app = app
        self.queue_lock = queue_lock
        api_middleware(app)
        app.add_api_route(
            "/sdapi/v1/txt2img", self.text2imgapi, methods=["POST"], response_model=models.TextToImageResponse
        )
        app.add_api_route(
            "/sdapi/v1/progress", self.progressapi, methods=["GET"], response_model=models.ProgressResponse
        )
        app.add_api_route("/sdapi/v1/interrupt", self.interruptapi, methods=["POST"])
        app.add_api_route("/sdapi/v1/skip", self.skip, methods=["POST"])
        app.add_api_route("/sdapi/v1/script-info", self.get_script_info, methods=["GET"])
        app.add_api_route("/sdapi/v1/png-info", self.pnginfoapi, methods=["POST"])
        self.default_script_arg_txt2img = self.init_default_script_args(scripts.scripts_txt2img)

    def init_default_script_args(self, script_runner: Any) -> list[Any]:
        """Values of all components as `ui()` makes them; None elsewhere, 0 in front."""
        args: list[Any] = [None] * max([1, *(s.args_to for s in script_runner.scripts)])
        args[0] = 0
        with gr.Blocks():
            for script in script_runner.scripts:
                controls = script.ui(script.is_img2img)
                if controls:
                    args[script.args_from : script.args_to] = [control.value for control in controls]
        return args

    def get_script(self, name: str, script_runner: Any, group: list[Any]) -> Any:
        """The script of a title, any case."""
        titles = [script.title().lower() for script in group]
        if name.lower() not in titles:
            raise HTTPException(status_code=422, detail=f"Script '{name}' not found")
        return group[titles.index(name.lower())]

    def init_script_args(self, request: Any, script_runner: Any) -> tuple[list[Any], bool]:
        """All scripts' arguments for a request, and whether a script of the dropdown was asked for."""
        args = self.default_script_arg_txt2img.copy()
        for index, value in self._pasted(request, script_runner).items():
            args[index] = value
        selectable = script_runner.selectable_scripts
        if request.script_name:
            script = self.get_script(request.script_name, script_runner, selectable)
            args[script.args_from : script.args_to] = request.script_args
            args[0] = selectable.index(script) + 1
        for name, given in (request.alwayson_scripts or {}).items():
            script = self.get_script(name, script_runner, script_runner.scripts)
            if not script.alwayson:
                detail = "Cannot have a selectable script in the always on scripts params"
                raise HTTPException(status_code=422, detail=detail)
            values = given.get("args", [])[: script.args_to - script.args_from]
            args[script.args_from : script.args_from + len(values)] = values
        return args, bool(request.script_name)

    def _pasted(self, request: Any, script_runner: Any) -> dict[int, Any]:
        """Script arguments read from the request's `infotext`, by index."""
        if not request.infotext:
            return {}
        params = infotext_utils.parse_generation_parameters(request.infotext)
        given = request.dict(exclude_unset=True)
        for name, (label, kind) in INFOTEXT_FIELDS.items():
            if name not in given and label in params:
                setattr(request, name, kind(params[label]))
        places = {component: i for i, component in enumerate(script_runner.inputs) if component is not None}
        found = {}
        for entry in script_runner.infotext_fields:
            field = entry if isinstance(entry, infotext_utils.PasteField) else infotext_utils.PasteField(*entry)
            value = field.function(params) if field.function else params.get(field.label)
            if isinstance(value, dict) and value.get("__type__") == "generic_update":
                value = value.get("value")
            if value is not None and field.component in places:
                kind = type(field.component.value)
                if kind is not type(None):
                    found[places[field.component]] = value if isinstance(value, kind) else kind(value)
        return found

    def text2imgapi(self, txt2imgreq: TextToImageRequest) -> models.TextToImageResponse:  # type: ignore[valid-type]
        """Make pictures."""
        runner = scripts.scripts_txt2img
        task = txt2imgreq.force_task_id or progress.create_task_id("txt2img")
        script_args, selected = self.init_script_args(txt2imgreq, runner)
        wanted = txt2imgreq.sampler_name or txt2imgreq.sampler_index
        sampler, scheduler = sd_samplers.get_sampler_and_scheduler(wanted, txt2imgreq.scheduler)
        fields = {key: value for key, value in txt2imgreq.dict().items() if key not in OWN_FIELDS}
        fields |= {"sampler_name": sampler, "sampler_index": None}
        fields |= {"do_not_save_samples": not txt2imgreq.save_images, "do_not_save_grid": not txt2imgreq.save_images}
        if not fields["scheduler"] and scheduler != "Automatic":
            fields["scheduler"] = scheduler
        with self.queue_lock, closing(StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, **fields)) as p:
            p.is_api = True
            p.scripts = runner
            try:
                shared.state.begin(job="scripts_txt2img")
                progress.start_task(task)
                p.script_args = tuple(script_args)
                processed = runner.run(p, *script_args) if selected else process_images(p)
                progress.finish_task(task)
            finally:
                shared.state.end()
                shared.total_tqdm.clear()
        images = [encode_pil_to_base64(image) for image in processed.images] if txt2imgreq.send_images else []
        return models.TextToImageResponse(images=images, parameters=vars(txt2imgreq), info=processed.js())

    def progressapi(self, skip_current_image: bool = False) -> models.ProgressResponse:
        """How far the running job is."""
        state = shared.state
        if state.job_count == 0:
            return models.ProgressResponse(progress=0, eta_relative=0, state=state.dict(), textinfo=state.textinfo)
        done = 0.01
        if state.job_count > 0:
            done += state.job_no / state.job_count
        if state.sampling_steps > 0:
            done += state.sampling_step / state.sampling_steps / state.job_count
        elapsed = time.time() - state.time_start
        state.set_current_image()
        image = encode_pil_to_base64(state.current_image) if state.current_image and not skip_current_image else None
        return models.ProgressResponse(
            progress=min(done, 1),
            eta_relative=elapsed / done - elapsed,
            state=state.dict(),
            current_image=image,
            textinfo=state.textinfo,
        )

    def pnginfoapi(self, req: dict[str, Any]) -> dict[str, Any]:
        """Generation text of a png."""
        data = req["image"].split(",", 1)[-1]
        info = Image.open(io.BytesIO(base64.b64decode(data))).info
        text = info.get("parameters", "")
        params = infotext_utils.parse_generation_parameters(text)
        script_callbacks.infotext_pasted_callback(text, params)
        return {"info": text, "items": {k: v for k, v in info.items() if isinstance(v, str)}, "parameters": params}

    def interruptapi(self) -> dict[str, Any]:
        """Stop the job."""
        shared.state.interrupt()
        return {}

    def skip(self) -> None:
        """Stop the batch."""
        shared.state.skip()

    def get_script_info(self) -> list[models.ScriptInfo]:
        """All scripts."""
        runners = (scripts.scripts_txt2img, scripts.scripts_img2img)
        return [s.api_info for runner in runners for s in runner.scripts if s.api_info is not None]
