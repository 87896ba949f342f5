const assert = require("node:assert/strict");
const {test} = require("node:test");
const {random} = require("./tools.js");

test("undo and redo walk a list of snapshots", () => {
    const {create, push, undo, redo, canUndo, canRedo} = omg.history;
    for (let seed = 0; seed < 50; seed++) {
        const dice = random(seed);
        // The oracle: all snapshots, and a place among them.
        let [all, place] = [[0], 0];
        let history = create(0, 1000);
        for (let action = 1; action < 60; action++) {
            const which = dice.below(3);
            if (which === 0) {
                history = push(history, action);
                all = [...all.slice(0, place + 1), action];
                place++;
            } else if (which === 1) {
                history = undo(history);
                place = Math.max(0, place - 1);
            } else {
                history = redo(history);
                place = Math.min(all.length - 1, place + 1);
            }
            assert.equal(history.present, all[place]);
            assert.equal(canUndo(history), place > 0);
            assert.equal(canRedo(history), place < all.length - 1);
        }
    }
});

test("the limit forgets the oldest, and the same snapshot makes no step", () => {
    const {create, push, undo} = omg.history;
    let history = create(0, 3);
    for (let value = 1; value <= 10; value++) history = push(history, value);
    assert.equal(push(history, 10), history);
    for (let back = 0; back < 20; back++) history = undo(history);
    assert.equal(history.present, 7);
    assert.equal(undo(history), history);
});
