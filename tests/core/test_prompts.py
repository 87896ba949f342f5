"""Words in prompts: found whole, put in place, taken out with what belongs to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.prompts import (
    alone_prompt,
    default_words,
    find_tokens,
    find_word,
    occurrences,
    one_of_several,
    scene_prompt,
    sharing,
    singular,
    stands_for_several,
    surrounding_words,
)


def found(prompt: str, word: str) -> list[str]:
    return [prompt[start:stop] for start, stop in find_word(prompt, word)]


@pytest.mark.parametrize(
    ("prompt", "word", "expected"),
    [
        ("a woman and a man", "man", ["man"]),
        ("Man, MAN; man's", "man", ["Man", "MAN", "man"]),
        ("((man:1.2)) [man], a_man, manly", "man", ["man", "man"]),
        ("a Young  Man and a young man", "young man", ["Young  Man", "young man"]),
        ("C++ and c", "c++", ["C++"]),
        ("a man", " ", []),
        ("ein Mönch, Mönche", "mönch", ["Mönch"]),
    ],
)
def test_find_word(prompt, word, expected):
    assert found(prompt, word) == expected


@pytest.mark.parametrize(
    ("prompt", "occurrence", "expected"),
    [
        ("a man and a woman", 0, "a rex man and a woman"),
        ("a man and a man", 1, "a man and a rex man"),
        ("a man and a man", 7, "a man and a rex man"),
        ("a woman, (Man:1.2)", 0, "a woman, (rex man:1.2)"),
    ],
)
def test_scene_prompt(prompt, occurrence, expected):
    assert scene_prompt(prompt, "man", "rex man", occurrence) == expected


def test_scene_prompt_keeps_special_signs():
    assert scene_prompt("a man", "man", r"rex\1 (man:1.1)", 0) == r"a rex\1 (man:1.1)"


def test_scene_prompt_without_the_word_is_refused():
    with pytest.raises(ValueError, match="'man' in the prompt, found 'a woman'"):
        scene_prompt("a woman", "man", "rex man", 0)


REX = ("man", "rex man", 0)
WOMAN = [("woman", 0)]
ALONE = [
    # (main prompt, (class word, words, occurrence), others, result)
    ("a man and a tall woman in the park", REX, WOMAN, "a rex man in the park"),
    ("a woman and a man in the park", REX, WOMAN, "a rex man in the park"),
    ("A very tall old woman & a man", REX, WOMAN, "a rex man"),
    ("a photo of a woman and a man", REX, WOMAN, "a photo of a rex man"),
    ("photo of woman and man, park", REX, WOMAN, "photo of rex man, park"),
    ("1girl, tall woman and short man, park", REX, WOMAN, "1girl, short rex man, park"),
    ("best quality, a woman and a man in the park", REX, WOMAN, "best quality, a rex man in the park"),
    ("best quality, a woman, a man, park", REX, WOMAN, "best quality, a rex man, park"),
    ("the park with a woman and a man", REX, WOMAN, "the park with a rex man"),
    ("a man with his woman", REX, WOMAN, "a rex man"),
    ("a woman with a man", REX, WOMAN, "a rex man"),
    ("a man with a woman and a dog", REX, WOMAN, "a rex man and a dog"),
    # several others
    ("a man, a woman, and a dog", REX, [("dog", 0), ("woman", 0)], "a rex man"),
    ("a man, a woman, and a dog", ("dog", "rex dog", 0), [("man", 0), ("woman", 0)], "a rex dog"),
    ("a man, a woman, and a dog", ("woman", "ann woman", 0), [("man", 0), ("dog", 0)], "a ann woman"),
    ("a man, a woman and a dog", REX, WOMAN, "a rex man and a dog"),
    # one class
    ("a tall man and a short man", REX, [("man", 1)], "a tall rex man"),
    ("a tall man and a short man", ("man", "rex man", 1), [("man", 0)], "a short rex man"),
    ("a tall woman and a short woman", ("woman", "woman", 1), WOMAN, "a short woman"),
    ("a tall woman and a short woman", ("woman", "woman", 0), [("woman", 1)], "a tall woman"),
    ("a man, a bald man, a thin man, a fat man", REX, [("man", 1)], "a rex man, a thin man, a fat man"),
    ("a man, a thin man, a fat man", ("man", "rex man", 1), [("man", 0), ("man", 2)], "a thin rex man"),
    ("a man", REX, [("man", 1)], "a rex man"),
    # own words that hold, or are part of, another's class word
    ("a woman and a man", ("man", "man", 0), WOMAN, "a man"),
    ("a man and a woman", ("man", "rex, who loves a woman, man", 0), WOMAN, "a rex, who loves a woman, man"),
    # emphasis
    ("a man and (a tall woman:1.2) in the park", REX, WOMAN, "a rex man in the park"),
    ("a man and a tall ((woman)) in the park", REX, WOMAN, "a rex man in the park"),
    ("(a woman and a man:1.2), park", REX, WOMAN, "(a rex man:1.2), park"),
    ("(a man:1.3), [a woman], park", REX, WOMAN, "(a rex man:1.3), park"),
    # other ties
    ("a man standing next to a woman in the park", REX, WOMAN, "a rex man standing in the park"),
    ("a woman standing next to a man in the park", REX, WOMAN, "a rex man in the park"),
    ("a man hugging a tall woman, park", REX, WOMAN, "a rex man, park"),
    ("a woman hugging a tall man, park", REX, WOMAN, "a tall rex man, park"),
    ("park AND a woman AND a man", REX, WOMAN, "park AND a rex man"),
    # what is told of the other, leading on to this one
    ("a woman in a red dress and a man in a suit", REX, WOMAN, "a rex man in a suit"),
    ("a woman on the left, a man on the right, park", REX, WOMAN, "a rex man on the right, park"),
    # nothing to take out
    ("a man in the park", REX, WOMAN, "a rex man in the park"),
    ("a man in the park", REX, [], "a rex man in the park"),
    # too many words to be adjectives, no article
    ("they all were very tall woman, a man", REX, WOMAN, "they all were very tall a rex man"),
]


@pytest.mark.parametrize(("prompt", "own", "others", "expected"), ALONE, ids=[f"{c[0]} | {c[1][1]}" for c in ALONE])
def test_alone_prompt(prompt, own, others, expected):
    word, words, occurrence = own
    assert alone_prompt(scene_prompt(prompt, word, words, occurrence), words, others) == expected


def test_own_words_that_are_not_there_change_nothing_else():
    assert alone_prompt("a man and a woman", "", WOMAN) == "a man"


FILLERS = st.sampled_from(["a", "the", "tall", "and", "with", ",", "in", "park", "(", ")", "of", "red", "dog", "[x]"])


@given(st.lists(FILLERS, max_size=8), st.lists(FILLERS, max_size=8), st.booleans())
def test_own_words_always_stay_and_the_others_word_always_goes(before, after, first):
    one, other = ("rex (blue:1.2) man", "woman") if first else ("woman", "rex (blue:1.2) man")
    prompt = " ".join([*before, one, *after[:4], other, *after[4:]])
    text = alone_prompt(prompt, "rex (blue:1.2) man", WOMAN)
    assert text.count("rex (blue:1.2) man") == 1
    assert not find_word(text, "woman")


@pytest.mark.parametrize(
    ("word", "triggers", "expected"),
    [
        ("man", [], "man"),
        ("man", ["", " , "], "man"),
        ("man", ["rex"], "rex man"),
        ("man", [" rex, ", "young Man,"], "rex young Man"),
        ("man", ["a woman"], "a woman man"),
        ("man", [",", "rex"], "rex man"),
    ],
)
def test_default_words(word, triggers, expected):
    assert default_words(word, triggers) == expected


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("women", "woman"), ("Men", "man"), ("young boys", "young boy"), ("foxes", "fox"), ("witches", "witch"),
        ("ladies", "lady"), ("dresses", "dress"), ("policewomen", "policewoman"), ("people", "person"),
        ("children", "child"), ("2girls", "1girl"), ("3boys", "1boy"), ("sheep", "sheep"), ("glass", "glass"),
        ("2", "2"), ("two zombies", "two zombie"), ("Superheroes", "Superhero"), ("elves", "elf"), ("thieves", "thief"),
    ],
)  # fmt: skip
def test_singular(plural, one):
    assert singular(plural) == one


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("two ida woman in the park", "an ida woman in the park"),
        ("Two young ida woman, park", "A young ida woman, park"),
        ("photo of a couple of ida woman", "photo of an ida woman"),
        ("best quality, 2 tall (ida woman:1.2)", "best quality, a tall (ida woman:1.2)"),
        ("two (ida woman:1.2)", "an (ida woman:1.2)"),
        ("two dogs and ida woman", "two dogs and ida woman"),
        ("an ida woman, two dogs", "an ida woman, two dogs"),
        ("ida woman", "ida woman"),
        ("two cats", "two cats"),
    ],
)
def test_one_of_several(prompt, expected):
    assert one_of_several(prompt, "ida woman") == expected


def test_a_word_for_several_concepts_is_known_by_their_number():
    words = ["women", " Women", "man"]
    assert [sharing(words, number) for number in range(3)] == [2, 2, 1]
    assert stands_for_several("two women and a man", "women", 2)
    assert not stands_for_several("two women and a man", "man", 1)
    assert not stands_for_several("a tall man and a short man", "man", 2)


def test_occurrences_count_earlier_concepts_of_the_class():
    assert occurrences(["woman", "man", " Woman", "young  man", "young man", "woman"]) == [0, 0, 1, 0, 1, 2]


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=3))
def test_find_tokens(tokens, word):
    expected = []
    for start in range(len(tokens)):
        if word and tokens[start:][: len(word)] == word:
            expected.append(tuple(start + k for k in range(len(word))))
    assert find_tokens(tokens, word) == expected


@pytest.mark.parametrize(
    ("prompt", "word", "turn", "words"),
    [
        ("a man in a red coat and a tall woman in the park", "man", 0, ["man", "red", "coat"]),
        ("a man in a red coat and a tall woman in the park", "woman", 0, ["tall", "woman", "park"]),
        ("old woman, young woman next to a dog", "woman", 0, ["old", "woman"]),
        ("old woman, young woman next to a dog", "woman", 1, ["young", "woman"]),
        ("old woman, young woman next to a dog", "woman", 7, ["young", "woman"]),
        ("two women", "women", 1, ["two", "women"]),
        ("two women", "man", 0, []),
    ],
)
def test_words_around_a_class_word(prompt, word, turn, words):
    assert surrounding_words(prompt, word, turn) == words
