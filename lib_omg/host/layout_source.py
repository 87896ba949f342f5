"""Where a generation's layout comes from: a layout pass of its own, or one that was kept and approved."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modules import shared

from lib_omg.core.attention import AttentionHooks, find_attention_layers, low_resolution_cells
from lib_omg.core.errors import OmgError
from lib_omg.core.passes import LayoutPass
from lib_omg.core.schedule import fraction_to_sigma, reached
from lib_omg.core.settings import GROUPING_FROM, TELLING_FROM, MaskSource, OmgSettings
from lib_omg.core.trace import LayoutTrace

from . import progress
from .denoiser import cond_counts
from .heats import Layout
from .layout import decode, run_layout
from .limits import new_store
from .model import schedule_sigmas
from .shelf import Basis, KeptLayout, changes, fields_of, in_ram

if TYPE_CHECKING:
    import torch

    from .denoiser import Instruments
    from .layout import SampleArguments
    from .limits import Limits
    from .regions import Seen

logger = logging.getLogger("OMG")


@dataclass(frozen=True)
class Drawn:
    """A layout as the concept pass needs it.

    Attributes:
        hooks: of this run's UNet, on the layout's attention. grouping: see `heats.Layout`.
    """

    trace: LayoutTrace
    hooks: AttentionHooks
    grouping: Sequence[int]


@dataclass(frozen=True)
class LayoutSource:
    """Makes and recalls layouts for one batch.

    Attributes:
        p: the host's processing object.
    """

    p: Any
    settings: OmgSettings
    limits: Limits
    arguments: SampleArguments
    tools: Instruments

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the latent in cells."""
        return self.arguments.x.shape[-2], self.arguments.x.shape[-1]

    def draw(self) -> Drawn:
        """Run the layout pass."""
        trace = LayoutTrace(new_store(self.limits, in_ram=self._is_kept))
        hooks = self._hooks(trace)
        kept = self.settings.attention_strength > 0 or self._is_kept
        starts = [self._level(c.start) for c in self.settings.concepts]
        if self.by_attention:
            starts.append(self._level(TELLING_FROM))
        layout = LayoutPass(
            trace,
            hooks if kept or self.by_attention else None,
            record_from=float("inf") if self._is_kept else max(starts),  # a kept layout is for any start
            self_until=self.self_until if kept else float("inf"),
            group_from=self._level(GROUPING_FROM) if self.by_attention else 0.0,
        )
        with progress.labelled("OMG layout pass"), hooks.recording() if layout.hooks else ExitStack():
            trace.latent = run_layout(self.p, self.arguments, layout, self.tools)
        self._tell_of_memory(trace)
        return Drawn(trace, hooks, layout.grouped)

    def recall(self, kept: KeptLayout) -> Drawn:
        """The layout of an approved one: its own, or where that was let go, made again.

        Raises:
            OmgError: this run is for another picture than the layout; says what changed.
        """
        if len(self.p.seeds) != 1:
            raise OmgError(
                f"OMG: an approved layout is for one picture, found a batch of {len(self.p.seeds)}. Set the batch size "
                "to 1, or let go of the layout.", 422
            )  # fmt: skip
        told = changes(kept, fields_of(self.p, self._first), self._basis(0))
        if told:
            raise OmgError(
                f"OMG: the approved layout is of another picture: {'; '.join(told)}. Press Layout for a new one, let "
                "go of it, or set back what you changed.", 422
            )  # fmt: skip
        if kept.trace is None:
            drawn = self.draw()
            if not (shared.state.interrupted or shared.state.skipped):
                kept.trace, kept.basis, kept.grouping = drawn.trace, self._basis(0), drawn.grouping
            return drawn
        return Drawn(kept.trace, self._hooks(kept.trace), kept.grouping)

    def keep(self, drawn: Drawn, seen: Sequence[Seen], pictures: Sequence[torch.Tensor]) -> list[KeptLayout]:
        """Every image's layout as a value of its own."""
        made, first = [], 0
        settings = replace(self.settings, layout_only=False, layout="")
        for image, (one, count) in enumerate(zip(seen, cond_counts(self.arguments.cond), strict=True)):
            index = self._first + image
            made.append(
                KeptLayout(
                    fields_of(self.p, index), int(self.p.all_seeds[index]), int(self.p.all_subseeds[index]),
                    (self.p.height, self.p.width), self.size, pictures[image], one.instances, one.owners, settings,
                    drawn.trace.of_image(image, slice(first, first + count)), self._basis(image), drawn.grouping,
                    one.likeness,
                )
            )  # fmt: skip
            first += count
        return made

    def to_see(self, drawn: Drawn) -> Layout:
        """The layout as regions are found in it, its pictures decoded."""
        assert drawn.trace.latent is not None
        pictures = decode(drawn.trace.latent) if self.by_attention or self._shows else ()
        counts = cond_counts(self.arguments.cond)
        telling = self._telling_calls(drawn.trace)
        return Layout(drawn.trace, drawn.hooks.layers, counts, self.size, telling, drawn.grouping, pictures)

    @property
    def by_attention(self) -> bool:
        """Whether somebody is to be found in the layout."""
        return any(c.mask_source is MaskSource.ATTENTION for c in self.settings.concepts)

    @property
    def self_until(self) -> float:
        """Noise level at which the layout's self-attention is let go."""
        return self._level(self.settings.self_attention_end)

    @property
    def _is_kept(self) -> bool:
        return self.settings.layout_only or bool(self.settings.layout)

    @property
    def _shows(self) -> bool:
        return self.settings.show_pictures or self.settings.layout_only

    @property
    def _first(self) -> int:
        """The number of the batch's first image among all of the generation."""
        return int(self.p.iteration * self.p.batch_size)

    def _basis(self, image: int) -> Basis:
        cond, uncond = self.arguments.cond.batch[image], self.arguments.uncond[image]
        return Basis(in_ram(self.arguments.x[image : image + 1]), in_ram(cond), in_ram(uncond))

    def _hooks(self, trace: LayoutTrace) -> AttentionHooks:
        layers = find_attention_layers(shared.sd_model.model.diffusion_model)
        return AttentionHooks(layers, self.tools.cursor, trace.attention, low_resolution_cells(*self.size))

    def _level(self, fraction: float) -> float:
        return fraction_to_sigma(fraction, schedule_sigmas())

    def _telling_calls(self, trace: LayoutTrace) -> list[int]:
        """The kept calls that show where things are: at low noise, where there are such; early maps are noise."""
        threshold = self._level(TELLING_FROM)
        kept = trace.attention.calls()
        return [call for call in kept if reached(trace.calls[call].sigma, threshold)] or kept

    def _tell_of_memory(self, trace: LayoutTrace) -> None:
        store = trace.attention
        logger.info(
            "layout pass: %d denoiser calls, %d UNet rows; kept %.2f MB of x and denoised, %.2f MB of attention "
            "(%.2f MB on the GPU, %.2f MB in RAM)",
            len(trace.calls), self.tools.cursor.total, trace.nbytes / 2**20,
            (store.device_bytes + store.ram_bytes) / 2**20, store.device_bytes / 2**20, store.ram_bytes / 2**20,
        )  # fmt: skip
        if store.dropped_cells is not None:
            text = (
                f"OMG: the memory limit was reached; attention maps of {store.dropped_cells} cells and more are not "
                "kept, so the layout is held less firmly. Raise the limit in Settings > OMG."
            )
            logger.warning(text)
            self.p.comment(text)
