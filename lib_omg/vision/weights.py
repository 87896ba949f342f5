"""Model files read as tensors alone: nothing in a file is ever executed."""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lib_omg.vision.found import SourceUnavailable

if TYPE_CHECKING:
    import torch

WRAPPERS = ("model", "state_dict")
"""Names under which trainers keep the tensors beside other things."""

MOST_INDEX_BYTES = 64 * 2**20
"""A longer index of tensors is not looked into."""

_BROKEN = (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError)
"""What torch and safetensors raise for files that are damaged or hold more than tensors."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, in main memory.

    Args:
        path: safetensors, or what `torch.save` writes; told by its contents.

    Raises:
        SourceUnavailable: no such file, a damaged one, or one that holds more than tensors.
    """
    import torch

    try:
        found = _read_safetensors(path) if is_safetensors(path) else _read_torch(path)
    except FileNotFoundError as error:
        raise SourceUnavailable(f"OMG expected a model file at {path}, found none.") from error
    except MemoryError as error:
        raise SourceUnavailable(f"There is not enough memory to read {path.name}.") from error
    except _BROKEN as error:
        raise SourceUnavailable(
            f"OMG did not read {path.name}: it is damaged, or holds more than tensors (then it is a program, which OMG "
            f"does not run). Get it anew from its maker, best as .safetensors. ({_first_line(error)})"
        ) from error
    for name in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found or not all(isinstance(t, torch.Tensor) for t in found.values()):
        raise SourceUnavailable(f"OMG expected tensors by name in {path.name}, found {_kind(found)}.")
    return {str(name): tensor for name, tensor in found.items()}


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError  # type: ignore[attr-defined]
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_torch(path: Path) -> object:
    # not torch.load, which the WebUI replaces by one that answers None to what it does not like
    from torch.serialization import load

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")  # torch 2.1 warns of its own doing
        return load(path, map_location="cpu", weights_only=True)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON header (8 bytes, little end first), then "{"."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def tensor_names(path: Path) -> frozenset[str]:
    """Names in a file's index, of its tensors and perhaps others, without reading the tensors; empty if unreadable."""
    from safetensors import SafetensorError, safe_open  # type: ignore[attr-defined]

    try:
        if is_safetensors(path):
            with safe_open(path, "pt") as file:  # type: ignore[attr-defined]
                return frozenset(file.keys())
        with zipfile.ZipFile(path) as archive:
            index = next(entry for entry in archive.infolist() if entry.filename.endswith("data.pkl"))
            if index.file_size > MOST_INDEX_BYTES:
                return frozenset()
            return frozenset(_texts(archive.read(index)))
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile, SafetensorError):
        return frozenset()


def _texts(pickled: bytes) -> set[str]:
    """The texts in a pickle, which is looked at, not loaded."""
    return {argument for _, argument, _ in pickletools.genops(io.BytesIO(pickled)) if isinstance(argument, str)}


def _kind(found: object) -> str:
    if isinstance(found, Mapping):
        return f"{len(found)} entries, e.g. {', '.join(map(str, list(found)[:3]))}" if found else "an empty file"
    return type(found).__name__


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else ''}"
