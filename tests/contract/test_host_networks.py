"""LoRAs on the host's normal path, and the adapters the row router calls."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import harness
import pytest
import safetensors.torch
import torch

LAYER = "diffusion_model_input_blocks_1_1_transformer_blocks_0_attn2_to_q"
KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_q"
CONV = "diffusion_model_input_blocks_1_0_in_layers_2"
"""Of the first level, as LAYER is: 64 wide."""
TEXT = "text_model_encoder_layers_0_self_attn_q_proj"


def _snapshot() -> dict[str, torch.Tensor]:
    from modules import shared

    return {name: weight.detach().clone() for name, weight in shared.sd_model.state_dict().items()}


def _module(key: str, weights: dict[str, torch.Tensor], tmp_path: Path) -> object:
    """The host's adapter for one layer, through a real file."""
    import networks

    path = tmp_path / "made.safetensors"
    safetensors.torch.save_file({f"{key}.{part}": w.contiguous() for part, w in weights.items()}, str(path))
    disk = SimpleNamespace(name="made", filename=str(path), metadata={}, alias="made", shorthash="")
    net = networks.load_network("made", disk)
    assert len(net.modules) == 1
    return next(iter(net.modules.values()))


def test_the_toy_networks_are_listed() -> None:
    import networks

    assert {"rex", "ida"} <= set(networks.available_networks)
    disk = networks.available_networks["rex"]
    assert (disk.name, disk.alias) == ("rex", "rex")
    assert Path(disk.filename).name == "rex.safetensors"


def test_every_layer_the_toy_networks_name_is_found() -> None:
    import networks

    for name, disk in networks.available_networks.items():
        named = {key.partition(".")[0] for key in safetensors.torch.load_file(disk.filename)}
        assert len(networks.load_network(name, disk).modules) == len(named), name


