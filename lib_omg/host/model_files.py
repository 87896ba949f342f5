"""Model files of SAM and of the text detectors: where users put them, and what to say where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from modules import paths, shared

from lib_omg.vision.found import SourceUnavailable
from lib_omg.vision.owlvit import cached_folders, is_owlvit
from lib_omg.vision.sam_file import SamFile
from lib_omg.vision.yolo import cached_file, is_world_model

SAM_OPTION = "omg_sam_file"
"""The settings page's choice among several: a file's name, or empty for the smallest that can be used."""

SAM_SUFFIXES = frozenset({".pth", ".pt", ".safetensors"})

SAM_PACKAGE = "sd-webui-segment-anything"


def sam_folders() -> list[Path]:
    """Folders that SAM files are looked for in, the WebUI's own first."""
    extensions = Path(paths.extensions_dir)
    return [Path(paths.models_path) / "sam", extensions / SAM_PACKAGE / "models" / "sam"]


def sam_files() -> list[SamFile]:
    """SAM files, those that can be used first, small ones before large ones."""
    found = (SamFile(path) for path in _files(sam_folders(), SAM_SUFFIXES))
    return sorted(
        (file for file in found if file.kind != "other"), key=lambda one: (not one.usable, one.path.stat().st_size)
    )


def sam_file() -> SamFile:
    """The SAM file that the settings page names, else the smallest that can be used.

    Raises:
        SourceUnavailable: there is none, or none of that name; says what to do.
    """
    files = sam_files()
    name = str(getattr(shared.opts, SAM_OPTION, "") or "").strip()
    if not files:
        raise SourceUnavailable(sam_advice())
    if not name:
        return files[0]
    for file in files:
        if name in (file.name, file.path.stem):
            return file
    raise SourceUnavailable(
        f"The SAM file {name!r} of the settings page was not found. There are: {', '.join(f.name for f in files)}."
    )


def sam_advice() -> str:
    """What to put where, so that there is a SAM."""
    return (
        f"No SAM model was found. Put sam_vit_b_01ec64.pth (or sam_vit_l_0b3195.pth, sam_vit_h_4b8939.pth, or "
        f"mobile_sam.pt) into {sam_folders()[0]}; Meta's segment-anything page offers them."
    )


def owlvit_folders() -> list[Path]:
    """Folders with an OWL-ViT: of models/owlvit (itself, or one folder a model), then of the hub's cache."""
    own = owlvit_home()
    return [folder for folder in (own, *_subfolders(own)) if is_owlvit(folder)] + cached_folders()


def owlvit_home() -> Path:
    """Where the user puts an OWL-ViT, and where a download goes, into a folder of its own."""
    return Path(paths.models_path) / "owlvit"


def owlvit_folder() -> Path:
    """The first OWL-ViT.

    Raises:
        SourceUnavailable: there is none; says what to put where.
    """
    folders = owlvit_folders()
    if not folders:
        raise SourceUnavailable(owlvit_advice())
    return folders[0]


def owlvit_advice() -> str:
    """What to put where, so that there is an OWL-ViT."""
    return (
        f"No OWL-ViT was found. Put the files of google/owlvit-base-patch32 (config.json, model.safetensors or "
        f"pytorch_model.bin, vocab.json, merges.txt) into {owlvit_home()}, or let OMG download it."
    )


def yolo_homes() -> list[Path]:
    """Folders that YOLO-World files are looked for in: OMG's own, and ADetailer's."""
    return [Path(paths.models_path) / name for name in ("yolo", "adetailer")]


def yolo_files() -> list[Path]:
    """YOLO-World files (yolov8s-world.pt, yolov8x-worldv2.pt...), small ones first, then what ADetailer downloaded."""
    found = [path for path in _files(yolo_homes(), frozenset({".pt"})) if is_world_model(path)]
    cached = cached_file()
    return sorted(found, key=lambda path: path.stat().st_size) + ([cached] if cached else [])


def yolo_file() -> Path:
    """The smallest YOLO-World file.

    Raises:
        SourceUnavailable: there is none; says what to put where.
    """
    files = yolo_files()
    if not files:
        raise SourceUnavailable(yolo_advice())
    return files[0]


def yolo_advice() -> str:
    """What to put where, so that there is a YOLO-World."""
    return (
        f"No YOLO-World model was found. Put yolov8s-worldv2.pt (or another yolov8*-world*.pt, of a maker you trust: "
        f"it can run programs) into {yolo_homes()[0]}; ADetailer's folder {yolo_homes()[1]} is looked into too."
    )


def _files(folders: Sequence[Path], suffixes: frozenset[str]) -> Iterator[Path]:
    """Files of folders that end so; none twice, whatever links there are."""
    seen = set()
    for folder in folders:
        for path in sorted(_entries(folder)):
            if path.suffix.lower() in suffixes and path.is_file() and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in _entries(folder) if path.is_dir())


def _entries(folder: Path) -> Iterable[Path]:
    """What a folder holds; nothing if it is none, or must not be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []
