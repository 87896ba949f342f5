// What the OMG tab knows of its concepts.
const {test} = require("node:test");
const assert = require("node:assert/strict");

require("../../javascript/omg_cards.js");
require("../../javascript/omg_tab.js");
const {tab} = globalThis.omg;

const LORAS = {ida: {triggers: "ida woman"}, plain: {triggers: ""}};
const byName = (name) => LORAS[name] ?? null;
const settings = (lora, prompt, number = 2) => ({[`concept${number}_lora`]: lora, [`concept${number}_prompt`]: prompt});

test("trigger words that came with settings are the LoRA's", () => {
    const placed = tab.makePlaced();
    placed.cameWith(settings("ida", "ida woman, smiling"));
    placed.read(byName);
    assert.equal(placed.of(2), "ida woman");
    assert.equal(placed.of(1), "");
});

test("a prompt alone, or a LoRA alone, is the user's doing", () => {
    const placed = tab.makePlaced();
    placed.cameWith({concept2_prompt: "ida woman"});
    placed.cameWith({concept2_lora: "ida"});
    placed.read(byName);
    assert.equal(placed.of(2), "");
});

test("settings without the LoRA's words, with an unknown LoRA or one without words put nothing", () => {
    for (const [lora, prompt] of [["ida", "mia woman"], ["gone", "ida woman"], ["plain", "ida woman"], ["None", ""], ["ida", ""]]) {
        const placed = tab.makePlaced();
        placed.put(2, "older");
        placed.cameWith(settings(lora, prompt));
        placed.read(byName);
        assert.equal(placed.of(2), "", `${lora}, ${prompt}`);
    }
});

test("what is put by a card is known until the next settings", () => {
    const placed = tab.makePlaced();
    placed.cameWith(settings("ida", "ida woman"));
    placed.put(2, "mia woman");
    placed.read(byName);
    assert.equal(placed.of(2), "mia woman");
});

test("a class word counts as a whole word, in any case", () => {
    assert.equal(tab.hasWord("A Woman, and a man", "woman"), true);
    assert.equal(tab.hasWord("two women", "woman"), false);
    assert.equal(tab.hasWord("womanly", "woman"), false);
    assert.equal(tab.hasWord("an old  man", "old man"), true);
    assert.equal(tab.hasWord("anything", "  "), false);
    assert.equal(tab.hasWord("a c++ book", "c++"), true);
});

test("a concept is filled in by a word, a prompt or a LoRA, as on the server", () => {
    const empty = {class_word: " ", prompt: "", lora: "None"};
    assert.equal(tab.isFilledIn(empty), false);
    assert.equal(tab.isFilledIn({...empty, lora: null}), false);
    for (const more of [{class_word: "man"}, {prompt: "x"}, {lora: "ida"}]) assert.equal(tab.isFilledIn({...empty, ...more}), true);
});

test("a class word that is missing, or not in the prompt, is told", () => {
    const hint = (word, lora, prompt) => tab.wordHint({class_word: word, lora, prompt: ""}, prompt);
    assert.match(hint("", "ida", "a woman"), /Which word/);
    assert.match(hint("man", "ida", "a woman"), /no 'man'/);
    assert.equal(hint("woman", "ida", "a woman"), "");
    assert.equal(hint("", "None", "a woman"), "", "an empty concept");
    assert.equal(hint("woman", "ida", " "), "", "the prompt is still to be written");
});
