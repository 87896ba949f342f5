"""Alternative UNets; devhost has none."""

from typing import Any

current_unet: Any = None


def apply_unet(option: str | None = None) -> None:
    """Nothing to apply."""
