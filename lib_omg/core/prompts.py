"""Putting a concept's words in the place of its class word."""

from __future__ import annotations

import re
from collections.abc import Sequence


def find_word(prompt: str, word: str) -> list[tuple[int, int]]:
    """Where `word` (one or several words) stands in a prompt as whole words, any case: [(start, stop), ...]."""
    parts = [re.escape(part) for part in word.split()]
    if not parts:
        return []
    pattern = r"(?<![\w])" + r"\s+".join(parts) + r"(?![\w])"
    return [match.span() for match in re.finditer(pattern, prompt, re.IGNORECASE)]


def scene_prompt(prompt: str, word: str, words: str, occurrence: int) -> str:
    """The main prompt with the concept's words in the place of its class word.

    "a man and a woman in the park", "man", "rex man", 0 -> "a rex man and a woman in the park"

    Args:
        occurrence: which of the class word's places, from 0; beyond the last: the last.

    Raises:
        ValueError: the prompt has no such word.
    """
    places = find_word(prompt, word)
    if not places:
        raise ValueError(f"expected the word {word!r} in the prompt, found {prompt!r}")
    start, stop = places[min(occurrence, len(places) - 1)]
    return prompt[:start] + words + prompt[stop:]


ARTICLES = r"(?:a|an|the|one|another)"


def alone_prompt(prompt: str, words: str, others: Sequence[tuple[str, int]]) -> str:
    """A scene prompt without the other concepts, for rows that should draw one concept alone.

    Each other concept's class word goes, with up to three words between it and its article, and the "and", "with" or
    comma that tied it in: "a rex man and a tall woman in the park", [("woman", 0)] -> "a rex man in the park"

    Args:
        prompt: see `scene_prompt`. words: this concept's, which are never touched.
        others: (class word, occurrence) of the other concepts, as in the main prompt.
    """
    marker = "\0"
    text = prompt.replace(words, marker, 1) if words else prompt
    # from the last occurrence to the first, so that earlier ones keep their number
    for word, occurrence in sorted(others, key=lambda item: -item[1]):
        places = find_word(text, word)
        if not places:
            continue
        start, stop = places[min(occurrence, len(places) - 1)]
        before = text[:start]
        lead = re.search(rf"\b{ARTICLES}\s+(?:[\w-]+\s+){{0,3}}$", before, re.IGNORECASE)
        before = before[: lead.start()] if lead else before
        tied = re.sub(r"(?:\s*,\s*(?:and\s+)?|\s+(?:and|with|&)\s+)$", "", before, flags=re.IGNORECASE)
        after = text[stop:]
        if tied == before:  # nothing tied it to what is before: let go of what ties the next to it
            after = re.sub(r"^(?:\s*,\s*(?:and\s+)?|\s+(?:and|with|&)\s+)", "", after, flags=re.IGNORECASE)
        text = tied + after
    return text.replace(marker, words, 1)


def default_words(word: str, triggers: Sequence[str]) -> str:
    """A concept's words when the user gave none: its LoRAs' trigger words, then the class word if they lack it."""
    text = " ".join(t.strip().strip(",") for t in triggers if t.strip())
    if not text:
        return word
    return text if find_word(text, word) else f"{text} {word}"


def occurrences(class_words: Sequence[str]) -> list[int]:
    """For every concept, how many earlier concepts have the same class word: ["woman", "man", "woman"] -> [0, 0, 1]."""
    keys = [" ".join(word.lower().split()) for word in class_words]
    return [keys[:index].count(key) for index, key in enumerate(keys)]


def find_tokens(tokens: Sequence[int], word_tokens: Sequence[int]) -> list[tuple[int, ...]]:
    """Every place of a word's tokens within a prompt's tokens: all its sub-tokens, each place a tuple of positions."""
    count = len(word_tokens)
    if count == 0:
        return []
    wanted = list(word_tokens)
    return [
        tuple(range(start, start + count))
        for start in range(len(tokens) - count + 1)
        if list(tokens[start : start + count]) == wanted
    ]
