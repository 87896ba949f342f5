"""Order of hooks, swallowed errors, script arguments, reload."""

from __future__ import annotations

import harness
import pytest
import torch

ORDER = [
    "before_process",
    "process",
    "before_process_batch",
    "after_extra_networks_activate",
    "process_batch",
    "process_before_every_sampling",
    "post_sample",
    "postprocess_batch",
    "postprocess_batch_list",
    "postprocess_image",
    "postprocess_image_after_composite",
    "postprocess",
]


def _recorders(into: list[str]) -> dict[str, object]:
    return {name: (lambda *args, _name=name, **kwargs: into.append(_name)) for name in ORDER}


def test_hooks_come_in_this_order() -> None:
    seen: list[str] = []
    with harness.script(**_recorders(seen)):
        harness.run(steps=1)
    assert seen == ORDER


def test_a_batch_of_two_in_two_iterations() -> None:
    seen: list[str] = []
    with harness.script(**_recorders(seen)):
        harness.run(steps=1, batch_size=2, n_iter=2)
    assert seen.count("process") == seen.count("postprocess") == 1
    assert seen.count("process_batch") == seen.count("process_before_every_sampling") == 2
    assert seen.count("postprocess_image") == 4


@pytest.mark.parametrize("hook", ORDER)
def test_what_a_hook_raises_is_swallowed(hook: str) -> None:
    wanted = harness.latents(steps=2)

    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("on purpose")

    with harness.script(**{hook: fail}):
        assert torch.equal(harness.latents(steps=2), wanted)


def test_postprocess_is_not_called_when_the_run_raises() -> None:
    seen: list[str] = []

    def break_run(p: object, **kwargs: object) -> None:
        p.sampler_noise_scheduler_override = lambda steps: 1 / 0

    hooks = {**_recorders(seen), "process_before_every_sampling": break_run}
    with harness.script(**hooks), pytest.raises(ZeroDivisionError):
        harness.run(steps=1)
    assert "process_batch" in seen
    assert "postprocess" not in seen


def test_postprocess_image_may_replace_the_picture() -> None:
    from PIL import Image

    def black(p: object, pp: object, *args: object) -> None:
        pp.image = Image.new("RGB", pp.image.size)

    with harness.script(postprocess_image=black):
        assert harness.run(steps=1).images[0].max() == 0


def test_every_script_has_its_slice_of_arguments() -> None:
    from modules import scripts

    runner = scripts.scripts_txt2img
    with_controls = [s for s in runner.alwayson_scripts if s.controls]
    for script in with_controls:
        assert runner.inputs[script.args_from : script.args_to] == list(script.controls)
    assert len(runner.inputs) == len(harness.default_script_args())


def _override(key: str, value: object) -> object:
    """Break a run under an override; gives the setting afterwards."""
    from modules.shared import opts

    def break_run(p: object, **kwargs: object) -> None:
        assert getattr(opts, key) == value
        p.sampler_noise_scheduler_override = lambda steps: 1 / 0

    with harness.script(process_before_every_sampling=break_run), pytest.raises(ZeroDivisionError):
        harness.run(steps=1, override_settings={key: value})
    return getattr(opts, key)


def test_override_settings_are_put_back_after_an_error() -> None:
    assert _override("show_progress_type", "Full") == "Approx cheap"


def test_override_settings_stay_when_the_settings_file_did_not_name_them() -> None:
    """The host only keeps what `opts.data` holds: on a fresh install an override leaks into later runs."""
    from modules.shared import opts

    assert "CLIP_stop_at_last_layers" not in opts.data
    try:
        assert _override("CLIP_stop_at_last_layers", 2) == 2
    finally:
        opts.data.pop("CLIP_stop_at_last_layers", None)


def test_elem_ids_are_made_of_tab_and_title() -> None:
    from modules import scripts

    class Always(scripts.Script):
        def title(self) -> str:
            return "My Script 1.0"

        def show(self, is_img2img: bool) -> object:
            return scripts.AlwaysVisible

    assert Always().elem_id("seed") == "script_txt2img_my_script_10_seed"


def test_extension_settings_have_their_default_at_once() -> None:
    from modules import shared

    info = shared.OptionInfo(7, "A number").info("for tests")
    shared.options_section(("contract", "Contract"), {"omg_contract_number": info})
    shared.opts.add_option("omg_contract_number", info)
    try:
        assert shared.opts.omg_contract_number == 7
        assert shared.opts.set("omg_contract_number", 8) is True
        assert shared.opts.set("omg_contract_number", 8) is False
        assert shared.opts.data["omg_contract_number"] == 8
        assert info.section == ("contract", "Contract")
    finally:
        shared.opts.data.pop("omg_contract_number")
        shared.opts.data_labels.pop("omg_contract_number")


def test_input_accordion_is_a_checkbox() -> None:
    import gradio as gr
    from modules.ui_components import InputAccordion

    with gr.Blocks(), InputAccordion(False, label="OMG", elem_id="omg_contract") as accordion:
        gr.Textbox()
    assert isinstance(accordion, gr.Checkbox)
    assert accordion.value is False
    assert accordion.elem_id == "omg_contract-checkbox"
    assert accordion.accordion.elem_id == "omg_contract"
