"""devhost gives the real WebUI's latents: numbers measured on the WebUI, held by both hosts.

`OMG_WRITE_GOLDEN=1 OMG_CONTRACT_HOST=webui` measures them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import boot_hosts
import harness
import pytest
import torch

GOLDEN = Path(__file__).with_name("test_host_golden.json")
TOLERANCE = 5e-3
"""Rounding differs with the number of threads, and the sampling of a trained model makes it grow."""

LONG = ", ".join(["a man and a woman in the park"] * 12)
SAMPLERS = [
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 2S a",
    "DPM++ 3M SDE",
    "Euler a",
    "Euler",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM fast",
    "Restart",
    "DDIM",
    "DDIM CFG++",
    "PLMS",
    "UniPC",
    "LCM",
]
HIRES: dict[str, Any] = {"enable_hr": True, "hr_scale": 1.5, "hr_second_pass_steps": 6, "denoising_strength": 0.6}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"sampler_name": name} for name in SAMPLERS},
    **{
        f"schedule {name}": {"scheduler": name}
        for name in ("Karras", "Exponential", "Uniform", "Polyexponential", "SGM Uniform", "Simple")
    },
    "DPM adaptive": {"sampler_name": "DPM adaptive", "steps": 8, **harness.LARGE},  # rounding grows by its steps
    "Restart 20": {"sampler_name": "Restart", "steps": 20},
    "Restart 36": {"sampler_name": "Restart", "steps": 36},
    "eta": {"sampler_name": "DDIM", "eta": 0.7},
    "churn": {"sampler_name": "Euler", "options": {"s_churn": 5.0}},
    "ensd": {"sampler_name": "Euler a", "options": {"eta_noise_seed_delta": 31337}},
    "long prompt": {"prompt": LONG},
    "emphasis": {"prompt": "a (man:1.4) and a [woman] in the ((park))", "negative_prompt": "(blue:1.3)"},
    "break": {"prompt": "a man BREAK a woman in the park"},
    "editing": {"prompt": "a [man:dog:0.5] and a [woman::4] in the [park|city]"},
    "editing Heun": {"prompt": "a [man:dog:0.5] and a woman", "sampler_name": "Heun"},
    "and": {"prompt": "a man AND a woman in the park :0.7"},
    "clip skip": {"options": {"CLIP_stop_at_last_layers": 2}},
    "lora": {"prompt": "a rex man and a woman in the park<lora:rex:0.8>"},
    "two loras": {"prompt": "a rex man and an ida woman<lora:rex:0.8><lora:ida:1:0.5>"},
    "batch": {"batch_size": 2, "sampler_name": "Euler a"},
    "subseed": {"subseed": 7, "subseed_strength": 0.4},
    "seed resize": {"seed_resize_from_w": 96, "seed_resize_from_h": 48},
    "wide": {"width": 96, "height": 56},
    "tiling": {"tiling": True},
    "skip early": {"options": {"skip_early_cond": 0.4}},
    "ngms": {"s_min_uncond": 3.0},
    "pad v0": {"prompt": LONG, "options": {"pad_cond_uncond_v0": True}},
    "hires": {**HIRES, "hr_upscaler": "Latent"},
    "hires nearest": {**HIRES, "hr_upscaler": "Latent (nearest)", "sampler_name": "DPM++ 2M"},
    "hires prompt": {**HIRES, "hr_upscaler": "Latent", "hr_prompt": "a dog<lora:ida:1>", "sampler_name": "Euler a"},
    "hires resize": {**HIRES, "hr_upscaler": "Latent", "hr_resize_x": 96, "hr_resize_y": 64},
    "hires DDIM": {**HIRES, "hr_upscaler": "Latent", "sampler_name": "DDIM"},
    "hires UniPC": {**HIRES, "hr_upscaler": "Latent", "sampler_name": "UniPC", "steps": 10, **harness.LARGE},
}
CHECKED = list(CASES) if boot_hosts.host_name() == "devhost" else list(CASES)[::4]
"""On the WebUI, whose numbers they are, a sample tells whether they still are."""


def _measure(case: dict[str, Any]) -> dict[str, Any]:
    """Numbers of what was sampled (latents; with hires fix, decoded images), and the picture's mean."""
    fields = {"steps": 5, **case}
    # Not override_settings: the host does not put those back that its config.json does not name.
    with harness.options(**fields.pop("options", {})):
        made = harness.run(**fields)
    sampled = made.latents[0]
    values = (torch.stack(list(sampled)) if isinstance(sampled, list) else sampled).flatten().double()
    return {
        "first": [round(v, 5) for v in values[:8].tolist()],
        "middle": [round(v, 5) for v in values[len(values) // 2 :][:8].tolist()],
        "mean": round(values.mean().item(), 5),
        "std": round(values.std().item(), 5),
        "picture": round(float(made.images[-1].mean()), 2),
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf8"))


@pytest.mark.skipif(bool(os.environ.get("OMG_WRITE_GOLDEN")), reason="measuring")
@pytest.mark.parametrize("name", CHECKED)
def test_latents_are_the_webuis(name: str, golden: dict[str, Any]) -> None:
    made, wanted = _measure(CASES[name]), golden[name]
    for key in ("first", "middle", "mean", "std"):
        assert made[key] == pytest.approx(wanted[key], abs=TOLERANCE), key
    assert made["picture"] == pytest.approx(wanted["picture"], abs=0.1)


@pytest.mark.skipif(not os.environ.get("OMG_WRITE_GOLDEN"), reason="only to measure the numbers anew")
def test_write_golden() -> None:
    assert boot_hosts.host_name() == "webui", "golden numbers come from the real WebUI"
    GOLDEN.write_text(
        json.dumps({name: _measure(case) for name, case in CASES.items()}, indent=1) + "\n", encoding="utf8"
    )
