"""What changes nothing must change nothing."""

from __future__ import annotations

import functools

import boot_hosts
import harness
import pytest
import torch
from omg_tools import LEFT, boxed, concept, hook_count, pair

TOLERANCE = 2e-3
"""Of latents with a spread near 1; rows computed in other batches differ in the last bits, the sampler adds them up."""


@functools.cache
def _plain(sampler: str, prompt: str = harness.PROMPT) -> torch.Tensor:
    return harness.latents(prompt=prompt, sampler_name=sampler)


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "Heun", "DDIM", "UniPC", "DDIM CFG++"])
@pytest.mark.parametrize("mask", [{"mask_source": "box", "box": LEFT}, {"mask_source": "attention"}])
def test_a_concept_without_lora_and_with_the_pictures_own_prompt_is_the_plain_picture(
    sampler: str, mask: dict[str, object]
) -> None:
    omg = {"concepts": [concept("man", None, prompt="man", **mask)], "view": "whole"}
    plain = _plain(sampler)
    with_omg = harness.latents(omg, sampler_name=sampler)
    torch.testing.assert_close(with_omg, plain, rtol=0, atol=TOLERANCE)


def test_off_is_bit_equal_to_a_host_without_the_extension() -> None:
    from modules import scripts

    with_extension = harness.latents()
    runner = scripts.scripts_txt2img
    mine = harness.omg_script()
    args = harness.default_script_args()
    position = runner.alwayson_scripts.index(mine)
    runner.alwayson_scripts.remove(mine)
    runner.callback_map.clear()
    try:
        without = harness.latents(script_args=args)
    finally:
        runner.alwayson_scripts.insert(position, mine)
        runner.callback_map.clear()
    assert torch.equal(with_extension, without)


def test_on_changes_the_picture_and_leaves_nothing_behind() -> None:
    hooks = hook_count()
    plain = harness.latents()
    with_omg = harness.latents(pair())
    assert float((plain - with_omg).abs().max()) > 0.1
    assert hook_count() == hooks
    assert torch.equal(harness.latents(), plain)


def _formats() -> list[str]:
    """rex in every format the toy world has him in."""
    folder = boot_hosts.REPOSITORY / "toyworld" / "weights"
    return sorted(path.stem for path in folder.glob("rex*.safetensors"))


@pytest.mark.parametrize(
    ("name", "sampler"),
    [*(("rex", sampler) for sampler in ("DPM++ 2M", "Euler a", "DDIM")), *((name, "Euler") for name in _formats())],
)
def test_one_concept_everywhere_from_the_first_call_is_the_hosts_picture_with_that_lora(
    name: str, sampler: str
) -> None:
    """The whole-picture oracle."""
    own = boxed("man", None, [0, 0, 1, 1], prompt="a rex man in the park", prompt_mode="own", start=0.0)
    own["loras"] = [{"name": name, "weight": 0.95}]
    omg = {"concepts": [own], "view": "whole", "attention_strength": 0.0}
    made = harness.latents(omg, sampler_name=sampler)
    wanted = harness.latents(prompt=f"a rex man in the park<lora:{name}:0.95>", sampler_name=sampler)
    plain = _plain(sampler, "a rex man in the park")
    torch.testing.assert_close(made, wanted, rtol=0, atol=TOLERANCE)
    assert float((plain - wanted).abs().max()) > 100 * TOLERANCE


def test_the_users_own_lora_stays_everywhere_at_one_weight() -> None:
    """A neutral concept under the user's `<lora:...>` is the host's picture with it."""
    omg = {"concepts": [boxed("man", None, LEFT, prompt="man")], "view": "whole"}
    prompt = f"{harness.PROMPT}<lora:ida:0.7>"
    plain = harness.latents(prompt=prompt)
    torch.testing.assert_close(harness.latents(omg, prompt=prompt), plain, rtol=0, atol=TOLERANCE)
