// What LoRA cards put into a concept, and how they are found.
const {test} = require("node:test");
const assert = require("node:assert/strict");

require("../../javascript/omg_cards.js");
const {cards} = globalThis.omg;

const card = (name, more = {}) => ({
    name, alias: name, title: name, base_model: "SD1", fits: true, triggers: `${name} woman`, class_word: "", preferred_weight: null, notes: "",
    has_preview: false, folder: "", tags: [], ...more,
});
const entry = (one) => ({card: one, hay: cards.haystack(one)});

// ---- trigger words

// prompt, what an earlier LoRA put there, the new LoRA's words -> prompt, what is put there now
const TRIGGERS = [
    ["", "", "ida woman", "ida woman", "ida woman"],
    ["smiling", "", "ida woman", "ida woman, smiling", "ida woman"],
    ["ida woman, smiling", "ida woman", "mia woman", "mia woman, smiling", "mia woman"],
    ["a portrait of ida woman in a park", "ida woman", "mia woman", "a portrait of mia woman in a park", "mia woman"],
    ["(ida woman:1.2), hat", "ida woman", "mia woman", "(mia woman:1.2), hat", "mia woman"],
    ["ida  woman", "ida woman", "mia woman", "mia woman", "mia woman"],
    // The user wrote it: it stays.
    ["ida woman, smiling", "", "mia woman", "mia woman, ida woman, smiling", "mia woman"],
    // The user has changed what was put there: it is the user's now.
    ["ida girl, smiling", "ida woman", "mia woman", "mia woman, ida girl, smiling", "mia woman"],
    // The new words are there already, by the user: not twice, and not ours.
    ["mia woman, smiling", "", "mia woman", "mia woman, smiling", ""],
    ["ida woman, mia woman", "ida woman", "mia woman", "mia woman", ""],
    // A LoRA without words.
    ["ida woman, smiling", "ida woman", "", "smiling", ""],
    ["smiling, ida woman", "ida woman", "", "smiling", ""],
    ["hat, ida woman, smiling", "ida woman", "", "hat, smiling", ""],
    ["portrait of ida woman smiling", "ida woman", "", "portrait of smiling", ""],
    ["ida woman", "ida woman", "", "", ""],
    ["smiling", "", "", "smiling", ""],
    // The same LoRA again.
    ["ida woman, smiling", "ida woman", "ida woman", "ida woman, smiling", "ida woman"],
    // Whole words only, and no letter means anything else.
    ["maria woman", "ria woman", "mia woman", "mia woman, maria woman", "mia woman"],
    ["(a+b)? [c] $1", "(a+b)? [c]", "x.y\\z $& $1", "x.y\\z $& $1 $1", "x.y\\z $& $1"],
    ["été, Ärger", "été", "雪の女王", "雪の女王, Ärger", "雪の女王"],
    ["one, two, three", "one, two", "four, five", "four, five, three", "four, five"],
];
for (const [prompt, placed, triggers, wanted, now] of TRIGGERS) {
    test(`'${prompt}' with '${placed}' of an earlier LoRA and '${triggers}' of the new one`, () => {
        assert.deepEqual(cards.withTriggers(prompt, placed, triggers), {prompt: wanted, placed: now});
    });
}

test("whatever LoRAs come and go, what the user wrote is left as it was", () => {
    const words = ["ida woman", "mia, red hair", "", "(x:1.1) y", "雪の女王"];
    let seed = 7;
    const random = (most) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % most;
    for (let run = 0; run < 300; run++) {
        const typed = ["smiling", "in a park, at night", "portrait of", "hat"][random(4)];
        let [prompt, placed] = [typed, ""];
        for (let step = 0; step < 6; step++) ({prompt, placed} = cards.withTriggers(prompt, placed, words[random(words.length)]));
        ({prompt} = cards.withTriggers(prompt, placed, ""));
        assert.equal(prompt, typed);
    }
});

// ---- what a card changes

const NOW = {class_word: "woman", lora: "None", weight: 1, prompt: "smiling"};

test("a card brings its name, trigger words and preferred weight", () => {
    const made = cards.put(card("ida", {preferred_weight: 0.7}), NOW);
    assert.deepEqual(made, {values: {lora: "ida", weight: 0.7, prompt: "ida woman, smiling"}, placed: "ida woman"});
});

test("no card takes LoRA and trigger words out", () => {
    const now = {...NOW, lora: "ida", weight: 0.7, prompt: "ida woman, smiling"};
    const made = cards.put(null, now, {before: card("ida", {preferred_weight: 0.7}), placed: "ida woman"});
    assert.deepEqual(made.values, {lora: "None", weight: 1, prompt: "smiling"});
});

test("the class word is the user's, unless it is empty and the LoRA's notes name one", () => {
    const noted = card("ida", {class_word: "girl"});
    assert.equal("class_word" in cards.put(noted, NOW).values, false);
    assert.equal(cards.put(noted, {...NOW, class_word: " "}).values.class_word, "girl");
    assert.equal("class_word" in cards.put(card("ida"), {...NOW, class_word: ""}).values, false);
});

