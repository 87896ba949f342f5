// What the board's tests share.
const names = ["history", "masks", "board_state", "board_words", "board_fields", "board_shelf", "board_runs", "board_store", "board_canvas", "board_paths", "board_tools", "layouts"];
for (const name of names) require(`../../javascript/omg_${name}.js`);

/** Random numbers from a seed (mulberry32): `next()` in 0..1, `below(n)`, `one(list)`. */
exports.random = (seed) => {
    let state = seed >>> 0;
    const next = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    const below = (most) => Math.floor(next() * most);
    return {next, below, one: (list) => list[below(list.length)]};
};

/** A mask drawn by letters: "#" is set. */
exports.drawn = (...rows) =>
    omg.masks.make(rows.length, rows[0].length, Uint8Array.from(rows.join(""), (letter) => (letter === "#" ? 1 : 0)));

exports.randomMask = (random, height, width, share = 0.5) =>
    omg.masks.make(height, width, Uint8Array.from({length: height * width}, () => (random.next() < share ? 1 : 0)));

/** A layout as the server tells it, with instances where `boxes` are. */
exports.told = async (boxes, more = {}) => ({
    id: "l1", name: "", seed: 1, width: 64, height: 48, latent: [6, 8], picture: "data:,", fields: {}, ready: true, kept: false, board: null,
    owners: [],
    instances: await Promise.all(boxes.map(async (box) => ({label: "woman", score: 1, mask: await omg.masks.pack(omg.masks.fromBox(48, 64, box))}))),
    ...more,
});

exports.concepts = (count) => Array.from({length: count}, (_, slot) => ({slot, label: `c${slot + 1}`, word: "woman", colour: [0, 0, 0]}));
