"""sd-webui-omg: several LoRA characters in one picture, each itself (OMG, ECCV 2024, arXiv 2403.10983)."""

__version__ = "0.1.0"
