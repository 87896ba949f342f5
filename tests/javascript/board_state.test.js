const assert = require("node:assert/strict");
const {test} = require("node:test");
const {concepts, drawn, random, told} = require("./tools.js");

const S = () => omg.boardState;
const BOXES = [[0, 0, 0.3, 1], [0.2, 0, 0.6, 1], [0.7, 0.2, 1, 1], [0.75, 0.5, 0.9, 0.8]];

async function board(count = 3, boxes = BOXES) {
    const layout = await S().prepare(await told(boxes));
    return S().withLayout(S().withConcepts(S().empty(), concepts(count)), layout);
}

const owners = (state) => S().contentOf(state).owners;

function act(state, dice) {
    const slot = dice.below(3);
    const [one, other] = [dice.below(BOXES.length + 1), dice.below(BOXES.length)];
    const point = () => [dice.next() * 1.2 - 0.1, dice.next() * 1.2 - 0.1];
    const {height, width} = state.layout.grid;
    const actions = [
        () => S().clicked(state, one, slot), () => S().clicked(state, one, slot), () => S().freed(state, slot),
        () => S().swapped(state, slot, dice.below(3)), () => S().dragged(state, one, other), () => S().shifted(state, slot, dice.one([-1, 1])),
        () => S().brushed(state, slot, [point(), point()], {radius: dice.next() * 20, add: dice.next() < 0.5}),
        () => S().boxed(state, slot, [...point(), ...point()], dice.one(["set", "add", "cut"])),
        () => S().outlined(state, slot, omg.masks.fromBox(height, width, [...point(), ...point()]), [[0.5, 0.5, 1]]),
        () => S().chosen(state, slot), () => S().withTool(state, dice.one(S().TOOLS)),
    ];
    return dice.one(actions)();
}

test("whatever is done, an instance has one owner and regions fit the layout", async () => {
    const start = await board();
    for (let seed = 0; seed < 30; seed++) {
        const dice = random(seed);
        let state = start;
        for (let step = 0; step < 60; step++) {
            state = dice.next() < 0.15 ? dice.one([S().undone, S().redone])(state) : act(state, dice);
            const taken = owners(state).filter((owner) => owner !== null);
            assert.equal(new Set(taken).size, taken.length);
            assert.ok(taken.every((owner) => owner >= 0 && owner < BOXES.length));
            for (let slot = 0; slot < 3; slot++) {
                const region = S().region(state, slot);
                if (region) assert.deepEqual([region.height, region.width], [48, 64]);
                if (S().contentOf(state).edits[slot]) assert.ok(!omg.masks.isEmpty(region), "an empty painting is none");
            }
            assert.deepEqual([...S().order(state)].sort(), [0, 1, 2]);
        }
    }
});

test("undoing everything leads back, redoing everything forth again", async () => {
    const start = await board();
    for (let seed = 100; seed < 120; seed++) {
        const dice = random(seed);
        let state = start;
        for (let step = 0; step < 40; step++) state = act(state, dice);
        const end = S().contentOf(state);
        const steps = state.history.past.length;
        for (let step = 0; step < steps; step++) state = S().undone(state);
        assert.equal(S().contentOf(state), S().contentOf(start));
        for (let step = 0; step < steps; step++) state = S().redone(state);
        assert.equal(S().contentOf(state), end);
    }
});

test("swapping twice is nothing, and a swap takes paintings and depths along", async () => {
    let state = S().clicked(S().clicked(await board(), 0, 0), 2, 1);
    state = S().shifted(S().brushed(state, 0, [[0.9, 0.1], [0.9, 0.1]], {radius: 3, add: true}), 1, -1);
    const before = S().contentOf(state);
    const once = S().contentOf(S().swapped(state, 0, 1));
    assert.deepEqual(once.owners.slice(0, 2), [2, 0]);
    assert.equal(once.edits[1], before.edits[0]);
    assert.deepEqual([once.depths[0], once.depths[1]], [before.depths[1], before.depths[0]]);
    assert.deepEqual(S().contentOf(S().swapped(S().swapped(state, 0, 1), 1, 0)), before);
});

test("a click gives, a second frees, and on another's it swaps", async () => {
    const state = await board();
    const given = S().clicked(state, 1, 0);
    assert.deepEqual(owners(given), [1, null, null, null, null]);
    assert.deepEqual(owners(S().clicked(given, 1, 0)), [null, null, null, null, null]);
    const two = S().clicked(given, 2, 1);
    assert.deepEqual(owners(S().clicked(two, 1, 1)), [2, 1, null, null, null]);
    assert.deepEqual(owners(S().clicked(two, 1, 2)), [null, 2, 1, null, null], "who had nobody takes, the other is free");
    assert.deepEqual(owners(S().clicked(two, 3, 1)), [1, 3, null, null, null], "the former instance is free");
    assert.equal(S().clicked(state, 99, 0), state);
    const nobody = {...state, chosen: null};
    assert.equal(S().clicked(nobody, 0), nobody);
});

