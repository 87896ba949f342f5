const assert = require("node:assert/strict");
const {test} = require("node:test");
const {concepts, drawn, told} = require("./tools.js");

const S = () => omg.boardState;
const W = () => omg.boardWords;
const BOXES = [[0, 0, 0.3, 1], [0.2, 0, 0.6, 1], [0.7, 0.2, 1, 1]];

async function board(more = {}) {
    const layout = await S().prepare(await told(BOXES, more));
    return S().withLayout(S().withConcepts(S().empty(), concepts(4)), layout);
}

/** Concept 1 found, 2 painted, 3 boxed, 4 free. */
async function mixed() {
    let state = S().clicked(S().clicked(await board(), 2, 0), 1, 1);
    state = S().brushed(state, 1, [[0.9, 0.1], [0.9, 0.1]], {radius: 3, add: true});
    return S().shifted(S().boxed(state, 2, [0.1, 0.2, 0.5, 0.75]), 3, -1);
}

test("what the panel is told of each kind of place", async () => {
    const state = await mixed();
    const told = await W().patch(state);
    assert.equal(told.layout, "l1");
    const of = (number) => ["mask_source", "instance", "box", "mask", "depth"].map((name) => told[`concept${number}_${name}`]);
    assert.deepEqual(of(1), ["attention", "2", undefined, "", 0]);
    assert.deepEqual(of(3), ["box", "", "0.1, 0.2, 0.5, 0.75", "", 3]);
    assert.deepEqual(of(4), ["attention", "", undefined, "", 2]);
    assert.deepEqual(of(2).slice(0, 3), ["painted", "", undefined]);
    assert.ok(omg.masks.equal(await omg.masks.unpack(told.concept2_mask), S().region(state, 1)));
    assert.equal(told.concept5_mask_source, undefined, "concepts that aren't filled in are left alone");
});

test("the panel's values lead back to the same places", async () => {
    const state = await mixed();
    const told = await W().patch(state);
    const read = await W().contentFromPanel(state.layout, told);
    const again = await W().patch(S().withContent(state, read), told);
    assert.deepEqual(again, told);
});

test("what doesn't fit is left out, and what the board can't read is left alone", async () => {
    const state = await board();
    const values = {
        concept1_instance: "7", concept2_instance: "1", concept3_instance: "1", concept4_instance: "-1",
        concept1_mask_source: "painted", concept1_mask: "", concept2_mask_source: "painted", concept2_mask: "bits:2x2:????",
        concept3_mask_source: "box", concept3_box: "0.5, 0.2", concept4_depth: "x",
    };
    const content = await W().contentFromPanel(state.layout, values);
    assert.deepEqual(content, {...S().emptyContent(), owners: [null, 1, null, null, null]});
    const told = await W().patch(state, values);
    assert.equal(told.concept1_mask_source, undefined, "the panel's own canvas");
    assert.equal(told.concept3_mask_source, undefined, "a box half written");
    assert.equal(told.concept2_mask_source, "attention");
});

test("a concept without a class word gets its instance as a painting", async () => {
    const state = S().withConcepts(await board(), [{slot: 0, label: "x", word: "", colour: [0, 0, 0]}]);
    const told = await W().patch(S().clicked(state, 0, 0));
    assert.deepEqual([told.concept1_mask_source, told.concept1_instance], ["painted", ""]);
    assert.ok(omg.masks.equal(await omg.masks.unpack(told.concept1_mask), state.layout.instances[0].mask));
});

test("masks.final is asked with numbers and boxes", async () => {
    const [found, painted, box, free] = await W().places(await mixed());
    assert.deepEqual(found, {class_word: "woman", instance: 2, mask: "", depth: 0, mask_source: "attention", box: null});
    assert.deepEqual([painted.instance, painted.mask.slice(0, 11)], [null, "bits:48x64:"]);
    assert.deepEqual(box, {class_word: "woman", instance: null, mask: "", depth: 3, mask_source: "box", box: [0.1, 0.2, 0.5, 0.75]});
    assert.deepEqual([free.instance, free.depth], [null, 2]);
});

