"""Settings: labelled options with defaults, read and written as attributes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules import errors

BUILTIN_FIELDS = {"data_labels", "data", "restricted_opts"}


@dataclass(eq=False, repr=False)
class OptionInfo:
    """One setting: default, label and how it is shown."""

    default: Any = None
    label: str = ""
    component: Any = None
    component_args: Any = None
    onchange: Callable[[], None] | None = None
    section: tuple[str, ...] | None = None
    refresh: Callable[[], None] | None = None
    comment_before: str = ""
    comment_after: str = ""
    infotext: str | None = None
    restrict_api: bool = False
    category_id: str | None = None
    do_not_save: bool = field(default=False, init=False)

    def link(self, label: str, url: str) -> OptionInfo:
        """Add a link before the control."""
        self.comment_before += f"[<a href='{url}'>{label}</a>]"
        return self

    def info(self, info: str) -> OptionInfo:
        """Add a remark after the control."""
        self.comment_after += f"<span class='info'>({info})</span>"
        return self

    def html(self, html: str) -> OptionInfo:
        """Add raw html after the control."""
        self.comment_after += html
        return self

    def needs_restart(self) -> OptionInfo:
        """Say that the change needs a restart."""
        return self.info("requires restart")

    def needs_reload_ui(self) -> OptionInfo:
        """Say that the change needs Reload UI."""
        return self.info("requires Reload UI")


class OptionHTML(OptionInfo):
    """A piece of text on a settings page; holds no value."""

    def __init__(self, text: str) -> None:
        super().__init__(text.strip())
        self.do_not_save = True


def options_section(section_identifier: tuple[str, ...], options_dict: dict[str, OptionInfo]) -> dict[str, OptionInfo]:
    """Put every option of `options_dict` on one settings page."""
    for info in options_dict.values():
        info.section = section_identifier[:2]
        if len(section_identifier) > 2:
            info.category_id = section_identifier[2]
    return options_dict


class Options:
    """Values of all settings; `opts.name` reads the set value or the default."""

    def __init__(self, data_labels: dict[str, OptionInfo], restricted_opts: set[str]) -> None:
        self.data_labels = data_labels
        self.data = {key: info.default for key, info in data_labels.items() if not info.do_not_save}
        self.restricted_opts = restricted_opts

    def __setattr__(self, key: str, value: Any) -> None:
        known = key not in BUILTIN_FIELDS and (key in self.data or key in self.data_labels)
        if not known:
            super().__setattr__(key, value)
            return
        info = self.data_labels.get(key)
        if info is None or not info.do_not_save:
            self.data[key] = value

    def __getattr__(self, item: str) -> Any:
        if item in BUILTIN_FIELDS:
            raise AttributeError(item)
        if item not in self.data and item not in self.data_labels:
            raise AttributeError(f"'Options' object has no attribute '{item}'")
        return self.data[item] if item in self.data else self.data_labels[item].default

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        """Set an option and call its onchange; True if it changed. An onchange that raises rolls the value back."""
        old = self.data.get(key)
        if old == value:
            return False
        option = self.data_labels[key]
        if option.do_not_save or (is_api and option.restrict_api):
            return False
        setattr(self, key, value)
        if not run_callbacks or option.onchange is None:
            return True
        try:
            option.onchange()
        except Exception as error:
            errors.display(error, f"changing setting {key} to {value}")
            setattr(self, key, old)
            return False
        return True

    def get_default(self, key: str) -> Any:
        """The default of an option, None if unknown."""
        info = self.data_labels.get(key)
        return None if info is None else info.default

    def add_option(self, key: str, info: OptionInfo) -> None:
        """Register one more option."""
        self.data_labels[key] = info
        if key not in self.data and not info.do_not_save:
            self.data[key] = info.default

    def onchange(self, key: str, func: Callable[[], None], call: bool = True) -> None:
        """Call `func` after the option changes, and once now if `call`."""
        self.data_labels[key].onchange = func
        if call:
            func()

    def cast_value(self, key: str, value: Any) -> Any:
        """Cast `value` to the type of the option's default."""
        default = self.data_labels[key].default
        if default is None:
            default = getattr(self, key, None)
        if value is None or default is None:
            return None
        if isinstance(default, bool) and value == "False":
            return False
        return type(default)(value)

    def load(self, filename: str) -> None:
        """Read the set values from a json file; a missing file means all defaults."""
        path = Path(filename)
        self.data = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}

    def save(self, filename: str) -> None:
        """Write the set values to a json file."""
        Path(filename).write_text(json.dumps(self.data, indent=4, ensure_ascii=False), encoding="utf8")