test("whom an emptied concept had is free, and can be given away", async () => {
    const full = S().clicked(S().clicked(await board(), 0, 0), 1, 1);
    const state = S().withConcepts(full, concepts(1));
    assert.deepEqual([S().ownerOf(state, 0), S().ownerOf(state, 1)], [0, null]);
    const given = S().clicked(state, 1, 0);
    assert.deepEqual([S().ownerOf(given, 0), S().ownerOf(given, 1)], [null, 0]);
    assert.equal(new Set(owners(given).filter((one) => one !== null)).size, 2, "still one owner each");
});

test("dragging exchanges owners; one alone moves", async () => {
    const state = S().clicked(S().clicked(await board(), 0, 0), 1, 1);
    assert.deepEqual(owners(S().dragged(state, 0, 1)), [1, 0, null, null, null]);
    assert.deepEqual(owners(S().dragged(state, 0, 3)), [3, 1, null, null, null]);
    assert.deepEqual(owners(S().dragged(state, 3, 0)), [3, 1, null, null, null]);
    assert.equal(S().dragged(state, 2, 3), state);
    assert.equal(S().dragged(state, 1, 1), state);
    assert.equal(S().dragged(state, 99, 0), state);
});

test("painting keeps the owner, a box doesn't, erasing everything frees", async () => {
    const state = S().clicked(await board(), 0, 0);
    const brushed = S().brushed(state, 0, [[0.5, 0.5], [0.6, 0.5]], {radius: 2, add: true});
    assert.equal(owners(brushed)[0], 0);
    assert.ok(omg.masks.at(S().region(brushed, 0), 0.55, 0.5) && omg.masks.at(S().region(brushed, 0), 0.1, 0.1));
    const boxed = S().boxed(brushed, 0, [0.5, 0.5, 0.2, 0.25]);
    assert.equal(owners(boxed)[0], null);
    assert.deepEqual(S().contentOf(boxed).boxes[0], [0.2, 0.25, 0.5, 0.5]);
    const erased = S().brushed(boxed, 0, [[0, 0], [1, 1]], {radius: 100, add: false});
    assert.equal(S().region(erased, 0), null);
    assert.equal(S().brushed(erased, 0, [[0, 0], [1, 1]], {radius: 100, add: false}), erased);
    const [added, cut] = ["add", "cut"].map((how) => S().region(S().boxed(state, 0, [0.25, 0, 0.5, 1], how), 0));
    assert.deepEqual(omg.masks.bounds(added), [0, 0, 0.5, 1]);
    assert.deepEqual(omg.masks.bounds(cut), [0, 0, 0.25, 1]);
});

test("the one in front owns an overlap; depth is settled by steps", async () => {
    const state = S().clicked(S().clicked(await board(2), 0, 0), 1, 1);
    const at = (one) => S().ownership(one)[Math.floor(0.25 * 64)];
    assert.equal(at(state), 1, "at equal depths the earlier concept");
    const behind = S().shifted(state, 0, 1);
    assert.equal(at(behind), 2);
    assert.deepEqual(S().order(behind), [1, 0]);
    assert.equal(S().shifted(behind, 0, 1), behind, "nothing is farther back");
    assert.deepEqual(S().contentOf(S().shifted(behind, 0, -1)).depths.slice(0, 2), [0, 1]);
});

test("of instances that lie over each other the smallest comes first", async () => {
    const state = await board();
    assert.deepEqual(S().instancesAt(state, 0.8, 0.6), [3, 2]);
    assert.deepEqual(S().instancesAt(state, 0.25, 0.5), [0, 1]);
    assert.deepEqual(S().instancesAt(state, 0.65, 0.5), []);
    assert.equal(S().conceptAt(S().boxed(state, 1, [0.6, 0, 0.7, 1]), 0.65, 0.5), 1);
});

test("instances of any mask size share the layout's grid; a damaged mask is an error", async () => {
    const mask = await omg.masks.pack(drawn("#.", "#."));
    const layout = await S().prepare(await told([], {instances: [{label: "dog", score: 1, mask}], width: 1024, height: 512}));
    assert.deepEqual([layout.grid, layout.instances[0].area], [{height: 128, width: 256}, 128 * 128]);
    await assert.rejects(S().prepare(await told([], {instances: [{label: "dog", mask: "bits:1x1:!"}]})), /mask: expected/);
});

test("concepts are those the panel fills in; the choice moves on when its concept goes", () => {
    const values = {concept1_lora: "None", concept2_class_word: " man ", concept3_lora: "ida", concept3_class_word: "woman", concept5_prompt: "x"};
    const found = S().conceptsFrom(values);
    assert.deepEqual(found.map(({slot, label, word}) => [slot, label, word]), [[1, "man", "man"], [2, "ida", "woman"], [4, "x", ""]]);
    const state = S().chosen(S().withConcepts(S().empty(), found), 2);
    assert.equal(S().withConcepts(state, found.slice(0, 2)).chosen, 2);
    assert.equal(S().withConcepts(state, found.slice(0, 1)).chosen, 1);
    assert.equal(S().withConcepts(state, []).chosen, null);
    assert.equal(S().chosen(state, 0), state);
});
