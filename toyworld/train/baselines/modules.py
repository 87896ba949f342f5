"""What the baselines train, outside of the frozen model: differences to its weights, and vectors of new words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call

from toyworld.models import TOKENS

if TYPE_CHECKING:
    from toyworld.models import TextEncoder

TOKEN_TABLE = "text_model.embeddings.token_embedding.weight"


class Shift(torch.nn.Module):
    """A module with some of its weights shifted by trainable differences, at first zero.

    Args:
        module: frozen; its own weights are never touched.
        names: of the parameters to shift; None for all.
        scale: what differences are multiplied with. Adam's steps do not depend on the gradient's size, so a scale
            below 1 is a lower learning rate.
    """

    def __init__(self, module: torch.nn.Module, names: Iterable[str] | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.frozen = (module,)  # a tuple hides it from torch, which would train and save it too
        self.names = tuple(dict(module.named_parameters()) if names is None else names)
        self.scale = scale
        shapes = [module.get_parameter(name).shape for name in self.names]
        self.differences = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def weights(self) -> dict[str, torch.Tensor]:
        """The shifted weights by name."""
        module = self.frozen[0]
        pairs = zip(self.names, self.differences, strict=True)
        return {name: module.get_parameter(name) + self.scale * change for name, change in pairs}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives with the shifted weights."""
        return functional_call(self.frozen[0], self.weights(), args, kwargs)


class Words(torch.nn.Module):
    """Words that a frozen text encoder is taught: new rows of its table of tokens.

    Args:
        text: frozen; its own table is never touched.
        starts: by the word, the text whose first token its vectors start from.
        count: vectors of each word.
    """

    def __init__(self, text: TextEncoder, starts: Mapping[str, str], count: int) -> None:
        super().__init__()
        self.frozen = (text,)  # as in `Shift`
        self.count = count
        table = text.transformer.get_parameter(TOKEN_TABLE)
        self.new_ids: dict[str, list[int]] = {}
        for number, word in enumerate(starts):
            first = len(table) + number * count
            self.new_ids[word] = list(range(first, first + count))
        rows = torch.stack([table[self._bare(start)[0]].detach() for start in starts.values()])
        self.vectors = torch.nn.Parameter(rows.repeat_interleave(count, 0))

    def by_word(self) -> dict[str, torch.Tensor]:
        """Vectors (count, C) of every word."""
        return dict(zip(self.new_ids, self.vectors.detach().split(self.count), strict=True))

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids (B, 77) of prompts, padded as the WebUI pads them; a new word has ids beyond the vocabulary."""
        tokenizer = self.frozen[0].tokenizer
        rows = []
        for prompt in prompts:
            ids = self._replaced(self._bare(prompt))
            rows.append([tokenizer.bos_token_id, *ids, *[tokenizer.eos_token_id] * (TOKENS - 1 - len(ids))])
        return torch.tensor(rows)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Context (B, 77, C) of token ids."""
        transformer = self.frozen[0].transformer
        table = torch.cat([transformer.get_parameter(TOKEN_TABLE), self.vectors])
        return functional_call(transformer, {TOKEN_TABLE: table}, (), {"input_ids": tokens}).last_hidden_state

    def _bare(self, text: str) -> list[int]:
        return list(self.frozen[0].tokenizer(text, add_special_tokens=False)["input_ids"])

    def _replaced(self, ids: list[int]) -> list[int]:
        for word, new in self.new_ids.items():
            old = self._bare(word)
            for start in reversed(range(len(ids) - len(old) + 1)):
                if ids[start : start + len(old)] == old:
                    ids = [*ids[:start], *new, *ids[start + len(old) :]]
        return ids
