"""Whatever happens: the host is as it was, and the next plain picture is bit-equal to one before it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import pytest
import torch
from omg_tools import hook_count, pair

STEPS = 4
_plain: list[torch.Tensor] = []


def _traces_of_omg() -> dict[str, Any]:
    """What OMG could leave behind: hooks, patches, networks."""
    import networks
    from modules import shared

    return {
        "hooks": hook_count(),
        "networks": [(n.name, n.te_multiplier, n.unet_multiplier) for n in networks.loaded_networks],
        "session": harness.omg_script().runtime.session,
        "job": shared.state.job,
        "textinfo": shared.state.textinfo,
    }


@contextlib.contextmanager
def _clean_after() -> Iterator[None]:
    """Whatever is done inside leaves nothing, and plain pictures stay bit-equal to the first one made."""
    if not _plain:
        _plain.append(harness.latents(steps=STEPS))
    before = _traces_of_omg()
    try:
        yield
    finally:
        after = _traces_of_omg()
        assert torch.equal(harness.latents(steps=STEPS), _plain[0])
        # a session that an error cut short may be held until the next generation, but with nothing patched
        assert {**after, "session": None} == {**before, "session": None}
        assert _traces_of_omg()["session"] is None


def test_after_success() -> None:
    with _clean_after():
        harness.run(pair(show_pictures=True), steps=STEPS)


def _targets() -> dict[str, tuple[Any, str]]:
    """A function of ours in every hook and stage, to break one at a time."""
    from lib_omg.core import adapters, passes, store, windows
    from lib_omg.host import conds, denoiser, layout, limits, loras, pictures, runtime, session

    return {
        "process: limits": (limits.Limits, "from_opts"),
        "process: guard": (runtime, "_guard"),
        "before sampling": (runtime, "_take"),
        "first pass": (session.Session, "first_pass"),
        "lora load": (loras.LoraLibrary, "load"),
        "layout: sampler": (layout.sd_samplers, "create_sampler"),
        "layout: call": (passes.LayoutPass, "call"),
        "layout: record hook": (store.AttentionStore, "add"),
        "regions": (session, "see"),
        "pictures": (pictures, "layout_pictures"),
        "text encoding": (conds, "encode"),
        "deltas": (loras, "unet_deltas"),
        "concept: call": (passes.ConceptPass, "call"),
        "concept: overwrite hook": (store.AttentionStore, "get"),
        "concept: delta hook": (adapters.LowRankDelta, "__call__"),
        "concept: rows": (denoiser, "run_rows"),
        "concept: blend": (passes, "blend"),
        "concept: publish": (denoiser._Call, "publish"),
        "concept: window": (windows.Window, "cut"),
    }


@pytest.mark.parametrize(
    "stage",
    [
        "process: limits", "process: guard", "first pass", "lora load", "layout: sampler", "layout: call",
        "layout: record hook", "regions", "pictures", "text encoding", "deltas", "concept: call",
        "concept: overwrite hook", "concept: delta hook", "concept: rows", "concept: blend", "concept: publish",
        "concept: window", "before sampling",
    ],
)  # fmt: skip
def test_after_an_error_in_every_hook(stage: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """The generation ends with a message; it never goes on to a picture without its concepts."""
    owner, name = _targets()[stage]
    real = getattr(owner, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        if stage == "layout: sampler" and not _called_by_us():
            return real(*args, **kwargs)
        raise RuntimeError("injected")

    with _clean_after():
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            with pytest.raises(Exception, match="OMG"), caplog.at_level("ERROR", logger="OMG"):
                harness.run(pair(show_pictures=True), steps=STEPS)
        ours = [record for record in caplog.records if record.name == "OMG" and record.levelname == "ERROR"]
        assert len(ours) == (0 if stage == "before sampling" else 1)  # that one the host swallows and reports


def _called_by_us() -> bool:
    import inspect

    return any(frame.function == "run_layout" for frame in inspect.stack())


@pytest.mark.parametrize("flag", ["interrupted", "skipped"])
@pytest.mark.parametrize("where", ["layout", "replay", "concept"])
def test_after_interrupt_and_skip_in_either_pass(flag: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules import shared

    from lib_omg.core import passes

    owner = passes.LayoutPass if where == "layout" else passes.ConceptPass
    real: Callable[..., torch.Tensor] = owner.call
    turn = {"layout": 3, "replay": 1, "concept": 3}[where]  # of 4, the first of them replayed
    calls: list[int] = []

    def stopping(self: Any, *args: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == turn:
            setattr(shared.state, flag, True)
        return real(self, *args)

    with _clean_after():
        with monkeypatch.context() as patch:
            patch.setattr(owner, "call", stopping)
            made = harness.run(pair(), steps=STEPS)
        assert len(calls) == turn, "the pass went on after the user stopped it"
        assert len(made.images) == 1
        assert any("no concepts" in comment for comment in made.p.comments) == (where == "layout")
        shared.state.interrupted = shared.state.skipped = False


def test_after_a_broken_lora_file(host: Any) -> None:
    import networks
    from modules import shared

    path = Path(shared.cmd_opts.lora_dir) / "broken.safetensors"
    path.write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    try:
        omg = pair()
        omg["concepts"][0]["loras"] = [{"name": "broken"}]
        with _clean_after(), pytest.raises(Exception, match="'broken' can't be read"):
            harness.run(omg, steps=STEPS)
    finally:
        path.unlink()
        networks.list_available_networks()


def test_after_a_missing_lora() -> None:
    omg = pair()
    omg["concepts"][1]["loras"] = [{"name": "nobody"}]
    with _clean_after(), pytest.raises(Exception, match=r"concept 'woman'.*no LoRA 'nobody'"):
        harness.run(omg, steps=STEPS)


def test_after_an_error_of_the_host_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler or another script that fails in the middle of our pass."""
    from modules import sd_samplers_common

    calls: list[int] = []
    real = sd_samplers_common.store_latent

    def failing(latent: Any) -> Any:
        calls.append(1)
        if len(calls) == STEPS + 4:
            raise MemoryError("the host's own")
        return real(latent)

    with _clean_after(), monkeypatch.context() as patch:
        patch.setattr(sd_samplers_common, "store_latent", failing)
        with pytest.raises(Exception, match="the host's own"):
            harness.run(pair(), steps=STEPS)


