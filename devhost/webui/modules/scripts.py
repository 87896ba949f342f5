"""Scripts: the base class, their loading, and the two runners."""

from __future__ import annotations

import inspect
import re
import sys
from collections import namedtuple
from collections.abc import Callable
from typing import Any

from modules import errors, extensions, paths, script_callbacks, script_loading

AlwaysVisible = object()
ScriptClassData = namedtuple("ScriptClassData", ["script_class", "path", "basedir", "module"])
scripts_data: list[ScriptClassData] = []
current_basedir = paths.script_path


class _Box:
    """Base of the mutable arguments handed to hooks."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class PostSampleArgs(_Box):
    """Latents after sampling."""

    def __init__(self, samples: Any) -> None:
        super().__init__(samples=samples)


class PostprocessImageArgs(_Box):
    """One finished image."""

    def __init__(self, image: Any) -> None:
        super().__init__(image=image)


class PostProcessMaskOverlayArgs(_Box):
    """Overlay of one image."""

    def __init__(self, index: int, mask_for_overlay: Any, overlay_image: Any) -> None:
        super().__init__(index=index, mask_for_overlay=mask_for_overlay, overlay_image=overlay_image)


class PostprocessBatchListArgs(_Box):
    """All images of a batch."""

    def __init__(self, images: list[Any]) -> None:
        super().__init__(images=images)


class Script:
    """Base class of scripts; hooks do nothing until overridden."""

    name: str | None = None
    section: str | None = None
    filename: str | None = None
    args_from: int | None = None
    args_to: int | None = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    tabname: str | None = None
    group: Any = None
    create_group = True
    infotext_fields: list[Any] | None = None
    paste_field_names: list[str] | None = None
    api_info: Any = None
    setup_for_ui_only = False
    controls: list[Any] | None = None

    def title(self) -> str:
        """Shown name; also the key in the API's alwayson_scripts."""
        raise NotImplementedError

    def ui(self, is_img2img: bool) -> list[Any] | None:
        """Build components; their values are the hooks' arguments."""

    def show(self, is_img2img: bool) -> Any:
        """False, True (in the dropdown) or AlwaysVisible."""
        return True

    def run(self, p: Any, *args: Any) -> Any:
        """Replaces process_images when chosen in the dropdown."""

    def setup(self, p: Any, *args: Any) -> None:
        """When scripts and arguments are both set on p."""

    def before_process(self, p: Any, *args: Any) -> None:
        """First of all."""

    def process(self, p: Any, *args: Any) -> None:
        """After prompts and seeds are set."""

    def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Before extra networks are parsed from the prompts."""

    def after_extra_networks_activate(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """After extra networks were activated."""

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Before conds are made."""

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Before each sampling run: twice with hires fix."""

    def before_hr(self, p: Any, *args: Any) -> None:
        """Before the hires pass."""

    def on_mask_blend(self, p: Any, mba: Any, *args: Any) -> None:
        """While inpainting; never called by devhost."""

    def post_sample(self, p: Any, ps: PostSampleArgs, *args: Any) -> None:
        """After sampling, before decoding."""

    def postprocess_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """After decoding, images as one tensor."""

    def postprocess_batch_list(self, p: Any, pp: PostprocessBatchListArgs, *args: Any, **kwargs: Any) -> None:
        """After decoding, images as a list."""

    def postprocess_image(self, p: Any, pp: PostprocessImageArgs, *args: Any) -> None:
        """For each finished image."""

    def postprocess_maskoverlay(self, p: Any, ppmo: PostProcessMaskOverlayArgs, *args: Any) -> None:
        """For each overlay."""

    def postprocess_image_after_composite(self, p: Any, pp: PostprocessImageArgs, *args: Any) -> None:
        """For each finished image after the overlay."""

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """Last; not called when the run raised."""

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """Before the host makes a component."""

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """After the host made a component."""

    def describe(self) -> str:
        """Unused."""
        return ""

    def elem_id(self, item_id: str) -> str:
        """Element id made of tab, title and item."""
        need_tab = self.show(True) == self.show(False)
        tab = ("img2img_" if self.is_img2img else "txt2img_") if need_tab else ""
        title = re.sub(r"[^a-z_0-9]", "", re.sub(r"\s", "_", self.title().lower()))
        return f"script_{tab}{title}_{item_id}"


def basedir() -> str:
    """Folder of the extension whose script is being loaded."""
    return current_basedir


def wrap_call(
    func: Callable[..., Any], filename: Any, funcname: str, *args: Any, default: Any = None, **kwargs: Any
) -> Any:
    """Call `func`; report and swallow what it raises."""
    result = default
    try:
        result = func(*args, **kwargs)
    except Exception:
        errors.report(f"Error calling: {filename}/{funcname}", exc_info=True)
    return result


def load_scripts() -> None:
    """Execute every .py in each extension's scripts/ with its folder on sys.path meanwhile; make fresh runners."""
    global scripts_txt2img, scripts_img2img
    scripts_data.clear()
    script_callbacks.clear_callbacks()
    for ext in extensions.active():
        for path in ext.list_files("scripts", ".py"):
            _load_script(str(path), ext.path)
    scripts_txt2img = ScriptRunner()
    scripts_img2img = ScriptRunner()


def _load_script(path: str, folder: str) -> None:
    global current_basedir
    syspath = sys.path
    try:
        sys.path = [folder, *sys.path]
        current_basedir = folder
        module = script_loading.load_module(path)
        classes = [c for c in module.__dict__.values() if inspect.isclass(c) and issubclass(c, Script)]
        scripts_data.extend(ScriptClassData(c, path, folder, module) for c in classes)
    except Exception:
        errors.report(f"Error loading script: {path}", exc_info=True)
    finally:
        sys.path = syspath
        current_basedir = paths.script_path


from modules.script_runner import ScriptRunner  # noqa: E402 - it needs Script

scripts_txt2img: ScriptRunner = None  # type: ignore[assignment]
scripts_img2img: ScriptRunner = None  # type: ignore[assignment]
reload_scripts = load_scripts
