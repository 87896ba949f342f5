"""Attention kept in one run and put back in another, against softmax maps written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lib_omg.core.attention import (
    AttentionHooks,
    AttentionLayer,
    CallWindow,
    find_attention_layers,
    low_resolution_cells,
)
from lib_omg.core.rows import Row, RowCursor, global_rows
from lib_omg.core.store import AttentionStore

HEADS, WIDTH, CONTEXT, TOKENS = 2, 8, 6, 5
FINE, COARSE = 16, 4
MAP = global_rows([1, 1])  # rows: cond, cond, uncond, uncond
EVERYTHING = CallWindow(0, cross=True, self_=True)


class Attention(nn.Module):
    """As ldm's CrossAttention."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.heads = HEADS
        self.to_q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.to_k = nn.Linear(context, WIDTH, bias=False)
        self.to_v = nn.Linear(context, WIDTH, bias=False)
        self.to_out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        context = x if context is None else context
        q, k, v = (
            part(of).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part, of in ((self.to_q, x), (self.to_k, context), (self.to_v, context))
        )
        out = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.to_out(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1 = Attention(WIDTH)
        self.attn2 = Attention(CONTEXT)
        self.attn3 = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = x + self.attn1(x)
        return x + self.attn2(x, context)


class Transformer(nn.Module):
    """(N, 16, C): a block at 16 cells, one at 4, one at 16."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse, self.last = Block(), Block(), Block()

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.fine(x, context)
        small = self.coarse(x.unflatten(1, (COARSE, -1)).mean(2), context)
        return self.last(x + small.repeat_interleave(FINE // COARSE, 1), context)


class Bench:
    """A transformer, hooks on it, and a way to run a batch as the host splits it."""

    def __init__(self, max_self_cells: int = COARSE) -> None:
        self.unet = Transformer()
        self.cursor = RowCursor()
        self.store = AttentionStore(0, 10**9)
        layers = find_attention_layers(self.unet)
        self.hooks = AttentionHooks(layers, self.cursor, self.store, max_self_cells)

    def run(self, x: torch.Tensor, context: torch.Tensor, split: tuple[int, ...] = (4,)) -> torch.Tensor:
        outs = []
        with self.cursor.follow(MAP):
            for part, words in zip(x.split(split), context.split(split), strict=True):
                self.cursor.advance(len(part))
                outs.append(self.unet(part, words))
        return torch.cat(outs)

    def record(self, x: torch.Tensor, context: torch.Tensor, split: tuple[int, ...] = (4,)) -> torch.Tensor:
        with self.hooks.recording():
            return self.run(x, context, split)

    def overwrite(self, x: torch.Tensor, context: torch.Tensor, split: tuple[int, ...] = (4,)) -> torch.Tensor:
        with self.hooks.overwriting():
            return self.run(x, context, split)

    def hooks_left(self) -> int:
        return sum(len(module._forward_hooks) for module in self.unet.modules())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(11)
    with torch.no_grad():
        yield


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return 2 * torch.randn(4, FINE, WIDTH), 2 * torch.randn(4, TOKENS, CONTEXT)


def attend(attention: Attention, x: torch.Tensor, context: torch.Tensor, q_and_k: tuple | None, strength: float):
    """One row of attention by loops: softmax(q k^T / sqrt(d)) v; q (and k) lerped to the layout's."""
    q, k, v = attention.to_q(x), attention.to_k(context), attention.to_v(context)
    if q_and_k is not None:
        kept_q, kept_k = q_and_k
        q = (1 - strength) * q + strength * kept_q
        k = k if kept_k is None else (1 - strength) * k + strength * kept_k
    size = WIDTH // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = [[float(a @ b) / math.sqrt(size) for b in k[:, part]] for a in q[:, part]]
        weights = [[math.exp(s) / sum(math.exp(t) for t in row) for s in row] for row in scores]
        heads.append(torch.tensor(weights) @ v[:, part])
    return attention.to_out(torch.cat(heads, 1))


class Reference:
    """The same transformer by hand, one row at a time; it keeps its own q and k in passing."""

    def __init__(self, unet: Transformer) -> None:
        self.unet = unet

    def row(self, x: torch.Tensor, context: torch.Tensor, kept: dict | None, strength: float = 1.0, self_: bool = True):
        seen: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}

        def block(name: str, x: torch.Tensor, keeps_self: bool) -> torch.Tensor:
            module = getattr(self.unet, name)
            seen[name + "1"] = (module.attn1.to_q(x), module.attn1.to_k(x))
            usable = kept[name + "1"] if kept and keeps_self else None
            x = x + attend(module.attn1, x, x, usable, strength)
            seen[name + "2"] = (module.attn2.to_q(x), None)
            return x + attend(module.attn2, x, context, kept[name + "2"] if kept else None, strength)

        x = block("fine", x, False)
        small = block("coarse", x.unflatten(0, (COARSE, -1)).mean(1), self_)
        return block("last", x + small.repeat_interleave(FINE // COARSE, 0), False), seen


@pytest.mark.parametrize("split", [(4,), (2, 2), (1, 1, 1, 1), (3, 1), (1, 3)])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_put_back_maps_equal_softmax_by_hand(split, strength):
    bench = Bench()
    reference = Reference(bench.unet)
    layout, other = batch(), batch()
    bench.hooks.window = CallWindow(0, True, True, strength)
    recorded = bench.record(*layout, split)
    assert torch.allclose(recorded, bench.run(*layout), atol=1e-5), "recording changes nothing"
    free = bench.run(*other)
    made = bench.overwrite(*other, split[::-1])
    for row in range(2):
        _, seen = reference.row(layout[0][row], layout[1][row], None)
        expected, _ = reference.row(other[0][row], other[1][row], seen, strength)
        assert torch.allclose(made[row], expected, atol=1e-4)
        assert not torch.allclose(made[row], free[row], atol=1e-2)
    assert torch.allclose(made[2:], free[2:], atol=1e-5), "uncond rows are never touched"


def test_strength_zero_changes_nothing():
    bench = Bench()
    bench.hooks.window = CallWindow(0, True, True, 0.0)
    bench.record(*batch())
    other = batch()
    assert torch.equal(bench.overwrite(*other), bench.run(*other))


def test_self_attention_is_free_outside_of_its_window():
    bench = Bench()
    layout, other = batch(), batch()
    bench.hooks.window = CallWindow(0, True, True)
    bench.record(*layout)
    bench.hooks.window = CallWindow(0, True, False)
    made = bench.overwrite(*other)
    _, seen = Reference(bench.unet).row(layout[0][0], layout[1][0], None)
    expected, _ = Reference(bench.unet).row(other[0][0], other[1][0], seen, self_=False)
    assert torch.allclose(made[0], expected, atol=1e-4)


def test_self_attention_is_kept_only_at_low_resolution_and_cross_attention_everywhere():
    bench = Bench()
    bench.hooks.window = EVERYTHING
    bench.record(*batch())
    kept = {name for name in (f"{layer.name}.{part}" for layer in bench.hooks.layers for part in ("to_q", "to_k"))
            if bench.store.get(0, name) is not None}  # fmt: skip
    cross = {f"{name}.attn2.to_q" for name in ("fine", "coarse", "last")}
    assert kept == cross | {"coarse.attn1.to_q", "coarse.attn1.to_k"}
    assert bench.store.context(0, "fine.attn2.to_k").shape == (2, TOKENS, WIDTH)


def test_a_window_without_a_call_or_kind_keeps_nothing():
    for window in (CallWindow(None, True, True), CallWindow(0, False, False)):
        bench = Bench()
        bench.hooks.window = window
        bench.record(*batch())
        assert bench.store.calls() == []


def test_calls_are_kept_apart():
    bench = Bench()
    first, second, other = batch(), batch(), batch()
    for call, inputs in ((3, first), (7, second)):
        bench.hooks.window = CallWindow(call, True, True)
        bench.record(*inputs)
    assert bench.store.calls() == [3, 7]
    alone = Bench()
    alone.unet.load_state_dict(bench.unet.state_dict())
    alone.hooks.window = EVERYTHING
    alone.record(*first)
    bench.hooks.window = CallWindow(3, True, True)
    assert torch.equal(bench.overwrite(*other), alone.overwrite(*other))


def test_what_is_not_kept_is_left_free():
    bench = Bench()
    bench.hooks.window = CallWindow(5, True, True)
    other = batch()
    assert torch.equal(bench.overwrite(*other), bench.run(*other))


def test_batches_that_are_not_followed_are_left_alone():
    """HyperTile gives the layers more, smaller rows than the row map has."""
    bench = Bench()
    bench.hooks.window = EVERYTHING
    bench.record(*batch())
    x, context = batch()
    tiled, words = torch.cat([x, x]), torch.cat([context, context])
    with bench.hooks.overwriting(), bench.cursor.follow(MAP):
        bench.cursor.advance(4)
        made = bench.unet(tiled, words)
    assert torch.equal(made, bench.unet(tiled, words))


def test_another_latent_size_is_left_alone():
    bench = Bench()
    bench.hooks.window = EVERYTHING
    bench.record(*batch())
    x, context = torch.randn(4, 2 * FINE, WIDTH), torch.randn(4, TOKENS, CONTEXT)
    attention = bench.unet.fine.attn2
    with bench.hooks.overwriting(), bench.cursor.follow(MAP):
        bench.cursor.advance(4)
        made = attention(x, context)
    assert torch.equal(made, attention(x, context))


def test_concept_rows_beside_global_ones_are_left_alone():
    bench = Bench()
    bench.hooks.window = EVERYTHING
    bench.record(*batch())
    x, context = batch()
    with bench.hooks.overwriting(), bench.cursor.follow((Row(0, True), *(Row(0, True, n) for n in range(3)))):
        bench.cursor.advance(4)
        made = bench.unet(x, context)
    free = bench.unet(x, context)
    assert torch.equal(made[1:], free[1:])
    assert not torch.allclose(made[0], free[0], atol=1e-2)


def test_work_in_place_on_what_was_put_back_leaves_the_store_as_it_was():
    """Some attention optimisations scale q in place; all rows are cond rows when the host skips uncond."""
    bench = Bench()
    bench.hooks.window = EVERYTHING
    bench.record(*batch())
    before = bench.store.get(0, "fine.attn2.to_q").clone()
    x, _ = batch()
    with bench.hooks.overwriting(), bench.cursor.follow(MAP):
        bench.cursor.advance(2)
        bench.unet.fine.attn2.to_q(x[:2]).mul_(100)
    assert torch.equal(bench.store.get(0, "fine.attn2.to_q"), before)


@pytest.mark.parametrize("way", ["recording", "overwriting"])
def test_an_exception_takes_the_hooks_away(way):
    bench = Bench()
    counted = []

    def fail() -> None:
        counted.append(bench.hooks_left())
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"), getattr(bench.hooks, way)():
        fail()
    assert counted == [12]
    assert bench.hooks_left() == 0


def test_a_layer_without_hooks_undoes_the_others_hooks():
    bench = Bench()
    bench.hooks.layers[-1].module.to_k = None
    with pytest.raises(AttributeError), bench.hooks.recording():
        pass
    assert bench.hooks_left() == 0


def test_layers_are_found_by_their_place_and_parts():
    layers = find_attention_layers(Transformer())
    assert [(layer.name, layer.is_cross) for layer in layers] == [
        (f"{block}.attn{n}", n == 2) for block in ("fine", "coarse", "last") for n in (1, 2)
    ]


@pytest.mark.parametrize(("size", "cells"), [((64, 64), 256), ((64, 96), 384), ((65, 97), 17 * 25), ((4, 8), 2)])
def test_low_resolution_is_a_quarter_of_each_side(size, cells):
    assert low_resolution_cells(*size) == cells


GROUPING = "output_blocks.3.1.transformer_blocks.0.attn1"


def test_grouping_keeps_the_finest_self_attention_that_draws(monkeypatch):
    """Once it is known which that is; of the layers that draw, of maps not too large, and only while it is wanted."""
    bench = Bench(max_self_cells=0)
    names = {
        "fine.attn1": GROUPING,
        "last.attn1": GROUPING.replace("0.attn1", "1.attn1"),
        "coarse.attn1": "output_blocks.0.1.transformer_blocks.0.attn1",
    }
    bench.hooks.layers = [
        AttentionLayer(names.get(layer.name, layer.name), layer.is_cross, layer.module) for layer in bench.hooks.layers
    ]

    def kept(call: int) -> set[str]:
        bench.hooks.window = CallWindow(call, grouping=True)
        bench.record(*batch())
        return {key for number, key in bench.store._kept if number == call}

    bench.record(*batch())
    assert bench.store.calls() == []
    assert kept(1) == {f"{GROUPING}.to_q", f"{GROUPING}.to_k"}
    bench.hooks.window = CallWindow(2)
    bench.record(*batch())
    assert bench.store.calls() == [1]
    monkeypatch.setattr("lib_omg.core.attention.MOST_GROUPING_CELLS", COARSE)
    assert kept(3) == {
        "output_blocks.0.1.transformer_blocks.0.attn1.to_q",
        "output_blocks.0.1.transformer_blocks.0.attn1.to_k",
    }


def test_grouping_is_never_put_back():
    bench = Bench(max_self_cells=0)
    bench.hooks.layers = [AttentionLayer(GROUPING, False, bench.unet.fine.attn1)]
    x, context = batch()
    bench.record(x, context)
    bench.hooks.window = CallWindow(0, grouping=True)
    bench.record(x, context)
    other = 2 * torch.randn_like(x)
    bench.hooks.window = CallWindow(0, cross=True, self_=True)
    assert torch.equal(bench.overwrite(other, context), bench.run(other, context))
