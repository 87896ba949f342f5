const assert = require("node:assert/strict");
const {test} = require("node:test");
const {deflateSync} = require("node:zlib");
const {drawn, random, randomMask} = require("./tools.js");

const sameMask = (one, other) => assert.deepEqual([one.height, one.width, [...one.cells]], [other.height, other.width, [...other.cells]]);

/** Whether a point is inside loops, by counting borders to its left. */
function inside(loops, x, y) {
    let crossings = 0;
    for (const loop of loops) {
        loop.forEach(([ax, ay], index) => {
            const [bx, by] = loop[(index + 1) % loop.length];
            if (ay > y !== by > y && ax + ((y - ay) / (by - ay)) * (bx - ax) < x) crossings++;
        });
    }
    return crossings % 2 === 1;
}

test("texts that painted.py made are read", async () => {
    // painted.pack of the masks drawn here
    sameMask(await omg.masks.unpack("bits:2x3:eNrbAwAAvQC9"), drawn("#.#", "###"));
    sameMask(await omg.masks.unpack(" bits:3x5:eNoLEwAAAL4AZw==\n"), drawn(".#.#.", "##...", ".#..."));
});

test("pack and unpack give the mask back, whatever its size", async () => {
    const dice = random(1);
    for (const [height, width] of [[1, 1], [1, 7], [3, 8], [9, 9], [48, 64], [256, 256]]) {
        const mask = randomMask(dice, height, width);
        sameMask(await omg.masks.unpack(await omg.masks.pack(mask)), mask);
    }
});

test("a larger mask is packed at 256 cells on the long side", async () => {
    const mask = omg.masks.fromBox(1024, 512, [0.25, 0.5, 0.75, 1]);
    sameMask(await omg.masks.unpack(await omg.masks.pack(mask)), omg.masks.fromBox(256, 128, [0.25, 0.5, 0.75, 1]));
});

test("damaged texts are refused with what was found", async () => {
    const bits = (bytes) => deflateSync(Uint8Array.from(bytes)).toString("base64");
    const bad = [
        ["", /expected bits/], ["bits:2x2", /expected bits/], ["bits:0x5:", /expected 1 to/], ["bits:9999x9999:eNqr", /expected 1 to/],
        ["bits:2x2:%%%", /expected bits/], ["bits:2x2:AAAA", /damaged/], ["bits:2x2:A", /damaged/],
        [`bits:2x2:${bits([1, 2])}`, /expected 1 bytes.*found 2/], [`bits:4x4:${bits([1])}`, /expected 2 bytes.*found 1/],
        [`bits:2x2:${bits(new Uint8Array(50_000_000))}`, /expected 1 bytes.*found 2/], [`bits:2x2:${bits([1]).slice(0, 6)}`, /./],
    ];
    for (const [text, message] of bad) await assert.rejects(omg.masks.unpack(text), message, text.slice(0, 40));
});

test("union, difference and size", () => {
    const [one, other] = [drawn("##.", "..."), drawn(".##", "..#")];
    sameMask(omg.masks.union(one, other), drawn("###", "..#"));
    sameMask(omg.masks.subtract(one, other), drawn("#..", "..."));
    assert.throws(() => omg.masks.union(one, drawn("#")), /expected one size, found 2x3 and 1x1/);
    assert.throws(() => omg.masks.make(2, 2, new Uint8Array(3)), /expected 2 x 2 cells, found 3/);
});

test("a brush's line sets the cells near it and no others", () => {
    const dice = random(2);
    for (let round = 0; round < 60; round++) {
        const [height, width] = [1 + dice.below(20), 1 + dice.below(20)];
        const before = randomMask(dice, height, width, 0.3);
        const kept = before.cells.slice();
        const point = () => [dice.next() * 1.4 - 0.2, dice.next() * 1.4 - 0.2];
        const [from, to, radius, value] = [point(), point(), dice.next() * 5, dice.below(2)];
        const after = omg.masks.stroke(before, from, to, radius, value);
        assert.deepEqual(before.cells, kept, "masks are values");
        for (let row = 0; row < height; row++) {
            for (let column = 0; column < width; column++) {
                // The oracle walks along the line in small steps.
                let least = Infinity;
                for (let part = 0; part <= 400; part++) {
                    const [x, y] = [0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * part) / 400);
                    least = Math.min(least, Math.hypot(x * width - column - 0.5, y * height - row - 0.5));
                }
                const under = [from, to].some(([x, y]) => Math.floor(x * width) === column && Math.floor(y * height) === row);
                const cell = after.cells[row * width + column];
                if (under || least < radius - 0.05) assert.equal(cell, value);
                else if (least > radius + 1e-9) assert.equal(cell, before.cells[row * width + column]);
            }
        }
    }
});

test("the smallest brush sets the cell under it; outside of the picture nothing breaks", () => {
    sameMask(omg.masks.stroke(drawn("...", "..."), [0.5, 0.9], [0.5, 0.9], 0.01, 1), drawn("...", ".#."));
    sameMask(omg.masks.stroke(drawn("...", "..."), [-3, 2], [5, 2], 0.5, 1), drawn("...", "..."));
});

