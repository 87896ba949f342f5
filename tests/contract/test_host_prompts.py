"""Prompts: schedules, emphasis, chunks, cached conds, generation texts."""

from __future__ import annotations

import harness
import pytest
import torch

SCHEDULES = {
    "test": [[10, "test"]],
    "a [b:3]": [[3, "a "], [10, "a b"]],
    "a [b : c : 1] d": [[1, "a b  d"], [10, "a  c  d"]],
    "a[b:[c:d:2]:1]e": [[1, "abe"], [2, "ace"], [10, "ade"]],
    "a [unbalanced": [[10, "a [unbalanced"]],
    "a [b:.5] c": [[5, "a  c"], [10, "a b c"]],
    "[(a:2):3]": [[3, ""], [10, "(a:2)"]],
    "a [[[b]]:2]": [[2, "a "], [10, "a [[b]]"]],
    "((a][:b:c [d:3]": [[3, "((a][:b:c "], [10, "((a][:b:c d"]],
    "(red:1.2) [b] c": [[10, "(red:1.2) [b] c"]],
    "a man::0.5]": [[10, "a man::0.5]"]],
    "[a::4]x": [[4, "ax"], [10, "x"]],
}
ATTENTION = [
    "normal text",
    "an (important) word",
    "(unbalanced",
    r"\(literal\]",
    "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
    "one BREAK two",
    "x (y: 1.4 ) z: w",
]
PARSED = [
    [["normal text", 1.0]],
    [["an ", 1.0], ["important", 1.1], [" word", 1.0]],
    [["unbalanced", 1.1]],
    [["(literal]", 1.0]],
    [["unnecessaryparens", 1.1]],
    [
        ["a ", 1.0],
        ["house", 1.573],
        [" ", 1.1],
        ["on", 1.0],
        [" a ", 1.1],
        ["hill", 0.55],
        [", sun, ", 1.1],
        ["sky", 1.4641],
        [".", 1.1],
    ],
    [["one", 1.0], ["BREAK", -1], ["two", 1.0]],
    [["x ", 1.0], ["y", 1.4], [" z: w", 1.0]],
]


@pytest.mark.parametrize("prompt", SCHEDULES)
def test_prompt_editing(prompt: str) -> None:
    from modules import prompt_parser

    assert prompt_parser.get_learned_conditioning_prompt_schedules([prompt], 10)[0] == SCHEDULES[prompt]


def test_alternation_changes_every_step() -> None:
    from modules import prompt_parser

    made = prompt_parser.get_learned_conditioning_prompt_schedules(["[fe|]male"], 4)[0]
    assert made == [[1, "female"], [2, "male"], [3, "female"], [4, "male"]]


def test_hires_schedules_count_on_from_the_first_pass() -> None:
    from modules import prompt_parser

    made = prompt_parser.get_learned_conditioning_prompt_schedules(["a [b:.5] c", "a [b:1.5] c"], 10, 10)
    assert made == [[[10, "a b c"]], [[5, "a  c"], [10, "a b c"]]]


@pytest.mark.parametrize(("prompt", "wanted"), zip(ATTENTION, PARSED, strict=True))
def test_emphasis(prompt: str, wanted: list[list[object]]) -> None:
    from modules import prompt_parser

    made = prompt_parser.parse_prompt_attention(prompt)
    assert [text for text, _ in made] == [text for text, _ in wanted]
    assert [weight for _, weight in made] == pytest.approx([weight for _, weight in wanted])


def test_tokenize_line_gives_chunks_of_77_with_multipliers() -> None:
    from modules import shared

    model = shared.sd_model.cond_stage_model
    chunks, count = model.tokenize_line("a (man:1.5) BREAK a dog")
    assert len(chunks) == 2
    assert all(len(chunk.tokens) == len(chunk.multipliers) == 77 for chunk in chunks)
    assert 1.5 in chunks[0].multipliers
    assert count == 75 + len(model.tokenize(["a dog"])[0])


