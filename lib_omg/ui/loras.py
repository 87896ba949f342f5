"""The names of the LoRAs the WebUI knows, for lists and for messages."""

from __future__ import annotations

import logging

from lib_omg.ui.inputs import NO_LORA

logger = logging.getLogger(__name__)


def choices() -> list[str]:
    """What a LoRA list offers: none first, then every LoRA on disk by name."""
    return [NO_LORA, *sorted(_available(), key=str.casefold)]


def refresh() -> None:
    """Let the WebUI look for LoRAs on disk again."""
    try:
        import networks
    except ImportError:
        logger.warning("OMG finds no LoRAs: the built-in extension 'Lora' is off; turn it on in the Extensions tab.")
        return
    networks.list_available_networks()


def is_missing(name: str) -> bool:
    """Whether a LoRA was chosen that isn't on disk (any more)."""
    return name != NO_LORA and name not in _available() and name not in _aliases()


def _available() -> set[str]:
    try:
        import networks
    except ImportError:
        return set()
    return set(networks.available_networks)


def _aliases() -> set[str]:
    try:
        import networks
    except ImportError:
        return set()
    return set(networks.available_network_aliases)
