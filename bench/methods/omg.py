"""OMG, ours, through the extension's own settings."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from lib_omg.core.masks import finish
from lib_omg.core.schedule import first_call, fraction_to_sigma
from lib_omg.core.settings import MaskSource, OmgSettings, OnMissing, PromptMode, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.cases import Case
    from bench.host import Schedule
    from bench.methods.base import Resources

_OF_PICTURE = (
    "attention_strength", "self_attention_end", "view", "crop_margin", "hide_others", "feather_px", "dilation_px",
)  # fmt: skip
_OF_CONCEPT = ("start", "cfg_scale")


class PromptForm(str, Enum):
    """What a concept's rows are asked for."""

    SCENE = "scene"
    """The scene with the concept's words put in: "a rex man and a woman in the park"."""
    ALONE = "alone"
    """The concept alone: "a rex man in the park"."""
    SCENE_THEN_ALONE = "scene, then alone"
    ALONE_THEN_SCENE = "alone, then scene"


TWO_PROMPTS = frozenset({PromptForm.SCENE_THEN_ALONE, PromptForm.ALONE_THEN_SCENE})
"""The forms that take a second prompt at a noise level."""


@dataclass(frozen=True)
class OmgOptions:
    """What a table varies; None is the extension's own default.

    Attributes:
        switch: where a prompt form of two prompts takes the second: a noise level, told as `start` is, as a fraction of
            the reference schedule.
        true_masks: the segmenter's masks of the layout picture instead of those found by attention.
        dilation_px: true masks grow by it before they are handed over; the extension takes painted ones as they are.
        lora_weight, te_weight: of every concept's LoRA. The rest: see `OmgSettings` and `ConceptSettings`.
    """

    prompt_form: PromptForm = PromptForm.ALONE
    switch: float = 0.5
    true_masks: bool = False
    lora_weight: float = 1.0
    te_weight: float | None = None
    start: float | None = None
    cfg_scale: float | None = None
    attention_strength: float | None = None
    self_attention_end: float | None = None
    view: View | None = None
    crop_margin: float | None = None
    hide_others: bool | None = None
    feather_px: float | None = None
    dilation_px: float | None = None

    def switch_call(self, schedule: Schedule) -> int:
        """Index of a run's first denoiser call that hears the second of two prompts."""
        return first_call(schedule.calls, fraction_to_sigma(self.switch, schedule.table))

    def settings(
        self, case: Case, masks: Sequence[NDArray[np.bool_]] | None = None, switch_call: int = 0
    ) -> dict[str, Any]:
        """The extension's settings in the form its API takes.

        Args:
            masks: of every concept, (H, W) in pixels; None for masks by attention.
            switch_call: see `switch_call`; only forms of two prompts ask for it.
        """
        growth_px = OmgSettings.dilation_px if self.dilation_px is None else self.dilation_px
        painted = [None] * len(case.names) if masks is None else [as_png(mask) for mask in grown(masks, growth_px)]
        concepts = [self._concept(case, index, mask, switch_call) for index, mask in enumerate(painted)]
        return {"concepts": concepts, "on_missing": OnMissing.SKIP.value, **_given(self, _OF_PICTURE)}

    def _concept(self, case: Case, index: int, mask: str | None, switch_call: int) -> dict[str, Any]:
        lora: dict[str, Any] = {"name": case.names[index], "weight": self.lora_weight, **_given(self, ("te_weight",))}
        concept: dict[str, Any] = {
            # two men are "two men" in the prompt: the word to find is there once, for both
            "class_word": case.layout_word(index),
            "loras": [lora],
            "prompt_mode": PromptMode.OWN.value,
            "prompt": self._prompt(case, index, switch_call),
            **_given(self, _OF_CONCEPT),
        }
        if mask is not None:
            concept |= {"mask_source": MaskSource.PAINTED.value, "mask": mask}
        return concept

    def _prompt(self, case: Case, index: int, switch_call: int) -> str:
        scene, alone = case.scene_prompt(index), case.own_prompt(index)
        forms = {
            PromptForm.SCENE: scene,
            PromptForm.ALONE: alone,
            PromptForm.SCENE_THEN_ALONE: edited(scene, alone, switch_call),
            PromptForm.ALONE_THEN_SCENE: edited(alone, scene, switch_call),
        }
        return forms[self.prompt_form]


@dataclass
class Omg:
    """The extension, on a host that has nothing else on."""

    resources: Resources
    options: OmgOptions = field(default_factory=OmgOptions)
    name: str = "omg"
    title: str = "OMG (ours)"

    def draw(self, case: Case) -> np.ndarray:
        """See `Method`; without true masks to be had, masks are attention's; who isn't found there is left out."""
        masks = self.resources.masks(case) if self.options.true_masks else None
        switch_call = 0
        if self.options.prompt_form in TWO_PROMPTS:
            switch_call = self.options.switch_call(self.resources.host.schedule())
        settings = self.options.settings(case, masks, switch_call)
        return self.resources.host.draw(case.layout_prompt, case.seed, case.width_px, omg=settings)[0]


def edited(first: str, second: str, switch_call: int) -> str:
    """Prompt editing by which the host hears one prompt before a denoiser call, another from it on.

    The host keeps the first prompt up to and with the call that it is given, counted from 0, and takes 0 for "never".
    So the first prompt can't be heard in the first call alone; the second is then heard there too.
    """
    return f"[{first}:{second}:{max(switch_call - 1, 0)}]"


def _given(options: OmgOptions, names: Sequence[str]) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in names}
    return {name: v.value if isinstance(v, Enum) else v for name, v in values.items() if v is not None}


def grown(masks: Sequence[NDArray[np.bool_]], growth_px: float) -> list[NDArray[np.bool_]]:
    """Masks (H, W) of one picture, each grown into what no other has."""
    if growth_px == 0:
        return list(masks)
    stack = torch.from_numpy(np.stack(masks)).float()
    made = finish(stack, [0] * len(stack), growth_px, feather_cells=0, grows=[True] * len(stack))
    return list((made > 0.5).numpy())


def as_png(mask: NDArray[np.bool_]) -> str:
    """A mask (H, W) as base64 of a black and white PNG."""
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
