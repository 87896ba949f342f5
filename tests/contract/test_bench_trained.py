"""Trained baselines on a host: where the answer is known their pictures are it, and nothing of them stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boot_hosts
import numpy as np
import pytest
import torch
from omg_tools import hook_count

pytestmark = pytest.mark.skipif(boot_hosts.host_name() != "devhost", reason="the bench draws on devhost only")
STEPS = 2
WIDTH = 128
TOKEN_TABLE = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"


@pytest.fixture
def plain(host: Any) -> Callable[[str], np.ndarray]:
    """A prompt's picture with the host's own weights."""
    from bench.host import Host

    return lambda prompt: Host(steps=STEPS).draw(prompt, 3, WIDTH)[0]


@pytest.fixture
def draw(host: Any, tmp_path: Path) -> Callable[..., np.ndarray]:
    """A baseline's picture of rex and ida, given what was trained."""
    from bench.cases import Case
    from bench.host import Host
    from bench.methods.base import Resources
    from bench.methods.trained import Trained
    from toyworld.train.baselines import files

    def drawn(baseline: Any, weights_of: Callable[[str], Any]) -> np.ndarray:
        checkpoint = tmp_path / files.CHECKPOINT
        checkpoint.write_bytes(b"a checkpoint")
        for name, path in files.paths(tmp_path / files.FOLDER, baseline).items():
            files.write(path, weights_of(name), files.digest_of(checkpoint), "plan")
        resources = Resources(Host(steps=STEPS), lambda _image: [])
        method = Trained(resources, baseline, "title", checkpoint)
        return method.draw(Case(("rex", "ida"), "park", "day", 3))

    return drawn


def rows(text: str) -> torch.Tensor:
    """Vectors (n, C) that the host's text encoder knows a text by."""
    from modules import shared

    from bench.methods.weights import host_parameters

    return host_parameters()[TOKEN_TABLE][shared.sd_model.cond_stage_model.tokenize([text])[0]].detach()


def test_inverted_words_stand_for_their_whole_phrase(
    plain: Callable[[str], np.ndarray], draw: Callable[..., np.ndarray]
) -> None:
    from toyworld.identity import CAST
    from toyworld.train.baselines.files import Baseline, Weights, word_of

    phrases = {"rex": "woman and a dog", "ida": "old man"}
    kind = Baseline.TEXTUAL_INVERSION
    made = draw(kind, lambda name: Weights({}, {word_of(kind, CAST[name]): rows(phrases.get(name, "man"))}))
    assert np.array_equal(made, plain("a woman and a dog and an old man in the park"))


def test_modifiers_stand_before_the_class_and_keys_and_values_count(
    plain: Callable[[str], np.ndarray], draw: Callable[..., np.ndarray]
) -> None:
    from bench.methods.weights import host_parameters, loaded
    from toyworld.identity import CAST
    from toyworld.train.baselines.files import Baseline, Weights, word_of

    kind = Baseline.CUSTOM_DIFFUSION
    vectors = {word_of(kind, member): rows("in") for member in CAST.values()}
    same = "a in man and an in woman in the park"
    assert np.array_equal(draw(kind, lambda _name: Weights({}, vectors)), plain(same))
    turned = {name: -p.detach().half() for name, p in host_parameters().items() if ".attn2.to_v." in name}
    with loaded(turned):
        expected = plain(same)
    assert np.array_equal(draw(kind, lambda _name: Weights(turned, vectors)), expected)
    assert not np.array_equal(expected, plain(same))


def test_nothing_of_a_baseline_stays(plain: Callable[[str], np.ndarray], draw: Callable[..., np.ndarray]) -> None:
    from modules import sd_hijack, shared

    from bench.methods.weights import host_parameters, settle_networks
    from toyworld.identity import CAST
    from toyworld.train.baselines.files import Baseline, Weights, word_of

    settle_networks()
    kept = {name: value.clone() for name, value in shared.sd_model.state_dict().items()}
    prompt = "a rex-textual_inversion and an ida-custom_diffusion woman in the park"
    before, hooks = plain(prompt), hook_count()
    known = dict(sd_hijack.model_hijack.embedding_db.word_embeddings)
    parameters = {name: parameter.detach() * 0.97 for name, parameter in host_parameters().items()}
    words = {kind: {name: word_of(kind, member) for name, member in CAST.items()} for kind in Baseline}
    noise = torch.randn(4, rows("a").shape[1], generator=torch.Generator().manual_seed(0))
    trained = {
        Baseline.DREAMBOOTH: lambda _name: Weights(parameters, {}),
        Baseline.TEXTUAL_INVERSION: lambda name: Weights({}, {words[Baseline.TEXTUAL_INVERSION][name]: noise}),
        Baseline.CUSTOM_DIFFUSION: lambda _name: Weights(
            parameters, dict.fromkeys(words[Baseline.CUSTOM_DIFFUSION].values(), noise[:1])
        ),
    }
    pictures = [before]
    for kind, weights_of in trained.items():
        pictures.append(draw(kind, weights_of))
        assert hook_count() == hooks, kind
        assert sd_hijack.model_hijack.embedding_db.word_embeddings == known, kind
        settle_networks()
        assert all(torch.equal(kept[key], value) for key, value in shared.sd_model.state_dict().items()), kind
        assert np.array_equal(plain(prompt), before), kind
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_a_word_of_the_hosts_own_is_not_overridden(host: Any) -> None:
    from modules import sd_hijack, shared

    from bench.methods.trained import named

    database = sd_hijack.model_hijack.embedding_db
    with named({"xyz": rows("man")}):
        own = database.word_embeddings["xyz"]
        with pytest.raises(ValueError, match="named xyz"), named({"ok": rows("man"), "xyz": rows("woman")}):
            pass
        assert database.word_embeddings == {"xyz": own}
        found, length = database.find_embedding_at_position(shared.sd_model.cond_stage_model.tokenize(["xyz"])[0], 0)
        assert (found, length is not None) == (own, True)
    assert database.word_embeddings == {}