def test_a_network_changes_the_picture_and_weights_come_back_bit_exact() -> None:
    harness.run(prompt=harness.PROMPT, steps=1)
    before, plain = _snapshot(), harness.latents()
    with_rex = harness.latents(prompt=f"{harness.PROMPT}<lora:rex:1>")
    changed = _snapshot()
    again = harness.latents()
    assert not torch.allclose(with_rex, plain, atol=1e-2)
    assert any(not torch.equal(before[name], changed[name]) for name in before)
    assert torch.equal(again, plain)
    after = _snapshot()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_weights_are_rebuilt_in_forward_when_the_loaded_networks_change() -> None:
    import networks
    from modules import shared

    layer = shared.sd_model.network_layer_mapping[LAYER]
    x = torch.randn(1, 4, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = layer(x)
        networks.load_networks(["rex"], [1.0], [0.5], [None])
        assert layer.network_current_names == ()
        changed = layer(x)
        assert layer.network_current_names == (("rex", 1.0, 0.5, None),)
        net = networks.loaded_networks[0]
        networks.load_networks([])
        restored = layer(x)
        net.unet_multiplier = 0.5
        by_hand = net.modules[LAYER].forward(x, plain)
    assert torch.equal(plain, restored)
    assert not torch.allclose(plain, changed, atol=1e-4)
    torch.testing.assert_close(by_hand, changed, rtol=0, atol=1e-4)


def test_functional_option_gives_the_same_picture() -> None:
    prompt = f"{harness.PROMPT}<lora:rex:0.7><lora:ida:0.4>"
    wanted = harness.latents(prompt=prompt)
    harness.latents(steps=1)
    with harness.options(lora_functional=True):
        made = harness.latents(prompt=prompt)
    harness.latents(steps=1)
    torch.testing.assert_close(made, wanted, rtol=0, atol=2e-3)


def test_unknown_networks_are_told_and_left_out() -> None:
    import networks

    made = harness.txt2img(prompt="a man<lora:nobody:1>", steps=1)
    assert "nobody" in made.comments
    assert networks.loaded_networks == []


def _ones(layer: str) -> dict[str, torch.Tensor]:
    """Two ranks of ones for a linear layer."""
    from modules import shared

    out, inside = shared.sd_model.network_layer_mapping[layer].weight.shape
    return {"lora_up.weight": torch.ones(out, 2), "lora_down.weight": torch.ones(2, inside)}


def test_each_multiplier_goes_where_it_belongs(tmp_path: Path) -> None:
    alpha = {"alpha": torch.tensor(1.0)}
    unet = _module(KOHYA, {**_ones(LAYER), **alpha}, tmp_path)
    text = _module(f"lora_te_{TEXT}", {**_ones(f"transformer_{TEXT}"), **alpha}, tmp_path)
    for module in (unet, text):
        module.network.te_multiplier, module.network.unet_multiplier = 0.25, 0.75
    assert (unet.multiplier(), text.multiplier()) == (0.75, 0.25)
    assert unet.calc_scale() == 0.5


def test_both_key_namings_find_the_same_layer(tmp_path: Path) -> None:
    one = _module(KOHYA, _ones(LAYER), tmp_path)
    two = _module(LAYER.replace("diffusion_model", "lora_unet"), _ones(LAYER), tmp_path)
    assert one.sd_module is two.sd_module
    assert one.sd_key == two.sd_key == LAYER
    assert one.sd_module.network_layer_name == LAYER


@pytest.mark.parametrize(
    ("kohya", "layer"),
    [
        ("lora_unet_conv_in", "diffusion_model_input_blocks_0_0"),
        ("lora_unet_down_blocks_1_resnets_0_conv1", "diffusion_model_input_blocks_4_0_in_layers_2"),
        ("lora_unet_down_blocks_0_downsamplers_0_conv", "diffusion_model_input_blocks_3_0_op"),
        ("lora_unet_mid_block_attentions_0_proj_in", "diffusion_model_middle_block_1_proj_in"),
        ("lora_unet_mid_block_resnets_1_time_emb_proj", "diffusion_model_middle_block_2_emb_layers_1"),
        ("lora_unet_up_blocks_1_attentions_2_proj_out", "diffusion_model_output_blocks_5_1_proj_out"),
        ("lora_unet_up_blocks_0_upsamplers_0_conv", "diffusion_model_output_blocks_2_1_conv"),
        ("lora_unet_up_blocks_2_upsamplers_0_conv", "diffusion_model_output_blocks_8_2_conv"),
        ("lora_unet_time_embedding_linear_2", "diffusion_model_time_embed_2"),
        ("lora_te_text_model_encoder_layers_1_mlp_fc1", "transformer_text_model_encoder_layers_1_mlp_fc1"),
    ],
)
def test_kohya_names(kohya: str, layer: str) -> None:
    import networks

    assert networks.convert_diffusers_name_to_compvis(kohya, False) == layer


SEEDS = itertools.count(1)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(next(SEEDS))) * 0.1


