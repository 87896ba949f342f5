"""Small random networks of every type the loader knows, in kohya's and LyCORIS' key names, for the toy UNet."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import save_file

TYPES = ("lora", "locon", "locon_mid", "loha", "lokr", "ia3", "full", "norm", "glora", "oft", "dora", "mixed")

LINEAR = ("input_blocks_1_1_transformer_blocks_0_attn1_to_q", (64, 64))
CROSS = ("output_blocks_2_1_transformer_blocks_0_attn2_to_k", (128, 64))
CONV = ("input_blocks_1_0_in_layers_2", (64, 64, 3, 3))
DOWN = ("input_blocks_2_0_op", (64, 64, 3, 3))
ONE = ("middle_block_1_proj_in", (192, 192, 1, 1))
NORM = ("input_blocks_1_1_transformer_blocks_0_norm2", (64,))
GROUP_NORM = ("input_blocks_1_0_in_layers_0", (64,))
TEXT = ("lora_te_text_model_encoder_layers_1_self_attn_q_proj", (64, 64))


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


def _unet(layer: tuple[str, tuple[int, ...]], **parts: torch.Tensor) -> dict[str, torch.Tensor]:
    return {f"lora_unet_{layer[0]}.{part.replace('__', '.')}": value for part, value in parts.items()}


def _r(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape) * scale


def _low_rank(layer: tuple[str, tuple[int, ...]], rank: int = 4) -> dict[str, torch.Tensor]:
    out, inside, *kernel = layer[1]
    ones = [1] * len(kernel)
    down = _r(rank, inside, *kernel, scale=1 / math.sqrt(inside))
    return _unet(
        layer, lora_down__weight=down, lora_up__weight=_r(out, rank, *ones, scale=0.15), alpha=torch.tensor(3.0)
    )


def _lora() -> dict[str, torch.Tensor]:
    text = {f"{TEXT[0]}.lora_down.weight": _r(4, 64), f"{TEXT[0]}.lora_up.weight": _r(64, 4, scale=0.1)}
    text[f"{TEXT[0]}.alpha"] = torch.tensor(4.0)
    return {**_low_rank(LINEAR), **_low_rank(CROSS), **_low_rank(ONE), **text}


def _locon() -> dict[str, torch.Tensor]:
    return {**_low_rank(CONV), **_low_rank(DOWN), **_low_rank(LINEAR)}


def _locon_mid() -> dict[str, torch.Tensor]:
    return _unet(
        CONV, lora_down__weight=_r(4, 64, 1, 1, scale=0.3), lora_mid__weight=_r(4, 4, 3, 3, scale=0.3),
        lora_up__weight=_r(64, 4, 1, 1, scale=0.3), alpha=torch.tensor(4.0),
    )  # fmt: skip


def _loha() -> dict[str, torch.Tensor]:
    made = {}
    for layer in (LINEAR, CROSS):
        out, inside = layer[1]
        made.update(_unet(layer, hada_w1_a=_r(out, 4, scale=0.4), hada_w1_b=_r(4, inside, scale=0.4),
                          hada_w2_a=_r(out, 4, scale=0.4), hada_w2_b=_r(4, inside, scale=0.4),
                          alpha=torch.tensor(2.0)))  # fmt: skip
    return made


def _lokr() -> dict[str, torch.Tensor]:
    return _unet(LINEAR, lokr_w1=_r(8, 8, scale=0.2), lokr_w2_a=_r(8, 4, scale=0.4), lokr_w2_b=_r(4, 8, scale=0.4),
                 alpha=torch.tensor(4.0))  # fmt: skip


def _ia3() -> dict[str, torch.Tensor]:
    return {
        **_unet(LINEAR, weight=_r(64, scale=0.3), on_input=torch.tensor(0.0)),
        **_unet(CROSS, weight=_r(64, scale=0.3), on_input=torch.tensor(1.0)),
    }


def _full() -> dict[str, torch.Tensor]:
    return {
        **_unet(LINEAR, diff=_r(64, 64, scale=0.05)),
        **_unet(CONV, diff=_r(64, 64, 3, 3, scale=0.02), diff_b=_r(64, scale=0.1)),
    }


def _norm() -> dict[str, torch.Tensor]:
    return {
        **_unet(NORM, w_norm=_r(64, scale=0.3), b_norm=_r(64, scale=0.2)),
        **_unet(GROUP_NORM, w_norm=_r(64, scale=0.3), b_norm=_r(64, scale=0.2)),
    }


def _glora() -> dict[str, torch.Tensor]:
    return _unet(LINEAR, a1__weight=_r(4, 64, scale=0.2), a2__weight=_r(64, 4, scale=0.2),
                 b1__weight=_r(4, 64, scale=0.2), b2__weight=_r(64, 4, scale=0.2), alpha=torch.tensor(4.0))  # fmt: skip


def _oft() -> dict[str, torch.Tensor]:
    return {
        f"oft_unet_{LINEAR[0]}.oft_blocks": _r(8, 8, 8, scale=0.2),
        f"oft_unet_{LINEAR[0]}.alpha": torch.tensor(1.0),
    }


def _dora() -> dict[str, torch.Tensor]:
    made = _low_rank(LINEAR)
    made.update(_unet(LINEAR, dora_scale=(1 + _r(64, 1, scale=0.2)).abs()))
    return made


_MAKERS = {
    "lora": _lora, "locon": _locon, "locon_mid": _locon_mid, "loha": _loha, "lokr": _lokr, "ia3": _ia3, "full": _full,
    "norm": _norm, "glora": _glora, "oft": _oft, "dora": _dora,
}  # fmt: skip
