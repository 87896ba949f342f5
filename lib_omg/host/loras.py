"""LoRAs through the WebUI's own loader: files to row-routed deltas, and to the text encoder for one encoding."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networks
import torch
from modules import devices, extra_networks, sd_hijack, shared

from lib_omg.core.adapters import Delta, LowRankDelta, WeightDelta
from lib_omg.core.errors import OmgError

logger = logging.getLogger(__name__)

UNET_PREFIX = "diffusion_model"


@dataclass(frozen=True)
class LoraRequest:
    """A LoRA asked for: name or alias, weights of UNet and text encoder, LyCORIS' dynamic rank."""

    name: str
    unet_weight: float
    te_weight: float
    dyn_dim: int | None = None


@dataclass
class LoraLibrary:
    """Loads networks and keeps those of the last generation, as the host does with its own."""

    _model: weakref.ref[Any] | None = None
    _kept: dict[tuple[str, int], Any] = field(default_factory=dict)

    def load(self, concepts: Sequence[Sequence[LoraRequest]], labels: Sequence[str]) -> list[list[Any]]:
        """The host's `Network` objects of every concept, each its own object with its own weights.

        Raises:
            OmgError: a LoRA is missing, broken, or not for this model.
        """
        if self._model is None or self._model() is not shared.sd_model:
            self._kept.clear()
            self._model = weakref.ref(shared.sd_model)
        used: dict[tuple[str, int], Any] = {}
        loaded = []
        for requests, label in zip(concepts, labels, strict=True):
            nets = []
            for request in requests:
                turn = sum(1 for name, _ in used if name == request.name)
                key = (request.name, turn)
                used[key] = self._fresh(key, label)
                nets.append(_with_weights(used[key], request))
            loaded.append(nets)
        self._kept = used
        return loaded

    def _fresh(self, key: tuple[str, int], label: str) -> Any:
        on_disk = _find(key[0], label)
        kept = self._kept.get(key)
        if (
            kept is not None
            and kept.network_on_disk is on_disk
            and Path(on_disk.filename).stat().st_mtime <= kept.mtime
        ):
            return kept
        try:
            net = networks.load_network(key[0], on_disk)
        except Exception as error:
            raise OmgError(
                f"OMG, concept {label!r}: the LoRA {key[0]!r} can't be read ({type(error).__name__}: {error}). "
                "Download it again or choose another."
            ) from error
        if not net.modules:
            raise OmgError(
                f"OMG, concept {label!r}: the LoRA {key[0]!r} fits no layer of the loaded checkpoint. "
                "Is it for another base model (SD1, SD2, SDXL)?"
            )
        net.mentioned_name = key[0]
        return net


def requests_from_prompt(prompt: str, label: str) -> tuple[str, list[LoraRequest]]:
    """A prompt without its `<lora:...>` (and `<lyco:...>`) parts, and what they ask for.

    Raises:
        OmgError: the prompt asks for another kind of extra network, which can't be kept to one concept.
    """
    text, found = extra_networks.parse_prompt(prompt)
    requests = []
    for kind, items in found.items():
        if kind not in ("lora", "lyco"):
            raise OmgError(
                f"OMG, concept {label!r}: expected only <lora:...> in a concept's prompt, found <{kind}:...>. "
                "Put it into the main prompt."
            )
        requests += [_request(item, label) for item in items]
    return text, requests


def _request(item: Any, label: str) -> LoraRequest:
    """Read `name:te:unet:dyn`, with te=, unet= and dyn= as well, as the host's loader reads it."""
    try:
        te = float(item.named.get("te", item.positional[1] if len(item.positional) > 1 else 1.0))
        unet = float(item.named.get("unet", item.positional[2] if len(item.positional) > 2 else te))
        dyn = item.named.get("dyn", item.positional[3] if len(item.positional) > 3 else None)
        return LoraRequest(item.positional[0], unet, te, None if dyn is None else int(dyn))
    except (ValueError, IndexError) as error:
        raise OmgError(
            f"OMG, concept {label!r}: expected <lora:name:weight>, found <lora:{':'.join(map(str, item.items))}>."
        ) from error


def trigger_words(name: str) -> str:
    """The LoRA's trigger words: the user's ("activation text" in `name.json`), else the file's own; "" when unknown."""
    known = networks.available_networks if _is_forbidden(name) else networks.available_network_aliases
    on_disk = known.get(name)
    if on_disk is None:
        return ""
    words = user_metadata(on_disk).get("activation text") or on_disk.metadata.get("modelspec.trigger_phrase")
    return str(words or "").strip()


def user_metadata(on_disk: Any) -> dict[str, Any]:
    """What the user noted about a LoRA in the `name.json` beside its file; empty when there is none or it is broken.

    Args:
        on_disk: the host's `NetworkOnDisk`.
    """
    metadata = extra_networks.get_user_metadata(on_disk.filename)
    return metadata if isinstance(metadata, dict) else {}


def _find(name: str, label: str) -> Any:
    for attempt in range(2):
        known = networks.available_networks if _is_forbidden(name) else networks.available_network_aliases
        on_disk = known.get(name)
        if on_disk is not None and Path(on_disk.filename).exists():
            return on_disk
        if attempt == 0:
            networks.list_available_networks()
    some = ", ".join(sorted(networks.available_networks)[:12]) or "none"
    raise OmgError(f"OMG, concept {label!r}: there is no LoRA {name!r}. Found in the LoRA folder: {some}.")