def _oft(blocks: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """kohya's OFT written out block by block."""
    rows, size = [], blocks.shape[1]
    for i, block in enumerate(blocks):
        skew, eye = block - block.T, torch.eye(size)
        rotation = (eye + skew) @ torch.linalg.inv(eye - skew)
        rows.append(rotation.T @ weight[i * size : (i + 1) * size])
    return torch.cat(rows) - weight


def _cases() -> dict[str, tuple[str, dict[str, torch.Tensor], object]]:
    up, down = _random(64, 4), _random(4, 64)
    a, b, c, d = _random(64, 3), _random(3, 64), _random(64, 3), _random(3, 64)
    k1, k2 = _random(8, 8), _random(8, 8)
    w, n, blocks, magnitude = _random(64), _random(64), _random(8, 8, 8), _random(1, 64).abs() + 1
    conv_up, conv_down, mid = _random(64, 4, 1, 1), _random(4, 64, 3, 3), _random(4, 4, 3, 3)
    point = _random(4, 64, 1, 1)

    def dora(weight: torch.Tensor) -> torch.Tensor:
        total = weight + up @ down * 0.5
        return total * (magnitude / total.norm(dim=0, keepdim=True)) - weight

    def dora_conv(weight: torch.Tensor) -> torch.Tensor:
        total = weight + torch.einsum("or,rihw->oihw", conv_up[..., 0, 0], conv_down)
        columns = torch.stack([column.flatten() / column.square().sum().sqrt() for column in total.unbind(1)])
        scaled = (columns * magnitude.T).unflatten(1, (64, 3, 3))  # (i, o*h*w) -> (i, o, h, w)
        return scaled.transpose(0, 1) - weight

    half = torch.tensor(2.0)
    conv_magnitude = magnitude.view(1, 64, 1, 1)
    return {
        "lora": (LAYER, {"lora_up.weight": up, "lora_down.weight": down, "alpha": half}, lambda _: up @ down * 0.5),
        "lora_AB": (LAYER, {"lora_A.weight": down, "lora_B.weight": up}, lambda _: up @ down),
        "dora": (LAYER, {"lora_up.weight": up, "lora_down.weight": down, "alpha": half, "dora_scale": magnitude}, dora),
        "dora_conv": (
            CONV,
            {"lora_up.weight": conv_up, "lora_down.weight": conv_down, "dora_scale": conv_magnitude},
            dora_conv,
        ),
        "locon": (
            CONV,
            {"lora_up.weight": conv_up, "lora_down.weight": conv_down},
            lambda _: torch.einsum("or,rihw->oihw", conv_up[..., 0, 0], conv_down),
        ),
        "locon_mid": (
            CONV,
            {"lora_up.weight": conv_up, "lora_down.weight": point, "lora_mid.weight": mid},
            lambda _: torch.einsum("or,rshw,si->oihw", conv_up[..., 0, 0], mid, point[..., 0, 0]),
        ),
        "hada": (
            LAYER,
            {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d},
            lambda _: (a @ b) * (c @ d),
        ),
        "lokr": (LAYER, {"lokr_w1": k1, "lokr_w2": k2}, lambda _: torch.kron(k1, k2)),
        "ia3": (LAYER, {"weight": w, "on_input": torch.tensor(True)}, lambda weight: weight * w),
        "ia3_out": (LAYER, {"weight": w, "on_input": torch.tensor(False)}, lambda weight: weight * w[:, None]),
        "full": (LAYER, {"diff": a @ b}, lambda _: a @ b),
        "glora": (
            LAYER,
            {"a1.weight": b, "a2.weight": a, "b1.weight": d, "b2.weight": c, "alpha": torch.tensor(3.0)},
            lambda weight: c @ d + weight @ a @ b,
        ),
        "oft": (LAYER, {"oft_blocks": blocks, "alpha": torch.tensor(0.0)}, lambda weight: _oft(blocks, weight)),
        "norm": (
            "diffusion_model_input_blocks_1_1_transformer_blocks_0_norm1",
            {"w_norm": w, "b_norm": n},
            lambda _: w,
        ),
    }


@pytest.mark.parametrize("kind", sorted(_cases()))
def test_each_kind_of_adapter(kind: str, tmp_path: Path) -> None:
    layer, weights, formula = _cases()[kind]
    module = _module(layer.replace("diffusion_model", "lora_unet"), weights, tmp_path)
    weight = module.sd_module.weight.detach()
    module.network.dyn_dim = None
    module.network.unet_multiplier = 0.5
    with torch.no_grad():
        updown, ex_bias = module.calc_updown(weight)
    torch.testing.assert_close(updown, formula(weight).reshape(weight.shape) * 0.5, rtol=0, atol=1e-5)
    assert (ex_bias is not None) == (kind == "norm")


def test_dynamic_rank_uses_the_first_ranks(tmp_path: Path) -> None:
    up, down = _random(64, 4), _random(4, 64)
    module = _module(KOHYA, {"lora_up.weight": up, "lora_down.weight": down}, tmp_path)
    module.network.dyn_dim = 2
    with torch.no_grad():
        updown, _ = module.calc_updown(module.sd_module.weight)
    torch.testing.assert_close(updown, up[:, :2] @ down[:2], rtol=0, atol=1e-5)
