"""One generation: everything OMG holds and undoes lives here, and ends here."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from modules import sd_samplers, shared

from lib_omg.core.adapters import routed_adapters
from lib_omg.core.errors import OmgError
from lib_omg.core.others import others_of
from lib_omg.core.passes import ConceptPass, ConceptPlan
from lib_omg.core.prompts import find_word
from lib_omg.core.schedule import fraction_to_sigma
from lib_omg.core.settings import MaskSource, OmgSettings, OnMissing, PromptMode, View
from lib_omg.core.windows import Window, centred, crop_window, whole
from lib_omg.vision.refine import working_size

from . import conds, loras, pictures, progress
from .denoiser import Instruments, concept_forward, instruments
from .layout_source import Drawn, LayoutSource
from .model import check_host, schedule_sigmas, unet_stride
from .patching import replaced
from .regions import Seen, empty_concepts, finished_masks, see, see_again

if TYPE_CHECKING:
    from lib_omg.core.attention import AttentionHooks

    from .layout import SampleArguments
    from .limits import Limits
    from .shelf import KeptLayout, Shelf

logger = logging.getLogger("OMG")


@dataclass
class Session:
    """The state of one generation (all its batches).

    Attributes:
        p: the host's processing object. library: loaded LoRAs, kept over generations.
        regions: raw regions of the current batch's images, (N, H, W) each; the hires pass uses them again.
        shown: layout and mask pictures for the gallery. layout_ids: of the layouts put on the shelf, by
            their seed and subseed.
        shelf: where they are put. kept: the approved layout this generation draws on.
    """

    p: Any
    settings: OmgSettings
    library: loras.LoraLibrary
    limits: Limits
    shelf: Shelf
    kept: KeptLayout | None = None
    regions: list[torch.Tensor] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)
    layout_ids: dict[tuple[int, int], str] = field(default_factory=dict)
    passes_done: int = 0
    counted: bool = False
    undo: ExitStack = field(default_factory=ExitStack)
    """Everything changed on the host's objects for the whole generation."""
    _left_out: set[int] = field(default_factory=set)

    # --- the first pass -------------------------------------------------------------------------------------

    def first_pass(self, sample: Callable[..., torch.Tensor], arguments: SampleArguments) -> torch.Tensor:
        """Layout pass (or the approved layout), regions, concept pass; gives the concept pass's latent (B, C, H, W).

        Raises:
            OmgError: something can't be done; nothing is left behind.
        """
        check_host(self.p)
        if not self.counted and not self._is_ready:
            progress.count_layouts(self.p)
        self.counted = True
        self._left_out.clear()
        frame = self._frame(self.p.prompts, self.p.negative_prompts)
        self._check_words(frame)
        words, nets = ([], []) if self.settings.layout_only else self._concepts(frame)
        with instruments(self.limits.rows_per_batch) as tools:
            source = LayoutSource(self.p, self.settings, self.limits, arguments, tools)
            was_ready = self._is_ready
            drawn = source.draw() if self.kept is None else source.recall(self.kept)
            assert drawn.trace.latent is not None
            if shared.state.interrupted or shared.state.skipped:
                self.p.comment("OMG: interrupted in the layout pass; this picture has no concepts in it.")
                self.passes_done += 1
                return drawn.trace.latent
            if not was_ready and not self.settings.layout_only:
                shared.state.nextjob()
            plans = self._look(source, drawn, frame)
            if self.settings.layout_only:
                self.passes_done += 1
                return drawn.trace.latent
            hooks = self._overwriting(drawn.hooks)
            concept_pass = ConceptPass(plans, drawn.trace, hooks, source.self_until)
            latent = self._concept_run(concept_pass, _Run(sample, arguments, words, nets, frame), tools)
        self._report(concept_pass, tools)
        if self.kept is None:
            drawn.trace.attention.clear()
        return latent

    def _look(self, source: LayoutSource, drawn: Drawn, frame: conds.PromptFrame) -> list[ConceptPlan]:
        """Who is where in every image's layout; what is to be shown and kept of it is."""
        if self.kept is None:
            layout = source.to_see(drawn)
            seen, shown = see(self.settings, layout, frame, self._tell), list(layout.pictures)
        else:
            size = working_size(*self.kept.picture.shape[1:])
            seen = [see_again(self.settings, self.kept.instances, size, self.kept.likeness)]
            shown = [self.kept.picture]
        self.regions = [one.regions for one in seen]
        self._tell_of(seen)
        plans = self._plans(source.size, source.arguments.x.device, [one.problems for one in seen])
        if self.settings.show_pictures or self.settings.layout_only:
            masks = [plan.masks for plan in plans]
            self.shown += pictures.layout_pictures(shown, masks, self.settings)
        if self.settings.layout_only:
            for kept in source.keep(drawn, seen, shown):
                self.shelf.add(kept, self.limits.shelf_bytes)
                self.layout_ids[kept.seed, kept.subseed] = kept.id
        return plans

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
            self.regions = [one.regions for one in see(self.settings, None, frame, self._tell)]
        self._check_words(frame)
        words, nets = self._concepts(frame)
        # the upscaled picture is the layout: a call without the concepts would only wash them out
        plans = [replace(plan, start_sigma=math.inf) for plan in self._plans(size, arguments.x.device)]
        with instruments(self.limits.rows_per_batch) as tools:
            run = _Run(sample, arguments, words, nets, frame)
            return self._concept_run(ConceptPass(plans), run, tools)

    def layout_id(self, all_seeds: Sequence[int], all_subseeds: Sequence[int], index: int, **_: Any) -> str | None:
        """PNG info's entry for one image; the host calls it with what it writes the other entries from."""
        return self.layout_ids.get((int(all_seeds[index]), int(all_subseeds[index])))

    # --- parts ----------------------------------------------------------------------------------------------

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

    def _plans(
        self, size: tuple[int, int], device: torch.device, problems: Sequence[Mapping[int, str]] = ()
    ) -> list[ConceptPlan]:
        """Masks, windows and starts of all concepts; those that own nothing stop the generation or are left out."""
        masks = torch.stack([finished_masks(found, self.settings, size) for found in self.regions])  # (B, N, H, W)
        for image, of_image in enumerate(masks):
            for number in empty_concepts(of_image):
                if number in self._left_out:
                    continue
                why = problems[image].get(number, "nothing is left of it") if problems else "nothing is left of it"
                self._missing(
                    number,
                    f"OMG, concept {self.settings.concepts[number].label!r}: no region was found for it in image "
                    f"{image + 1} of the batch: {why}. Choose one on the layout board, draw a box or paint its mask, "
                    "try another seed, or let OMG go on without such a concept.",
                    forget=False,
                )
                of_image[number] = 0
        for number in self._left_out:
            masks[:, number] = 0
        stride = unet_stride()
        plans = []
        for number, concept in enumerate(self.settings.concepts):
            own = masks[:, number]
            windows = tuple(self._window(mask, stride) for mask in own)
            start_sigma = fraction_to_sigma(concept.start, schedule_sigmas())
            others = others_of(masks, number).to(device) if self.settings.hide_others else None
            plans.append(ConceptPlan(number, start_sigma, own.to(device), windows, others))
        return plans

    def _window(self, mask: torch.Tensor, stride: int) -> Window:
        """What a concept's rows see of an image, by its mask (H, W)."""
        if self.settings.view is View.CROP:
            return crop_window(mask, self.settings.crop_margin, stride)
        return centred(mask, stride) if self.settings.view is View.CENTRED else whole(*mask.shape)

    def _check_words(self, frame: conds.PromptFrame) -> None:
        for number, concept in enumerate(self.settings.concepts):
            needs = concept.mask_source is MaskSource.ATTENTION or concept.prompt_mode is not PromptMode.OWN
            for prompt in frame.prompts:
                if needs and number not in self._left_out and not find_word(prompt, concept.class_word):
                    self._missing(number, conds.missing_word(concept, prompt), forget=True)

    def _missing(self, number: int, text: str, *, forget: bool) -> None:
        if self.settings.on_missing is OnMissing.STOP and not self.settings.layout_only:
            raise OmgError(text)
        if forget:
            self._left_out.add(number)
        self._tell(f"{text} Went on without it.")

    def _tell(self, text: str) -> None:
        logger.warning(text)
        self.p.comment(text)

    def _tell_of(self, seen: Sequence[Seen]) -> None:
        """More instances than concepts: whom nobody has stays as the layout drew it."""
        for image, one in enumerate(seen):
            for word in dict.fromkeys(one.instances[number].label for number in one.spare):
                spare = sum(one.instances[number].label == word for number in one.spare)
                everybody = sum(instance.label == word for instance in one.instances)
                self._tell(
                    f"OMG: image {image + 1} of the batch shows {everybody} {word!r}; {spare} of them belong to no "
                    "concept and stay as in the layout. Who is who can be chosen on the layout board."
                )

    def _concepts(self, frame: conds.PromptFrame) -> tuple[list[conds.ConceptWords], list[list[Any]]]:
        """Every concept's prompts and its loaded networks; what is wrong with them comes up before any sampling."""
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
    def _is_ready(self) -> bool:
        """Whether no layout pass is needed."""
        return self.kept is not None and self.kept.trace is not None

    def _report(self, concept_pass: ConceptPass, tools: Instruments) -> None:
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
