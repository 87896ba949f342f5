"""The bench's methods on a host: each is what it says where the answer is known, and leaves nothing behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boot_hosts
import numpy as np
import pytest
import torch
from omg_tools import hook_count

pytestmark = pytest.mark.skipif(boot_hosts.host_name() != "devhost", reason="the bench draws on devhost only")
STEPS = 2
WIDTH = 128


def _left_and_right(image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """A man in the left part, a woman in the right part, whatever the picture shows."""
    left = np.zeros(image.shape[:2], bool)
    right = left.copy()
    left[20:110, 8:56], right[20:110, 72:120] = True, True
    return [("man", left), ("woman", right)]


@pytest.fixture
def resources(host: Any) -> Any:
    from bench.host import Host
    from bench.methods.base import Resources

    return Resources(Host(steps=STEPS), _left_and_right)


def _case(*names: str) -> Any:
    from bench.cases import Case

    return Case(names, "park", "day", 3)


def _difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_one_region_that_is_the_whole_picture_is_the_plain_picture_with_its_lora(resources: Any) -> None:
    from bench.methods.latent_couple import LatentCouple
    from bench.methods.mix_of_show import MixOfShow
    from bench.methods.regional import RegionalPrompting
    from bench.methods.regions import WHOLE

    # the global prompt of two, the region's prompt of one: what is drawn is the region's alone
    case = _case("rex")
    other = _case("ida")
    plain = resources.host.draw(case.own_prompt(0), case.seed, WIDTH, loras=["rex"])[0]
    without = resources.host.draw(case.own_prompt(0), case.seed, WIDTH)[0]
    assert _difference(plain, without) > 30, "the LoRA changes nothing: the test proves nothing"
    assert _difference(plain, resources.host.draw(other.own_prompt(0), case.seed, WIDTH, loras=["rex"])[0]) > 30
    for method in (
        MixOfShow(resources, fused=False),
        RegionalPrompting(resources, base_share=0.0),
        LatentCouple(resources, base_share=0.0),
    ):
        assert _difference(method.draw_in(case, [WHOLE]), plain) <= 1, method.name


def test_a_base_share_of_everything_is_the_plain_picture(resources: Any) -> None:
    from bench.methods.latent_couple import LatentCouple
    from bench.methods.regions import equal_columns

    case = _case("rex", "ida")
    plain = resources.host.draw(case.layout_prompt, case.seed, WIDTH)[0]
    assert _difference(LatentCouple(resources, base_share=1.0).draw_in(case, equal_columns(2)), plain) == 0


@contextlib.contextmanager
def _decoded() -> Iterator[list[torch.Tensor]]:
    """The latents (1, C, H, W) that the VAE is given; its groups' norms let every pixel of a picture see all others."""
    from modules import shared

    seen: list[torch.Tensor] = []
    layer = shared.sd_model.first_stage_model.post_quant_conv
    handle = layer.register_forward_pre_hook(lambda _module, args: seen.append(args[0].clone()))
    try:
        yield seen
    finally:
        handle.remove()


