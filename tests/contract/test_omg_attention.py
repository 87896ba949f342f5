"""Overwriting at strength 1 is the layout's softmax maps put in by hand, under every attention optimisation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import harness
import pytest
import torch
from omg_tools import boxed, spy

STEPS = 4
SETTINGS = {
    "concepts": [boxed("man", "rex", [0, 0.2, 0.4, 0.9]), boxed("woman", "ida", [0.6, 0.2, 1, 0.9])],
    "view": "whole",
    "self_attention_end": 0.6,
}


def _optimisations() -> list[str]:
    """Names of the optimisations that run on a CPU."""
    return ["None", "sdp", "sdp-no-mem", "sub-quadratic", "V1", "InvokeAI", "Doggettx"]


@contextlib.contextmanager
def _optimisation(name: str) -> Iterator[None]:
    from modules import sd_hijack, shared

    before = shared.opts.cross_attention_optimization
    titles = {optimizer.name: optimizer.title() for optimizer in sd_hijack.optimizers}
    try:
        sd_hijack.model_hijack.apply_optimizations(titles.get(name, "None"))
        running = sd_hijack.current_optimizer
        assert (running.name if running else "None") == name, "the host chose another one"
        yield
    finally:
        sd_hijack.model_hijack.apply_optimizations(before)


@dataclass
class _ByHand:
    """A slow reference: attention written out; maps of the layout's cond row put into the global cond row's place.

    UNet calls come in this order: T of the layout, then from the start on a global one followed by the concepts'.
    """

    steps: int
    start: int
    self_until: int
    concepts: int
    unet_call: int = -1
    maps: dict[tuple[int, str], torch.Tensor] = field(default_factory=dict)

    def where(self) -> tuple[str, int]:
        if self.unet_call < self.steps:
            return "layout", self.unet_call
        turn, part = divmod(self.unet_call - self.steps, 1 + self.concepts)
        return ("global" if part == 0 else "concept"), self.start + turn

    def forward(self, name: str, module: Any, x: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        is_cross = name.endswith("attn2")
        q, k, v = (
            module.to_q(x),
            module.to_k(x if context is None else context),
            module.to_v(x if context is None else context),
        )
        heads = module.heads
        q, k, v = (t.reshape(t.shape[0], t.shape[1], heads, -1).permute(0, 2, 1, 3) for t in (q, k, v))
        maps = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)
        phase, call = self.where()
        coarse = x.shape[1] <= (harness.CELLS // 4) ** 2
        takes_part = is_cross or (coarse and call < self.self_until)
        if phase == "layout":
            self.maps[call, name] = maps[:1].clone()
        elif phase == "global" and takes_part:
            maps = torch.cat([self.maps[call, name], maps[1:]])
        out = (maps @ v).permute(0, 2, 1, 3).flatten(2)
        return module.to_out(out)


@contextlib.contextmanager
def _attention_by_hand(reference: _ByHand) -> Iterator[None]:
    from modules import shared

    unet = shared.sd_model.model.diffusion_model

    def count(*_: Any) -> None:
        reference.unet_call += 1

    with contextlib.ExitStack() as stack:
        stack.callback(unet.register_forward_pre_hook(count).remove)
        for name, module in unet.named_modules():
            if name.rpartition(".")[2] in ("attn1", "attn2"):

                def forward(
                    x: Any, context: Any = None, mask: Any = None, n: str = name, m: Any = module, **_: Any
                ) -> Any:
                    return reference.forward(n, m, x, context)

                module.forward = forward
                stack.callback(delattr, module, "forward")
        yield


@pytest.fixture(scope="module")
def by_hand_and_free(host: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents with the maps put in by hand, where no optimisation is asked, and without overwriting."""
    from omg_tools import start_sigma

    with spy() as seen:
        free = harness.latents({**SETTINGS, "attention_strength": 0.0}, steps=STEPS)
    self_until = next(i for i, (_, s) in enumerate(seen.layout) if s <= start_sigma(0.6) * (1 + 1e-5))
    assert seen.started_at < self_until < STEPS, "the window of self-attention is empty: the test proves less"
    reference = _ByHand(STEPS, seen.started_at, self_until, concepts=2)
    with _attention_by_hand(reference):
        wanted = harness.latents({**SETTINGS, "attention_strength": 0.0}, steps=STEPS)
    return wanted, free


@pytest.mark.parametrize("name", _optimisations())
def test_strength_one_is_the_layouts_maps_put_in_by_hand(
    name: str, by_hand_and_free: tuple[torch.Tensor, torch.Tensor]
) -> None:
    wanted, free = by_hand_and_free
    with _optimisation(name):
        made = harness.latents(SETTINGS, steps=STEPS)
    torch.testing.assert_close(made, wanted, rtol=0, atol=5e-3)
    assert float((made - free).abs().max()) > 0.03, "overwriting changes nothing: the test proves nothing"


def test_all_the_hosts_cpu_optimisations_are_tried() -> None:
    from modules import sd_hijack

    names = {optimizer.name for optimizer in sd_hijack.optimizers if optimizer.is_available()}
    assert names <= set(_optimisations()), "an optimisation runs here that no test tries"


def _kept_mb(monkeypatch: pytest.MonkeyPatch) -> float:
    """Attention that a run without a limit keeps."""
    from lib_omg.core.store import AttentionStore

    kept: list[int] = []
    clear = AttentionStore.clear

    def measured(store: AttentionStore) -> None:
        kept.append(store.ram_bytes)
        clear(store)

    with monkeypatch.context() as patch:
        patch.setattr(AttentionStore, "clear", measured)
        harness.run(SETTINGS, steps=STEPS)
    return max(kept) / 2**20


def test_attention_over_the_limit_keeps_the_small_maps_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 0.8 * _kept_mb(monkeypatch)
    with harness.options(omg_ram_limit_mb=limit, omg_vram_limit_mb=0), spy() as seen:
        made = harness.run(SETTINGS, steps=STEPS)
    store = seen.trace.attention
    assert store.dropped_cells == harness.CELLS**2
    assert any("memory limit" in comment for comment in made.p.comments)
    assert len(made.images) == 1
