"""The page: tabs, txt2img's inputs under the ids where extensions look for them, and names they look up here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr

from modules import (
    infotext_utils,
    script_callbacks,
    scripts,
    sd_models,
    sd_samplers,
    sd_schedulers,
    shared,
    ui_gradio_extensions,
)
from modules.call_queue import wrap_gradio_gpu_call
from modules.infotext_utils import PasteField
from modules.txt2img import FIELDS, txt2img
from modules.ui_common import create_refresh_button  # noqa: F401
from modules.ui_components import ToolButton
from modules.ui_symbols import paste_symbol, refresh_symbol  # noqa: F401

SIDE_PX = 128
"""The toy checkpoint's; the WebUI has 512."""
PASTED = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "steps": "Steps",
    "sampler_name": "Sampler",
    "scheduler": "Schedule type",
    "cfg_scale": "CFG scale",
    "width": "Size-1",
    "height": "Size-2",
    "seed": "Seed",
    "batch_size": "Batch size",
}
"""Input -> its name in a generation text."""
txt2img_paste_fields: list[Any] = []
img2img_paste_fields: list[Any] = []


def create_ui() -> gr.Blocks:
    """Build every script's components and the whole page."""
    ui_gradio_extensions.reload_javascript()
    txt2img_interface = _txt2img_interface()
    _img2img_scripts()
    interfaces = [(txt2img_interface, "txt2img", "txt2img"), *script_callbacks.ui_tabs_callback()]
    theme = gr.themes.Default(font=["sans-serif"], font_mono=["monospace"])  # gradio's own are fetched from the web
    with gr.Blocks(theme=theme, analytics_enabled=False, title="devhost") as demo:
        with gr.Row(elem_id="quicksettings"):
            titles = [info.title for info in sd_models.checkpoints_list.values()]
            gr.Dropdown(titles, value=titles[0], label="Checkpoint", elem_id="setting_sd_model_checkpoint")
        with gr.Tabs(elem_id="tabs"):
            for interface, title, name in interfaces:
                with gr.TabItem(title, id=name, elem_id=f"tab_{name}"):
                    interface.render()
    shared.tab_names = [title for _, title, _ in interfaces]
    return demo


def _img2img_scripts() -> None:
    """Their components are built, but the tab is not shown: devhost has no img2img."""
    runner = scripts.scripts_img2img
    with gr.Blocks(analytics_enabled=False):
        runner.prepare_ui()
        runner.initialize_scripts(True)
        runner.setup_ui()
    infotext_utils.add_paste_fields("img2img", None, list(runner.infotext_fields))


def _txt2img_interface() -> gr.Blocks:
    runner = scripts.scripts_txt2img
    runner.prepare_ui()
    runner.initialize_scripts(False)
    with gr.Blocks(analytics_enabled=False) as interface:
        top = _toprow()
        with gr.Row():
            with gr.Column(elem_id="txt2img_settings"):
                inputs = {"prompt": top.prompt, "negative_prompt": top.negative_prompt, **_settings()}
                with gr.Group(elem_id="txt2img_script_container"):
                    script_inputs = runner.setup_ui()
            outputs = _output_panel()
        _connect(top, [inputs[name] for name in FIELDS], script_inputs, outputs)
        fields = [PasteField(inputs[name], label, api=name) for name, label in PASTED.items()]
        txt2img_paste_fields[:] = [*fields, *runner.infotext_fields]
        infotext_utils.add_paste_fields("txt2img", None, txt2img_paste_fields)
        infotext_utils.connect_paste(top.paste, txt2img_paste_fields, top.prompt)
    return interface


def _toprow() -> SimpleNamespace:
    with gr.Row(elem_id="txt2img_toprow"):
        with gr.Column(scale=6, elem_id="txt2img_prompt_container"):
            options = {"show_label": False, "lines": 3, "elem_classes": ["prompt"]}
            prompt = gr.Textbox(label="Prompt", placeholder="Prompt", elem_id="txt2img_prompt", **options)
            negative_prompt = gr.Textbox(
                label="Negative prompt", placeholder="Negative prompt", elem_id="txt2img_neg_prompt", **options
            )
        with gr.Column(scale=1, elem_id="txt2img_actions_column"):
            with gr.Row(elem_id="txt2img_generate_box"):
                interrupt = gr.Button("Interrupt", elem_id="txt2img_interrupt")
                skip = gr.Button("Skip", elem_id="txt2img_skip")
                submit = gr.Button("Generate", elem_id="txt2img_generate", variant="primary")
            with gr.Row(elem_id="txt2img_tools"):
                paste = ToolButton(value=paste_symbol, elem_id="paste")
    interrupt.click(lambda: shared.state.interrupt())
    skip.click(lambda: shared.state.skip())
    return SimpleNamespace(prompt=prompt, negative_prompt=negative_prompt, submit=submit, paste=paste)


def _settings() -> dict[str, Any]:
    samplers = sd_samplers.visible_sampler_names()
    schedulers = [scheduler.label for scheduler in sd_schedulers.schedulers]

    def slider(name: str, label: str, limits: tuple[float, float, float], value: float) -> Any:
        low, high, step = limits
        return gr.Slider(minimum=low, maximum=high, step=step, label=label, value=value, elem_id=f"txt2img_{name}")

    inputs: dict[str, Any] = {}
    with gr.Row(elem_id="sampler_selection_txt2img"):
        inputs["sampler_name"] = gr.Dropdown(
            samplers, value=samplers[0], label="Sampling method", elem_id="txt2img_sampling"
        )
        inputs["scheduler"] = gr.Dropdown(
            schedulers, value=schedulers[0], label="Schedule type", elem_id="txt2img_scheduler"
        )
        inputs["steps"] = slider("steps", "Sampling steps", (1, 150, 1), 25)
    with gr.Row():
        inputs["width"] = slider("width", "Width", (64, 2048, 8), SIDE_PX)
        inputs["height"] = slider("height", "Height", (64, 2048, 8), SIDE_PX)
        inputs["n_iter"] = slider("batch_count", "Batch count", (1, 100, 1), 1)
        inputs["batch_size"] = slider("batch_size", "Batch size", (1, 8, 1), 1)
    with gr.Row():
        inputs["cfg_scale"] = slider("cfg_scale", "CFG Scale", (1, 30, 0.5), 5.0)
        inputs["seed"] = gr.Number(label="Seed", value=-1, precision=0, elem_id="txt2img_seed")
    return inputs


def _output_panel() -> list[Any]:
    with gr.Column(elem_id="txt2img_results"):
        with gr.Group(elem_id="txt2img_gallery_container"):
            gallery = gr.Gallery(label="Output", show_label=False, elem_id="txt2img_gallery", columns=4, preview=True)
        infotext = gr.HTML(elem_id="html_info_txt2img", elem_classes="infotext")
        html_log = gr.HTML(elem_id="html_log_txt2img", elem_classes="html-log")
        generation_info = gr.Textbox(visible=False, elem_id="generation_info_txt2img")
    return [gallery, generation_info, infotext, html_log]


def _connect(top: SimpleNamespace, inputs: list[Any], script_inputs: list[Any], outputs: list[Any]) -> None:
    task = gr.Label(visible=False)  # the page puts the job's name here
    run = wrap_gradio_gpu_call(txt2img, extra_outputs=[None, "", ""])
    generated = top.submit.click(
        run, inputs=[task, *inputs, *script_inputs], outputs=outputs, _js="submit", show_progress=False
    )
    generated.then(None, _js="() => { showSubmitButtons('txt2img', true); }")
