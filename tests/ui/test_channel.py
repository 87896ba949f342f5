"""What the page and the server say to each other; gradio is the real one, the page's side is in tests/javascript."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest

from lib_omg.core.errors import OmgError
from lib_omg.ui import channel
from lib_omg.ui.inputs import NAMES

if TYPE_CHECKING:
    from lib_omg.ui.panel import Panel


def ask(methods: dict[str, Any], **request: Any) -> Any:
    return json.loads(channel.answer(methods, json.dumps(request)))


def fail(error: BaseException) -> Any:
    def method(params: dict[str, Any]) -> None:
        raise error

    return method


def test_a_call_gets_its_result() -> None:
    methods = {"double": lambda params: {"is": params["number"] * 2}}
    assert ask(methods, id=7, method="double", params={"number": 4}) == {"id": 7, "result": {"is": 8}}


@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": {}}])
def test_params_may_be_left_out(params: dict[str, Any]) -> None:
    assert ask({"m": lambda given: [given]}, id=1, method="m", **params) == {"id": 1, "result": [{}]}


@pytest.mark.parametrize("error", [OmgError("There is no layout 'x'."), ValueError("There is no layout 'x'.")])
def test_messages_for_the_user_come_as_they_are(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    assert ask({"m": fail(error)}, id=2, method="m") == {"id": 2, "error": "There is no layout 'x'."}
    assert not caplog.records


def test_other_errors_are_logged_and_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply = ask({"m": fail(KeyError("secret"))}, id=3, method="m")
    assert reply["id"] == 3
    assert reply["error"].startswith("OMG failed: KeyError")
    assert "Traceback" in caplog.text


def test_the_hosts_interruption_passes() -> None:
    class Interrupted(BaseException):
        pass

    with pytest.raises(Interrupted):
        ask({"m": fail(Interrupted())}, id=1, method="m")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_json_cant_hold_is_an_error_not_a_broken_reply(value: object, caplog: pytest.LogCaptureFixture) -> None:
    reply = ask({"m": lambda params: {"deep": [value]}}, id=4, method="m")
    assert reply["error"].startswith("OMG failed")
    assert "'m'" in caplog.text


def test_a_result_that_holds_itself_is_an_error() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert ask({"m": lambda params: ring}, id=4, method="m")["error"].startswith("OMG failed")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[1]", "an object"),
        ('"m"', "an object"),
        ("{}", "expected one of m, found None"),
        ('{"id": 1, "method": "nobody"}', "expected one of m, found 'nobody'"),
        ('{"id": 1, "method": ["m"]}', "expected one of m"),
        ('{"id": 1, "method": "m", "params": [1]}', "m: expected an object with params"),
    ],
)
def test_broken_requests_are_answered(text: str, wanted: str) -> None:
    reply = json.loads(channel.answer({"m": lambda params: 1}, text))
    assert wanted in reply["error"]
    assert len(reply["error"]) < 500


def test_a_huge_request_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "LONGEST_REQUEST", 50)
    reply = json.loads(
        channel.answer({"m": lambda params: 1}, json.dumps({"id": 1, "method": "m", "params": {"x": "y" * 50}}))
    )
    assert "at most 50 letters" in reply["error"]


def test_a_file_name_that_is_no_unicode_passes() -> None:
    text = channel.answer({"m": lambda params: "caf\udce9"}, '{"id": 1, "method": "m"}')
    assert text.isascii()
    assert json.loads(text)["result"] == "caf\udce9"


# --- in a page --------------------------------------------------------------------------------------------------------


def build(names: tuple[str, ...] = ("hello",)) -> tuple[gr.Blocks, Any]:
    """A page with a panel and the channel."""
    from lib_omg.ui.panel import Panel, build_panel

    with gr.Blocks() as page:
        panel = build_panel("txt2img_omg")
        if not _has_channel(page):
            channel.build(panel, {name: lambda params: {"hello": params} for name in names})
    assert isinstance(panel, Panel)
    return page, panel


def _has_channel(page: gr.Blocks) -> bool:
    """Whether the panel brings it along."""
    return any(getattr(block, "elem_id", None) == "omg_panel_read" for block in page.blocks.values())


def events(page: gr.Blocks, elem_id: str, trigger: str = "click") -> list[dict[str, Any]]:
    (block,) = (block for block in page.blocks.values() if getattr(block, "elem_id", None) == elem_id)
    config = page.get_config_file()["dependencies"]
    return [event for event in config if event["trigger"] == trigger and block._id in event["targets"]]


def test_every_lane_asks_the_page_answers_and_tells_the_page() -> None:
    page, _ = build()
    for lane in range(channel.LANES):
        (send,) = events(page, f"omg_channel_send_{lane}")
        assert send["js"] == f"() => omg.channel.take({lane})"
        assert send["queue"] is False, "a queued call would wait for the picture"
        assert send["show_progress"] == "hidden"
        index = page.get_config_file()["dependencies"].index(send)
        (told,) = (event for event in page.get_config_file()["dependencies"] if event["trigger_after"] == index)
        assert told["js"] == f"(text) => omg.channel.receive({lane}, text)"
        assert told["backend_fn"] is False
        assert told["trigger_only_on_success"] is False, "the page hears of a lost call, too"
        assert told["inputs"] == send["outputs"]


def test_a_lane_answers() -> None:
    page, _ = build(("hello",))
    (send,) = events(page, "omg_channel_send_1")
    function = page.fns[page.get_config_file()["dependencies"].index(send)].fn
    assert json.loads(function('{"id": 1, "method": "nobody"}'))["id"] == 1


def test_the_page_alone_reads_and_sets_every_input() -> None:
    page, panel = build()
    (read,) = events(page, "omg_panel_read")
    (apply,) = events(page, "omg_panel_apply")
    assert not read["backend_fn"]
    assert not apply["backend_fn"]
    readable = [component._id for name, component in panel.inputs.items() if not name.endswith("_mask_picture")]
    assert read["inputs"] == readable
    assert apply["outputs"] == [component._id for component in panel.inputs.values()]
    schema, end = json.JSONDecoder().raw_decode(read["js"].removeprefix("(...values) => omg.panel.read("))
    assert read["js"].endswith(", values)")
    assert end
    assert [part["name"] for part in schema] == list(NAMES), "as many updates as there are inputs, in their order"


def test_every_input_tells_of_its_changes() -> None:
    page, panel = build()
    config = page.get_config_file()["dependencies"]
    for name, component in panel.inputs.items():
        told = [
            event
            for event in config
            if event["trigger"] == "change"
            and component._id in event["targets"]
            and "panel?.changed" in (event["js"] or "")
        ]
        if name.endswith("_mask_picture"):
            assert told == []
            continue
        (event,) = told
        assert f"changed({json.dumps(name)}, value) ?? []" in event["js"]
        assert event["inputs"] == [component._id]
        assert event["backend_fn"] is False


def test_what_is_hidden_is_in_the_page_and_not_among_the_users_defaults() -> None:
    page, panel = build()
    known = {component._id for component in panel.inputs.values()}
    hidden = [
        block
        for block in page.blocks.values()
        if str(getattr(block, "elem_id", "")).startswith(("omg_channel_", "omg_panel_")) and block._id not in known
    ]
    assert len(hidden) == 3 + 2 * channel.LANES
    assert all(block.do_not_save_to_config and block.visible is False for block in hidden)


def test_the_api_builds_it_outside_of_a_page_again_and_again() -> None:
    with gr.Blocks():
        for _ in range(2):
            build()


# --- what the page knows of the inputs --------------------------------------------------------------------------------


def test_inputs_are_described(panel: Panel) -> None:
    parts = {part["name"]: part for part in channel.describe(panel.inputs)}
    assert set(parts) == set(NAMES)
    weight = parts["concept1_weight"]
    assert {name: weight[name] for name in ("kind", "minimum", "maximum", "step", "whole")} == {
        "kind": "number", "minimum": -2, "maximum": 2, "step": 0.05, "whole": False,
    }  # fmt: skip
    assert parts["concept1_depth"]["whole"] is True
    assert parts["enabled"] == {"name": "enabled", "id": "txt2img_omg-checkbox", "label": "OMG", "kind": "flag"}
    lora = parts["concept2_lora"]
    assert (lora["kind"], lora["choices"], lora["free"]) == ("choice", ["None", "Ida", "rex"], True)
    source = parts["concept2_mask_source"]
    assert (source["kind"], source["choices"], source["free"]) == ("choice", ["attention", "box", "painted"], False)
    assert parts["concept3_mask"]["kind"] == "text"
    assert parts["concept3_mask_picture"]["kind"] == "picture"


def test_every_default_is_a_value_its_description_allows(panel: Panel) -> None:
    """What the page's own check looks at; else setting a value back would fail."""
    for part in channel.describe(panel.inputs):
        value = panel.inputs[part["name"]].value
        if part["kind"] == "flag":
            assert isinstance(value, bool)
        elif part["kind"] == "number":
            assert part["minimum"] is None or part["minimum"] <= value <= part["maximum"]
        elif part["kind"] == "choice":
            assert value in part["choices"]
        elif part["kind"] == "choices":
            assert set(value) <= set(part["choices"])
        elif part["kind"] == "text":
            assert isinstance(value, str)


def test_lists_of_several_are_described() -> None:
    with gr.Blocks():
        several = gr.Dropdown(["a", "b"], multiselect=True, value=["a"], label="L", elem_id="i")
        pairs = gr.Radio([("shown", "kept")], label="R", elem_id="j")
    parts = channel.describe({"several": several, "pairs": pairs})
    assert parts[0] == {
        "name": "several",
        "id": "i",
        "label": "L",
        "kind": "choices",
        "choices": ["a", "b"],
        "free": False,
    }
    assert parts[1]["choices"] == ["kept"]
