"""What the UNet is trained on: the loss knows the right answer, and layout's timesteps are what they say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toyworld.models import alphas_cumprod
from toyworld.train import unet


class Knowing(torch.nn.Module):
    """Predicts the noise that leads from a known picture to what it sees; by `off` wrong."""

    def __init__(self, latents: torch.Tensor, off: float = 0.0) -> None:
        super().__init__()
        self.latents, self.off = latents, off

    def forward(self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        alpha = alphas_cumprod()[t].view(-1, 1, 1, 1).double()
        return ((x.double() - alpha.sqrt() * self.latents) / (1 - alpha).sqrt()).float() + self.off


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("timesteps", [unet.uniform_timesteps, unet.layout_timesteps])
def test_who_knows_the_picture_has_no_loss_also_of_noise_alone(timesteps: unet.Timesteps) -> None:
    latents = torch.randn(256, 4, 2, 2, generator=generator())
    context = torch.zeros(256, 1, 1)
    right = unet.noise_loss(Knowing(latents), latents, context, generator(), timesteps)
    wrong = unet.noise_loss(Knowing(latents, off=0.01), latents, context, generator(), timesteps)
    assert float(right) < 1e-6
    assert float(wrong) > 1e-4


def test_an_error_of_the_picture_weighs_at_least_the_layouts_share() -> None:
    """Worked out anew: the noise's error e is an error e² / SNR of the picture."""
    latents, context = torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 1)
    for t in (0, 300, 700, 999):
        chosen = torch.tensor([t]), torch.tensor([False])
        loss = unet.noise_loss(Knowing(latents, off=0.1), latents, context, generator(), lambda *_, c=chosen: c)
        snr = float(alphas_cumprod()[t] / (1 - alphas_cumprod()[t]))
        assert float(loss) / (0.01 / snr) == pytest.approx(min(snr, 5) * (1 + 0.3 / snr), rel=1e-3)


def test_layouts_timesteps_are_noisy_ones_and_some_are_noise_alone() -> None:
    t, alone = unet.layout_timesteps(40_000, generator())
    assert bool((t[alone] == 999).all())
    assert float(alone.float().mean()) == pytest.approx(1 / 16, abs=0.005)
    rest = t[~alone]
    assert float((rest >= 600).float().mean()) == pytest.approx(0.7, abs=0.01)
    assert int(rest.min()) < 20
    assert not bool(unet.uniform_timesteps(100, generator())[1].any())


class Words:
    """A text encoder that says nothing."""

    def tokens(self, prompts: list[str]) -> list[str]:
        return prompts

    def __call__(self, tokens: list[str]) -> torch.Tensor:
        return torch.zeros(len(tokens), 1, 1)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_whatever_noise_is_added_every_timestep_is_as_noisy_as_it_says(eta: float) -> None:
    """DDIM's marginals, equation 10 of https://arxiv.org/abs/2010.02502; the noise itself changes only if asked."""
    picture = torch.randn(4, 16, 16, generator=generator()).double()
    knowing = Knowing(picture)
    noises: list[torch.Tensor] = []

    def watched(x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        noise = knowing(x, t, context)
        noises.append(noise[:8])
        return noise

    text: Any = Words()
    model: Any = watched
    made = unet.sample(model, text, ["a"] * 8, generator(), steps=10, eta=eta)
    torch.testing.assert_close(made, picture.float().expand_as(made), rtol=0, atol=1e-3)
    assert len(noises) == 10
    for noise in noises:
        assert abs(float(noise.mean())) < 0.05
        assert abs(float(noise.std()) - 1) < 0.05
    alike = float(torch.corrcoef(torch.stack([noises[0].flatten(), noises[-1].flatten()]))[0, 1])
    assert (alike > 0.999) if eta == 0 else (alike < 0.9)
