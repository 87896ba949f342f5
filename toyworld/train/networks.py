"""Trainable adapters of the kinds the WebUI loads, put on frozen layers by forward hooks.

Every kind adds to its layer's output what a difference `delta` to the layer's weight would add, with the formula that
the WebUI 1.10.1 rebuilds weights by, and writes the keys its loader reads.
"""

from __future__ import annotations

import contextlib
import enum
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch.nn import functional

from toyworld.train.names import TEXT_PREFIX, Layer

LAYERS_AFTER = ("ff_net_2", "mlp_fc2")
"""IA3 scales what enters these, and what leaves the others."""
LOKR_FACTOR = 8


class Kind(enum.Enum):
    """Formats of networks."""

    LORA = "lora"
    LOCON = "locon"
    LOHA = "loha"
    LOKR = "lokr"
    IA3 = "ia3"
    DORA = "dora"
    OFT = "oft"


class Adapter(torch.nn.Module):
    """Trainable weights for one frozen layer.

    Args:
        name: kohya's name of the layer.
        layer: linear or convolution layer; stays outside the adapter's parameters.
        rank: inner size; less where the layer has less.
        scale: what the difference is multiplied with, alpha / rank in the file; a kind without it scales its weights.
    """

    stored = torch.float16

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__()
        self.name = name
        self.layers = (layer,)  # a tuple hides it from torch, which would train and save it too
        self.outside = layer.weight.shape[0]
        self.inside = layer.weight[0].numel()
        self.rank = min(rank, self.outside, self.inside)
        self.scale = scale

    @property
    def weight(self) -> torch.Tensor:
        """The layer's own weight (O, I) or (O, I, kh, kw)."""
        return self.layers[0].weight

    def delta(self) -> torch.Tensor:
        """Difference to the layer's weight, of its shape."""
        raise NotImplementedError

    def parts(self) -> dict[str, torch.Tensor]:
        """What the file holds of it, by the ends of the keys."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What it adds to the layer's output for the layer's input `x`."""
        with torch.autocast(x.device.type, enabled=False):  # small differences of near numbers: not for half precision
            delta = self.delta()
        return self.run(x, delta)

    def run(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The layer's operation with another weight and no bias."""
        layer = self.layers[0]
        if isinstance(layer, torch.nn.Conv2d):
            return functional.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        return functional.linear(x, weight)

    def alpha(self) -> torch.Tensor:
        """kohya's alpha, a scalar."""
        return torch.tensor(self.scale * self.rank)

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors of the file by their whole keys."""
        return {f"{self.name}.{part}": t.detach().to(self.stored).contiguous() for part, t in self.parts().items()}


def _spread(*shape: int) -> torch.nn.Parameter:
    """Uniform in +-1/sqrt(inputs), as a layer of this shape starts."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return torch.nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _zeros(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(shape))


class LoRA(Adapter):
    """Low rank, https://arxiv.org/abs/2106.09685: up (O, R, 1, 1) times down (R, I, kh, kw)."""

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__(name, layer, rank, scale)
        shape = layer.weight.shape
        self.down = _spread(self.rank, *shape[1:])
        self.up = _zeros(self.outside, self.rank, *[1] * len(shape[2:]))

    def delta(self) -> torch.Tensor:
        return (self.up.flatten(1) @ self.down.flatten(1)).view(self.weight.shape) * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.run(x, self.down)
        found = functional.conv2d(hidden, self.up) if self.up.dim() == 4 else functional.linear(hidden, self.up)
        return found * self.scale

    def parts(self) -> dict[str, torch.Tensor]:
        return {"lora_down.weight": self.down, "lora_up.weight": self.up, "alpha": self.alpha()}


class DoRA(LoRA):
    """Direction by LoRA and length apart, https://arxiv.org/abs/2402.09353; the host takes lengths along the inputs."""

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__(name, layer, rank, scale)
        self.lengths = torch.nn.Parameter(_lengths(layer.weight.detach()))

    def delta(self) -> torch.Tensor:
        merged = self.weight + super().delta()
        return merged * (self.lengths / _lengths(merged)) - self.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Adapter.forward(self, x)

    def parts(self) -> dict[str, torch.Tensor]:
        return {**super().parts(), "dora_scale": self.lengths}


def _lengths(weight: torch.Tensor) -> torch.Tensor:
    """Lengths (1, I) or (1, I, 1, 1) of what each input gives to all outputs."""
    over = [0, *range(2, weight.dim())]
    return weight.square().sum(over, keepdim=True).sqrt()


class LoHa(Adapter):
    """Elementwise product of two low ranks, https://arxiv.org/abs/2108.06098."""

    stored = torch.float32  # the host multiplies them as they are, which torch 2.1 can't on a CPU in half precision

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__(name, layer, rank, scale)
        self.w1_a = torch.nn.Parameter(torch.randn(self.outside, self.rank) * 0.1)
        self.w1_b = torch.nn.Parameter(torch.randn(self.rank, self.inside))
        self.w2_a = _zeros(self.outside, self.rank)
        self.w2_b = torch.nn.Parameter(torch.randn(self.rank, self.inside))

    def delta(self) -> torch.Tensor:
        product = (self.w1_a @ self.w1_b) * (self.w2_a @ self.w2_b)
        return product.view(self.weight.shape) * self.scale

    def parts(self) -> dict[str, torch.Tensor]:
        return {
            "hada_w1_a": self.w1_a, "hada_w1_b": self.w1_b, "hada_w2_a": self.w2_a, "hada_w2_b": self.w2_b,
            "alpha": self.alpha(),
        }  # fmt: skip


class LoKr(Adapter):
    """Kronecker product of a small matrix and a low rank, https://arxiv.org/abs/2212.10650."""

    stored = torch.float32  # as LoHa

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__(name, layer, rank, scale)
        rows, columns = (_divisor(size, LOKR_FACTOR) for size in layer.weight.shape[:2])
        self.rank = min(self.rank, self.outside // rows, self.inside // columns)
        self.w1 = _spread(rows, columns)
        self.w2_a = _spread(self.outside // rows, self.rank)
        self.w2_b = _zeros(self.rank, self.inside // columns)

    def delta(self) -> torch.Tensor:
        return torch.kron(self.w1, self.w2_a @ self.w2_b).view(self.weight.shape) * self.scale

    def parts(self) -> dict[str, torch.Tensor]:
        return {"lokr_w1": self.w1, "lokr_w2_a": self.w2_a, "lokr_w2_b": self.w2_b, "alpha": self.alpha()}


def _divisor(size: int, most: int) -> int:
    """The greatest divisor of `size` up to `most`."""
    return max(n for n in range(1, most + 1) if size % n == 0)


class IA3(Adapter):
    """Weights scaled along outputs or inputs, https://arxiv.org/abs/2205.05638; linear layers only, rank unused."""

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__(name, layer, rank, scale)
        self.on_input = name.endswith(LAYERS_AFTER)
        self.change = _zeros(self.inside if self.on_input else self.outside)

    def delta(self) -> torch.Tensor:
        return self.weight * self.scale * (self.change if self.on_input else self.change[:, None])

    def parts(self) -> dict[str, torch.Tensor]:
        return {"weight": self.change * self.scale, "on_input": torch.tensor(float(self.on_input))}


class OFT(Adapter):
    """Outputs rotated in blocks, https://arxiv.org/abs/2306.07280; `rank` is the size of a block."""

    def __init__(self, name: str, layer: Layer, rank: int, scale: float = 1.0) -> None:
        super().__init__(name, layer, rank, scale)
        self.rank = _divisor(self.outside, rank)
        self.blocks = _zeros(self.outside // self.rank, self.rank, self.rank)

    def upper(self) -> torch.Tensor:
        """Upper triangles (blocks, R, R): the host takes a block less its transpose, exact only if the rest is zero."""
        return self.blocks.triu(1) * self.scale

    def delta(self) -> torch.Tensor:
        eye = torch.eye(self.rank, device=self.blocks.device)
        upper = self.upper()
        skew = upper - upper.transpose(1, 2)
        rotations = (eye + skew) @ torch.linalg.inv(eye - skew)  # Cayley
        pieces = self.weight.flatten(1).view(-1, self.rank, self.inside)  # (O, I...) -> (blocks, R, I...)
        return (rotations.transpose(1, 2) @ pieces - pieces).view(self.weight.shape)

    def parts(self) -> dict[str, torch.Tensor]:
        return {"oft_blocks": self.upper(), "alpha": torch.tensor(0.0)}  # 0: no limit to the rotation


CLASSES: Mapping[Kind, type[Adapter]] = {
    Kind.LORA: LoRA, Kind.LOCON: LoRA, Kind.LOHA: LoHa, Kind.LOKR: LoKr, Kind.IA3: IA3, Kind.DORA: DoRA, Kind.OFT: OFT,
}  # fmt: skip


class Network(torch.nn.Module):
    """Adapters of one kind on some layers.

    Args:
        kind: of all adapters.
        layers: by kohya's names.
        rank: of all adapters.
        text_scale: scale of the text encoder's. Adam's steps do not depend on the gradient's size, so a scale below 1
            is a lower learning rate.
    """

    def __init__(self, kind: Kind, layers: Mapping[str, Layer], rank: int, text_scale: float = 1.0) -> None:
        super().__init__()
        self.adapters = torch.nn.ModuleList(
            CLASSES[kind](name, layer, rank, text_scale if name.startswith(TEXT_PREFIX) else 1.0)
            for name, layer in layers.items()
        )

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Meanwhile the layers' outputs are the adapted ones."""
        with contextlib.ExitStack() as stack:
            for adapter in self.adapters:
                handle = adapter.layers[0].register_forward_hook(_hook(adapter))
                stack.callback(handle.remove)
            yield

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors of the file by their keys."""
        return {key: tensor for adapter in self.adapters for key, tensor in adapter.state().items()}


def _hook(adapter: Adapter) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...], torch.Tensor], torch.Tensor]:
    def add(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output + adapter(inputs[0])

    return add
