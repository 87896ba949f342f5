"""Mixed-batch LoRA against merged weights: the base, A alone and B alone differ, and the mix has a row of each."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from lib_omg.core.adapters import LowRankDelta, WeightDelta, routed_adapters
from lib_omg.core.rows import GLOBAL, Row, RowCursor

RANK = 2
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (3, 6)),
    "linear without bias": (lambda: nn.Linear(6, 4, bias=False), (3, 6)),
    "conv 3x3": (lambda: nn.Conv2d(4, 6, 3, padding=1), (4, 5, 7)),
    "conv stride 2": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 6, 9)),
    "conv 1x1": (lambda: nn.Conv2d(4, 6, 1), (4, 5, 7)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (4, 5, 7)),
    "layer norm": (lambda: nn.LayerNorm(6), (3, 6)),
}
ROWS = (Row(0, True), Row(0, True, 0), Row(0, True, 1), Row(0, False, 0), Row(0, False))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)
    with torch.no_grad():
        yield


def low_rank(layer: nn.Module) -> tuple[LowRankDelta, torch.Tensor]:
    """A LoRA of a layer and the change of weight that it stands for, multiplied out."""
    out, into, *kernel = layer.weight.shape
    down, up = torch.randn(RANK, into, *kernel), torch.randn(out, RANK, *[1] * len(kernel))
    merged = (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape)
    return LowRankDelta(down, up, 0.7), 0.7 * merged


def changed(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Module:
    merged = copy.deepcopy(layer)
    merged.weight += weight
    if bias is not None:
        merged.bias += bias
    return merged


def run_mixed(layer: nn.Module, deltas: dict[int, list], x: torch.Tensor) -> torch.Tensor:
    cursor = RowCursor()
    with routed_adapters({layer: deltas}, cursor), cursor.follow(ROWS):
        cursor.advance(len(ROWS))
        return layer(x)


def expect_rows(layer: nn.Module, alone: dict[int, nn.Module], deltas: dict[int, list], x: torch.Tensor) -> None:
    outs = {GLOBAL: layer(x), **{concept: merged(x) for concept, merged in alone.items()}}
    assert not torch.allclose(outs[0], outs[GLOBAL])
    assert not torch.allclose(outs[1], outs[GLOBAL])
    assert not torch.allclose(outs[0], outs[1])
    before = copy.deepcopy(layer.state_dict())
    mixed = run_mixed(layer, deltas, x)
    for index, row in enumerate(ROWS):
        assert torch.allclose(mixed[index], outs[row.concept][index], atol=1e-5), f"row {index} of {row}"
    assert torch.equal(layer(x), outs[GLOBAL]), "the hooks are gone"
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("name", [name for name in LAYERS if "norm" not in name])
def test_low_rank_rows_equal_merged_weights(name):
    make, shape = LAYERS[name]
    layer = make()
    (first, a), (second, b) = low_rank(layer), low_rank(layer)
    alone = {0: changed(layer, a), 1: changed(layer, b)}
    expect_rows(layer, alone, {0: [first], 1: [second]}, torch.randn(len(ROWS), *shape))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_weight_delta_rows_equal_merged_weights(name, keep):
    make, shape = LAYERS[name]
    layer = make()
    computed = []

    def delta(concept: int) -> tuple[WeightDelta, nn.Module]:
        weight = torch.randn_like(layer.weight)
        bias = None if layer.bias is None else torch.randn_like(layer.bias)

        def compute() -> tuple[torch.Tensor, torch.Tensor | None]:
            computed.append(concept)
            return weight, bias

        return WeightDelta(compute, keep), changed(layer, weight, bias)

    (first, a), (second, b) = delta(0), delta(1)
    expect_rows(layer, {0: a, 1: b}, {0: [first], 1: [second]}, torch.randn(len(ROWS), *shape))
    run_mixed(layer, {0: [first], 1: [second]}, torch.randn(len(ROWS), *shape))
    per_call = [0, 1, 0]  # concept 0 has two runs of rows
    assert computed == ([0, 1] if keep else per_call * 2)


def test_weight_delta_keeps_dilation_and_groups():
    layer = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
    weight, x = torch.randn_like(layer.weight), torch.randn(2, 4, 6, 5)
    delta = WeightDelta(lambda: (weight, None))(layer, x)
    assert torch.allclose(layer(x) + delta, changed(layer, weight)(x), atol=1e-5)


def test_adapters_of_one_concept_add_up():
    layer = nn.Linear(6, 4)
    (first, a), (second, b) = low_rank(layer), low_rank(layer)
    x = torch.randn(len(ROWS), 3, 6)
    mixed = run_mixed(layer, {0: [first, second]}, x)
    assert torch.allclose(mixed[1], changed(layer, a + b)(x)[1], atol=1e-5)
    assert torch.equal(mixed[2], layer(x)[2])


def test_split_calls_give_the_whole_calls_rows():
    layer = nn.Linear(6, 4)
    deltas = {0: [low_rank(layer)[0]], 1: [low_rank(layer)[0]]}
    x = torch.randn(len(ROWS), 3, 6)
    whole = run_mixed(layer, deltas, x)
    cursor, parts = RowCursor(), []
    with routed_adapters({layer: deltas}, cursor), cursor.follow(ROWS):
        for part in x.split([2, 1, 2]):
            cursor.advance(len(part))
            parts.append(layer(part))
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_outside_of_a_followed_call_layers_are_bare():
    layer = nn.Linear(6, 4)
    x = torch.randn(2, 6)
    with routed_adapters({layer: {0: [low_rank(layer)[0]]}}, RowCursor()):
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_half_precision_output_stays_half():
    layer = nn.Linear(6, 4)
    layer.register_forward_hook(lambda _layer, _inputs, output: output.half())
    mixed = run_mixed(layer, {0: [low_rank(layer)[0]]}, torch.randn(len(ROWS), 6))
    assert mixed.dtype == torch.float16


def test_an_exception_takes_the_hooks_away():
    layer = nn.Linear(6, 4)

    def broken(_layer: nn.Module, _x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        run_mixed(layer, {0: [broken]}, torch.randn(len(ROWS), 6))
    assert not layer._forward_hooks