test("boxes: corners in any order, clipped to the picture", () => {
    sameMask(omg.masks.fromBox(4, 4, [0.75, 1.5, 0.25, 0.5]), drawn("....", "....", ".##.", ".##."));
    assert.deepEqual(omg.masks.normalBox([0.75, 1.5, 0.25, -2]), [0.25, 0, 0.75, 1]);
    assert.deepEqual(omg.masks.bounds(drawn("....", ".##.", ".#..")), [0.25, 1 / 3, 0.75, 1]);
    assert.equal(omg.masks.bounds(drawn("..", "..")), null);
});

test("a point is in the cell it lies in", () => {
    const mask = drawn("#.", ".#");
    const hits = [[0, 0], [0.49, 0.49], [0.5, 0.5], [0.99, 0.99]].map(([x, y]) => omg.masks.at(mask, x, y));
    assert.deepEqual(hits, [true, true, true, true]);
    for (const [x, y] of [[0.5, 0.49], [1, 1], [-0.1, 0], [NaN, 0]]) assert.equal(omg.masks.at(mask, x, y), false);
});

test("outlines enclose the cells that are set, and smoothing keeps their centres", () => {
    const dice = random(3);
    for (let round = 0; round < 80; round++) {
        const [height, width] = [1 + dice.below(9), 1 + dice.below(9)];
        const mask = randomMask(dice, height, width, dice.next());
        const loops = omg.masks.outline(mask);
        const smooth = loops.map(omg.masks.smooth);
        mask.cells.forEach((cell, at) => {
            const [x, y] = [(at % width) + 0.5, Math.floor(at / width) + 0.5];
            assert.equal(inside(loops, x, y), cell === 1);
            assert.equal(inside(smooth, x, y + 1e-7), cell === 1);
        });
        // Clockwise on the screen counts positive, so holes are taken off.
        const signed = loops.map((loop) => loop.reduce((sum, [ax, ay], index) => {
            const [bx, by] = loop[(index + 1) % loop.length];
            return sum + (ax * by - bx * ay) / 2;
        }, 0));
        assert.equal(signed.reduce((sum, one) => sum + one, 0), omg.masks.area(mask));
        for (const loop of loops) {
            loop.forEach(([ax, ay], index) => {
                const [bx, by] = loop[(index + 1) % loop.length];
                assert.ok((ax === bx) !== (ay === by), "borders are straight");
            });
        }
    }
});

test("cells that touch at a corner have outlines of their own; a ring has two", () => {
    assert.equal(omg.masks.outline(drawn("#.", ".#")).length, 2);
    assert.equal(omg.masks.outline(drawn("###", "#.#", "###")).length, 2);
    assert.deepEqual(omg.masks.outline(drawn("##")), [[[0, 0], [2, 0], [2, 1], [0, 1]]]);
    assert.deepEqual(omg.masks.outline(drawn("..")), []);
});

test("an anchor lies in the mask, as deep as any cell", () => {
    const dice = random(4);
    const depth = ({height, width, cells}, row, column) => {
        let least = Infinity;
        for (let r = -1; r <= height; r++) {
            for (let c = -1; c <= width; c++) {
                const isSet = r >= 0 && r < height && c >= 0 && c < width && cells[r * width + c];
                if (!isSet) least = Math.min(least, Math.abs(r - row) + Math.abs(c - column));
            }
        }
        return least;
    };
    for (let round = 0; round < 30; round++) {
        const mask = randomMask(dice, 1 + dice.below(10), 1 + dice.below(10), 0.85);
        const found = omg.masks.anchor(mask);
        const depths = [...mask.cells.keys()].map((at) => (mask.cells[at] ? depth(mask, Math.floor(at / mask.width), at % mask.width) : 0));
        if (!found) assert.ok(omg.masks.isEmpty(mask));
        else assert.equal(depth(mask, Math.floor(found[1] * mask.height), Math.floor(found[0] * mask.width)), Math.max(...depths));
    }
});

test("resizing takes the area mean", () => {
    const dice = random(5);
    for (let round = 0; round < 30; round++) {
        const mask = randomMask(dice, 1 + dice.below(12), 1 + dice.below(12));
        const [height, width] = [1 + dice.below(12), 1 + dice.below(12)];
        const resized = omg.masks.resize(mask, height, width);
        // The oracle: both grids divide a common one.
        const isSet = (row, column) => mask.cells[Math.floor(row / height) * mask.width + Math.floor(column / width)];
        resized.cells.forEach((cell, at) => {
            const [row, column] = [Math.floor(at / width), at % width];
            let sum = 0;
            for (let r = 0; r < mask.height; r++) {
                for (let c = 0; c < mask.width; c++) sum += isSet(row * mask.height + r, column * mask.width + c);
            }
            assert.equal(cell, 2 * sum >= mask.height * mask.width ? 1 : 0);
        });
    }
});

test("specks beside something large get no line, a small mask keeps all of its own", () => {
    const speck = omg.masks.fromBox(64, 64, [0.9, 0.9, 0.92, 0.92]);
    const large = omg.masks.union(omg.masks.fromBox(64, 64, [0, 0, 0.5, 0.5]), speck);
    assert.deepEqual([large, speck].map((mask) => omg.boardPaths.withoutSpecks(omg.masks.outline(mask)).length), [1, 1]);
    assert.equal(omg.masks.outline(large).length, 2);
});
