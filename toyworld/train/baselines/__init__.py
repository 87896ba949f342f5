"""The trained baselines of the paper's tables: joint DreamBooth, Textual Inversion, Custom Diffusion."""
