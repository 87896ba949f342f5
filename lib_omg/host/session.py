"""One generation: everything OMG holds and undoes lives here, and ends here."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from modules import sd_samplers, shared

from lib_omg.core.adapters import routed_adapters
from lib_omg.core.attention import AttentionHooks, find_attention_layers, low_resolution_cells
from lib_omg.core.errors import OmgError
from lib_omg.core.passes import ConceptPass, ConceptPlan, LayoutPass
from lib_omg.core.prompts import find_word
from lib_omg.core.schedule import fraction_to_sigma, reached
from lib_omg.core.settings import GROUPING_FROM, TELLING_FROM, MaskSource, OmgSettings, OnMissing, PromptMode, View
from lib_omg.core.trace import LayoutTrace
from lib_omg.core.windows import crop_window, whole

from . import conds, loras, pictures, progress
from .denoiser import Instruments, concept_forward, cond_counts, instruments
from .layout import SampleArguments, decode, run_layout
from .limits import Limits, new_store
from .model import check_host, schedule_sigmas, unet_stride
from .patching import replaced
from .regions import Layout, empty_concepts, find_regions, finished_masks

logger = logging.getLogger("OMG")


@dataclass
class Session:
    """The state of one generation (all its batches).

    Attributes:
        p: the host's processing object. library: loaded LoRAs, kept over generations.
        regions: raw regions of the current batch's images, (N, H, W) each; the hires pass uses them again.
        shown: layout and mask pictures for the gallery.
    """

    p: Any
    settings: OmgSettings
    library: loras.LoraLibrary
    limits: Limits
    regions: list[torch.Tensor] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)
    passes_done: int = 0
    counted: bool = False
    undo: ExitStack = field(default_factory=ExitStack)
    """Everything changed on the host's objects for the whole generation."""
    _left_out: set[int] = field(default_factory=set)

    # --- the first pass -------------------------------------------------------------------------------------

    def first_pass(self, sample: Callable[..., torch.Tensor], arguments: SampleArguments) -> torch.Tensor:
        """Layout pass, regions, concept pass; gives the concept pass's latent (B, C, H, W).

        Raises:
            OmgError: something can't be done; nothing is left behind.
        """
        check_host(self.p)
        if not self.counted:
            progress.count_layouts(self.p)
            self.counted = True
        size = (arguments.x.shape[-2], arguments.x.shape[-1])
        self._left_out.clear()
        frame = self._frame(self.p.prompts, self.p.negative_prompts)
        words, nets = self._concepts(frame)
        with instruments(self.limits.rows_per_batch) as tools:
            trace, hooks, grouping = self._layout(arguments, tools, size)
            if shared.state.interrupted or shared.state.skipped:
                self.p.comment("OMG: interrupted in the layout pass; this picture has no concepts in it.")
                self.passes_done += 1
                assert trace.latent is not None
                return trace.latent
            shared.state.nextjob()
            assert trace.latent is not None
            seen = decode(trace.latent) if self._by_attention or self.settings.show_pictures else []
            layout = Layout(
                trace, hooks.layers, cond_counts(arguments.cond), size, self._telling_calls(trace), grouping,
                seen if self._by_attention else (),
            )  # fmt: skip
            self.regions = find_regions(self.settings.concepts, layout, frame)
            plans = self._plans(size, arguments.x.device)
            if self.settings.show_pictures:
                self.shown += pictures.layout_pictures(seen, [p.masks for p in plans], self.settings)
            concept_pass = ConceptPass(plans, trace, self._overwriting(hooks), self._self_until())
            latent = self._concept_run(concept_pass, _Run(sample, arguments, words, nets, frame), tools)
        self._report(trace, concept_pass, tools)
        trace.attention.clear()
        return latent

    # --- the hires pass -------------------------------------------------------------------------------------

    def hires_pass(self, sample: Callable[..., torch.Tensor], arguments: SampleArguments) -> torch.Tensor:
        """The concepts drawn again in the hires pass, in the regions found before; nothing is replayed there."""
        check_host(self.p)
        if shared.state.interrupted or shared.state.skipped:
            self.passes_done += 1
            return sample(arguments)
        size = (arguments.x.shape[-2], arguments.x.shape[-1])
        frame = self._frame(self.p.hr_prompts, self.p.hr_negative_prompts, hires=True)
        if not self.regions:
            self.regions = find_regions(self.settings.concepts, None, frame)
        words, nets = self._concepts(frame)
        # the upscaled picture is the layout: a call without the concepts would only wash them out
        plans = [replace(plan, start_sigma=math.inf) for plan in self._plans(size, arguments.x.device)]
        with instruments(self.limits.rows_per_batch) as tools:
            run = _Run(sample, arguments, words, nets, frame)
            return self._concept_run(ConceptPass(plans), run, tools)

    # --- parts ----------------------------------------------------------------------------------------------

    def _layout(
        self, arguments: SampleArguments, tools: Instruments, size: tuple[int, int]
    ) -> tuple[LayoutTrace, AttentionHooks, list[int]]:
        unet = shared.sd_model.model.diffusion_model
        trace = LayoutTrace(new_store(self.limits))
        hooks = AttentionHooks(find_attention_layers(unet), tools.cursor, trace.attention, low_resolution_cells(*size))
        kept = self.settings.attention_strength > 0
        starts = [fraction_to_sigma(c.start, schedule_sigmas()) for c in self.settings.concepts]
        layout = LayoutPass(
            trace,
            hooks if kept or self._by_attention else None,
            record_from=max([*starts, self._level(TELLING_FROM)] if self._by_attention else starts),
            self_until=self._self_until() if kept else float("inf"),
            group_from=self._level(GROUPING_FROM) if self._by_attention else 0.0,
        )
        with progress.labelled("OMG layout pass"), hooks.recording() if layout.hooks else ExitStack():
            trace.latent = run_layout(self.p, arguments, layout, tools)
        store = trace.attention
        logger.info(
            "layout pass: %d denoiser calls, %d UNet rows; kept %.2f MB of x and denoised, %.2f MB of attention "
            "(%.2f MB on the GPU, %.2f MB in RAM)",
            len(trace.calls), tools.cursor.total, trace.nbytes / 2**20,
            (store.device_bytes + store.ram_bytes) / 2**20, store.device_bytes / 2**20, store.ram_bytes / 2**20,
        )  # fmt: skip
        if store.dropped_cells is not None:
            text = (
                f"OMG: the memory limit was reached; attention maps of {store.dropped_cells} cells and more are not "
                "kept, so the layout is held less firmly. Raise the limit in Settings > OMG."
            )
            logger.warning(text)
            self.p.comment(text)
        return trace, hooks, layout.grouped

    def _concept_run(self, concept_pass: ConceptPass, run: _Run, tools: Instruments) -> torch.Tensor:
        labels = [concept.label for concept in self.settings.concepts]
        texts = [
            conds.encode(words, nets, self._plan_windows(concept_pass, n), run.frame, concept.cfg_scale)
            for n, (words, nets, concept) in enumerate(zip(run.words, run.nets, self.settings.concepts, strict=True))
        ]
        deltas = loras.unet_deltas(run.nets, labels, self.limits.delta_bytes)
        denoiser = self.p.sampler.model_wrap_cfg
        with ExitStack() as stack:
            stack.enter_context(routed_adapters(deltas, tools.cursor))
            if concept_pass.hooks is not None:
                stack.enter_context(concept_pass.hooks.overwriting())
            stack.enter_context(replaced(denoiser, "forward", concept_forward(denoiser, concept_pass, texts, tools)))
            stack.enter_context(progress.labelled("OMG concept pass"))
            latent = run.sample(run.arguments)
        self.passes_done += 1
        return latent

    def _plan_windows(self, concept_pass: ConceptPass, concept: int) -> Sequence[Any]:
        return next(plan.windows for plan in concept_pass.plans if plan.concept == concept)

    def _plans(self, size: tuple[int, int], device: torch.device) -> list[ConceptPlan]:
        """Masks, windows and starts of all concepts; those that own nothing stop the generation or are left out."""
        masks = torch.stack([finished_masks(found, self.settings, size) for found in self.regions])  # (B, N, H, W)
        for image, of_image in enumerate(masks):
            for number in empty_concepts(of_image):
                if number in self._left_out:
                    continue
                self._missing(
                    number,
                    f"OMG, concept {self.settings.concepts[number].label!r}: no region was found for it in image "
                    f"{image + 1} of the batch. Draw a box or paint its mask, try another seed, or let OMG go on "
                    "without such a concept.",
                    forget=False,
                )
                of_image[number] = 0
        for number in self._left_out:
            masks[:, number] = 0
        stride = unet_stride()
        plans = []
        for number, concept in enumerate(self.settings.concepts):
            own = masks[:, number]
            if self.settings.view is View.CROP:
                windows = tuple(crop_window(mask, self.settings.crop_margin, stride) for mask in own)
            else:
                windows = tuple(whole(*size) for _ in own)
            start_sigma = fraction_to_sigma(concept.start, schedule_sigmas())
            plans.append(ConceptPlan(number, start_sigma, own.to(device), windows))
        return plans

    def _check_words(self, frame: conds.PromptFrame) -> None:
        for number, concept in enumerate(self.settings.concepts):
            needs = concept.mask_source is MaskSource.ATTENTION or concept.prompt_mode is not PromptMode.OWN
            for prompt in frame.prompts:
                if needs and number not in self._left_out and not find_word(prompt, concept.class_word):
                    self._missing(number, conds.missing_word(concept, prompt), forget=True)

    def _missing(self, number: int, text: str, *, forget: bool) -> None:
        if self.settings.on_missing is OnMissing.STOP:
            raise OmgError(text)
        if forget:
            self._left_out.add(number)
        text = f"{text} Went on without it."
        logger.warning(text)
        self.p.comment(text)

    def _concepts(self, frame: conds.PromptFrame) -> tuple[list[conds.ConceptWords], list[list[Any]]]:
        """Every concept's prompts and its loaded networks; what is wrong with them comes up before any sampling."""
        self._check_words(frame)
        words = self._words(frame)
        return words, self.library.load([w.requests for w in words], [c.label for c in self.settings.concepts])

    def _words(self, frame: conds.PromptFrame) -> list[conds.ConceptWords]:
        concepts = self.settings.concepts
        empty = conds.ConceptWords(tuple(frame.prompts), tuple(frame.negatives), ())
        return [empty if n in self._left_out else conds.concept_words(concepts, n, frame) for n in range(len(concepts))]

    def _frame(self, prompts: Sequence[str], negatives: Sequence[str], *, hires: bool = False) -> conds.PromptFrame:
        if not hires:
            return conds.PromptFrame(list(prompts), list(negatives), self.p.firstpass_steps)
        steps = self.p.hr_second_pass_steps or self.p.steps
        sampler = sd_samplers.find_sampler_config(self.p.hr_sampler_name or self.p.sampler_name)
        return conds.PromptFrame(list(prompts), list(negatives), self.p.firstpass_steps, sampler.total_steps(steps))

    def _overwriting(self, hooks: AttentionHooks) -> AttentionHooks | None:
        if self.settings.attention_strength == 0:
            return None
        hooks.window.strength = self.settings.attention_strength
        return hooks

    @property
    def _by_attention(self) -> bool:
        return any(c.mask_source is MaskSource.ATTENTION for c in self.settings.concepts)

    def _self_until(self) -> float:
        return self._level(self.settings.self_attention_end)

    def _level(self, fraction: float) -> float:
        return fraction_to_sigma(fraction, schedule_sigmas())

    def _telling_calls(self, trace: LayoutTrace) -> list[int]:
        """The kept calls that show where things are: at low noise, where there are such; early maps are noise."""
        threshold = self._level(TELLING_FROM)
        kept = trace.attention.calls()
        return [call for call in kept if reached(trace.calls[call].sigma, threshold)] or kept

    def _report(self, trace: LayoutTrace, concept_pass: ConceptPass, tools: Instruments) -> None:
        logger.info(
            "concept pass: %d denoiser calls, %d of them replayed; %d UNet rows in both passes",
            concept_pass.calls, concept_pass.replayed, tools.cursor.total,
        )  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """What the concept pass samples with."""

    sample: Callable[[SampleArguments], torch.Tensor]
    arguments: SampleArguments
    words: Sequence[conds.ConceptWords]
    nets: Sequence[Sequence[Any]]
    frame: conds.PromptFrame
