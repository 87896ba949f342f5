"""Embeddings named in prompts: a database that can be filled by hand; no files are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Embedding:
    """Vectors (n, C) that stand in for the tokens of a name."""

    def __init__(self, vec: torch.Tensor, name: str, step: int | None = None) -> None:
        self.vec = vec
        self.name = name
        self.step = step
        self.shape = vec.shape[-1]
        self.vectors = vec.shape[0]
        self.shorthash: str | None = None
        self.loaded: bool | None = None


class EmbeddingDatabase:
    """Embeddings by name and by the token ids of their names."""

    def __init__(self) -> None:
        self.ids_lookup: dict[int, list[tuple[list[int], Embedding]]] = {}
        self.word_embeddings: dict[str, Embedding] = {}
        self.skipped_embeddings: dict[str, Embedding] = {}
        self.expected_shape = -1
        self.embedding_dirs: dict[str, Any] = {}

    def register_embedding(self, embedding: Embedding, model: Any) -> Embedding | None:
        """Add an embedding under its own name."""
        return self.register_embedding_by_name(embedding, model, embedding.name)

    def register_embedding_by_name(self, embedding: Embedding | None, model: Any, name: str) -> Embedding | None:
        """Add an embedding under `name`; None removes."""
        ids = model.cond_stage_model.tokenize([name])[0]
        entries = [entry for entry in self.ids_lookup.get(ids[0], []) if entry[0] != ids]
        if embedding is None:
            self.word_embeddings.pop(name, None)
        else:
            self.word_embeddings[name] = embedding
            entries = sorted([*entries, (ids, embedding)], key=lambda entry: len(entry[0]), reverse=True)
        self.ids_lookup[ids[0]] = entries
        return embedding

    def load_textual_inversion_embeddings(self, force_reload: bool = False) -> None:
        """devhost reads no embedding files."""

    def find_embedding_at_position(self, tokens: list[int], offset: int) -> tuple[Embedding | None, int | None]:
        """The embedding whose name starts at a token, and how many tokens the name has."""
        for ids, embedding in self.ids_lookup.get(tokens[offset], []):
            if tokens[offset : offset + len(ids)] == ids:
                return embedding, len(ids)
        return None, None
