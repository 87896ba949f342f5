"""Each concept's rows are those of a lone run with its LoRA merged by the host, for every network type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import pytest
import torch
from networks_of_every_type import TYPES, write
from omg_tools import LEFT, RIGHT, boxed


@pytest.fixture
def lora_folder(host: Any) -> Iterator[Path]:
    """The host's LoRA folder; what a test writes there is taken away again."""
    import networks
    from modules import shared

    folder = Path(shared.cmd_opts.lora_dir)
    before = set(folder.iterdir())
    yield folder
    for path in set(folder.iterdir()) - before:
        path.unlink()
    networks.list_available_networks()


class _Recorder:
    """UNet batches of the concept rows: inputs and outputs."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any], torch.Tensor]] = []

    def __call__(self, _module: Any, args: Any, kwargs: Any, output: torch.Tensor) -> None:
        kept = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in kwargs.items()}
        self.calls.append((tuple(a.clone() for a in args), kept, output.clone()))


def _lone_run(names: list[str], args: Any, kwargs: Any, rows: slice) -> torch.Tensor:
    """The UNet on some rows with networks merged into its weights by the host's own loader."""
    import networks
    from modules import shared

    before = [(n.name, n.te_multiplier, n.unet_multiplier, n.dyn_dim) for n in networks.loaded_networks]
    networks.load_networks(names, [1.0] * len(names), [0.7] * len(names), [None] * len(names))
    try:
        cut = {k: v[rows] if isinstance(v, torch.Tensor) else v for k, v in kwargs.items()}
        with torch.no_grad():
            return shared.sd_model.model.diffusion_model(*(a[rows] for a in args), **cut)
    finally:
        networks.load_networks(*(list(column) for column in zip(*before, strict=True)) if before else ([],))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", TYPES)
def test_rows_of_mixed_batches_equal_lone_merged_runs(kind: str, count: int, lora_folder: Path) -> None:
    from modules import shared

    names = [write(kind, lora_folder, seed) for seed in range(count)]
    boxes = [[0, 0, 0.3, 1], [0.3, 0, 0.6, 1], [0.6, 0, 1, 1]]
    concepts = []
    for word, name, box in zip(("man", "woman", "park"), names, boxes, strict=False):
        made = boxed(word, None, box, prompt=word)
        concepts.append({**made, "loras": [{"name": name, "weight": 0.7, "te_weight": 1.0}]})
    recorder = _Recorder()
    unet = shared.sd_model.model.diffusion_model
    handle = unet.register_forward_hook(recorder, with_kwargs=True)
    try:
        with harness.options(omg_rows_per_batch=32):
            harness.run({"concepts": concepts, "view": "whole"}, steps=2)
    finally:
        handle.remove()
    args, kwargs, output = next(call for call in recorder.calls if call[2].shape[0] == 2 * count)
    base = _lone_run([], args, kwargs, slice(None))
    for index, name in enumerate(names):
        rows = slice(2 * index, 2 * index + 2)
        alone = _lone_run([name], args, kwargs, rows)
        torch.testing.assert_close(output[rows], alone, rtol=1e-3, atol=2e-4)
        assert float((alone - base[rows]).abs().max()) > 0.001, "the network changes nothing: the test proves nothing"
    assert float((output[:2] - _lone_run([names[1]], args, kwargs, slice(0, 2))).abs().max()) > 0.003


def test_several_loras_of_one_concept_are_merged_one_after_the_other(lora_folder: Path) -> None:
    from modules import shared

    names = [write("loha", lora_folder, 1), write("dora", lora_folder, 2), write("lora", lora_folder, 3)]
    loras = [{"name": name, "weight": 0.7, "te_weight": 1.0} for name in names]
    recorder = _Recorder()
    handle = shared.sd_model.model.diffusion_model.register_forward_hook(recorder, with_kwargs=True)
    try:
        with harness.options(omg_rows_per_batch=32):
            omg = {"concepts": [{**boxed("man", None, LEFT, prompt="man"), "loras": loras},
                                boxed("woman", None, RIGHT)], "view": "whole"}  # fmt: skip
            harness.run(omg, steps=4)
    finally:
        handle.remove()
    args, kwargs, output = next(call for call in recorder.calls if call[2].shape[0] == 4)
    torch.testing.assert_close(output[:2], _lone_run(names, args, kwargs, slice(0, 2)), rtol=1e-3, atol=2e-4)
    torch.testing.assert_close(output[2:], _lone_run([], args, kwargs, slice(2, 4)), rtol=1e-3, atol=2e-4)


def test_no_weight_is_written_while_sampling(lora_folder: Path) -> None:
    from modules import shared

    unet = shared.sd_model.model.diffusion_model
    harness.run(steps=1)
    versions = {name: p._version for name, p in unet.named_parameters()}
    values = {name: p.detach().clone() for name, p in unet.named_parameters()}
    harness.run({"concepts": [boxed("man", write("mixed", lora_folder), LEFT)]}, steps=4)
    assert {name: p._version for name, p in unet.named_parameters()} == versions
    assert all(torch.equal(values[name], p) for name, p in unet.named_parameters())


def test_text_encoder_part_reaches_only_its_concept(lora_folder: Path) -> None:
    """Contexts of the concept's rows are the host's encoding with that LoRA; the global rows' without it."""
    name = write("lora", lora_folder, 5)
    with harness.unet_calls() as plain:
        harness.run(steps=1, prompt=f"a rex man<lora:{name}:0.7>", negative_prompt="blue")
    omg = {"concepts": [boxed("man", None, LEFT, prompt="a rex man", prompt_mode="own", negative_prompt="blue",
                              start=0.0)], "view": "whole"}  # fmt: skip
    omg["concepts"][0]["loras"] = [{"name": name, "weight": 0.7}]
    with harness.unet_calls() as calls:
        harness.run(omg, steps=1)
    layout, global_rows, concept_rows = calls.contexts
    torch.testing.assert_close(concept_rows, plain.contexts[0], rtol=0, atol=1e-5)
    assert torch.equal(layout, global_rows)
