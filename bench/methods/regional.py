"""Regional Prompter's Attention mode, also known as attention couple."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.attention import regional_attention
from bench.methods.regions import Box, columns_between

if TYPE_CHECKING:
    import numpy as np

    from bench.cases import Case
    from bench.methods.base import Resources

BASE_SHARE = 0.2
"""Regional Prompter's own base ratio; latent couple's default is the same."""


@dataclass
class RegionalPrompting:
    """LoRAs merged, cross-attention by whole columns, a share of the layout prompt in all of them.

    As github.com/hako-mikan/sd-webui-regional-prompter does in Attention mode with a base prompt.
    """

    resources: Resources
    base_share: float = BASE_SHARE
    name: str = "regional_attention"
    title: str = "regional prompting (attention)"

    def draw(self, case: Case) -> np.ndarray:
        """See `Method`."""
        return self.draw_in(case, columns_between(self.resources.boxes(case)))

    def draw_in(self, case: Case, columns: list[Box]) -> np.ndarray:
        """The picture of a case with its concepts in given columns."""
        prompts = [case.own_prompt(index) for index in range(len(case.names))]
        with regional_attention(prompts, columns, self.base_share) as wrap:
            return self.resources.host.draw(
                case.layout_prompt, case.seed, case.width_px, loras=case.names, denoiser=wrap
            )[0]
