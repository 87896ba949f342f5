"""Cross-attention by region: inside its region a prompt of its own answers, elsewhere the picture's.

What Mix-of-Show's region-controlled sampling and Regional Prompter's Attention mode have in common. Blending the whole
layer's output is the same as blending before its last linear layer, as both do, since the shares sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bench.methods.regions import Box, shares
from lib_omg.core.attention import find_attention_layers
from lib_omg.vision.attention_maps import map_size

if TYPE_CHECKING:
    from bench.host import Forward, Wrap
    from lib_omg.core.rows import RowCursor


@dataclass
class RegionalAttention:
    """A forward hook of cross-attention layers, and what it has to know.

    Attributes:
        cursor: tells which rows of a UNet call are the picture's cond rows.
        boxes, base_share: see `shares`.
        contexts: (N, T, C), the regions' encoded prompts. size: (height, width) of the running latent in cells.
    """

    cursor: RowCursor
    boxes: Sequence[Box]
    base_share: float = 0.0
    contexts: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))
    size: tuple[int, int] = (0, 0)

    def __call__(
        self, layer: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: Mapping[str, Any], output: torch.Tensor
    ) -> torch.Tensor | None:
        """The layer's output (N, Q, C), its cond rows blended."""
        start, stop = self.cursor.cond_span()
        if start == stop:
            return None
        x = args[0][start:stop]
        everybody = self._shares(x.shape[1]).to(x)
        mixed = output[start:stop] * everybody[0]
        for share, context in zip(everybody[1:], self.contexts, strict=True):
            # `forward` itself: called as a module it would come back here
            mixed = mixed + share * layer.forward(x, context=context.expand(len(x), -1, -1))
        return torch.cat([output[:start], mixed, output[stop:]])

    def _shares(self, cells: int) -> torch.Tensor:
        """(1 + N, Q, 1) for a map of Q cells."""
        grid = map_size(cells, self.size)
        if grid is None:
            raise ValueError(f"expected a map made by halving {self.size} cells, found {cells} cells")
        return shares(self.boxes, *grid, self.base_share).flatten(1)[..., None]  # (1 + N, H, W) -> (1 + N, Q, 1)


@contextmanager
def regional_attention(prompts: Sequence[str], boxes: Sequence[Box], base_share: float = 0.0) -> Iterator[Wrap]:
    """While open, cross-attention goes by region in runs whose denoiser has the given wrapping.

    Args:
        prompts: of the regions; encoded with the networks that are active in the run.
        boxes, base_share: see `shares`.
    """
    from modules import shared

    from lib_omg.host.denoiser import instruments

    with ExitStack() as stack:
        hook = RegionalAttention(stack.enter_context(instruments(max_rows=0)).cursor, boxes, base_share)
        for found in find_attention_layers(shared.sd_model.model.diffusion_model):
            if found.is_cross:
                stack.callback(found.module.register_forward_hook(hook, with_kwargs=True).remove)
        yield _wrap(hook, prompts)


def _wrap(hook: RegionalAttention, prompts: Sequence[str]) -> Wrap:
    from lib_omg.core.rows import global_rows
    from lib_omg.host.denoiser import cond_counts

    def wrap(_denoiser: Any) -> Callable[[Forward], Forward]:
        hook.contexts = encoded(prompts)

        def make(forward: Forward) -> Forward:
            def call(x: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
                hook.size = (x.shape[-2], x.shape[-1])
                with hook.cursor.follow(global_rows(cond_counts(kwargs["cond"]))):
                    return forward(x, sigma, **kwargs)

            return call

        return make

    return wrap


def encoded(prompts: Sequence[str]) -> torch.Tensor:
    """Prompts as the host's text encoder now gives them: (N, T, C)."""
    from modules import devices, prompt_parser, shared

    with devices.autocast(), torch.no_grad():
        # without prompt editing in them, one cond holds for every step
        schedules = prompt_parser.get_learned_conditioning(
            shared.sd_model, prompt_parser.SdConditioning(list(prompts)), 1
        )
    return prompt_parser.reconstruct_cond_batch(schedules, 0)