def _is_forbidden(name: str) -> bool:
    return name.lower() in networks.forbidden_network_aliases


def _with_weights(net: Any, request: LoraRequest) -> Any:
    net.te_multiplier = request.te_weight
    net.unet_multiplier = request.unet_weight
    net.dyn_dim = request.dyn_dim
    return net


@contextmanager
def loaded_for_text(nets: Sequence[Any]) -> Iterator[None]:
    """While open, the host's text encoder has these networks on top of the user's own."""
    registry = sd_hijack.model_hijack.embedding_db
    before = list(networks.loaded_networks)
    bundled = [e for net in nets for e in net.bundle_embeddings.values() if e.name not in registry.word_embeddings]
    networks.loaded_networks.extend(nets)
    try:
        for embedding in bundled:
            registry.register_embedding(embedding, shared.sd_model)
        yield
    finally:
        networks.loaded_networks[:] = before
        for embedding in bundled:
            registry.register_embedding_by_name(None, shared.sd_model, embedding.name)


def unet_deltas(
    concepts: Sequence[Sequence[Any]], labels: Sequence[str], keep_bytes: int
) -> dict[torch.nn.Module, dict[int, list[Delta]]]:
    """The UNet part of every concept's networks: layer -> concept -> deltas.

    Args:
        keep_bytes: how many bytes of rebuilt weight changes may be held; the rest is rebuilt at every call.
    """
    deltas: dict[torch.nn.Module, dict[int, list[Delta]]] = {}
    budget = keep_bytes
    for concept, (nets, label) in enumerate(zip(concepts, labels, strict=True)):
        by_layer: dict[torch.nn.Module, list[Any]] = {}
        for net in nets:
            for key, module in net.modules.items():
                if key.startswith(UNET_PREFIX):
                    by_layer.setdefault(module.sd_module, []).append(module)
        for layer, modules in by_layer.items():
            size = layer.weight.numel() * layer.weight.element_size()
            made = _layer_deltas(layer, modules, label, keep=size <= budget)
            if any(isinstance(delta, WeightDelta) and delta.keep for delta in made):
                budget -= size
            deltas.setdefault(layer, {})[concept] = made
    return deltas


def _layer_deltas(layer: torch.nn.Module, modules: Sequence[Any], label: str, *, keep: bool) -> list[Delta]:
    if all(_is_plain(module) and _fits(layer, module) for module in modules):
        return [_low_rank(module) for module in modules]

    def compute() -> tuple[torch.Tensor, torch.Tensor | None]:
        return _weight_change(layer, modules)

    delta = WeightDelta(compute, keep)
    try:
        delta.change()
    except (RuntimeError, ValueError, TypeError) as error:
        name = modules[0].network.name
        raise OmgError(
            f"OMG, concept {label!r}: the LoRA {name!r} doesn't fit the loaded checkpoint at "
            f"{modules[0].network_key} ({error}). Is it for another base model?"
        ) from error
    return [delta]


def _is_plain(module: Any) -> bool:
    """Whether the adapter is up(down(x)) and nothing else."""
    return (
        getattr(module, "up_model", None) is not None
        and getattr(module, "mid_model", None) is None
        and module.dora_scale is None
        and module.bias is None
        and not module.network.dyn_dim
    )


def _fits(layer: torch.nn.Module, module: Any) -> bool:
    down, up = module.down_model.weight, module.up_model.weight
    same_kernel = down.shape[2:] == layer.weight.shape[2:]
    return bool(down.shape[1] == layer.weight.shape[1] and up.shape[0] == layer.weight.shape[0] and same_kernel)


def _low_rank(module: Any) -> LowRankDelta:
    def place(weight: torch.Tensor) -> torch.Tensor:
        return weight.detach().to(devices.device, devices.dtype_unet)

    scale = module.multiplier() * module.calc_scale()
    return LowRankDelta(place(module.down_model.weight), place(module.up_model.weight), float(scale))


def _weight_change(layer: torch.nn.Module, modules: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What the host's merging would add to the layer, its adapters one after the other."""
    base = getattr(layer, "fp16_weight", None)
    weight = (layer.weight if base is None else base.to(layer.weight.device)).detach()
    change: torch.Tensor | None = None
    bias_change: torch.Tensor | None = None
    for module in modules:
        current = weight if change is None else weight.to(change.dtype) + change
        updown, bias = module.calc_updown(current)
        updown = updown.to(layer.weight.device)
        if current.dim() == 4 and current.shape[1] == 9 and updown.shape[1] == 4:
            updown = torch.nn.functional.pad(updown, (0, 0, 0, 0, 0, 5))  # an inpainting model's first layer
        if updown.shape != weight.shape:
            raise ValueError(f"expected a change of shape {tuple(weight.shape)}, found {tuple(updown.shape)}")
        change = updown if change is None else change + updown
        if bias is not None:
            bias = bias.to(layer.weight.device)
            bias_change = bias if bias_change is None else bias_change + bias
    assert change is not None
    dtype = devices.dtype_unet
    return change.to(dtype), None if bias_change is None else bias_change.to(dtype)
