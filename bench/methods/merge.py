"""Plain LoRA merge: what everybody tries first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from bench.cases import Case
    from bench.methods.base import Resources


@dataclass
class Merge:
    """All LoRAs at full weight in one prompt, by the host's own loader."""

    resources: Resources
    name: str = "merge"
    title: str = "plain LoRA merge"

    def draw(self, case: Case) -> np.ndarray:
        """See `Method`."""
        return self.resources.host.draw(case.concept_prompt, case.seed, case.width_px, loras=case.names)[0]
