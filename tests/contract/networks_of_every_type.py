"""Small random networks of every type the loader knows, in kohya's and LyCORIS' key names, for the loaded UNet."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

TYPES = ("lora", "locon", "locon_mid", "loha", "lokr", "ia3", "full", "norm", "glora", "oft", "dora", "mixed")
LINEAR = r"diffusion_model_(input_blocks_\d+_1_transformer_blocks_0_attn1_to_q)"
CROSS = r"diffusion_model_(output_blocks_\d+_1_transformer_blocks_0_attn2_to_k)"
CONV = r"diffusion_model_(input_blocks_\d+_0_in_layers_2)"
DOWN = r"diffusion_model_(input_blocks_\d+_0_op)"
ONE = r"diffusion_model_(middle_block_1_proj_in)"
NORM = r"diffusion_model_(input_blocks_\d+_1_transformer_blocks_0_norm2)"
GROUP_NORM = r"diffusion_model_(input_blocks_\d+_0_in_layers_0)"
TEXT = r"transformer_(text_model_encoder_layers_1_self_attn_q_proj)"
BLOCK = 8
"""Size of OFT's blocks, and of LoKr's smaller matrix; every layer's is a multiple of it."""


@dataclass(frozen=True)
class Layer:
    """A layer of the loaded checkpoint: its key in files, and its weight's shape (O, I...)."""

    key: str
    shape: tuple[int, ...]

    @property
    def inside(self) -> int:
        """Inputs."""
        return self.shape[1]

    def parts(self, **parts: torch.Tensor) -> dict[str, torch.Tensor]:
        """A file's tensors; `__` in a part's name is a dot."""
        return {f"{self.key}.{part.replace('__', '.')}": value for part, value in parts.items()}


def layer(pattern: str, prefix: str = "lora_unet") -> Layer:
    """The first layer of the loaded checkpoint that is called so."""
    from modules import shared

    for name, module in shared.sd_model.network_layer_mapping.items():
        if match := re.fullmatch(pattern, name):
            return Layer(f"{prefix}_{match[1]}", tuple(module.weight.shape))
    raise LookupError(f"expected a layer of the loaded checkpoint like {pattern}, found none")


def write(kind: str, folder: Path, seed: int = 0) -> str:
    """Write a network of a type; gives its name."""
    torch.manual_seed(seed)
    name = f"{kind}_{seed}"
    tensors: dict[str, torch.Tensor] = {}
    for part in ("lora", "loha", "norm") if kind == "mixed" else (kind,):
        for key, values in _MAKERS[part]().items():
            tensors[key] = values.float().contiguous()
    save_file(tensors, folder / f"{name}.safetensors", {"ss_output_name": name})
    return name


def _r(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape) * scale


def _low_rank(place: Layer, rank: int = 4, scale: float = 0.15) -> dict[str, torch.Tensor]:
    out, inside, *kernel = place.shape
    ones = [1] * len(kernel)
    down = _r(rank, inside, *kernel, scale=1 / math.sqrt(inside))
    up = _r(out, rank, *ones, scale=scale)
    return place.parts(lora_down__weight=down, lora_up__weight=up, alpha=torch.tensor(3.0))


def _lora() -> dict[str, torch.Tensor]:
    text = layer(TEXT, "lora_te")
    out, inside = text.shape
    parts = text.parts(lora_down__weight=_r(4, inside), lora_up__weight=_r(out, 4, scale=0.1), alpha=torch.tensor(4.0))
    return {**_low_rank(layer(LINEAR)), **_low_rank(layer(CROSS)), **_low_rank(layer(ONE)), **parts}


def _locon() -> dict[str, torch.Tensor]:
    return {**_low_rank(layer(CONV)), **_low_rank(layer(DOWN)), **_low_rank(layer(LINEAR))}


def _locon_mid() -> dict[str, torch.Tensor]:
    place = layer(CONV)
    out, inside, *kernel = place.shape
    return place.parts(
        lora_down__weight=_r(4, inside, 1, 1, scale=0.3), lora_mid__weight=_r(4, 4, *kernel, scale=0.3),
        lora_up__weight=_r(out, 4, 1, 1, scale=0.3), alpha=torch.tensor(4.0),
    )  # fmt: skip


def _loha() -> dict[str, torch.Tensor]:
    made = {}
    for place in (layer(LINEAR), layer(CROSS)):
        out, inside = place.shape
        made.update(place.parts(hada_w1_a=_r(out, 4, scale=0.4), hada_w1_b=_r(4, inside, scale=0.4),
                                hada_w2_a=_r(out, 4, scale=0.4), hada_w2_b=_r(4, inside, scale=0.4),
                                alpha=torch.tensor(2.0)))  # fmt: skip
    return made


def _lokr() -> dict[str, torch.Tensor]:
    place = layer(LINEAR)
    out, inside = place.shape
    return place.parts(
        lokr_w1=_r(BLOCK, BLOCK, scale=0.2), lokr_w2_a=_r(out // BLOCK, 4, scale=0.4),
        lokr_w2_b=_r(4, inside // BLOCK, scale=0.4), alpha=torch.tensor(4.0),
    )  # fmt: skip


def _ia3() -> dict[str, torch.Tensor]:
    one, two = layer(LINEAR), layer(CROSS)
    return {
        **one.parts(weight=_r(one.shape[0], scale=0.3), on_input=torch.tensor(0.0)),
        **two.parts(weight=_r(two.inside, scale=0.3), on_input=torch.tensor(1.0)),
    }


def _full() -> dict[str, torch.Tensor]:
    one, two = layer(LINEAR), layer(CONV)
    return {
        **one.parts(diff=_r(*one.shape, scale=0.05)),
        **two.parts(diff=_r(*two.shape, scale=0.02), diff_b=_r(two.shape[0], scale=0.1)),
    }


def _norm() -> dict[str, torch.Tensor]:
    made = {}
    for place in (layer(NORM), layer(GROUP_NORM)):
        made.update(place.parts(w_norm=_r(*place.shape, scale=0.3), b_norm=_r(*place.shape, scale=0.2)))
    return made


def _glora() -> dict[str, torch.Tensor]:
    place = layer(LINEAR)
    out, inside = place.shape
    return place.parts(a1__weight=_r(4, inside, scale=0.2), a2__weight=_r(inside, 4, scale=0.2),
                       b1__weight=_r(4, inside, scale=0.2), b2__weight=_r(out, 4, scale=0.2),
                       alpha=torch.tensor(4.0))  # fmt: skip


def _oft() -> dict[str, torch.Tensor]:
    place = layer(LINEAR, "oft_unet")
    blocks = _r(place.shape[0] // BLOCK, BLOCK, BLOCK, scale=0.2)
    return place.parts(oft_blocks=blocks, alpha=torch.tensor(1.0))


def _dora() -> dict[str, torch.Tensor]:
    place = layer(LINEAR)
    return {**_low_rank(place), **place.parts(dora_scale=(1 + _r(place.shape[0], 1, scale=0.2)).abs())}


_MAKERS = {
    "lora": _lora, "locon": _locon, "locon_mid": _locon_mid, "loha": _loha, "lokr": _lokr, "ia3": _ia3, "full": _full,
    "norm": _norm, "glora": _glora, "oft": _oft, "dora": _dora,
}  # fmt: skip
