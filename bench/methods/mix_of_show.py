"""Mix-of-Show (Gu et al. 2023): fused weights, and region-controlled sampling."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.cases import CROWD_WIDTHS_PX, Case
from bench.methods.attention import regional_attention
from bench.methods.fusion import Fusion
from bench.methods.weights import replaced_parameters
from toyworld.identity import CAST
from toyworld.scene import LIGHTS, PLACES

if TYPE_CHECKING:
    import numpy as np

    from bench.methods.base import Resources
    from bench.methods.regions import Box

FUSION_SCENES = tuple(zip(PLACES, LIGHTS, strict=False))
"""Where each concept is drawn alone for the fusion; the original takes one run of 20 steps of one prompt."""


@dataclass
class MixOfShow:
    """Inside a concept's box cross-attention is its own prompt's, outside the layout prompt's; the LoRAs are fused.

    As github.com/TencentARC/Mix-of-Show draws: class words in the global prompt, "a rex man in the park" in a region.
    It also steers by key poses and sketches, for which there are no models of our world.

    Attributes:
        fused: gradient fusion; False: plain merge.
    """

    resources: Resources
    fused: bool = True
    name: str = "mix_of_show"
    title: str = "Mix-of-Show"
    fusion: Fusion = field(init=False, repr=False)

    def __post_init__(self) -> None:
        prompts = {name: [Case((name,), *scene, seed=0).own_prompt(0) for scene in FUSION_SCENES] for name in CAST}
        self.fusion = Fusion(self.resources.host, prompts, CROWD_WIDTHS_PX[1])

    def draw(self, case: Case) -> np.ndarray:
        """See `Method`."""
        return self.draw_in(case, self.resources.boxes(case))

    def draw_in(self, case: Case, boxes: list[Box]) -> np.ndarray:
        """The picture of a case with its concepts in given boxes."""
        prompts = [case.own_prompt(index) for index in range(len(case.names))]
        with ExitStack() as stack:
            if self.fused:
                stack.enter_context(replaced_parameters(self.fusion.parameters(case.names)))
            wrap = stack.enter_context(regional_attention(prompts, boxes))
            loras = () if self.fused else case.names
            return self.resources.host.draw(case.layout_prompt, case.seed, case.width_px, loras=loras, denoiser=wrap)[0]
