"""Process-wide objects. `initialize` fills what needs other modules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from modules import options, shared_cmd_options
from modules.paths_internal import data_path

if TYPE_CHECKING:
    from modules.shared_state import State

cmd_opts = shared_cmd_options.cmd_opts
parser = shared_cmd_options.parser
OptionInfo = options.OptionInfo
OptionHTML = options.OptionHTML
options_section = options.options_section

parallel_processing_allowed = True
config_filename = str(Path(data_path) / "config.json")
demo: Any = None
device: torch.device = torch.device("cpu")
opts: options.Options = None  # type: ignore[assignment]
options_templates: dict[str, options.OptionInfo] = {}
restricted_opts: set[str] = set()
state: State = None  # type: ignore[assignment]
sd_model: Any = None
sd_upscalers: list[Any] = []
hypernetworks: dict[str, Any] = {}
loaded_hypernetworks: list[Any] = []
latent_upscale_default_mode = "Latent"
_INTERPOLATIONS = (
    ("", "bilinear", False),
    ("antialiased", "bilinear", True),
    ("bicubic", "bicubic", False),
    ("bicubic antialiased", "bicubic", True),
    ("nearest", "nearest", False),
    ("nearest-exact", "nearest-exact", False),
)
latent_upscale_modes = {
    f"Latent ({kind})" if kind else latent_upscale_default_mode: {"mode": mode, "antialias": antialias}
    for kind, mode, antialias in _INTERPOLATIONS
}


class TotalTQDM:
    """The console's total progress bar; kept as a counter, nothing is drawn."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0

    def update(self) -> None:
        """One step done."""
        self.done += 1

    def updateTotal(self, new_total: int) -> None:
        """Set the number of steps to come."""
        self.total = new_total

    def clear(self) -> None:
        """Start over."""
        self.total = self.done = 0


class PromptStyles:
    """Saved prompt styles; devhost has none."""

    def __init__(self) -> None:
        self.styles: dict[str, Any] = {}

    def apply_styles_to_prompt(self, prompt: str, styles: list[str]) -> str:
        """The prompt unchanged."""
        return prompt

    def apply_negative_styles_to_prompt(self, prompt: str, styles: list[str]) -> str:
        """The prompt unchanged."""
        return prompt


total_tqdm = TotalTQDM()
prompt_styles = PromptStyles()


def walk_files(path: str, allowed_extensions: list[str] | None = None) -> list[str]:
    """All files below `path`, sorted, with one of the extensions."""
    found = sorted(p for p in Path(path).rglob("*") if p.is_file())
    return [str(p) for p in found if allowed_extensions is None or p.suffix.lower() in allowed_extensions]


def initialize() -> None:
    """Make `opts` and `state`."""
    global opts, options_templates, restricted_opts, state
    from modules import shared_options, shared_state

    options_templates = shared_options.options_templates
    restricted_opts = shared_options.restricted_opts
    opts = options.Options(options_templates, restricted_opts)
    opts.load(config_filename)
    state = shared_state.State()