test("a run's owners are of the concepts that its settings fill in", async () => {
    // As the server tells them: one after the other.
    const settings = {
        concept1_class_word: "woman", concept2_class_word: "dog", concept3_class_word: "woman",
        concept2_mask_source: "box", concept2_box: "0, 0, 0.5, 1", concept1_depth: 3,
    };
    const state = await board({settings, owners: [1, 0, 0]});
    const content = await W().contentOfRun(state.layout, concepts(2));
    assert.deepEqual(content.owners, [1, null, 0, null, null]);
    assert.deepEqual(content.boxes[1], [0, 0, 0.5, 1]);
    assert.deepEqual(content.depths, [3, 0, 0, 0, 0]);
    // In the panel concept 3 is empty.
    const inPanel = [[1, "woman"], [3, "dog"], [4, "woman"]].map(([slot, word]) => ({slot, word, label: word}));
    const spread = await W().contentOfRun(state.layout, inPanel);
    assert.deepEqual([spread.owners, spread.depths], [[null, 1, null, null, 0], [0, 3, 0, 0, 0]]);
    assert.deepEqual(spread.boxes[3], [0, 0, 0.5, 1]);
    const without = W().patchWithout(state.layout, inPanel);
    assert.deepEqual([without.concept4_mask_source, without.concept4_box, without.concept2_depth, without.concept1_depth], ["box", "0, 0, 0.5, 1", 3, 0]);
    const bare = await board({owners: [9, 1]});
    assert.deepEqual((await W().contentOfRun(bare.layout, concepts(2))).owners, [null, 1, null, null, null]);
});

test("letting go gives back what the layout's run had", async () => {
    const state = await board({settings: {concept1_class_word: "a", concept1_mask_source: "box", concept1_box: "0, 0, 1, 1", concept1_instance: "2"}});
    const told = W().patchWithout(state.layout, concepts(1));
    assert.deepEqual([told.layout, told.concept1_mask_source, told.concept1_box, told.concept1_instance], ["", "box", "0, 0, 1, 1", ""]);
    assert.deepEqual([told.concept2_mask_source, told.concept2_mask, told.concept2_depth], ["attention", "", 0]);
});

test("a kept board comes back from JSON as it was; a damaged one loses only what is damaged", async () => {
    const state = await mixed();
    const json = JSON.parse(JSON.stringify(await W().toJson(state, {Seed: 1})));
    const {edits, ...rest} = await W().fromJson(state.layout, json, concepts(4));
    const {edits: were, ...expected} = S().contentOf(state);
    assert.deepEqual(rest, expected);
    assert.ok(omg.masks.equal(edits[1], were[1]) && edits[0] === null);
    assert.deepEqual(json.pressed, {Seed: 1});
    const damaged = {owners: [0, 0, "x", 99], edits: ["bits:1x1:AA", 5], boxes: [[1, 1, 0, 0], "a"], points: "no", depths: [0.5, 2]};
    const content = await W().fromJson(state.layout, damaged, concepts(4));
    assert.deepEqual(content, {...S().emptyContent(), owners: [0, null, null, null, null], depths: [0, 2, 0, 0, 0]});
    assert.deepEqual(await W().fromJson(state.layout, {slots: 5}, []), S().emptyContent());
});

test("news say who is who now", async () => {
    const state = await board();
    const one = S().clicked(state, 1, 0);
    assert.equal(W().news(state, one), "c1 is woman 2.");
    assert.equal(W().news(one, S().clicked(one, 1, 1)), "c1 is free: it is looked for when the picture is drawn, and you are told if it isn't found. c2 is woman 2.");
    assert.equal(W().news(one, S().shifted(one, 3, -1)), "In front c1, then c2, then c4, then c3.");
    assert.equal(W().news(state, S().boxed(state, 0, [0, 0, 1, 1])), "c1 is in the box.");
    assert.equal(W().news(one, one), "");
    assert.equal(W().where(S().painted(one, 0, S().region(one, 0)), 0), "woman 2", "painting what is there changes nothing");
    assert.equal(W().where(S().painted(state, 0, omg.masks.resize(drawn("#."), 48, 64)), 0), "painted");
});