def test_a_word_is_found_at_its_tokens() -> None:
    from modules import shared

    model = shared.sd_model.cond_stage_model
    line, word = "a man and a woman", model.tokenize(["woman"])[0]
    tokens = model.tokenize_line(line)[0][0].tokens
    start = 1 + len(model.tokenize(["a man and a"])[0])
    assert tokens[start : start + len(word)] == word


def test_long_prompts_have_several_chunks() -> None:
    from modules import shared

    with torch.no_grad():
        cond = shared.sd_model.get_learned_conditioning([", ".join(["a man in the park"] * 20), "short"])
    assert cond.shape[1] % 77 == 0
    assert cond.shape[1] >= 154
    assert cond.shape[0] == 2


def test_conds_are_cached_by_prompt_and_networks() -> None:
    from modules import processing, shared

    made = []
    encode = shared.sd_model.cond_stage_model.forward

    def counting(texts: list[str]) -> torch.Tensor:
        made.append(list(texts))
        return encode(texts)

    shared.sd_model.cond_stage_model.forward = counting
    try:
        harness.run(prompt="cache me", negative_prompt="and me", steps=1)
        first = len(made)
        harness.run(prompt="cache me", negative_prompt="and me", steps=1, seed=2)
        assert first == 2
        assert len(made) == first
        harness.run(prompt="cache me<lora:rex:1>", negative_prompt="and me", steps=1)
        assert len(made) == first + 2
    finally:
        del shared.sd_model.cond_stage_model.forward
    assert processing.StableDiffusionProcessing.cached_c[0] is not None


def test_generation_text_reads_back() -> None:
    from modules import infotext_utils

    def add(p: object, *args: object) -> None:
        p.extra_generation_params["OMG"] = '{"a": 1, "b": "x, y"}'
        p.extra_generation_params["OMG list"] = ["one", "two"]
        p.extra_generation_params["OMG call"] = lambda p, index, **kw: f"image {index}"
        p.extra_generation_params["OMG none"] = None

    with harness.script(process=add):
        made = harness.txt2img(negative_prompt="blue\nred", batch_size=2, steps=1)
    read = infotext_utils.parse_generation_parameters(made.infotexts[1])
    assert read["Prompt"] == harness.PROMPT
    assert read["Negative prompt"] == "blue\nred"
    assert (read["Steps"], read["Seed"], read["Sampler"], read["CFG scale"]) == ("1", "2", "Euler", "5.0")
    assert (read["Size-1"], read["Size-2"]) == (str(harness.SIZE), str(harness.SIZE))
    assert read["OMG"] == '{"a": 1, "b": "x, y"}'
    assert read["OMG list"] == "two"
    assert read["OMG call"] == "image 1"
    assert "OMG none" not in read
    assert made.images[1].info["parameters"] == made.infotexts[1]


def test_an_entry_that_raises_is_left_out() -> None:
    def add(p: object, *args: object) -> None:
        p.extra_generation_params["OMG bad"] = lambda **kw: 1 / 0

    with harness.script(process=add):
        assert "OMG bad" not in harness.txt2img(steps=1).infotexts[0]


@pytest.mark.parametrize("text", ["plain", "a, b", "a: b", "a\nb", 'say "hi", you'])
def test_quote_and_unquote(text: str) -> None:
    from modules import infotext_utils

    assert infotext_utils.unquote(str(infotext_utils.quote(text))) == text


def test_extra_networks_are_parsed_from_the_first_prompt() -> None:
    from modules import extra_networks

    prompts, data = extra_networks.parse_prompts(["a <lora:rex:0.5:unet=0.7>", "b <lora:ida:1>"])
    assert prompts == ["a ", "b "]
    assert [(params.positional, params.named) for params in data["lora"]] == [(["rex", "0.5"], {"unet": "0.7"})]
