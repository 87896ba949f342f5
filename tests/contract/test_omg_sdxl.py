"""OMG with an SDXL checkpoint of random weights: two text encoders, size conditioning, kohya's SDXL LoRA keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boot_hosts
import harness
import pytest
import random_sdxl
import torch
from omg_tools import LEFT, boxed, concept, hook_count, spy

if boot_hosts.host_name() != "webui":
    pytest.skip("devhost has no SDXL; this needs OMG_CONTRACT_HOST=webui", allow_module_level=True)

TOLERANCE = 2e-3
STEPS = 4
OWN_PROMPT = "a rex man in the park"


@pytest.fixture(scope="module", autouse=True)
def _sdxl(host: boot_hosts.Host) -> Iterator[None]:
    """A random SDXL checkpoint is loaded, two LoRAs for it are there; after the module the toy checkpoint is back."""
    import networks
    from modules import sd_models, shared

    toy = shared.sd_model.sd_checkpoint_info
    made: list[Path] = []
    try:
        checkpoint = random_sdxl.write_checkpoint(Path(sd_models.model_path), "random-sdxl")
        made += [checkpoint, checkpoint.with_suffix(".yaml")]
        made += [random_sdxl.write_lora(Path(shared.cmd_opts.lora_dir), name) for name in ("xl-one", "xl-two")]
        sd_models.list_models()
        networks.list_available_networks()
        info = next(i for i in sd_models.checkpoints_list.values() if Path(i.filename).stem == "random-sdxl")
        sd_models.reload_model_weights(info=info)
        yield
    finally:
        for path in made:
            path.unlink()
        sd_models.list_models()
        networks.list_available_networks()
        sd_models.reload_model_weights(info=toy)


def test_the_checkpoint_is_sdxl() -> None:
    from modules import shared

    assert shared.sd_model.is_sdxl
    assert not shared.sd_model.is_ssd


def test_every_layer_of_the_lora_is_found() -> None:
    import networks

    net = networks.load_network("xl-one", networks.available_networks["xl-one"])
    assert len(net.modules) == len(random_sdxl.LORA_LAYERS)


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "DDIM"])
@pytest.mark.parametrize("mask", [{"mask_source": "box", "box": LEFT}, {"mask_source": "attention"}])
def test_a_neutral_concept_is_the_plain_picture(sampler: str, mask: dict[str, Any]) -> None:
    omg = {"concepts": [concept("man", None, prompt="man", **mask)], "view": "whole"}
    plain = harness.latents(sampler_name=sampler, steps=STEPS)
    made = harness.latents(omg, sampler_name=sampler, steps=STEPS)
    _report("neutral", sampler, plain, made)
    torch.testing.assert_close(made, plain, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "Euler a"])
def test_one_concept_everywhere_is_the_hosts_picture_with_that_lora(sampler: str) -> None:
    everywhere = boxed("man", None, [0, 0, 1, 1], prompt=OWN_PROMPT, prompt_mode="own", start=0.0)
    everywhere["loras"] = [{"name": "xl-one", "weight": 0.8}]
    omg = {"concepts": [everywhere], "view": "whole", "attention_strength": 0.0}
    made = harness.latents(omg, sampler_name=sampler, steps=STEPS)
    wanted = harness.latents(prompt=f"{OWN_PROMPT}<lora:xl-one:0.8>", sampler_name=sampler, steps=STEPS)
    plain = harness.latents(prompt=OWN_PROMPT, sampler_name=sampler, steps=STEPS)
    _report("oracle", sampler, wanted, made)
    _report("what the LoRA changes", sampler, wanted, plain)
    torch.testing.assert_close(made, wanted, rtol=0, atol=TOLERANCE)
    assert float((plain - wanted).abs().max()) > 100 * TOLERANCE


def test_a_loras_text_part_alone_is_followed() -> None:
    """Both text encoders' deltas reach the concept's rows: crossattn and the pooled vector."""
    everywhere = boxed("man", None, [0, 0, 1, 1], prompt=OWN_PROMPT, prompt_mode="own", start=0.0)
    everywhere["loras"] = [{"name": "xl-one", "weight": 0.0, "te_weight": 1.0}]
    omg = {"concepts": [everywhere], "view": "whole", "attention_strength": 0.0}
    made = harness.latents(omg, steps=STEPS)
    wanted = harness.latents(prompt=f"{OWN_PROMPT}<lora:xl-one:1.0:0.0>", steps=STEPS)
    plain = harness.latents(prompt=OWN_PROMPT, steps=STEPS)
    _report("text oracle", "Euler", wanted, made)
    _report("what the text part changes", "Euler", wanted, plain)
    torch.testing.assert_close(made, wanted, rtol=0, atol=TOLERANCE)
    assert float((plain - wanted).abs().max()) > 100 * TOLERANCE


def test_crops_are_told_their_own_size_and_nothing_is_left_behind() -> None:
    omg = {
        "concepts": [boxed("man", "xl-one", [0, 0, 0.3, 1]), boxed("woman", "xl-two", [0.6, 0.4, 1, 1])],
        "view": "crop",
        "crop_margin": 0.0,
        "feather_px": 0.0,
    }
    fields = {"width": 192, "height": 128, "steps": STEPS}
    hooks, plain = hook_count(), harness.latents(**fields)
    with spy() as seen, harness.unet_calls() as unet:
        made = harness.latents(omg, **fields)
    windows = {(plan.windows[0].height, plan.windows[0].width) for plan in seen.plans}
    assert windows == {(16, 8), (12, 12)}  # 16 x 7.2 and 9.6 x 9.6 cells, in whole strides of 4
    assert {shape[-2:] for shape in unet.x_shapes} == {(16, 24), *windows}
    for shape, vector in zip(unet.x_shapes, unet.vectors, strict=True):
        assert vector.shape == (shape[0], random_sdxl.POOLED + 6 * random_sdxl.SIZE_WIDTH)
        size = _size_rows(shape[-2] * 8, shape[-1] * 8)
        torch.testing.assert_close(vector[:, random_sdxl.POOLED :], size.expand(shape[0], -1))
    assert bool(torch.isfinite(made).all())
    assert float((made - plain).abs().max()) > 100 * TOLERANCE
    assert hook_count() == hooks
    assert torch.equal(harness.latents(**fields), plain)


@pytest.mark.parametrize("view", ["whole", "crop"])
def test_unet_rows_are_exactly_what_the_paper_needs(view: str) -> None:
    words = ["man", "woman", "park"]
    concepts = [boxed(w, None, [i / 3, 0, (i + 1) / 3, 1]) for i, w in enumerate(words)]
    with spy() as seen, harness.unet_calls() as unet:
        harness.run({"concepts": concepts, "view": view}, steps=5, batch_size=2)
    start = seen.started_at
    assert 0 < start < 5
    assert sum(unet.rows) == 2 * (2 * 5 + 2 * (5 - start) * (1 + len(words)))


def _size_rows(height: int, width: int) -> torch.Tensor:
    """What the host's own embedders make of a picture's size: original size, crop corner, target size."""
    from modules import shared

    sizes = [(height, width), (0, 0), (height, width)]
    embedders = list(shared.sd_model.conditioner.embedders)[2:]
    return torch.cat([e(torch.tensor([s]).float()) for e, s in zip(embedders, sizes, strict=True)], dim=1)


def _report(what: str, sampler: str, one: torch.Tensor, other: torch.Tensor) -> None:
    difference = float((one - other).abs().max())
    print(f"SDXL {what}, {sampler}: largest difference {difference:.2e}, spread {float(one.std()):.2f}")  # noqa: T201
