"""A SAM checkpoint: what its contents tell it to be, and its network with the weights in."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.sam_model import PACKAGES, built, kind_of, package, sizes_of
from lib_omg.vision.weights import read_weights, tensor_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

TITLES = {12: "ViT-B", 24: "ViT-L", 32: "ViT-H"}
"""Published encoders by their depth."""


@dataclass(frozen=True)
class SamFile:
    """A file that may be a SAM: .pth as Meta ships them, a safetensors conversion, MobileSAM's .pt."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @cached_property
    def names(self) -> frozenset[str]:
        """Names in its index; empty for a file in an old or damaged form, of which only loading tells more."""
        return tensor_names(self.path)

    @property
    def kind(self) -> str:
        """ "vit", "mobile", "hq", "other", or "unknown" when only loading can tell."""
        return kind_of(self.names) if self.names else "unknown"

    @property
    def title(self) -> str:
        """What it is, for people: ViT-B, MobileSAM..."""
        if self.kind == "vit":
            depth = len({name.split(".")[2] for name in self.names if name.startswith("image_encoder.blocks.")})
            return TITLES.get(depth, f"ViT of {depth} blocks")
        return {"mobile": "MobileSAM", "hq": "SAM-HQ", "unknown": "unknown"}.get(self.kind, "not a SAM")

    @property
    def usable(self) -> bool:
        """Whether it is a SAM that OMG knows, and the package for it is installed."""
        needed = PACKAGES.get("vit" if self.kind == "unknown" else self.kind)
        return needed is not None and importlib.util.find_spec(needed) is not None

    def load(self) -> Any:
        """The network in main memory, ready for use, in single precision.

        Raises:
            SourceUnavailable: not a SAM, one of another kind, damaged, or its package is missing.
        """
        state = read_weights(self.path)
        kind = kind_of(state)
        if kind not in PACKAGES:
            said = "is a SAM-HQ, which has a mask decoder of its own" if kind == "hq" else "is not a SAM"
            raise SourceUnavailable(
                f"{self.name} {said}. OMG takes Meta's SAM (ViT-B, L or H) and MobileSAM. (It holds {len(state)} "
                f"tensors, e.g. {', '.join(list(state)[:2])}.)"
            )
        try:
            return _vit(state) if kind == "vit" else _mobile(state)
        except (KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise SourceUnavailable(f"{self.name} is not a whole SAM: {str(error).strip()[:300]}") from error


def _vit(state: Mapping[str, torch.Tensor]) -> Any:
    import torch

    with torch.device("meta"):  # no time and memory for weights that are replaced at once
        model = built(sizes_of(state))
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    _pixel_statistics(model)
    return model.eval().requires_grad_(False)


def _pixel_statistics(model: Any) -> None:
    """Put the buffers in that no file holds."""
    import torch

    from lib_omg.vision.sam_model import PIXEL_MEAN, PIXEL_STD

    model.pixel_mean = torch.tensor(PIXEL_MEAN).view(-1, 1, 1)
    model.pixel_std = torch.tensor(PIXEL_STD).view(-1, 1, 1)


def _mobile(state: Mapping[str, torch.Tensor]) -> Any:
    model = package(PACKAGES["mobile"]).sam_model_registry["vit_t"]()
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    # `eval` after loading: TinyViT computes its attention biases from the weights then
    return model.eval().requires_grad_(False)
