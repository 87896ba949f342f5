"""SAM as a source of outlines: of individuals found roughly, of a detector's boxes, of what a user clicks on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from lib_omg.core.errors import OmgError
from lib_omg.core.masks import box_mask, resize_mask
from lib_omg.vision.boxes import box_of
from lib_omg.vision.found import Instance, SourceUnavailable
from lib_omg.vision.pixels import to_bytes
from lib_omg.vision.sam_model import PACKAGES, kind_of, package
from lib_omg.vision.sam_prompts import Prompt, checked_prompt, is_box, rough_prompts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lib_omg.vision.found import Search
    from lib_omg.vision.sam_file import SamFile

logger = logging.getLogger(__name__)

LONGEST_PX = 1024
"""Larger pictures are outlined in this size, in which the published SAMs look at them."""

LEAST_INSIDE = 0.5
"""An outline of which less lies in its individual's box is of something else."""

LEAST_OF_ROUGH, LEAST_OF_BOX = 0.25, 0.05
"""An outline smaller than this share of what it outlines has missed it: of a region, of a detector's box."""


@dataclass(frozen=True)
class Outline:
    """What SAM says to a prompt: `logits` (H, W), over 0 on the thing, in RAM; `score`, the IoU it guesses, 0..1."""

    logits: torch.Tensor
    score: float

    @property
    def mask(self) -> torch.Tensor:
        """(H, W) of 0 and 1."""
        return (self.logits > 0).float()


class SamSession:
    """A SAM with one picture in mind: many prompts cost little. Closing it, also by an error, gives all memory back.

    The encoder is on the device only while it looks at a picture; between clicks there is just the small decoder.
    """

    def __init__(self, file: SamFile, device: torch.device | str, dtype: torch.dtype = torch.float32) -> None:
        """Load the network.

        Args:
            dtype: of the encoder; the decoder is in single precision, and on a CPU both are.

        Raises:
            SourceUnavailable: no such file, not a SAM, a package missing, or not enough memory.
        """
        self.name = file.name
        self.size: tuple[int, int] | None = None
        """(height, width) of the outlines; None before `set_picture`."""
        self._device = torch.device(device)
        self._predictor: Any = None
        with _memory_told(file.name):
            model = file.load()
            _cast(model.image_encoder, torch.float32 if self._device.type == "cpu" else dtype)
            for part in (model.prompt_encoder, model.mask_decoder):
                part.to(self._device)
            model.pixel_mean, model.pixel_std = (b.to(self._device) for b in (model.pixel_mean, model.pixel_std))
            self._predictor = package(PACKAGES[kind_of(model.state_dict())]).SamPredictor(model)

    def __enter__(self) -> SamSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network and of the picture; again is nothing."""
        self._predictor, self.size = None, None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def set_picture(self, picture: torch.Tensor) -> None:
        """Look at a picture, which takes SAM its time.

        Args:
            picture: (3, H, W) in 0..1.

        Raises:
            ValueError: not a picture. SourceUnavailable: not enough memory. OmgError: the session is closed.
        """
        predictor = self._open()
        pixels = to_bytes(picture, LONGEST_PX)
        self.size = None
        encoder = predictor.model.image_encoder
        with _memory_told(self.name):
            try:
                encoder.to(self._device)
                predictor.set_image(pixels)
            finally:
                encoder.to("cpu")
        self.size = (pixels.shape[0], pixels.shape[1])

    def click(self, points: Any, box: Any = None) -> Outline:
        """The outline of what a user points at, see `checked_prompt`.

        Raises:
            ValueError: points or box of another form, too many, outside. OmgError: no picture set, or closed.
        """
        return self.outline(checked_prompt(points, box))

    def outline(self, prompt: Prompt) -> Outline:
        """The outline of what a prompt tells.

        Returns:
            At `size`. Of one click alone the surest of SAM's three guesses.

        Raises:
            OmgError: no picture set, or closed.
        """
        predictor = self._open()
        if self.size is None:
            raise OmgError("SAM has not looked at a picture yet: set one before asking for outlines.")
        points, labels, box = _pixels_of(prompt, self.size)
        with _memory_told(self.name):
            logits, scores, _ = predictor.predict(
                points, labels, box, multimask_output=prompt.is_click, return_logits=True
            )
        best = int(scores.argmax())
        return Outline(torch.from_numpy(logits[best]), min(1.0, max(0.0, float(scores[best]))))

    def _open(self) -> Any:
        if self._predictor is None:
            raise OmgError("This SAM session is closed; open another one.")
        return self._predictor


def _pixels_of(prompt: Prompt, size: tuple[int, int]) -> tuple[NDArray[np.float32] | None, ...]:
    """Points (n, 2) as (x, y), labels (n,) and box (4,) in pixels of a picture of `size`; None for what isn't told."""
    import numpy as np

    height, width = size
    points = labels = box = None
    if prompt.points:
        points = np.array([(x * width, y * height) for x, y, _ in prompt.points], np.float32)
        labels = np.array([label for _, _, label in prompt.points], np.float32)
    if prompt.box is not None:
        box = np.array(prompt.box, np.float32) * np.array((width, height, width, height), np.float32)
    return points, labels, box


