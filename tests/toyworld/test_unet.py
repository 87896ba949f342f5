"""What the UNet is trained on: the loss knows the right answer, and layout's timesteps are what they say."""

from __future__ import annotations

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
