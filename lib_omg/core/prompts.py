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


ARTICLES = r"(?:a|an|the|one|another|his|her|their|my)"

_MARKER = "\0"
"""Stands for the concept's own words while others are taken out."""

_JOINTS = r"(?:and|with|next\s+to|beside|near|behind|in\s+front\s+of|alongside)"
_NO_ADJECTIVE = re.compile(r"and|or|with|of|in|on|at|by|to|from|for|as|near|behind|beside|next|front|alongside")
_MOST_ADJECTIVES = 3
_NOUN_PHRASE = rf"(?:{ARTICLES}\s+)?(?:[\w'-]+\s+){{0,{_MOST_ADJECTIVES}}}?"
_FRONT_TIE = re.compile(
    rf"(?:\s*,\s*(?:and\s+)?|\s+{_JOINTS}\s+|\s*&\s*|(?<={_MARKER})\s+\w+ing\s+(?:(?:at|to|towards?)\s+)?)$",
    re.IGNORECASE,
)
_BACK_TIE = re.compile(
    rf"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*"
    # "woman sitting next to MARKER", "woman hugging MARKER"
    rf"|\s+(?:\w+ing\s+)?(?:{_JOINTS}|\w+ing)\s+(?={_NOUN_PHRASE}{_MARKER})"
    # "woman with red hair, MARKER", "woman on the left and MARKER"
    rf"|\s+(?:with|in|on|wearing|holding)\s+[\w\s'-]+?(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*)(?={_NOUN_PHRASE}{_MARKER})",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"\s*(?::\s*\d*\.?\d+\s*)?[)\]]")


def alone_prompt(prompt: str, words: str, others: Sequence[tuple[str, int]]) -> str:
    """A scene prompt without the other concepts, for rows that should draw one concept alone.

    Each other concept's class word goes, with its article and up to three adjectives, with emphasis brackets that hold
    nothing else, and with the "and", "with", "next to" or comma that tied it in:
    "a rex man and a tall woman in the park", [("woman", 0)] -> "a rex man in the park"

    What is told of the others behind their class word ("a woman in a red dress") goes only where it leads on to this
    concept; else it can't be told from what is said of the scene ("a woman in the park").

    Args:
        prompt: see `scene_prompt`. words: this concept's, which are never touched.
        others: (class word, occurrence) of all other concepts, as in the main prompt.
    """
    own = _own_place(prompt, words, others)
    text = prompt if own is None else prompt[: own[0]] + _MARKER + prompt[own[1] :]
    # from the last place to the first, so that earlier ones keep their number
    for word, place in sorted(_places_without_own(others), key=lambda item: -item[1]):
        places = find_word(text, word)
        if places:
            text = _without(text, *places[min(place, len(places) - 1)]).strip(" ,")
    return text if own is None else text.replace(_MARKER, prompt[own[0] : own[1]], 1)


_SEVERAL = re.compile(
    r"(?<![\w])(?:a\s+(?:couple|pair|group|trio)\s+of|both|several|some|many|two|three|four|five|\d+)"
    rf"\s+(?P<adjectives>(?:[\w'-]+\s+){{0,{_MOST_ADJECTIVES}}})(?P<brackets>[(\[]*)$",
    re.IGNORECASE,
)
_PLURALS = (
    ("men", "man"), ("people", "person"), ("children", "child"), ("wolves", "wolf"),
    ("elves", "elf"), ("dwarves", "dwarf"), ("thieves", "thief"), ("heroes", "hero"), ("zombies", "zombie"),
    ("pixies", "pixie"), ("genies", "genie"),
    ("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss"), ("s", ""),
)  # fmt: skip
"""Endings and those of one, the first that fits counts."""


def singular(word: str) -> str:
    """One of what an English plural names: "women" -> "woman", "young boys" -> "young boy", "2girls" -> "1girl".

    Other words are given back as they are.
    """
    counted = re.fullmatch(r"\d+(?=[^\W\d])(.*)", word)
    if counted:
        return f"1{singular(counted[1])}"
    for plural, one in _PLURALS:
        if word.lower().endswith(plural):
            return word[: len(word) - len(plural)] + one
    return word


def stands_for_several(prompt: str, word: str, sharing: int) -> bool:
    """Whether a class word names several concepts at once, as "women" in "two women": `sharing` concepts have it, and
    it stands in the prompt less often."""
    return len(find_word(prompt, word)) < sharing


def one_of_several(prompt: str, words: str) -> str:
    """A prompt with an article where a number stands before a concept's words and their adjectives:
    "two young ida woman in the park" -> "a young ida woman in the park"."""
    places = find_word(prompt, words)
    number = _SEVERAL.search(prompt[: places[0][0]]) if places else None
    if number is None or any(_NO_ADJECTIVE.fullmatch(one) for one in number["adjectives"].lower().split()):
        return prompt
    rest = number["adjectives"] + number["brackets"] + prompt[places[0][0] :]
    article = "an" if rest.lstrip("([")[:1].lower() in "aeiou" else "a"
    if number.group()[0].isupper():
        article = article.capitalize()
    return f"{prompt[: number.start()]}{article} {rest}"


