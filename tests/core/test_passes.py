"""Both passes with a fake denoiser: what is recorded, replayed, predicted and blended at each call."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch

from lib_omg.core.attention import AttentionHooks
from lib_omg.core.blend import Region
from lib_omg.core.passes import ConceptPass, ConceptPlan, LayoutPass
from lib_omg.core.rows import RowCursor
from lib_omg.core.store import AttentionStore
from lib_omg.core.trace import LayoutTrace, TracedCall
from lib_omg.core.windows import whole

SHAPE = (1, 2, 3, 5)
SIGMAS = [14.0, 8.0, 4.0, 2.0, 1.0]


def latent(number: float) -> torch.Tensor:
    return torch.full(SHAPE, float(number))


def traced(sigmas: list[float] = SIGMAS) -> LayoutTrace:
    calls = [TracedCall(latent(n), sigma, latent(100 + n)) for n, sigma in enumerate(sigmas)]
    return LayoutTrace(AttentionStore(0, 0), calls)


def hooks() -> AttentionHooks:
    return AttentionHooks([], RowCursor(), AttentionStore(0, 0), 0)


def plan(concept: int, start: float) -> ConceptPlan:
    mask = torch.zeros(1, *SHAPE[-2:])
    mask[0, :, concept] = 1
    return ConceptPlan(concept, start, mask, (whole(*SHAPE[-2:]),))


@dataclass
class FakeDenoiser:
    """Global predictions are 0, concept i's are i + 1."""

    log: list[object] = field(default_factory=list)
    published: list[torch.Tensor] = field(default_factory=list)

    def replay(self, call: TracedCall) -> torch.Tensor:
        self.log.append("replay")
        return call.denoised

    def predict(self) -> torch.Tensor:
        self.log.append("predict")
        return torch.zeros(SHAPE)

    def predict_concepts(self, plans):
        self.log.append(tuple(p.concept for p in plans))
        regions = [Region(0, p.windows[0], latent(p.concept + 1)[0], p.masks[0]) for p in plans]
        return regions, regions[:1]

    def publish(self, denoised, uncond_regions):
        self.log.append(("publish", len(uncond_regions)))
        self.published.append(denoised)


def run(concept_pass: ConceptPass, sigmas: list[float], first: int = 0) -> tuple[FakeDenoiser, list[torch.Tensor]]:
    denoiser = FakeDenoiser()
    outs = [concept_pass.call(latent(first + n), sigma, denoiser) for n, sigma in enumerate(sigmas)]
    return denoiser, outs


def actions(denoiser: FakeDenoiser) -> list[object]:
    return [entry for entry in denoiser.log if not (isinstance(entry, tuple) and entry[0] == "publish")]


def test_until_a_concept_starts_the_trace_is_replayed_exactly():
    concept_pass = ConceptPass([plan(0, 4.0), plan(1, 1.5)], traced())
    denoiser, outs = run(concept_pass, SIGMAS)
    assert actions(denoiser) == ["replay", "replay", "predict", (0,), "predict", (0,), "predict", (0, 1)]
    assert concept_pass.replayed == 2
    assert concept_pass.calls == 5
    assert [torch.equal(out, latent(100 + n)) for n, out in enumerate(outs[:2])] == [True, True]
    assert outs[2][0, 0].tolist() == [[1, 0, 0, 0, 0]] * 3
    assert outs[4][0, 1].tolist() == [[1, 2, 0, 0, 0]] * 3
    assert all(torch.equal(a, b) for a, b in zip(denoiser.published, outs[2:], strict=True))


def test_what_differs_from_the_trace_is_predicted():
    denoiser = FakeDenoiser()
    concept_pass = ConceptPass([plan(0, 0.0)], traced())
    concept_pass.call(latent(0), 14.0, denoiser)
    out = concept_pass.call(latent(1) + 1e-6, 8.0, denoiser)
    concept_pass.call(latent(2), 4.0, denoiser)
    assert denoiser.log == ["replay", "predict", "replay"], "a bare prediction isn't published again"
    assert torch.equal(out, torch.zeros(SHAPE))


def test_beyond_the_trace_and_without_one_the_host_predicts():
    assert run(ConceptPass([plan(0, 0.0)], traced(SIGMAS[:1])), SIGMAS[:2])[0].log == ["replay", "predict"]
    assert run(ConceptPass([plan(0, 9.0)]), SIGMAS[:2])[0].log == ["predict", "predict", (0,), ("publish", 1)]


def test_once_started_a_concept_stays_when_noise_rises_again():
    sigmas = [14.0, 3.0, 14.0, 1.0]
    denoiser, _ = run(ConceptPass([plan(0, 4.0), plan(1, 1.5)], traced(sigmas)), sigmas)
    assert actions(denoiser) == ["replay", "predict", (0,), "predict", (0,), "predict", (0, 1)]


def test_a_start_at_infinite_noise_is_the_first_call():
    denoiser, _ = run(ConceptPass([plan(0, math.inf)], traced()), SIGMAS[:1])
    assert actions(denoiser) == ["predict", (0,)]


