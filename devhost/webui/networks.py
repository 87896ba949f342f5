"""The Lora builtin: loading of networks, and the forward of layers that rebuilds weights when the networks changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import network
import network_keys
import torch
from modules import devices, errors, sd_hijack, sd_models, shared
from network_oft import ModuleTypeOFT
from network_types import module_types

logger = logging.getLogger(__name__)
module_types = [*module_types, ModuleTypeOFT()]
LAYERS = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.GroupNorm, torch.nn.LayerNorm)
convert_diffusers_name_to_compvis = network_keys.convert_diffusers_name_to_compvis

available_networks: dict[str, network.NetworkOnDisk] = {}
available_network_aliases: dict[str, network.NetworkOnDisk] = {}
available_network_hash_lookup: dict[str, network.NetworkOnDisk] = {}
forbidden_network_aliases: dict[str, int] = {}
loaded_networks: list[network.Network] = []
networks_in_memory: dict[str, network.Network] = {}
extra_network_lora: Any = None
originals: LoraPatches = None  # type: ignore[assignment]


def assign_network_names_to_compvis_modules(sd_model: Any) -> None:
    """Give every layer of text encoder and UNet its `network_layer_name`."""
    mapping: dict[str, torch.nn.Module] = {}
    text_encoder = getattr(sd_model.cond_stage_model, "wrapped", sd_model.cond_stage_model)
    for root in (text_encoder, sd_model.model):
        for name, module in root.named_modules():
            module.network_layer_name = name.replace(".", "_")
            mapping[module.network_layer_name] = module
    sd_model.network_layer_mapping = mapping


def load_network(name: str, network_on_disk: network.NetworkOnDisk) -> network.Network:
    """Read a file into adapters; keys of no layer are left out.

    Raises:
        AssertionError: a layer's weights are of no known kind.
    """
    net = network.Network(name, network_on_disk)
    net.mtime = Path(network_on_disk.filename).stat().st_mtime
    if not hasattr(shared.sd_model, "network_layer_mapping"):
        assign_network_names_to_compvis_modules(shared.sd_model)
    matched: dict[str, network.NetworkWeights] = {}
    unmatched = []
    for full_key, weight in sd_models.read_state_dict(network_on_disk.filename).items():
        key, _, part = full_key.partition(".")
        layers = shared.sd_model.network_layer_mapping
        layer_name = next((c for c in network_keys.candidates(key) if c in layers), None)
        if layer_name is None:
            unmatched.append(full_key)
            continue
        if layer_name not in matched:
            matched[layer_name] = network.NetworkWeights(full_key, layer_name, {}, layers[layer_name])
        matched[layer_name].w[part] = weight
    for layer_name, weights in matched.items():
        net.modules[layer_name] = _create_module(net, weights)
    if unmatched:
        logger.debug("Network %s didn't match keys: %s", network_on_disk.filename, unmatched)
    return net


def _create_module(net: network.Network, weights: network.NetworkWeights) -> network.NetworkModule:
    for kind in module_types:
        module = kind.create_module(net, weights)
        if module is not None:
            return module
    raise AssertionError(f"Could not find a module type that would accept those keys: {', '.join(weights.w)}")


def purge_networks_from_memory() -> None:
    """Keep as many networks as the settings allow, oldest out first."""
    while len(networks_in_memory) > max(0, shared.opts.lora_in_memory_limit):
        networks_in_memory.pop(next(iter(networks_in_memory)))


def _find(name: str) -> network.NetworkOnDisk | None:
    table = available_networks if name.lower() in forbidden_network_aliases else available_network_aliases
    return table.get(name)


def load_networks(
    names: Sequence[str],
    te_multipliers: Sequence[float] | None = None,
    unet_multipliers: Sequence[float] | None = None,
    dyn_dims: Sequence[int | None] | None = None,
) -> None:
    """Make `loaded_networks` exactly these; missing ones are told in the comments."""
    already = {net.name: net for net in loaded_networks if net.name in names}
    loaded_networks.clear()
    unknown = [name for name in names if _find(name) is None]
    if unknown:
        update_available_networks_by_names(unknown)
    if any(_find(name) is None for name in names):
        list_available_networks()
    failed = []
    for i, name in enumerate(names):
        try:
            net = _load_one(name, already)
        except Exception as error:
            errors.display(error, f"loading network {name}")
            continue
        if net is None:
            failed.append(name)
            continue
        given = {"te_multiplier": te_multipliers, "unet_multiplier": unet_multipliers, "dyn_dim": dyn_dims}
        for attribute, values in given.items():
            setattr(net, attribute, values[i] if values else 1.0)
        loaded_networks.append(net)
    if failed:
        sd_hijack.model_hijack.comments.append(f"Lora not found: {', '.join(failed)}")
    purge_networks_from_memory()


def _load_one(name: str, already: dict[str, network.Network]) -> network.Network | None:
    on_disk = _find(name)
    net = already.get(name)
    if on_disk is None:
        return net
    net = net or networks_in_memory.get(name)
    if net is None or Path(on_disk.filename).stat().st_mtime > (net.mtime or 0):
        net = load_network(name, on_disk)
        networks_in_memory.pop(name, None)
        networks_in_memory[name] = net
    net.mentioned_name = name
    on_disk.read_hash()
    return net


def _wanted_names() -> tuple[Any, ...]:
    return tuple((n.name, n.te_multiplier, n.unet_multiplier, n.dyn_dim) for n in loaded_networks)


def network_restore_weights_from_backup(self: Any) -> None:
    """Copy the backup over weight and bias; no backup, no change."""
    weight, bias = getattr(self, "network_weights_backup", None), getattr(self, "network_bias_backup", None)
    if weight is None and bias is None:
        return
    with torch.no_grad():
        if weight is not None:
            self.weight.copy_(weight)
        if bias is None:
            self.bias = None
        else:
            self.bias.copy_(bias)


def network_apply_weights(self: Any) -> None:
    """Rebuild a layer's weights from its backup if the loaded networks are not those already in it."""
    layer_name = getattr(self, "network_layer_name", None)
    if layer_name is None:
        return
    current, wanted = getattr(self, "network_current_names", ()), _wanted_names()
    if current == wanted:
        return
    if wanted and getattr(self, "network_weights_backup", None) is None:
        if current:
            raise RuntimeError(f"{layer_name} - no backup weights found and current weights are not unchanged")
        bias = getattr(self, "bias", None)
        self.network_weights_backup = self.weight.detach().to(devices.cpu, copy=True)
        self.network_bias_backup = None if bias is None else bias.detach().to(devices.cpu, copy=True)
    network_restore_weights_from_backup(self)
    for net in loaded_networks:
        module = net.modules.get(layer_name)
        if module is None:
            continue
        try:
            _add_to_weights(self, module)
        except RuntimeError as error:
            logger.debug("Network %s layer %s: %s", net.name, layer_name, error)
            extra_network_lora.errors[net.name] = extra_network_lora.errors.get(net.name, 0) + 1
    self.network_current_names = wanted


