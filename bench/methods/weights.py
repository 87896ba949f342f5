"""The host's own weights, changed for a while: for fused models and for models trained as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_UNET, _TEXT = "model.diffusion_model.", "cond_stage_model."


def settle_networks() -> None:
    """Take every network out of the weights now, and forget the host's backups of them.

    The host takes them out when a layer is next used, and from its backups: both would undo a change of weights.
    """
    import networks
    import torch
    from modules import shared

    networks.load_networks([])
    with torch.no_grad():  # the host writes the weights in place
        for module in shared.sd_model.modules():
            if hasattr(module, "network_current_names"):
                networks.network_apply_weights(module)
                networks.network_reset_cached_weight(module)


def forget_conds() -> None:
    """Empty the host's cache of encoded prompts, which doesn't know of changed weights."""
    from modules import processing

    for owner in (processing.StableDiffusionProcessing, processing.StableDiffusionProcessingTxt2Img):
        for name in ("cached_c", "cached_uc"):
            getattr(owner, name)[:] = [None, None]


@contextmanager
def replaced_parameters(changes: Sequence[tuple[torch.nn.Parameter, torch.Tensor]]) -> Iterator[None]:
    """While open, parameters of the host's model have other values; after, those they had, bit for bit.

    Args:
        changes: parameters and their new values, of the same shape.
    """
    import torch

    settle_networks()
    kept = [parameter.detach().clone() for parameter, _ in changes]
    try:
        forget_conds()
        with torch.no_grad():
            for parameter, value in changes:
                parameter.copy_(value)
        yield
    finally:
        settle_networks()  # those merged into the new values
        with torch.no_grad():
            for (parameter, _), value in zip(changes, kept, strict=True):
                parameter.copy_(value)
        forget_conds()


@contextmanager
def loaded(weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """While open, the host's UNet and text encoder have these weights.

    Args:
        weights: any part of them, by their names in an SD1 checkpoint (`model.diffusion_model...`,
            `cond_stage_model.transformer...`).

    Raises:
        ValueError: a name or a shape isn't the host's.
    """
    known = host_parameters()
    unknown = sorted(set(weights) - set(known))
    if unknown:
        raise ValueError(f"expected names of an SD1 checkpoint such as {next(iter(known))!r}, found {unknown[0]!r}")
    for name, value in weights.items():
        if value.shape != known[name].shape:
            raise ValueError(f"{name}: expected the shape {tuple(known[name].shape)}, found {tuple(value.shape)}")
    with replaced_parameters([(known[name], value) for name, value in weights.items()]):
        yield


def host_parameters() -> dict[str, Any]:
    """Parameters of the host's UNet and text encoder by their names in an SD1 checkpoint."""
    from modules import shared

    text = shared.sd_model.cond_stage_model.wrapped
    unet = shared.sd_model.model.diffusion_model
    found = {_UNET + name: parameter for name, parameter in unet.named_parameters()}
    for name, parameter in text.named_parameters():
        # the host wraps the token embedding for textual inversion
        found[_TEXT + name.replace("token_embedding.wrapped.", "token_embedding.")] = parameter
    return found
