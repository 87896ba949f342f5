"""The check of the UNet: fixed prompts, and what counts as right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch

from toyworld.scene import WIDTHS_PX
from toyworld.train import check

if TYPE_CHECKING:
    import pytest


def test_prompts_are_fixed_and_a_longer_list_begins_with_the_shorter() -> None:
    assert check.tasks(256)[:40] == check.tasks(40)
    assert len({task.prompt for task in check.tasks()}) > 120


def test_every_count_and_class_comes_up_and_is_named() -> None:
    asked = check.tasks()
    assert Counter(len(task.class_words) for task in asked).keys() == set(WIDTHS_PX)
    assert all(task.width_px in WIDTHS_PX[len(task.class_words)] for task in asked)
    for task in asked:
        for word in set(task.class_words):
            assert (word in task.prompt) or (f"{word[:-2]}en" in task.prompt), task


def test_shares_are_told_whole_and_by_count() -> None:
    asked = [check.Task(("man",), "a man", 128)] * 3 + [check.Task(("man", "dog"), "a man and a dog", 128)]
    said = check.report(asked, [True, True, False, False])
    assert "right: 50.0% of 4" in said
    assert "1 named: 66.7% of 3" in said
    assert "2 named: 0.0% of 1" in said
    assert said.rstrip().endswith("a man\n  a man and a dog")


def test_pictures_come_back_in_the_order_of_their_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = check.tasks(20)
    seen: list[str] = []

    class _Vae:
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            count, _, height, width = latents.shape
            shades = torch.tensor([len(prompt) / 100 for prompt in seen[-count:]])
            return shades.view(-1, 1, 1, 1).expand(count, 3, height * 8, width * 8)

    def sample(
        _unet: object, _text: object, prompts: list[str], _source: object, *, width: int, steps: int
    ) -> torch.Tensor:
        assert steps == 3
        seen.extend(prompts)
        return torch.zeros(len(prompts), 4, 16, width)

    monkeypatch.setattr(check, "sample", sample)
    base = check.Base(None, None, _Vae(), 1.0, "")  # type: ignore[arg-type]
    images = check.draw(base, asked, torch.Generator(), {"steps": 3})
    for task, image in zip(asked, images, strict=True):
        assert image.shape == (128, task.width_px, 3)
        assert abs(int(image[0, 0, 0]) - (len(task.prompt) / 100 + 1) * 127.5) <= 1
