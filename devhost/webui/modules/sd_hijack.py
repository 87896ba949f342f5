"""What the WebUI changes on a loaded model: text encoder wrapper, attention optimisation, tiling."""

from __future__ import annotations

from typing import Any

import ldm.modules.diffusionmodules.model
import ldm.modules.diffusionmodules.openaimodel
import torch

from modules import devices, sd_hijack_clip, sd_hijack_optimizations, shared
from modules.textual_inversion.textual_inversion import EmbeddingDatabase

current_optimizer: sd_hijack_optimizations.SdOptimization | None = None
optimizers: list[sd_hijack_optimizations.SdOptimization] = []


class _TorchForUnet:
    """torch whose `cat` of two maps fits the first to the second, so that sizes need only divide by 8."""

    def __getattr__(self, item: str) -> Any:
        return getattr(torch, item)

    def cat(self, tensors: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """torch.cat, sizes (H, W) made equal."""
        if len(tensors) == 2 and tensors[0].shape[-2:] != tensors[1].shape[-2:]:
            first = torch.nn.functional.interpolate(tensors[0], tensors[1].shape[-2:], mode="nearest")
            tensors = (first, tensors[1])
        return torch.cat(tensors, *args, **kwargs)


def list_optimizers() -> None:
    """Fill the list of attention optimisations, best first."""
    found = [cls() for cls in sd_hijack_optimizations.OPTIMIZATIONS]
    optimizers[:] = sorted(found, key=lambda o: o.priority, reverse=True)


def apply_optimizations(option: str | None = None) -> str:
    """Switch to the optimisation of a title or name; "Automatic" takes the best, "None" plain ldm.

    Returns:
        name of the optimisation, "" for none.
    """
    global current_optimizer
    sd_hijack_optimizations.undo()
    current_optimizer = None
    ldm.modules.diffusionmodules.model.nonlinearity = torch.nn.functional.silu
    ldm.modules.diffusionmodules.openaimodel.th = _TorchForUnet()
    selection = option or shared.opts.cross_attention_optimization
    if selection == "None" or not optimizers:
        return ""
    current_optimizer = next((o for o in optimizers if selection in (o.title(), o.name)), optimizers[0])
    current_optimizer.apply()
    return current_optimizer.name


def undo_optimizations() -> None:
    """Back to plain ldm."""
    sd_hijack_optimizations.undo()


class EmbeddingsWithFixes(torch.nn.Module):
    """Token embedding that puts textual inversion vectors in place."""

    def __init__(self, wrapped: torch.nn.Module, embeddings: Any) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.embeddings = embeddings

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Ids (B, T) to vectors (B, T, C)."""
        fixes, self.embeddings.fixes = self.embeddings.fixes, None
        embedded = self.wrapped(input_ids)
        for row, row_fixes in enumerate(fixes or []):
            for offset, embedding in row_fixes:
                count = min(embedded.shape[1] - offset - 1, embedding.vec.shape[0])
                embedded[row, offset + 1 : offset + 1 + count] = devices.cond_cast_unet(embedding.vec)[:count]
        return embedded


class StableDiffusionModelHijack:
    """Holds what is changed on the model, and messages of the current run."""

    fixes: Any = None
    layers: list[torch.nn.Module] | None = None
    clip: Any = None
    circular_enabled = False
    optimization_method: str | None = None

    def __init__(self) -> None:
        self.extra_generation_params: dict[str, Any] = {}
        self.comments: list[str] = []
        self.embedding_db = EmbeddingDatabase()

    def apply_optimizations(self, option: str | None = None) -> None:
        """Switch the attention optimisation."""
        self.optimization_method = apply_optimizations(option)

    def hijack(self, m: Any) -> None:
        """Wrap the text encoder of `m` and apply the attention optimisation."""
        embeddings = m.cond_stage_model.transformer.text_model.embeddings
        embeddings.token_embedding = EmbeddingsWithFixes(embeddings.token_embedding, self)
        m.cond_stage_model = sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords(m.cond_stage_model, self)
        self.apply_optimizations()
        self.clip = m.cond_stage_model
        self.layers = list(m.modules())

    def undo_hijack(self, m: Any) -> None:
        """Unwrap the text encoder of `m`."""
        m.cond_stage_model = m.cond_stage_model.wrapped
        embeddings = m.cond_stage_model.transformer.text_model.embeddings
        embeddings.token_embedding = embeddings.token_embedding.wrapped
        undo_optimizations()
        self.layers = self.clip = None

    def redo_hijack(self, m: Any) -> None:
        """Unwrap and wrap again."""
        self.undo_hijack(m)
        self.hijack(m)

    def apply_circular(self, enable: bool) -> None:
        """Tiling: convolutions wrap around."""
        if self.circular_enabled == enable:
            return
        self.circular_enabled = enable
        for layer in self.layers or []:
            if type(layer) is torch.nn.Conv2d:
                layer.padding_mode = "circular" if enable else "zeros"

    def clear_comments(self) -> None:
        """Forget the messages of the last run."""
        self.comments = []
        self.extra_generation_params = {}

    def get_prompt_lengths(self, text: str) -> tuple[int, int]:
        """Tokens of a prompt and tokens it may have."""
        _, count = self.clip.process_texts([text])
        return count, self.clip.get_target_prompt_token_count(count)


model_hijack = StableDiffusionModelHijack()
