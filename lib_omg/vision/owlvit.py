"""OWL-ViT (Minderer et al. 2022, arXiv 2205.06230): finds what words name, by the WebUI's own transformers.

Files are read from the disk only; `download` is the one function here that uses the network, and nothing calls it but
the user.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lib_omg.core.errors import OmgError
from lib_omg.vision.box_detector import BoxDetector
from lib_omg.vision.boxes import Candidate, Thresholds, clipped
from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.pixels import to_bytes
from lib_omg.vision.weights import read_weights

REPOSITORY = "google/owlvit-base-patch32"
REPOSITORIES = (REPOSITORY, "google/owlvit-base-patch16", "google/owlvit-large-patch14")
"""What the hub's cache is looked through for; `REPOSITORY` is what `download` gets."""

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""In order of preference."""

THRESHOLDS = Thresholds(wanted=0.1, more=0.3)
"""OWL-ViT's own threshold is 0.1; of what is over 0.3 little is wrong."""

QUERY = "a photo of a {}"
LONGEST_PX = 1024
FORGETTABLE = "position_ids"
"""Counting numbers that newer files leave out."""


def is_owlvit(folder: Path) -> bool:
    """Whether a folder holds an OWL-ViT: its config.json says so, and there are weights."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "owlvit" and _weights_in(folder) is not None


def _weights_in(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def cached_folders() -> list[Path]:
    """Folders of the hub's cache that hold an OWL-ViT; the network is not used."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, "config.json") for repository in REPOSITORIES)
    folders = [Path(path).parent for path in found if isinstance(path, str)]
    return [folder for folder in folders if is_owlvit(folder)]


def download(home: Path, repository: str = REPOSITORY) -> Path:
    """Get an OWL-ViT from the hub, because the user asked for it: about 600 MB.

    Args:
        home: the folder that gets a folder for the model.

    Returns:
        The model's folder.

    Raises:
        OmgError: no network, no such model, no room; what was got so far stays and is used by the next try.
    """
    from huggingface_hub import list_repo_files, snapshot_download

    folder = home / repository.rsplit("/", 1)[-1]
    try:
        names = set(list_repo_files(repository))
        weights = next((name for name in WEIGHT_FILES if name in names), None)
        if weights is None:
            raise ValueError(f"expected one of {', '.join(WEIGHT_FILES)} there, found none")
        chosen = [name for name in sorted(names) if "/" not in name and name.endswith((".json", ".txt"))]
        snapshot_download(repository, local_dir=folder, allow_patterns=[*chosen, weights])
    except (OSError, ValueError) as error:
        raise OmgError(
            f"{repository} could not be downloaded ({type(error).__name__}: {str(error).strip()[:200]}). Is there a "
            f"connection? You can also put its files into {folder} by hand."
        ) from error
    if not is_owlvit(folder):
        raise OmgError(f"{repository} was downloaded into {folder}, but is not an OWL-ViT.")
    return folder


class OwlVitSource(BoxDetector):
    """See `BoxDetector`."""

    def __init__(
        self,
        folder: Path,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
        thresholds: Thresholds = THRESHOLDS,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            folder: with config.json, weights and the tokenizer's files. dtype: on a CPU it is single precision.
        """
        super().__init__("OWL-ViT", device, thresholds)
        self.folder = folder
        self.dtype = torch.float32 if self.device.type == "cpu" else dtype

    def _candidates(self, picture: torch.Tensor, words: Sequence[str]) -> list[Candidate]:
        model = self._model()
        inputs = self._inputs(model, picture, words)
        with torch.no_grad():
            out = model(**inputs)
        return decoded(out.logits[0].float().cpu(), out.pred_boxes[0].float().cpu(), words, self.thresholds.wanted)

    def _model(self) -> Any:
        from transformers import OwlViTConfig, OwlViTForObjectDetection

        weights = _weights_in(self.folder)
        if weights is None or not is_owlvit(self.folder):
            raise SourceUnavailable(
                f"OMG expected an OWL-ViT (config.json with model_type owlvit, and {' or '.join(WEIGHT_FILES)}) in "
                f"{self.folder}, found none."
            )
        state = read_weights(weights)
        try:
            config = OwlViTConfig.from_pretrained(self.folder, local_files_only=True)
            model, told = OwlViTForObjectDetection.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise SourceUnavailable(f"The OWL-ViT in {self.folder} can't be used: {str(error)[:300]}") from error
        missing = [name for name in told["missing_keys"] if not name.endswith(FORGETTABLE)]
        if missing:
            raise SourceUnavailable(f"{weights} is not a whole OWL-ViT: it lacks {', '.join(missing[:3])}.")
        return model.to(self.device, self.dtype).eval().requires_grad_(False)

    def _inputs(self, model: Any, picture: torch.Tensor, words: Sequence[str]) -> dict[str, torch.Tensor]:
        from transformers import CLIPTokenizer, OwlViTImageProcessor

        try:
            tokenizer = CLIPTokenizer.from_pretrained(self.folder, local_files_only=True)
            has_own = (self.folder / "preprocessor_config.json").is_file()
            processor = OwlViTImageProcessor.from_pretrained(self.folder) if has_own else OwlViTImageProcessor()
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise SourceUnavailable(
                f"The tokenizer of the OWL-ViT in {self.folder} (vocab.json, merges.txt) can't be used: {error}"
            ) from error
        side = model.config.vision_config.image_size
        # the whole picture as a square, whatever the file says: a crop would move the boxes
        pixels = processor(
            [to_bytes(picture, LONGEST_PX)],
            size={"height": side, "width": side},
            do_resize=True,
            do_center_crop=False,
            return_tensors="pt",
        )["pixel_values"]
        texts = tokenizer(
            [QUERY.format(" ".join(word.split())) for word in words],
            padding="max_length",
            truncation=True,
            max_length=model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        return {
            "input_ids": texts["input_ids"].to(self.device),
            "attention_mask": texts["attention_mask"].to(self.device),
            "pixel_values": pixels.to(self.device, self.dtype),
        }


def decoded(logits: torch.Tensor, boxes: torch.Tensor, words: Sequence[str], least: float) -> list[Candidate]:
    """What OWL-ViT says, as candidates.

    Args:
        logits: (P, N) of every patch's box and every word. boxes: (P, 4) as (middle x, middle y, width, height) in
            fractions. least: score below which a box is nothing.
    """
    scores = logits.sigmoid()
    found = []
    for patch, number in (scores >= least).nonzero().tolist():
        x, y, width, height = boxes[patch].tolist()
        box = clipped((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        if box is not None:
            found.append(Candidate(words[number], float(scores[patch, number]), box))
    return found
