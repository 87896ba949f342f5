"""Chance is the same in every run: a test passes or fails by what it tests, not by its draw or by who ran before it."""

from __future__ import annotations

import random

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    """A host's "random" seed comes from `random`, tests' own tensors from torch."""
    random.seed(0)
    torch.manual_seed(0)