def test_each_column_of_latent_couple_is_its_own_lone_run(host: Any) -> None:
    """One step, in which no column has seen the others yet: left one LoRA's lone latent, right the other's."""
    from bench.host import Host
    from bench.methods.base import Resources
    from bench.methods.latent_couple import LatentCouple
    from bench.methods.regions import equal_columns

    one_step = Resources(Host(steps=1), _left_and_right)
    case = _case("rex", "ida")
    with _decoded() as latents:
        LatentCouple(one_step, base_share=0.0).draw_in(case, equal_columns(2))
        for index, name in enumerate(case.names):
            one_step.host.draw(case.own_prompt(index), case.seed, WIDTH, loras=[name])
    made, rex, ida = latents
    half = made.shape[-1] // 2
    torch.testing.assert_close(made[..., :half], rex[..., :half], rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(made[..., half:], ida[..., half:], rtol=1e-3, atol=1e-2)
    assert float((rex - ida).abs().mean()) > 0.5, "the LoRAs make no difference: the test proves nothing"


def test_every_method_draws_and_leaves_the_host_bit_equal(resources: Any) -> None:
    from modules import shared

    from bench.methods import METHODS
    from bench.methods.weights import settle_networks

    case = _case("rex", "ida")

    def plain() -> np.ndarray:
        return resources.host.draw(case.layout_prompt, case.seed, WIDTH)[0]

    settle_networks()
    weights = {name: value.clone() for name, value in shared.sd_model.state_dict().items()}
    before, hooks = plain(), hook_count()
    pictures = {}
    for name in ("merge", "mix_of_show", "regional_attention", "latent_couple", "omg", "omg_true_masks"):
        pictures[name] = METHODS[name](resources).draw(case)
        assert pictures[name].shape == (128, WIDTH, 3), name
        assert hook_count() == hooks, name
        assert np.array_equal(plain(), before), name
        settle_networks()
        assert all(torch.equal(weights[key], value) for key, value in shared.sd_model.state_dict().items()), name
    different = {picture.tobytes() for picture in [before, *pictures.values()]}
    assert len(different) == len(pictures) + 1


def test_fused_weights_act_as_each_concepts_own(resources: Any) -> None:
    """On what a layer sees of a concept, fused weights of one are its own, and of two nearer to both than the sum."""
    from bench.methods.fusion import RIDGE, fused_layer, fusion_error, is_linear, lora_changes
    from bench.methods.mix_of_show import MixOfShow
    from bench.methods.weights import settle_networks

    fusion = MixOfShow(resources).fusion
    moments = [fusion.moments(name) for name in ("rex", "ida")]
    settle_networks()
    changes = [lora_changes(name) for name in ("rex", "ida")]
    layers = [layer for layer in changes[0] if is_linear(layer)]
    assert len(layers) > 50
    ratios_alone, ratios = [], []
    for layer in layers:
        seen = [moment.mean(layer) for moment in moments]
        own = [mine[layer][0].flatten(1) for mine in changes]
        nothing = fusion_error(torch.zeros_like(own[0]), own, seen)
        alone = fused_layer(layer, changes[:1], moments[:1], RIDGE)[0].flatten(1)
        ratios_alone.append(float(fusion_error(alone, own[:1], seen[:1])[0] / nothing[0]))
        both = fused_layer(layer, changes, moments, RIDGE)[0].flatten(1)
        ratios.append(float(sum(fusion_error(both, own, seen)) / sum(fusion_error(own[0] + own[1], own, seen))))
    assert float(np.mean(ratios_alone)) < 0.02
    assert max(ratios_alone) < 0.1
    assert max(ratios) < 1
    assert float(np.median(ratios)) < 0.8


def test_fusion_of_one_concept_draws_that_concept(resources: Any) -> None:
    from bench.methods.mix_of_show import MixOfShow
    from bench.methods.regions import WHOLE

    case = _case("ida")
    plain = resources.host.draw(case.own_prompt(0), case.seed, WIDTH, loras=["ida"])[0]
    without = resources.host.draw(case.own_prompt(0), case.seed, WIDTH)[0]
    fused = MixOfShow(resources).draw_in(case, [WHOLE])

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs(one.astype(float) - other).mean())

    assert distance(fused, plain) < 0.2 * distance(without, plain)


def test_weights_are_loaded_for_a_while(resources: Any) -> None:
    from bench.methods.weights import host_parameters, loaded

    case = _case("rex")

    def plain() -> np.ndarray:
        return resources.host.draw(case.layout_prompt, case.seed, WIDTH)[0]

    def merged() -> np.ndarray:
        return resources.host.draw(case.concept_prompt, case.seed, WIDTH, loras=["rex"])[0]

    before, with_lora = plain(), merged()
    known = host_parameters()
    token, out = (
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        "model.diffusion_model.out.2.bias",
    )
    for name in (token, out):
        with loaded({name: known[name].detach() * 0.5 + 0.1}):
            assert not np.array_equal(plain(), before), name
            changed = merged()
            assert not np.array_equal(changed, with_lora), name
        assert np.array_equal(plain(), before), name
        assert np.array_equal(merged(), with_lora), name
    with (
        pytest.raises(ValueError, match=r"expected names of an SD1 checkpoint.*found 'nonsense'"),
        loaded({"nonsense": torch.zeros(1)}),
    ):
        pass
    with pytest.raises(ValueError, match="expected the shape"), loaded({out: torch.zeros(7)}):
        pass


def test_an_error_while_other_weights_are_loaded_leaves_none_of_them(resources: Any) -> None:
    from bench.methods.weights import host_parameters, loaded

    name = "model.diffusion_model.out.2.bias"
    before = host_parameters()[name].detach().clone()
    with pytest.raises(LookupError, match="nobody"), loaded({name: before + 1}):
        resources.host.draw("a man", 1, WIDTH, loras=["nobody"])
    assert torch.equal(host_parameters()[name], before)


def test_an_error_in_a_denoisers_wrapping_comes_up(resources: Any) -> None:
    def wrap(_denoiser: Any) -> Any:
        raise RuntimeError("in the wrapping")

    with pytest.raises(RuntimeError, match="in the wrapping"):
        resources.host.draw("a man", 1, WIDTH, denoiser=wrap)
    with pytest.raises(ValueError, match="found both"):
        resources.host.draw("a man", 1, WIDTH, omg={}, denoiser=wrap)