test("weights: preferred; else the user's; else 1 after a LoRA that brought its own; within the slider", () => {
    const ida = card("ida", {preferred_weight: 0.7});
    assert.equal(cards.weightFor(ida, null, 1), 0.7);
    assert.equal(cards.weightFor(card("mia"), null, 0.4), 0.4);
    assert.equal(cards.weightFor(card("mia"), ida, 0.7), 1);
    assert.equal(cards.weightFor(card("mia"), ida, 0.4), 0.4);
    assert.equal(cards.weightFor(card("mia", {preferred_weight: 9}), null, 1), 2);
    assert.equal(cards.weightFor(card("mia", {preferred_weight: -9}), null, 1, [0, 1]), 0);
});

// ---- finding

const LIBRARY = [
    card("Ida", {folder: "people/women", tags: ["red hair"], notes: "Best at 0.7."}),
    card("zoe_v2", {alias: "Zoë", triggers: "zoë person", fits: false, base_model: "SDXL"}),
    card("style of éire", {triggers: "", fits: null, base_model: ""}),
].map(entry);
const found = (query, onlyFitting = false) => cards.filtered(LIBRARY, query, onlyFitting).map((one) => one.card.name);

test("search looks at name, alias, folder, trigger words, tags, notes; case and accents don't matter", () => {
    assert.deepEqual(found("ida"), ["Ida"]);
    assert.deepEqual(found("ZOE person"), ["zoe_v2"]);
    assert.deepEqual(found("eire"), ["style of éire"]);
    assert.deepEqual(found("women"), ["Ida"]);
    assert.deepEqual(found("red HAIR 0.7"), ["Ida"], "every word somewhere");
    assert.deepEqual(found("red zoe"), []);
    assert.deepEqual(found("sdxl"), ["zoe_v2"]);
    assert.deepEqual(found("  "), ["Ida", "zoe_v2", "style of éire"]);
    assert.deepEqual(found("v2\n"), ["zoe_v2"]);
});

test("the filter hides what is known not to fit, nothing else", () => {
    assert.deepEqual(found("", true), ["Ida", "style of éire"]);
});

test("the line under the search", () => {
    const told = (shown, all, unfit, query) => cards.told({shown, all, unfit, query});
    assert.match(told(0, 0, 0, ""), /No LoRAs found.*models\/Lora/);
    assert.equal(told(5, 5, 0, ""), "");
    assert.equal(told(30, 30, 0, ""), "30 of 30 LoRAs");
    assert.equal(told(3, 5, 2, "x"), "3 of 5 LoRAs; 2 made for another base model");
    assert.equal(told(0, 5, 2, "x"), "None of 5 LoRAs matches; 2 made for another base model.");
    assert.equal(told(0, 5, 5, ""), "None of 5 LoRAs fits the loaded model.");
});

// ---- previews

const image = () => ({src: "", classList: {toggle() {}}, removeAttribute() { this.src = ""; }});

test("thumbnails are asked for once, in batches of at most 24", async (t) => {
    t.mock.timers.enable({apis: ["setTimeout"]});
    const asked = [];
    const previews = cards.makePreviews(async (method, {names}) => {
        asked.push(names);
        return Object.fromEntries(names.filter((name) => name !== "n3").map((name) => [name, `data:${name}`]));
    });
    const images = Array.from({length: 50}, image);
    images.forEach((one, at) => previews.into(one, `n${at}`));
    const again = image();
    previews.into(again, "n0");
    for (let turn = 0; turn < 5; turn++) {
        t.mock.timers.tick(100);
        await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(asked.map((names) => names.length), [24, 24, 2]);
    assert.equal(new Set(asked.flat()).size, 50);
    assert.equal(images[49].src, "data:n49");
    assert.equal(images[3].src, "", "it has none");
    assert.equal(again.src, "data:n0");
    previews.into(image(), "n3");
    t.mock.timers.tick(100);
    assert.equal(asked.length, 3, "that it has none is known as well");
});

test("an image that shows another LoRA by now isn't overwritten", async (t) => {
    t.mock.timers.enable({apis: ["setTimeout"]});
    let answer;
    const previews = cards.makePreviews(() => new Promise((resolve) => (answer = resolve)));
    const one = image();
    previews.into(one, "ida");
    t.mock.timers.tick(100);
    previews.into(one, null);
    answer({ida: "data:ida"});
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(one.src, "");
});

test("a failed call for thumbnails leaves the cards without", async (t) => {
    t.mock.timers.enable({apis: ["setTimeout"]});
    const previews = cards.makePreviews(() => Promise.reject(new Error("gone")));
    const one = image();
    previews.into(one, "ida");
    t.mock.timers.tick(100);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(one.src, "");
});