def _add_to_weights(layer: Any, module: network.NetworkModule) -> None:
    with torch.no_grad():
        updown, ex_bias = module.calc_updown(layer.weight)
        layer.weight.copy_((layer.weight.to(updown.dtype) + updown).to(layer.weight.dtype))
        if ex_bias is None or not hasattr(layer, "bias"):
            return
        if layer.bias is None:
            layer.bias = torch.nn.Parameter(ex_bias.to(layer.weight.dtype), requires_grad=False)
        else:
            layer.bias.copy_((layer.bias + ex_bias).to(layer.bias.dtype))


def network_reset_cached_weight(self: Any) -> None:
    """Take the weights as they are for the unchanged ones."""
    self.network_current_names = ()
    self.network_weights_backup = None
    self.network_bias_backup = None


def network_forward(
    org_module: Any, input: torch.Tensor, original_forward: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """The layer with untouched weights, then every network's own forward (option `lora_functional`)."""
    if not loaded_networks:
        return original_forward(org_module, input)
    network_restore_weights_from_backup(org_module)
    network_reset_cached_weight(org_module)
    y = original_forward(org_module, input)
    for net in loaded_networks:
        module = net.modules.get(getattr(org_module, "network_layer_name", None))
        if module is not None:
            y = module.forward(input, y)
    return y


class LoraPatches:
    """Process-wide replacement of the layers' forward and loading."""

    def __init__(self) -> None:
        self.kept = [(cls, name, getattr(cls, name)) for cls in LAYERS for name in ("forward", "_load_from_state_dict")]
        for cls, name, original in self.kept:
            setattr(cls, name, _patched_forward(original) if name == "forward" else _patched_load(original))

    def undo(self) -> None:
        """Put the originals back."""
        for cls, name, original in self.kept:
            setattr(cls, name, original)


def _patched_forward(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def forward(self: Any, input: torch.Tensor) -> torch.Tensor:
        if shared.opts.lora_functional:
            return network_forward(self, input, original)
        network_apply_weights(self)
        return original(self, input)

    return forward


def _patched_load(original: Callable[..., None]) -> Callable[..., None]:
    def load(self: Any, *args: Any, **kwargs: Any) -> None:
        network_reset_cached_weight(self)
        original(self, *args, **kwargs)

    return load


def process_network_files(names: list[str] | None = None) -> None:
    """Register the network files, all or of some names."""
    for filename in shared.walk_files(shared.cmd_opts.lora_dir, [".pt", ".ckpt", ".safetensors"]):
        name = Path(filename).stem
        if names and name not in names:
            continue
        entry = network.NetworkOnDisk(name, filename)
        available_networks[name] = entry
        if entry.alias in available_network_aliases:
            forbidden_network_aliases[entry.alias.lower()] = 1
        available_network_aliases[name] = available_network_aliases[entry.alias] = entry


def update_available_networks_by_names(names: list[str]) -> None:
    """Look for files of these names only."""
    process_network_files(names)


def list_available_networks() -> None:
    """Look for all files anew."""
    for table in (
        available_networks,
        available_network_aliases,
        forbidden_network_aliases,
        available_network_hash_lookup,
    ):
        table.clear()
    forbidden_network_aliases.update({"none": 1, "Addams": 1})
    process_network_files()
    logger.debug("%d networks", len(available_networks))
