"""The autoencoder's trainers: a step's randomness is its own, and the second one leaves the encoder alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from toyworld.models import Autoencoder
from toyworld.train import decoder, vae
from toyworld.train.loop import generator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae, "POOL", 4)


def test_a_step_draws_the_same_whatever_came_before(few_pictures: None) -> None:
    torch.manual_seed(0)
    model, drawn = Autoencoder(), vae.pool(0)

    def loss(step: int) -> float:
        source = generator(0, step)
        return float(vae.autoencoder_loss(model, vae.crops(drawn, source), source, guide=0.5))

    with torch.no_grad():
        first = loss(3)
        other = loss(4)
        assert loss(3) == first != other


def test_the_error_is_none_for_equal_pictures_and_sees_wrong_colours_and_lost_edges() -> None:
    board = (torch.arange(64).view(1, 1, 1, 64) // 4 % 2).float().expand(1, 3, 64, 64) * 2 - 1
    grey = torch.zeros_like(board)
    assert float(vae.picture_error(board, board)) == 0
    reddish, greyer = grey.clone(), grey + 0.1
    reddish[:, 0] += 0.3
    assert float(vae.picture_error(reddish, grey)) > 1.5 * float(vae.picture_error(greyer, grey)) > 0
    assert float(vae.picture_error(grey, board)) > float(vae.picture_error(-torch.ones_like(board), grey))


def test_the_decoder_learns_and_the_encoder_stays(few_pictures: None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(Autoencoder().state_dict(), tmp_path / "vae.safetensors")
    before = {name: value.clone() for name, value in load_file(tmp_path / "vae.safetensors").items()}
    decoder.main(["--steps", "2", "--folder", str(tmp_path)])
    after = load_file(tmp_path / "vae.safetensors")
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
