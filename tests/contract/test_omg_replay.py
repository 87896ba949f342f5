"""The calls before the start are the layout's, bit for bit, under every sampler."""

from __future__ import annotations

import harness
import pytest
import torch
from omg_tools import pair, spy

SAMPLERS = [
    "Euler", "Euler a", "DPM++ 2M", "DPM++ SDE", "DPM++ 3M SDE", "Heun", "DPM2 a", "Restart", "LCM", "DDIM", "UniPC",
]  # fmt: skip
STEPS = 5
"""With fewer DDIM would begin below the start."""


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_replayed_calls_see_the_layouts_x_bit_for_bit(sampler: str) -> None:
    with spy() as seen, harness.unet_calls() as unet:
        harness.run(pair(), sampler_name=sampler, steps=STEPS)
    start = seen.started_at
    assert start > 0, "nothing to replay"
    assert seen.replayed == start
    worst = max(float((x - y).abs().max()) for (x, _), (y, _) in zip(seen.layout[:start], seen.concept, strict=False))
    assert worst == 0
    assert torch.equal(seen.layout[start][0], seen.concept[start][0])  # the first call of its own begins there too
    assert len(unet.rows) == len(seen.layout) + 3 * (len(seen.layout) - start)


def test_a_pass_that_left_the_layout_is_computed_not_replayed() -> None:
    """Fault injected: the first call of the trace is not the run's, so it must be computed."""
    from lib_omg.core import passes

    call = passes.LayoutPass.call

    def spoiled(self: object, x: torch.Tensor, *args: object) -> torch.Tensor:
        return call(self, x + 1e-3 * (len(self.trace.calls) == 0), *args)  # type: ignore[attr-defined,arg-type]

    passes.LayoutPass.call = spoiled  # type: ignore[method-assign]
    try:
        with spy() as seen:
            harness.run(pair(), steps=STEPS)
    finally:
        passes.LayoutPass.call = call  # type: ignore[method-assign]
    assert seen.replayed == seen.started_at - 1
