"""Blocks of both networks, and their weight files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "instruments"
"""The weights that come with the repository."""
RESULTS_FILE = "instruments.json"
"""Beside the weights: what `toyworld.instruments.evaluate` found, the embedder's threshold among it."""
GROUPS = 8


def unit(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, group norm, ReLU: (B, C, H, W) to (B, channels_out, H/stride, W/stride)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False), nn.GroupNorm(GROUPS, channels_out), nn.ReLU()
    )


class Residual(nn.Module):
    """Two convolutions whose result is added to their input, (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = unit(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's result, of the input's shape."""
        return torch.relu(x + self.norm(self.second(self.first(x))))


def save_weights(net: nn.Module, path: Path) -> None:
    """Write a network's weights in half precision."""
    save_file({name: value.detach().half().contiguous() for name, value in net.state_dict().items()}, path)


def load_weights(net: nn.Module, path: Path) -> None:
    """Read weights into a network, in single precision, and make it ready for use.

    Raises:
        FileNotFoundError: no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: train them with `python -m toyworld.instruments.train`")
    net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    net.eval().requires_grad_(False)