def _same(word: str) -> str:
    return " ".join(word.lower().split())


def _own_place(prompt: str, words: str, others: Sequence[tuple[str, int]]) -> tuple[int, int] | None:
    """Where the concept's own words stand: of several places (its words are but the class word) its own."""
    places = find_word(prompt, words)
    if not places:
        return None
    taken = {turn for word, turn in others if _same(word) == _same(words)}
    mine = next(turn for turn in range(len(taken) + 1) if turn not in taken)
    return places[min(mine, len(places) - 1)]


def _places_without_own(others: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The others, counted as when this concept's own place is hidden."""
    return [
        (word, sum(turn < occurrence for other, turn in others if _same(other) == _same(word)))
        for word, occurrence in others
    ]


def _without(text: str, start: int, stop: int) -> str:
    """A text without the noun at [start, stop), its article and adjectives, its brackets and what ties it in."""
    before, after = text[:start], text[stop:]
    while True:
        before = before[: _phrase_start(before)]
        opening, closing = re.search(r"(?<!\\)[(\[]\s*$", before), _CLOSING.match(after)
        if not (opening and closing):
            break
        before, after = before[: opening.start()], after[closing.end() :]
    front, back = _FRONT_TIE.search(before), _BACK_TIE.match(after)
    # of "best quality, (a woman) and MARKER" the comma stays, of "MARKER, (a woman) and a dog" the "and"
    equal = (
        front is None or front.group().strip(" ,").lower() in ("and", "&") or before.endswith(_MARKER, 0, front.start())
    )
    if front and (equal or not back):
        before = before[: front.start()]
    elif back:
        after = after[back.end() :]
    return before + (after.lstrip(" ") if before.endswith(" ") else after)


def _phrase_start(before: str) -> int:
    """Where the article and the adjectives at the end of `before` begin; its end when there are none."""
    trail = re.search(r"(?:[\w'-]+\s+)*$", before)
    first = trail.start() if trail else len(before)
    start = len(before)
    for count, word in enumerate(reversed(list(re.finditer(r"[\w'-]+\s+", before[first:])))):
        text = word.group().strip().lower()
        if re.fullmatch(ARTICLES, text):
            return first + word.start()
        if _NO_ADJECTIVE.fullmatch(text):
            return start
        if count == _MOST_ADJECTIVES:
            return len(before)  # too many words to be adjectives
        start = first + word.start()
    return start


def default_words(word: str, triggers: Sequence[str]) -> str:
    """A concept's words when the user gave none: its LoRAs' trigger words, then the class word if they lack it."""
    text = " ".join(clean for trigger in triggers if (clean := trigger.strip(" ,\t\n")))
    if not text:
        return word
    return text if find_word(text, word) else f"{text} {word}"


def occurrences(class_words: Sequence[str]) -> list[int]:
    """For every concept, how many earlier concepts have the same class word: ["woman", "man", "woman"] -> [0, 0, 1]."""
    keys = [_same(word) for word in class_words]
    return [keys[:index].count(key) for index, key in enumerate(keys)]


def sharing(class_words: Sequence[str], number: int) -> int:
    """How many concepts have the class word of concept `number`, itself counted."""
    return sum(_same(word) == _same(class_words[number]) for word in class_words)


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


_SEGMENT_END = re.compile(r",|;|\.|\b(?:and|next\s+to|beside|near|behind|in\s+front\s+of|alongside)\b", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[^\W\d_][\w'-]*")
_SAYS_NOTHING = re.compile(rf"{ARTICLES}|with|in|on|at|of|to|from|wearing|holding", re.IGNORECASE)


def surrounding_words(prompt: str, word: str, occurrence: int) -> list[str]:
    """The words that tell of one place of a class word: those between the nearest commas and joints around it.

    "a man in a red coat and a tall woman in the park", "man", 0 -> ["man", "red", "coat"]

    Args:
        occurrence: which of the class word's places, from 0; beyond the last: the last.

    Returns:
        Without articles and small words, in order; empty where the prompt lacks the word.
    """
    places = find_word(prompt, word)
    if not places:
        return []
    start, stop = places[min(occurrence, len(places) - 1)]
    ends = [match.span() for match in _SEGMENT_END.finditer(prompt)]
    low = max((end for _, end in ends if end <= start), default=0)
    high = min((begin for begin, _ in ends if begin >= stop), default=len(prompt))
    return [w for w in _PLAIN_WORD.findall(prompt[low:high]) if not _SAYS_NOTHING.fullmatch(w)]