def _cast(encoder: torch.nn.Module, dtype: torch.dtype) -> None:
    """Let an encoder work in another precision, between inputs and results in single precision."""
    if dtype == torch.float32:
        return
    encoder.to(dtype)
    encoder.register_forward_pre_hook(lambda _, inputs: tuple(value.to(dtype) for value in inputs))
    encoder.register_forward_hook(lambda _, inputs, output: output.float())


@contextmanager
def _memory_told(name: str) -> Iterator[None]:
    """Raises:
    SourceUnavailable: what is done inside needs more memory than there is.
    """
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise SourceUnavailable(
            f"There is not enough memory for {name}. A smaller SAM (ViT-B or MobileSAM) needs less. ({error})"
        ) from error


class SamSource:
    """Outlines who was found roughly; finds nobody by itself, as SAM knows no words."""

    def __init__(self, file: SamFile, device: torch.device | str, dtype: torch.dtype = torch.float32) -> None:
        self.file, self.device, self.dtype = file, device, dtype

    def find(self, search: Search) -> list[Instance]:
        """Everybody of `search.rough` with SAM's outline, in the order given.

        Who SAM misses keeps the rough outline. What two outlines claim goes to the one surer of it.

        Returns:
            Masks of 0 and 1, disjoint where SAM made them, at the picture's size (`LONGEST_PX` at most).

        Raises:
            SourceUnavailable: SAM can't be used. ValueError: not a picture.
        """
        prompts = rough_prompts(search.rough)
        if not any(prompts):
            return []
        with SamSession(self.file, self.device, self.dtype) as session:
            session.set_picture(search.picture)
            outlines = [None if prompt is None else session.outline(prompt) for prompt in prompts]
        size = next(tuple(one.logits.shape) for one in outlines if one is not None)
        return outlined(search.rough, outlines, (size[0], size[1]))


def outlined(
    rough: Sequence[Instance], outlines: Sequence[Outline | None], size: tuple[int, int]
) -> list[Instance]:  # fmt: skip
    """Individuals with their outlines; see `SamSource.find`.

    Args:
        rough: as they were found. outlines: of each, at `size` (height, width).
    """
    kept = [
        one if one is not None and agrees(one, before) else None for one, before in zip(outlines, rough, strict=True)
    ]
    surest = [one.logits for one in kept if one is not None]
    most = torch.stack(surest).amax(0) if surest else torch.zeros(size)
    made = []
    for before, outline in zip(rough, kept, strict=True):
        mask = resize_mask(before.mask.float(), *size)
        if outline is not None:
            mask = ((outline.logits > 0) & (outline.logits == most)).float()
        if not bool((mask > 0.5).any()):
            logger.info("SAM leaves nothing of a %s; its rough outline is kept", before.label)
            mask = resize_mask(before.mask.float(), *size)
        has_any = bool((mask > 0.5).any())
        made.append(replace(before, mask=mask, box=box_of(mask) if has_any else before.box))
    return made


def agrees(outline: Outline, rough: Instance) -> bool:
    """Whether an outline is of the individual that was found roughly, not of what is around it or of a button."""
    size = outline.logits.shape
    mask = outline.mask
    area = float(mask.sum())
    by_box = bool((rough.mask > 0.5).any()) and is_box(rough.mask, box_of(rough.mask))
    share = LEAST_OF_BOX if by_box else LEAST_OF_ROUGH
    within = float((mask * box_mask(rough.box, *size)).sum())
    expected = float(resize_mask(rough.mask.float(), *size).sum())
    return area > 0 and within >= LEAST_INSIDE * area and area >= share * expected
