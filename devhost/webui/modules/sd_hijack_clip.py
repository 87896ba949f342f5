"""The text encoder's wrapper: prompts of any length in chunks of 75 tokens, emphasis, embeddings."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import torch

from modules import devices, prompt_parser, sd_emphasis
from modules.shared import opts

PromptChunkFix = namedtuple("PromptChunkFix", ["offset", "embedding"])


class PromptChunk:
    """77 token ids with a multiplier each, and embeddings to put in."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.multipliers: list[float] = []
        self.fixes: list[PromptChunkFix] = []


class _ChunkWriter:
    """Fills chunks token by token; a full chunk is closed and, near a comma, broken there."""

    def __init__(self, owner: FrozenCLIPEmbedderWithCustomWords) -> None:
        self.owner = owner
        self.chunks: list[PromptChunk] = []
        self.chunk = PromptChunk()
        self.token_count = 0
        self.last_comma = -1

    def close(self, is_last: bool = False) -> None:
        """Pad the chunk to 77 and begin the next."""
        chunk, length = self.chunk, self.owner.chunk_length
        self.token_count += len(chunk.tokens) if is_last else length
        room = length - len(chunk.tokens)
        chunk.tokens = [self.owner.id_start, *chunk.tokens, *[self.owner.id_end] * (room + 1)]
        chunk.multipliers = [1.0, *chunk.multipliers, *[1.0] * (room + 1)]
        self.chunks.append(chunk)
        self.chunk = PromptChunk()
        self.last_comma = -1

    def make_room(self, token: int) -> None:
        """Note commas; move what follows a near comma into the next chunk when this one is full."""
        chunk, full = self.chunk, len(self.chunk.tokens) == self.owner.chunk_length
        backtrack = opts.comma_padding_backtrack
        if token == self.owner.comma_token:
            self.last_comma = len(chunk.tokens)
        elif backtrack and full and self.last_comma != -1 and len(chunk.tokens) - self.last_comma <= backtrack:
            at = self.last_comma + 1
            tokens, multipliers = chunk.tokens[at:], chunk.multipliers[at:]
            del chunk.tokens[at:], chunk.multipliers[at:]
            self.close()
            self.chunk.tokens, self.chunk.multipliers = tokens, multipliers
        if len(self.chunk.tokens) == self.owner.chunk_length:
            self.close()

    def add(self, tokens: list[int], weight: float) -> None:
        """Add the tokens of one piece of text."""
        position = 0
        while position < len(tokens):
            self.make_room(tokens[position])
            embedding, used = self.owner.hijack.embedding_db.find_embedding_at_position(tokens, position)
            if embedding is None or used is None:
                self.chunk.tokens.append(tokens[position])
                self.chunk.multipliers.append(weight)
                position += 1
                continue
            if len(self.chunk.tokens) + embedding.vectors > self.owner.chunk_length:
                self.close()
            self.chunk.fixes.append(PromptChunkFix(len(self.chunk.tokens), embedding))
            self.chunk.tokens += [0] * embedding.vectors
            self.chunk.multipliers += [weight] * embedding.vectors
            position += used


class FrozenCLIPEmbedderWithCustomWords(torch.nn.Module):
    """Wraps the text encoder in `wrapped`; called with texts, gives (B, 77 * chunks, C)."""

    def __init__(self, wrapped: Any, hijack: Any) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.hijack = hijack
        self.tokenizer = wrapped.tokenizer
        self.chunk_length = 75
        self.is_trainable = False
        self.input_key = "txt"
        self.return_pooled = False
        self.comma_token = self.tokenizer.get_vocab().get(",</w>")
        self.id_start = self.tokenizer.bos_token_id
        self.id_end = self.id_pad = self.tokenizer.eos_token_id

    def empty_chunk(self) -> PromptChunk:
        """A chunk without text."""
        chunk = PromptChunk()
        chunk.tokens = [self.id_start, *[self.id_end] * (self.chunk_length + 1)]
        chunk.multipliers = [1.0 for _ in chunk.tokens]
        return chunk

    def get_target_prompt_token_count(self, token_count: int) -> int:
        """Tokens a prompt may have before it needs one chunk more."""
        return math.ceil(max(token_count, 1) / self.chunk_length) * self.chunk_length

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, without start and end."""
        return self.tokenizer(texts, truncation=False, add_special_tokens=False)["input_ids"]

    def tokenize_line(self, line: str) -> tuple[list[PromptChunk], int]:
        """Chunks of one prompt and its number of tokens."""
        parsed = prompt_parser.parse_prompt_attention(line) if opts.emphasis != "None" else [[line, 1.0]]
        writer = _ChunkWriter(self)
        for tokens, (text, weight) in zip(self.tokenize([text for text, _ in parsed]), parsed, strict=True):
            if text == "BREAK" and weight == -1:
                writer.close()
            else:
                writer.add(tokens, weight)
        if writer.chunk.tokens or not writer.chunks:
            writer.close(is_last=True)
        return writer.chunks, writer.token_count

    def process_texts(self, texts: list[str]) -> tuple[list[list[PromptChunk]], int]:
        """Chunks of each text and the largest number of tokens."""
        cache = {text: self.tokenize_line(text) for text in dict.fromkeys(texts)}
        return [cache[text][0] for text in texts], max(count for _, count in cache.values())

    def forward(self, texts: list[str]) -> torch.Tensor:
        """Encode texts; short ones are filled up with empty chunks.

        Returns:
            (B, 77 * chunks, C)
        """
        batch, _ = self.process_texts(texts)
        parts = []
        for i in range(max(len(chunks) for chunks in batch)):
            row = [chunks[i] if i < len(chunks) else self.empty_chunk() for chunks in batch]
            self.hijack.fixes = [chunk.fixes for chunk in row]
            parts.append(self.process_tokens([c.tokens for c in row], [c.multipliers for c in row]))
        if any(text for text in texts if "(" in text or "[" in text) and opts.emphasis != "Original":
            self.hijack.extra_generation_params["Emphasis"] = opts.emphasis
        return torch.hstack(parts)

    def process_tokens(self, tokens: list[list[int]], multipliers: list[list[float]]) -> torch.Tensor:
        """Encode one chunk of every text and apply its emphasis: (B, 77, C)."""
        emphasis = sd_emphasis.get_current_option(opts.emphasis)()
        emphasis.tokens = tokens
        emphasis.multipliers = torch.asarray(multipliers).to(devices.device)
        emphasis.z = self.encode_with_transformers(torch.asarray(tokens).to(devices.device))
        emphasis.after_transformers()
        return emphasis.z

    def encode_with_transformers(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the text encoder on ids (B, 77); with clip skip, an earlier layer's output, normed."""
        skip = opts.CLIP_stop_at_last_layers
        outputs = self.wrapped.transformer(input_ids=tokens, output_hidden_states=True)
        if skip > 1:
            return self.wrapped.transformer.text_model.final_layer_norm(outputs.hidden_states[-skip])
        return outputs.last_hidden_state
