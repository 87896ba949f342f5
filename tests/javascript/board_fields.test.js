const assert = require("node:assert/strict");
const {test} = require("node:test");
require("./tools.js");

const WAS = {Prompt: "a man", "Negative prompt": "", Seed: 1, Size: "64x48", Sampler: "Euler", "Schedule type": "Karras", Steps: 20, "CFG scale": 7, Model: "toy"};

test("the page's texts and generation parameters compare", () => {
    const page = {...WAS, Seed: "1", Steps: "20", "CFG scale": "7.0", Prompt: " a  man\n", Model: "sub/toy.safetensors [abcdef0123]"};
    assert.deepEqual(omg.boardFields.differing(WAS, page), []);
    assert.equal(omg.boardFields.warning(WAS, page), "");
});

test("each field that a layout hangs on is noticed", () => {
    const other = {Prompt: "b", "Negative prompt": "b", Seed: 2, Size: "48x64", Sampler: "DDIM", "Schedule type": "Simple", Steps: 21, "CFG scale": 7.5, Model: "other"};
    for (const [name, value] of Object.entries(other)) {
        assert.deepEqual(omg.boardFields.differing(WAS, {...WAS, [name]: value}), [name]);
        assert.match(omg.boardFields.warning(WAS, {...WAS, [name]: value}), /^The layout is of another .*\. Press Layout for a new one, or Let go\.$/);
    }
});

test("the warning says what was and what is", () => {
    const warning = omg.boardFields.warning(WAS, {...WAS, Seed: 2, Prompt: "b", Size: "1x1"});
    assert.equal(warning, "The layout is of another prompt, another seed (1, now 2) and another size (64x48, now 1x1). Press Layout for a new one, or Let go.");
});

test("seed -1, a field that is unknown and an automatic schedule are no change", () => {
    assert.deepEqual(omg.boardFields.differing(WAS, {...WAS, Seed: "-1"}), []);
    assert.deepEqual(omg.boardFields.differing(WAS, {Prompt: "a man"}), []);
    assert.deepEqual(omg.boardFields.differing({}, WAS), []);
    assert.deepEqual(omg.boardFields.differing(null, WAS), []);
    const automatic = {...WAS, "Schedule type": "Automatic"};
    assert.deepEqual(omg.boardFields.differing(WAS, automatic), []);
    assert.deepEqual(omg.boardFields.differing(WAS, automatic, true), ["Schedule type"], "unless both were read from the page");
});

test("a layout's id is read from generation parameters", () => {
    const {layoutIdIn} = omg.boardFields;
    assert.equal(layoutIdIn("a man\nSteps: 20, OMG layout: 0a1b2c, Version: 1"), "0a1b2c");
    assert.equal(layoutIdIn('OMG layout: "x.y-z"'), "x.y-z");
    for (const text of ["", null, undefined, "OMG: layout", "layout: 5"]) assert.equal(layoutIdIn(text), null);
});

test("arrows lead to the next instance in their direction", () => {
    const {nextTowards} = omg.boardTools;
    const anchors = [[0.1, 0.5], [0.5, 0.5], [0.9, 0.5], [0.5, 0.1], null];
    const ways = {left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1]};
    assert.equal(nextTowards(anchors, 0, ways.right), 1);
    assert.equal(nextTowards(anchors, 1, ways.right), 2);
    assert.equal(nextTowards(anchors, 1, ways.up), 3);
    assert.equal(nextTowards(anchors, 0, ways.left), null);
    assert.equal(nextTowards(anchors, null, ways.left), 0);
    assert.equal(nextTowards([null], null, ways.left), null);
});

test("brush sizes stay within bounds; pixels become fractions", () => {
    const {resized, LEAST_SIZE, MOST_SIZE} = omg.boardTools;
    assert.ok(resized(0.1, 1) > 0.1 && resized(0.1, -1) < 0.1);
    assert.equal(resized(MOST_SIZE, 1), MOST_SIZE);
    assert.equal(resized(LEAST_SIZE, -1), LEAST_SIZE);
    assert.deepEqual(omg.boardCanvas.toFraction({left: 10, top: 20, width: 200, height: 100}, 60, 70), [0.25, 0.5]);
});

test("layouts are found by name, prompt and seed", () => {
    const list = [{name: "Beach two", prompt: "two women", seed: 12}, {name: "", prompt: "a man", seed: 7}];
    assert.deepEqual(omg.layouts.matching(list, "women beach"), [list[0]]);
    assert.deepEqual(omg.layouts.matching(list, " 7 "), [list[1]]);
    assert.deepEqual(omg.layouts.matching(list, ""), list);
    assert.deepEqual(list.map(omg.layouts.title), ["Beach two", "Seed 7"]);
});
