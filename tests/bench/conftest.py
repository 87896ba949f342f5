"""Small tensors: more threads than two only wait for each other."""

from __future__ import annotations

import torch

torch.set_num_threads(2)
