"""The VAE baked into the checkpoint; devhost knows no other."""


def get_loaded_vae_name() -> None:
    """No separate VAE."""


def get_loaded_vae_hash() -> None:
    """No separate VAE."""


def reload_vae_weights() -> None:
    """Nothing to reload."""
