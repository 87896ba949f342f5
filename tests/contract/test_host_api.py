"""REST: arguments, errors, progress, interrupt."""

from __future__ import annotations

import base64
import io
import json

import harness
import numpy as np
import pytest
from PIL import Image

REQUEST = {
    key: harness.DEFAULTS[key] for key in ("prompt", "seed", "steps", "width", "height", "cfg_scale", "sampler_name")
}


def test_a_picture_over_rest_is_the_picture(app_client: object) -> None:
    answer = app_client.post("/sdapi/v1/txt2img", json=REQUEST)
    assert answer.status_code == 200
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0]))))
    wanted = harness.run().images[0]
    assert np.abs(image.astype(int) - wanted.astype(int)).max() <= 1
    info = json.loads(answer.json()["info"])
    assert (info["seed"], info["sampler_name"], info["all_prompts"]) == (1, "Euler", [harness.PROMPT])


def test_arguments_fill_a_script_from_the_front(app_client: object) -> None:
    """Checked on a script of the host with components; the rest keep their defaults."""
    from modules import scripts

    seen = []
    runner = scripts.scripts_txt2img
    scripted = [s for s in runner.alwayson_scripts if s.controls and len(s.controls) > 1]
    if not scripted:
        pytest.skip("no always-on script with two components on this host")
    script = scripted[0]
    defaults = harness.default_script_args()[script.args_from : script.args_to]
    with harness.script(process=lambda p, *args: seen.append(p.script_args[script.args_from : script.args_to])):
        body = {**REQUEST, "steps": 1, "alwayson_scripts": {script.title(): {"args": [defaults[0]]}}}
        answer = app_client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 200
    assert len(seen[0]) == len(defaults)


def test_an_unknown_script_is_refused(app_client: object) -> None:
    answer = app_client.post("/sdapi/v1/txt2img", json={**REQUEST, "alwayson_scripts": {"nobody": {"args": []}}})
    assert answer.status_code == 422
    assert "nobody" in answer.json()["detail"]


def test_an_error_is_answered_as_json(app_client: object) -> None:
    def break_run(p: object, **kwargs: object) -> None:
        p.sampler_noise_scheduler_override = lambda steps: 1 / 0

    with harness.script(process_before_every_sampling=break_run):
        answer = app_client.post("/sdapi/v1/txt2img", json=REQUEST)
    assert answer.status_code == 500
    assert answer.json() == {"error": "ZeroDivisionError", "detail": "", "body": "", "errors": "division by zero"}


def test_an_error_may_name_its_status(app_client: object) -> None:
    class RefusedError(Exception):
        def __init__(self) -> None:
            super().__init__("no face found")
            self.status_code = 409
            self.detail = "draw one"

    def refuse(steps: int) -> None:
        raise RefusedError

    def break_run(p: object, **kwargs: object) -> None:
        p.sampler_noise_scheduler_override = refuse

    with harness.script(process_before_every_sampling=break_run):
        answer = app_client.post("/sdapi/v1/txt2img", json=REQUEST)
    assert answer.status_code == 409
    assert answer.json() == {"error": "RefusedError", "detail": "draw one", "body": "", "errors": "no face found"}


def test_progress_and_interrupt(app_client: object) -> None:
    from modules import shared

    assert app_client.get("/sdapi/v1/progress").json()["progress"] == 0
    assert app_client.post("/sdapi/v1/interrupt").status_code == 200
    assert shared.state.interrupted is True
    assert app_client.post("/sdapi/v1/skip").status_code == 200
    assert shared.state.skipped is True
    assert harness.txt2img(steps=1).images  # a new job starts without the flags
    assert shared.state.interrupted is False
