"""What detectors of boxes share: one look at a picture, after which their memory is given back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from lib_omg.vision.boxes import individuals, instances
from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.pixels import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib_omg.vision.boxes import Candidate, Thresholds
    from lib_omg.vision.found import Instance, Search


class BoxDetector(ABC):
    """Finds individuals by their class words; their masks are their boxes, to be outlined.

    Attributes:
        name: to users. device: where the network runs. thresholds: see `Thresholds`.
    """

    def __init__(self, name: str, device: torch.device | str, thresholds: Thresholds) -> None:
        self.name, self.device, self.thresholds = name, torch.device(device), thresholds

    def find(self, search: Search) -> list[Instance]:
        """The individuals, from left to right; the network is loaded for this look alone.

        Raises:
            SourceUnavailable: package or files are missing or damaged, or there is not enough memory.
            ValueError: not a picture.
        """
        height, width = checked(search.picture).shape[1:]
        words = [word for word, count in search.wanted.items() if word.strip() and count > 0]
        if not words:
            return []
        try:
            candidates = self._candidates(search.picture, words)
        except (torch.cuda.OutOfMemoryError, MemoryError) as error:
            raise SourceUnavailable(f"There is not enough memory for {self.name}. ({error})") from error
        finally:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return instances(individuals(candidates, search.wanted, self.thresholds), height, width)

    @abstractmethod
    def _candidates(self, picture: torch.Tensor, words: Sequence[str]) -> list[Candidate]:
        """Boxes for words in a picture (3, H, W) of 0..1, those over `thresholds.wanted`."""
