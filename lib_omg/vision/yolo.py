"""YOLO-World (Cheng et al. 2024, arXiv 2401.17270): finds what words name, through ultralytics where the user has it.

Its .pt files are pickles, and ultralytics unpickles them: such a file can run any program. OMG has no safe way around
that, so it takes only files that the user put into his models folder, or that his ADetailer already loads.
For words that are not among a file's own, ultralytics needs OpenAI's CLIP, which it would install and download by
itself; OMG looks first, and where something is missing says so instead.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lib_omg.vision.box_detector import BoxDetector
from lib_omg.vision.boxes import Candidate, Thresholds, clipped
from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.pixels import to_bytes
from lib_omg.vision.weights import tensor_names

THRESHOLDS = Thresholds(wanted=0.1, more=0.4)
LONGEST_PX = 1280
WORLD_CLASS = "WorldModel"
"""Name of YOLO-World's class in ultralytics, which its files hold."""

ADETAILER_REPOSITORY, ADETAILER_FILE = "Bingsu/yolo-world-mirror", "yolov8x-worldv2.pt"
"""What ADetailer gets from the hub."""

CLIP_FILE = "ViT-B-32.pt"


def is_world_model(path: Path) -> bool:
    """Whether a .pt file is a YOLO-World, by its name or by the class that its index names; it is not unpickled."""
    return "-world" in path.stem.lower() or any(text.endswith(WORLD_CLASS) for text in tensor_names(path))


def cached_file() -> Path | None:
    """ADetailer's YOLO-World in the hub's cache, if it is there; the network is not used."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(ADETAILER_REPOSITORY, ADETAILER_FILE)
    return Path(found) if isinstance(found, str) else None


def clip_file() -> Path:
    """Where OpenAI's clip package keeps the text encoder that YOLO-World was trained with."""
    return Path("~/.cache/clip").expanduser() / CLIP_FILE


class YoloSource(BoxDetector):
    """See `BoxDetector`."""

    def __init__(self, file: Path, device: torch.device | str, thresholds: Thresholds = THRESHOLDS) -> None:
        """Nothing is loaded yet.

        Args:
            file: a YOLO-World .pt that the user trusts; see the module's text.
        """
        super().__init__(file.name, device, thresholds)
        self.file = file

    def _candidates(self, picture: torch.Tensor, words: Sequence[str]) -> list[Candidate]:
        from PIL import Image

        model = self._model()
        labels = self._labels(model, words)
        image = Image.fromarray(to_bytes(picture, LONGEST_PX))  # a PIL picture is RGB to ultralytics, an array BGR
        try:
            result = model.predict(
                image, conf=self.thresholds.wanted, classes=list(labels), device=str(self.device), verbose=False
            )[0]
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._unusable(error) from error
        return decoded(result.boxes, labels)

    def _model(self) -> Any:
        if not self.file.is_file():
            raise SourceUnavailable(f"OMG expected a YOLO-World file at {self.file}, found none.")
        try:
            from ultralytics import YOLOWorld
        except ImportError as error:
            raise SourceUnavailable(
                f"YOLO-World needs the Python package ultralytics 8.1.26 or newer ({error}). ADetailer brings it; or "
                "install it into the WebUI's environment: pip install ultralytics"
            ) from error
        try:
            return YOLOWorld(str(self.file))
        except (RuntimeError, OSError, ValueError, TypeError, AttributeError, LookupError, ImportError) as error:
            raise self._unusable(error) from error

    def _labels(self, model: Any, words: Sequence[str]) -> dict[int, str]:
        """Which word each class number of the model stands for; the model is told the words if it lacks one."""
        known = _numbered(model.names)
        own = {number: word for word in words for number, name in known.items() if name == _folded(word)}
        if set(own.values()) == set(words):
            return own
        if importlib.util.find_spec("clip") is None or not clip_file().is_file():
            lacking = sorted(set(words) - set(own.values()))
            raise SourceUnavailable(
                f"{self.file.name} does not know {', '.join(lacking)} by itself; for new words it needs OpenAI's CLIP: "
                f"the Python package clip, and {CLIP_FILE} in {clip_file().parent}."
            )
        try:
            model.set_classes([_folded(word) for word in words])
        except (RuntimeError, OSError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._unusable(error) from error
        return dict(enumerate(words))

    def _unusable(self, error: Exception) -> SourceUnavailable:
        return SourceUnavailable(
            f"ultralytics can't use {self.file.name} ({type(error).__name__}: {str(error).strip()[:200]}). Is it a "
            "YOLO-World, and ultralytics new enough for it?"
        )


def decoded(boxes: Any, labels: Mapping[int, str]) -> list[Candidate]:
    """What ultralytics found, as candidates.

    Args:
        boxes: its `Boxes`: `xyxyn` (n, 4) in fractions, `conf` (n,), `cls` (n,). labels: by class number; others are
            left out.
    """
    found = []
    for corners, score, number in zip(boxes.xyxyn.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True):
        box = clipped(corners)
        if box is not None and int(number) in labels:
            found.append(Candidate(labels[int(number)], min(1.0, max(0.0, float(score))), box))
    return found


def _numbered(names: Mapping[int, str] | Iterable[str]) -> dict[int, str]:
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    return {int(number): _folded(str(name)) for number, name in pairs}


def _folded(word: str) -> str:
    return " ".join(word.lower().split())