def test_attention_is_put_back_from_the_call_of_like_noise_until_its_end():
    aimed = []
    concept_pass = ConceptPass([plan(0, math.inf)], traced(), hooks(), self_until=2.0)
    for sigma in [14.0, 7.7, 4.0, 3.9, 2.0, 0.5]:
        concept_pass.call(latent(50), sigma, FakeDenoiser())
        window = concept_pass.hooks.window
        aimed.append((window.call, window.cross, window.self_))
    assert aimed == [(0, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (3, 1, 0), (4, 1, 0)]


def test_without_a_trace_attention_is_free():
    concept_pass = ConceptPass([plan(0, math.inf)], None, hooks())
    concept_pass.hooks.window.call = 7
    run(concept_pass, [1.0])
    assert concept_pass.hooks.window.call is None


@pytest.mark.parametrize(
    ("index", "sigma", "expected"),
    [(2, 4.0, 2), (2, 4.00001, 2), (2, 1.1, 4), (0, 4.0, 2), (40, 7.0, 1), (1, 100.0, 0)],
)
def test_call_like(index, sigma, expected):
    assert traced().call_like(index, sigma) == expected


def test_call_like_of_second_order_samplers_is_the_same_index():
    trace = traced([9.0, 4.0, 4.0, 1.0])
    assert [trace.call_like(n, sigma) for n, sigma in enumerate(trace.sigmas)] == [0, 1, 2, 3]
    assert traced([]).call_like(0, 1.0) is None


def test_bytes_of_a_trace():
    trace = traced()
    assert trace.nbytes == 2 * 5 * 30 * 4
    trace.calls.append(TracedCall(latent(0).half(), 1.0, latent(0), latent(0)))
    assert trace.nbytes == 2 * 5 * 30 * 4 + 30 * 10


def test_layout_pass_records_copies_and_passes_the_result_on():
    layout = LayoutPass(LayoutTrace(AttentionStore(0, 0)), hooks(), record_from=8.0, self_until=2.0)
    windows = []
    for number, sigma in enumerate([14.0, 8.0, 2.0, 14.0]):
        x, made, uncond = latent(number), latent(100 + number), latent(200 + number)

        def host(x=x, made=made):
            window = layout.hooks.window
            windows.append((window.call, window.cross, window.self_))
            x.add_(1000)  # some samplers and extensions work in place
            return made

        result = layout.call(x, sigma, host, lambda value=None if sigma == 14 else uncond: value)
        assert result is made
        made.zero_()
        uncond.zero_()
    calls = layout.trace.calls
    assert windows == [(None, 1, 1), (1, 1, 1), (2, 1, 0), (3, 1, 1)], "recording goes on when noise rises again"
    assert layout.trace.sigmas == [14.0, 8.0, 2.0, 14.0]
    assert all(torch.equal(call.x, latent(n)) for n, call in enumerate(calls))
    assert all(torch.equal(call.denoised, latent(100 + n)) for n, call in enumerate(calls))
    assert calls[0].last_noise_uncond is None
    assert torch.equal(calls[1].last_noise_uncond, latent(201))


def test_a_failed_call_leaves_no_trace():
    layout = LayoutPass(LayoutTrace(AttentionStore(0, 0)), None, 8.0, 2.0)

    def host():
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        layout.call(latent(0), 14.0, host, lambda: None)
    assert layout.trace.calls == []


def test_the_first_calls_at_the_grouping_level_keep_what_belongs_together():
    sigmas = [14.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.2]
    followed = hooks()
    layout = LayoutPass(LayoutTrace(AttentionStore(0, 0)), followed, record_from=8.0, self_until=0.0, group_from=4.0)
    seen = []
    for sigma in sigmas:
        layout.call(latent(0), sigma, lambda: seen.append(followed.window.grouping) or latent(0), lambda: None)
    assert layout.grouped == [2, 3, 4]
    assert [call for call, grouping in enumerate(seen) if grouping] == [2, 3, 4]


def test_what_groups_is_not_put_back_though_the_layout_ended_on_it():
    followed = hooks()
    trace = LayoutTrace(AttentionStore(0, 0))
    layout = LayoutPass(trace, followed, record_from=8.0, self_until=0.0, group_from=4.0)
    layout.call(latent(0), 4.0, lambda: latent(0), lambda: None)
    assert followed.window.grouping
    ConceptPass([plan(0, 8.0)], trace, followed).call(latent(0), 4.0, FakeDenoiser())
    assert not followed.window.grouping


def test_a_plan_tells_for_each_image_whether_there_is_somebody_to_hide():
    masks, others = torch.zeros(2, 3, 5), torch.zeros(2, 3, 5)
    others[1, 0, 0] = 0.25
    windows = (whole(3, 5),) * 2
    assert ConceptPlan(0, 1.0, masks, windows, others).hides == (False, True)
    assert ConceptPlan(0, 1.0, masks, windows).hides == ()
