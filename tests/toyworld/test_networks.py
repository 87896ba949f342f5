"""kohya's names against the host's way back; every kind's forward against the weights the host makes of its file."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from toyworld.models import CLIP_DIR, unet
from toyworld.train.names import Layer, Reach, layers
from toyworld.train.networks import Kind, Network

HOST_NAMES = Path(__file__).resolve().parents[2] / "devhost" / "webui" / "network_keys.py"
Tensors = dict[str, torch.Tensor]


@cache
def host_names() -> ModuleType:
    spec = importlib.util.spec_from_file_location("host_network_keys", HOST_NAMES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def models() -> tuple[torch.nn.Module, torch.nn.Module]:
    with torch.device("meta"):
        return unet(), CLIPTextModel(CLIPTextConfig.from_pretrained(str(CLIP_DIR)))


@pytest.mark.parametrize("reach", Reach)
def test_the_host_finds_every_layer_by_its_name(reach: Reach) -> None:
    names = {id(module): f"diffusion_model.{name}" for name, module in models()[0].named_modules()}
    names |= {id(module): f"transformer.{name}" for name, module in models()[1].named_modules()}
    found = layers(*models(), reach)
    assert found
    for name, layer in found.items():
        assert host_names().convert_diffusers_name_to_compvis(name) == names[id(layer)].replace(".", "_")


def test_the_widest_reach_leaves_only_the_ends_and_the_time() -> None:
    wide = {id(layer) for layer in layers(*models(), Reach.CONVOLUTION).values()}
    left = {
        name
        for root in models()
        for name, module in root.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and id(module) not in wide
    }
    assert left == {"input_blocks.0.0", "out.2", "time_embed.0", "time_embed.2"}


@pytest.mark.parametrize(
    ("name", "path"),
    [  # as in LoRAs for SD1.5 that kohya's trainer wrote
        ("down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
         "input_blocks.4.1.transformer_blocks.0.attn1.to_q"),
        ("mid_block_attentions_0_proj_in", "middle_block.1.proj_in"),
        ("up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj",
         "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj"),
        ("up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_out_0",
         "output_blocks.3.1.transformer_blocks.0.attn2.to_out.0"),
        ("down_blocks_0_resnets_0_conv1", "input_blocks.1.0.in_layers.2"),
        ("mid_block_resnets_1_time_emb_proj", "middle_block.2.emb_layers.1"),
        ("down_blocks_2_downsamplers_0_conv", "input_blocks.9.0.op"),
        ("up_blocks_0_upsamplers_0_conv", "output_blocks.2.1.conv"),
        ("up_blocks_2_upsamplers_0_conv", "output_blocks.8.2.conv"),
    ],
)  # fmt: skip
def test_the_names_are_kohyas(name: str, path: str) -> None:
    assert layers(*models(), Reach.CONVOLUTION)[f"lora_unet_{name}"] is models()[0].get_submodule(path)


def test_the_text_encoders_names_are_kohyas() -> None:
    found = {name for name in layers(*models(), Reach.TRANSFORMER) if name.startswith("lora_te_")}
    inner = ("self_attn_q_proj", "self_attn_k_proj", "self_attn_v_proj", "self_attn_out_proj", "mlp_fc1", "mlp_fc2")
    assert found == {f"lora_te_text_model_encoder_layers_{i}_{part}" for i in range(3) for part in inner}


LINEAR = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_v"
FEED = "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2"
ONE = "lora_unet_mid_block_attentions_0_proj_in"
WIDE = "lora_unet_down_blocks_0_downsamplers_0_conv"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
LINEARS = (LINEAR, FEED, TEXT)
CONVOLUTIONS = (ONE, WIDE)


def tiny(name: str) -> Layer:
    if name == ONE:
        return torch.nn.Conv2d(6, 8, 1)
    if name == WIDE:
        return torch.nn.Conv2d(4, 8, 3, stride=2, padding=1)
    return torch.nn.Linear(6, 8)


def example(layer: Layer) -> torch.Tensor:
    shape = (2, 5, layer.weight.shape[1]) if isinstance(layer, torch.nn.Linear) else (2, layer.weight.shape[1], 5, 6)
    return torch.randn(shape)


def _scale(w: Tensors, rank: int) -> float:
    return w["alpha"].item() / rank


def host_lora(w: Tensors, weight: torch.Tensor) -> torch.Tensor:
    up, down = w["lora_up.weight"], w["lora_down.weight"]
    assert up.shape[2:] in ((), (1, 1))
    made = sum(torch.einsum("o,i...->oi...", up[:, r].flatten(), down[r]) for r in range(len(down)))
    assert torch.is_tensor(made)
    return weight + made * _scale(w, len(down))


def host_dora(w: Tensors, weight: torch.Tensor) -> torch.Tensor:
    merged = host_lora(w, weight)
    for i in range(merged.shape[1]):
        length = w["dora_scale"][0, i].item()
        merged[:, i] *= length / merged[:, i].norm()
    assert w["dora_scale"].shape == (1, weight.shape[1], *[1] * (weight.dim() - 2))
    return merged


def host_loha(w: Tensors, weight: torch.Tensor) -> torch.Tensor:
    one, two = (w[f"hada_w{n}_a"] @ w[f"hada_w{n}_b"] for n in (1, 2))
    return weight + (one * two).reshape(weight.shape) * _scale(w, len(w["hada_w1_b"]))


def host_lokr(w: Tensors, weight: torch.Tensor) -> torch.Tensor:
    one, two = w["lokr_w1"], w["lokr_w2_a"] @ w["lokr_w2_b"]
    made = torch.empty(len(one) * len(two), one.shape[1] * two.shape[1])
    for row in range(len(made)):
        for column in range(made.shape[1]):
            made[row, column] = (
                one[row // len(two), column // two.shape[1]] * two[row % len(two), column % two.shape[1]]
            )
    return weight + made.reshape(weight.shape) * _scale(w, len(w["lokr_w2_b"]))


def host_ia3(w: Tensors, weight: torch.Tensor) -> torch.Tensor:
    return weight * (1 + (w["weight"][None] if w["on_input"].item() else w["weight"][:, None]))


def host_oft(w: Tensors, weight: torch.Tensor) -> torch.Tensor:
    blocks, made = w["oft_blocks"], weight.clone()
    assert w["alpha"].item() == 0
    size = len(weight) // len(blocks)
    for k, block in enumerate(blocks):
        skew, eye = block - block.T, torch.eye(size)
        rotation = (eye + skew) @ torch.linalg.solve(eye - skew, eye)
        rows = slice(k * size, (k + 1) * size)
        made[rows] = torch.einsum("nm,n...->m...", rotation, weight[rows])
    return made


LOW_RANK = {"lora_up.weight", "lora_down.weight", "alpha"}
HOST: dict[Kind, tuple[Callable[[Tensors, torch.Tensor], torch.Tensor], set[str]]] = {
    Kind.LORA: (host_lora, LOW_RANK),
    Kind.LOCON: (host_lora, LOW_RANK),
    Kind.LOHA: (host_loha, {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "alpha"}),
    Kind.LOKR: (host_lokr, {"lokr_w1", "lokr_w2_a", "lokr_w2_b", "alpha"}),
    Kind.IA3: (host_ia3, {"weight", "on_input"}),
    Kind.DORA: (host_dora, LOW_RANK | {"dora_scale"}),
    Kind.OFT: (host_oft, {"oft_blocks", "alpha"}),
}
CASES = [(kind, name) for kind in Kind for name in (*LINEARS, *(() if kind is Kind.IA3 else CONVOLUTIONS))]


def trained(network: Network) -> Network:
    """Weights as after a training, and such that a file's half precision loses nothing."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
            parameter.copy_(parameter.half())
    return network


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_file_makes_the_host_do_what_was_trained(kind: Kind, name: str) -> None:
    torch.manual_seed(0)
    layer = tiny(name)
    network = trained(Network(kind, {name: layer}, rank=3, text_scale=0.5))
    x = example(layer)
    with torch.no_grad(), network.attached():
        adapted = layer(x)
    untouched = layer(x)
    w = {key.partition(".")[2]: tensor.float() for key, tensor in network.state().items()}
    formula, keys = HOST[kind]
    assert set(w) == keys
    with torch.no_grad():
        layer.weight.copy_(formula(w, layer.weight.detach().clone()))
    assert not torch.allclose(adapted, untouched, atol=1e-2)
    torch.testing.assert_close(adapted, layer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_fresh_adapter_changes_nothing_and_learns(kind: Kind, name: str) -> None:
    torch.manual_seed(0)
    layer = tiny(name).requires_grad_(False)
    network, x = Network(kind, {name: layer}, rank=3), example(layer)
    with network.attached():
        adapted = layer(x)
    torch.testing.assert_close(adapted, layer(x), atol=1e-6, rtol=0)
    (adapted * torch.randn(adapted.shape)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert any(parameter.grad.abs().max() > 1e-3 for parameter in network.parameters() if parameter.grad is not None)


def test_an_error_leaves_no_hook() -> None:
    layer = torch.nn.Linear(6, 8)
    network = trained(Network(Kind.LORA, {LINEAR: layer}, rank=2))
    x = example(layer)
    before = layer(x)
    with pytest.raises(KeyError), network.attached():
        raise KeyError
    assert torch.equal(layer(x), before)


def test_the_networks_own_weights_are_its_only_parameters() -> None:
    chosen = {LINEAR: tiny(LINEAR), TEXT: tiny(TEXT)}
    network = Network(Kind.DORA, chosen, rank=2)
    base = {id(p) for layer in chosen.values() for p in layer.parameters()}
    assert not base & {id(p) for p in network.parameters()}
    assert not any(re.search(r"bias|layers", key) for key in network.state_dict())


def test_the_text_encoder_learns_slower_by_a_smaller_alpha() -> None:
    state = Network(Kind.LORA, {LINEAR: tiny(LINEAR), TEXT: tiny(TEXT)}, rank=4, text_scale=0.5).state()
    assert (state[f"{LINEAR}.alpha"].item(), state[f"{TEXT}.alpha"].item()) == (4, 2)


@pytest.mark.parametrize("kind", Kind)
def test_files_are_half_precision_but_for_what_a_host_on_a_cpu_multiplies_as_it_is(kind: Kind) -> None:
    state = Network(kind, {LINEAR: tiny(LINEAR)}, rank=2).state()
    expected = torch.float32 if kind in (Kind.LOHA, Kind.LOKR) else torch.float16
    assert {tensor.dtype for tensor in state.values()} == {expected}


def test_half_precision_loses_no_small_difference() -> None:
    """Under autocast the difference to the weights is still made in single precision."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 64)
    network = Network(Kind.OFT, {LINEAR: layer}, rank=8)
    with torch.no_grad():
        network.adapters[0].blocks.normal_(std=1e-3)
    exact = network.adapters[0].delta()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network.adapters[0](torch.eye(64)).T
    assert (found - exact).abs().max() < 0.01 * exact.abs().max()
