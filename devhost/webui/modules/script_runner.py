"""The runner of one tab's scripts. What a script raises is reported and swallowed."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gradio as gr

from modules import errors, scripts, shared
from modules.api import models as api_models


class ScriptRunner:
    """Instances of all scripts of a tab, their components and their hooks."""

    def __init__(self) -> None:
        self.scripts: list[Any] = []
        self.selectable_scripts: list[Any] = []
        self.alwayson_scripts: list[Any] = []
        self.titles: list[str] = []
        self.title_map: dict[str, Any] = {}
        self.infotext_fields: list[Any] = []
        self.paste_field_names: list[str] = []
        self.inputs: list[Any] = [None]
        self.callback_map: dict[str, Any] = {}

    def initialize_scripts(self, is_img2img: bool) -> None:
        """Make an instance of every loaded script class."""
        for group in (self.scripts, self.alwayson_scripts, self.selectable_scripts):
            group.clear()
        self.callback_map.clear()
        for data in scripts.scripts_data:
            self._initialize(data, is_img2img)

    def _initialize(self, data: Any, is_img2img: bool) -> None:
        try:
            script = data.script_class()
        except Exception:
            errors.report(f"Error: failed to initialize Script {data.module}", exc_info=True)
            return
        script.filename = data.path
        script.is_img2img = is_img2img
        script.is_txt2img = not is_img2img
        script.tabname = "img2img" if is_img2img else "txt2img"
        visibility = script.show(is_img2img)
        if visibility == scripts.AlwaysVisible:
            script.alwayson = True
            self.alwayson_scripts.append(script)
        elif visibility:
            self.selectable_scripts.append(script)
        else:
            return
        self.scripts.append(script)

    def prepare_ui(self) -> None:
        """Forget the components of an earlier build."""
        self.inputs = [None]

    def setup_ui(self) -> list[Any]:
        """Build all scripts' components inside the current gr.Blocks."""
        titles = {s: scripts.wrap_call(s.title, s.filename, "title") or s.filename for s in self.scripts}
        self.title_map = {title.lower(): script for script, title in titles.items()}
        self.titles = [titles[s] for s in self.selectable_scripts]
        self.setup_ui_for_section(None)
        self.inputs[0] = gr.Dropdown(
            label="Script", elem_id="script_list", choices=["None", *self.titles], value="None", type="index"
        )
        self.setup_ui_for_section(None, self.selectable_scripts)
        return self.inputs

    def setup_ui_for_section(self, section: str | None, scriptlist: list[Any] | None = None) -> None:
        """Build the components of the scripts of one section."""
        for script in self.alwayson_scripts if scriptlist is None else scriptlist:
            elsewhere = script.alwayson and script.section != section
            if elsewhere:
                continue
            box = gr.Group(visible=script.alwayson) if script.create_group else None
            with nullcontext() if box is None else box:
                self.create_script_ui(script)
            if box is not None:
                script.group = box

    def create_script_ui(self, script: Any) -> None:
        """Build one script's components and note which arguments are its own."""
        script.args_from = script.args_to = len(self.inputs)
        controls = scripts.wrap_call(script.ui, script.filename, "ui", script.is_img2img)
        script.controls = controls
        if controls is None:
            return
        script.name = scripts.wrap_call(script.title, script.filename, "title", default=script.filename).lower()
        for control in controls:
            control.custom_script_source = Path(script.filename).name
        script.api_info = api_models.script_info(script)
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []
        self.inputs += controls
        script.args_to = len(self.inputs)

    def run(self, p: Any, *args: Any) -> Any:
        """Run the script chosen in the dropdown (args[0]), if any."""
        if not args[0]:
            return None
        script = self.selectable_scripts[args[0] - 1]
        processed = script.run(p, *args[script.args_from : script.args_to])
        shared.total_tqdm.clear()
        return processed

    def script(self, title: str) -> Any:
        """The script of a title."""
        return self.title_map.get(title.lower())

    def ordered_scripts(self, method_name: str) -> list[Any]:
        """Always-on scripts that override a hook."""
        base = getattr(scripts.Script, method_name, None)
        return [s for s in self.alwayson_scripts if getattr(type(s), method_name, None) != base]

    def _call(self, hook: str, p: Any, *front: Any, **kwargs: Any) -> None:
        for script in self.ordered_scripts(hook):
            try:
                args = p.script_args[script.args_from : script.args_to]
                getattr(script, hook)(p, *front, *args, **kwargs)
            except Exception:
                errors.report(f"Error running {hook}: {script.filename}", exc_info=True)

    def setup_scrips(self, p: Any, *, is_ui: bool = True) -> None:
        """Hook `setup` (the name is the WebUI's)."""
        for script in self.ordered_scripts("setup"):
            if is_ui or not script.setup_for_ui_only:
                args = p.script_args[script.args_from : script.args_to]
                scripts.wrap_call(script.setup, script.filename, "setup", p, *args)

    def before_process(self, p: Any) -> None:
        """Hook."""
        self._call("before_process", p)

    def process(self, p: Any) -> None:
        """Hook."""
        self._call("process", p)

    def before_process_batch(self, p: Any, **kwargs: Any) -> None:
        """Hook."""
        self._call("before_process_batch", p, **kwargs)

    def after_extra_networks_activate(self, p: Any, **kwargs: Any) -> None:
        """Hook."""
        self._call("after_extra_networks_activate", p, **kwargs)

    def process_batch(self, p: Any, **kwargs: Any) -> None:
        """Hook."""
        self._call("process_batch", p, **kwargs)

    def process_before_every_sampling(self, p: Any, **kwargs: Any) -> None:
        """Hook."""
        self._call("process_before_every_sampling", p, **kwargs)

    def before_hr(self, p: Any) -> None:
        """Hook."""
        self._call("before_hr", p)

    def on_mask_blend(self, p: Any, mba: Any) -> None:
        """Hook."""
        self._call("on_mask_blend", p, mba)

    def post_sample(self, p: Any, ps: Any) -> None:
        """Hook."""
        self._call("post_sample", p, ps)

    def postprocess_batch(self, p: Any, images: Any, **kwargs: Any) -> None:
        """Hook."""
        self._call("postprocess_batch", p, images=images, **kwargs)

    def postprocess_batch_list(self, p: Any, pp: Any, **kwargs: Any) -> None:
        """Hook."""
        self._call("postprocess_batch_list", p, pp, **kwargs)

    def postprocess_image(self, p: Any, pp: Any) -> None:
        """Hook."""
        self._call("postprocess_image", p, pp)

    def postprocess_maskoverlay(self, p: Any, ppmo: Any) -> None:
        """Hook."""
        self._call("postprocess_maskoverlay", p, ppmo)

    def postprocess_image_after_composite(self, p: Any, pp: Any) -> None:
        """Hook."""
        self._call("postprocess_image_after_composite", p, pp)

    def postprocess(self, p: Any, processed: Any) -> None:
        """Hook."""
        self._call("postprocess", p, processed)
