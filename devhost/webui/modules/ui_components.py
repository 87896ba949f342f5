"""Gradio components under the WebUI's names."""

from __future__ import annotations

from typing import Any

import gradio as gr


class FormComponent:
    """Lets a component sit inside gradio's Form without a gap."""

    def get_expected_parent(self) -> type:
        """The layout block gradio wraps around it."""
        return gr.components.Form


gr.Dropdown.get_expected_parent = FormComponent.get_expected_parent


class ToolButton(FormComponent, gr.Button):
    """A small button with a symbol."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        classes = kwargs.pop("elem_classes", [])
        kwargs.pop("tooltip", None)  # the WebUI patches this argument into gradio
        super().__init__(*args, elem_classes=["tool", *classes], **kwargs)

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "button"


class FormRow(FormComponent, gr.Row):
    """A row inside a form."""

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "row"


class FormColumn(FormComponent, gr.Column):
    """A column inside a form."""

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "column"


class FormGroup(FormComponent, gr.Group):
    """A group inside a form."""

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "group"


class FormHTML(FormComponent, gr.HTML):
    """Html inside a form."""

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "html"


class DropdownMulti(FormComponent, gr.Dropdown):
    """A dropdown with several choices."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(multiselect=True, **kwargs)

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "dropdown"


class InputAccordion(gr.Checkbox):
    """An accordion whose open state is an input: a hidden checkbox with the accordion beside it."""

    global_index = 0

    def __init__(self, value: bool, **kwargs: Any) -> None:
        self.accordion_id = kwargs.pop("elem_id", None)
        if self.accordion_id is None:
            self.accordion_id = f"input-accordion-{InputAccordion.global_index}"
            InputAccordion.global_index += 1
        super().__init__(value, elem_id=f"{self.accordion_id}-checkbox", **{**kwargs, "visible": False})
        self.change(None, inputs=[self], _js=f"(on) => inputAccordionChecked('{self.accordion_id}', on)")
        self.accordion = gr.Accordion(
            label=kwargs.get("label", "Accordion"),
            open=value,
            elem_id=self.accordion_id,
            elem_classes=["input-accordion"],
        )

    def extra(self) -> gr.Column:
        """A place inside the accordion's label."""
        return gr.Column(elem_id=f"{self.accordion_id}-extra", elem_classes="input-accordion-extra", min_width=0)

    def __enter__(self) -> InputAccordion:
        self.accordion.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.accordion.__exit__(*exc_info)

    def get_block_name(self) -> str:
        """Gradio's name of the front-end component."""
        return "checkbox"