def test_the_users_networks_stay_loaded() -> None:
    import networks

    prompt = f"{harness.PROMPT}<lora:ida:0.6>"
    plain = harness.latents(prompt=prompt, steps=STEPS)
    harness.run(pair(), prompt=prompt, steps=STEPS)
    assert [(n.name, n.te_multiplier, n.unet_multiplier) for n in networks.loaded_networks] == [("ida", 0.6, 0.6)]
    assert torch.equal(harness.latents(prompt=prompt, steps=STEPS), plain)


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE"])
def test_randomness_after_the_layout_is_as_before_it(sampler: str) -> None:
    """torch's own generator is where a plain run leaves it."""
    harness.run(sampler_name=sampler, steps=STEPS)
    state = torch.get_rng_state()
    harness.run(pair(), sampler_name=sampler, steps=STEPS)
    assert torch.equal(torch.get_rng_state(), state)


def test_after_a_reload_of_the_ui(host: Any) -> None:
    """Our packages stay imported, our script is made anew; it must work, and only once."""
    from modules import scripts

    with _clean_after():
        harness.run(pair(), steps=STEPS)
        host.reload_ui()
        assert sum(script.title() == "OMG" for script in scripts.scripts_txt2img.alwayson_scripts) == 1
        made = harness.latents(pair(), steps=STEPS)
        assert float((made - _plain[0]).abs().max()) > 0.1
