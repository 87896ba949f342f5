// Masks of the layout board. A mask is {height, width, cells}: cells is a Uint8Array of 0 and 1, row by row. Masks are values:
// no function changes one, all return new ones. Boxes are [left, top, right, bottom] and points [x, y] in fractions of the picture.
(() => {
    const LONGEST_CELLS = 256;
    const MOST_CELLS = 2 ** 24;
    const PACKED = /^bits:(\d{1,4})x(\d{1,4}):([A-Za-z0-9+/=]*)$/;

    /** A mask of `cells`, or an empty one. */
    function make(height, width, cells = new Uint8Array(height * width)) {
        if (!(height > 0 && width > 0) || cells.length !== height * width) {
            throw new Error(`mask: expected ${height} x ${width} cells, found ${cells.length}`);
        }
        return {height, width, cells};
    }

    /** Number of cells that are set. */
    function area(mask) {
        let sum = 0;
        for (const cell of mask.cells) sum += cell;
        return sum;
    }

    const isEmpty = (mask) => !mask.cells.includes(1);

    function equal(one, other) {
        if (one.height !== other.height || one.width !== other.width) return false;
        return one.cells.every((cell, at) => cell === other.cells[at]);
    }

    function combined(one, other, rule) {
        if (one.height !== other.height || one.width !== other.width) {
            throw new Error(`masks: expected one size, found ${one.height}x${one.width} and ${other.height}x${other.width}`);
        }
        return make(one.height, one.width, one.cells.map((cell, at) => rule(cell, other.cells[at])));
    }

    const union = (one, other) => combined(one, other, (a, b) => a | b);
    const subtract = (one, other) => combined(one, other, (a, b) => a & (1 - b));

    /** Whether the point (x, y) lies in the mask; points outside of the picture don't. */
    function at(mask, x, y) {
        if (!(x >= 0 && x < 1 && y >= 0 && y < 1)) return false;
        return mask.cells[Math.floor(y * mask.height) * mask.width + Math.floor(x * mask.width)] === 1;
    }

    /**
     * Draw a round brush along a line: cells whose centre is within `radius` of it become `value`, and always those under
     * its two ends, so that the smallest brush draws as well.
     *
     * @param from, to points; @param radius in cells, as cells are square; @param value 1 adds, 0 erases.
     */
    function stroke(mask, from, to, radius, value) {
        const {height, width} = mask;
        const cells = mask.cells.slice();
        const [ax, ay, bx, by] = [from[0] * width, from[1] * height, to[0] * width, to[1] * height];
        const [dx, dy] = [bx - ax, by - ay];
        const length2 = dx * dx + dy * dy;
        const top = Math.max(0, Math.floor(Math.min(ay, by) - radius));
        const bottom = Math.min(height - 1, Math.ceil(Math.max(ay, by) + radius));
        const left = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
        const right = Math.min(width - 1, Math.ceil(Math.max(ax, bx) + radius));
        for (let row = top; row <= bottom; row++) {
            for (let column = left; column <= right; column++) {
                const [px, py] = [column + 0.5 - ax, row + 0.5 - ay];
                const along = length2 ? Math.min(1, Math.max(0, (px * dx + py * dy) / length2)) : 0;
                if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) cells[row * width + column] = value;
            }
        }
        for (const [x, y] of [[ax, ay], [bx, by]]) {
            if (x >= 0 && x < width && y >= 0 && y < height) cells[Math.floor(y) * width + Math.floor(x)] = value;
        }
        return make(height, width, cells);
    }

    /** A box with its corners in order and inside the picture. */
    function normalBox([x0, y0, x1, y1]) {
        const inside = (value) => Math.min(1, Math.max(0, value));
        const [left, right] = [x0, x1].map(inside).sort((a, b) => a - b);
        const [top, bottom] = [y0, y1].map(inside).sort((a, b) => a - b);
        return [left, top, right, bottom];
    }

    /** The mask of a box: cells whose centre is inside. */
    function fromBox(height, width, box) {
        const [left, top, right, bottom] = normalBox(box);
        const cells = new Uint8Array(height * width);
        for (let row = 0; row < height; row++) {
            if ((row + 0.5) / height < top || (row + 0.5) / height > bottom) continue;
            for (let column = 0; column < width; column++) {
                const x = (column + 0.5) / width;
                if (x >= left && x <= right) cells[row * width + column] = 1;
            }
        }
        return make(height, width, cells);
    }

    /** Box around the cells that are set, null if none is. */
    function bounds(mask) {
        let [left, top, right, bottom] = [mask.width, mask.height, -1, -1];
        mask.cells.forEach((cell, at) => {
            if (!cell) return;
            const [row, column] = [Math.floor(at / mask.width), at % mask.width];
            [left, right] = [Math.min(left, column), Math.max(right, column)];
            [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
        });
        if (right < 0) return null;
        return [left / mask.width, top / mask.height, (right + 1) / mask.width, (bottom + 1) / mask.height];
    }

    /** Point deep inside the mask, where a label fits; null if the mask is empty. */
    function anchor(mask) {
        const {height, width, cells} = mask;
        const depth = new Uint16Array((height + 2) * (width + 2));
        const stride = width + 2;
        for (let row = 0; row < height; row++) {
            for (let column = 0; column < width; column++) {
                const to = (row + 1) * stride + column + 1;
                depth[to] = cells[row * width + column] ? Math.min(depth[to - 1], depth[to - stride]) + 1 : 0;
            }
        }
        let best = 0;
        for (let row = height; row >= 1; row--) {
            for (let column = width; column >= 1; column--) {
                const to = row * stride + column;
                depth[to] = Math.min(depth[to], depth[to + 1] + 1, depth[to + stride] + 1);
                if (depth[to] > depth[best]) best = to;
            }
        }
        if (!best) return null;
        return [((best % stride) - 0.5) / width, (Math.floor(best / stride) - 0.5) / height];
    }

    // A cell's share of every pixel below it, as painted.py's `_area`: [first pixel, its weight, the next one's, ...] per cell.
    function shares(cells, size) {
        return Array.from({length: cells}, (_, cell) => {
            const [from, to] = [(cell * size) / cells, ((cell + 1) * size) / cells];
            const first = Math.floor(from + 1e-9);
            const weights = [];
            for (let pixel = first; pixel < to - 1e-9; pixel++) {
                weights.push((Math.min(to, pixel + 1) - Math.max(from, pixel)) / (to - from));
            }
            return {first, weights};
        });
    }

    /** The mask in another size: area mean, set where at least half of a cell is. */
    function resize(mask, height, width) {
        if (height === mask.height && width === mask.width) return mask;
        const [rows, columns] = [shares(height, mask.height), shares(width, mask.width)];
        const across = new Float64Array(mask.height * width);
        for (let row = 0; row < mask.height; row++) {
            columns.forEach(({first, weights}, column) => {
                let sum = 0;
                weights.forEach((weight, k) => (sum += weight * mask.cells[row * mask.width + first + k]));
                across[row * width + column] = sum;
            });
        }
        const cells = new Uint8Array(height * width);
        rows.forEach(({first, weights}, row) => {
            for (let column = 0; column < width; column++) {
                let sum = 0;
                weights.forEach((weight, k) => (sum += weight * across[(first + k) * width + column]));
                cells[row * width + column] = sum >= 0.5 - 1e-9 ? 1 : 0;
            }
        });
        return make(height, width, cells);
    }

    function halfToEven(value) {
        const floor = Math.floor(value);
        if (value - floor !== 0.5) return Math.round(value);
        return floor % 2 ? floor + 1 : floor;
    }

    /** {height, width} of the cells for something of that size: its own, or `longest` on the long side if it is larger. */
    function gridOf(height, width, longest = LONGEST_CELLS) {
        const scale = Math.min(1, longest / Math.max(height, width));
        return {height: Math.max(1, halfToEven(height * scale)), width: Math.max(1, halfToEven(width * scale))};
    }

    async function through(stream, bytes, most) {
        const writer = stream.writable.getWriter();
        const fed = writer.write(bytes).then(() => writer.close());
        fed.catch(() => {}); // the reader sees it as well
        const reader = stream.readable.getReader();
        const out = [];
        while (out.length <= most) {
            const {done, value} = await reader.read();
            if (done) return Uint8Array.from(out);
            for (let k = 0; k < value.length && out.length <= most; k++) out.push(value[k]);
        }
        reader.cancel().catch(() => {});
        return Uint8Array.from(out);
    }

    /** The mask as text, see lib_omg/vision/painted.py; one that is larger than `longest` cells is made smaller. */
    async function pack(mask, longest = LONGEST_CELLS) {
        const grid = gridOf(mask.height, mask.width, longest);
        const {height, width, cells} = resize(mask, grid.height, grid.width);
        const bytes = new Uint8Array(Math.ceil(cells.length / 8));
        cells.forEach((cell, at) => (bytes[at >> 3] |= cell << (7 - (at & 7))));
        const packed = await through(new CompressionStream("deflate"), bytes, Infinity);
        const text = Array.from(packed, (byte) => String.fromCharCode(byte)).join("");
        return `bits:${height}x${width}:${btoa(text)}`;
    }

    /** Read a mask's text. Rejects with what was expected and found if it is damaged. */
    async function unpack(text) {
        const found = PACKED.exec(String(text).trim());
        if (!found) throw new Error(`mask: expected bits:HxW:<base64>, found "${String(text).slice(0, 40)}"`);
        const [height, width] = [Number(found[1]), Number(found[2])];
        const count = height * width;
        if (!count || count > MOST_CELLS) throw new Error(`mask: expected 1 to ${MOST_CELLS} cells, found ${height}x${width}`);
        const expected = Math.ceil(count / 8);
        let bytes;
        try {
            const packed = Uint8Array.from(atob(found[3]), (letter) => letter.charCodeAt(0));
            bytes = await through(new DecompressionStream("deflate"), packed, expected);
        } catch (error) {
            throw new Error(`mask: expected a packed mask, found damaged text (${error.message})`, {cause: error});
        }
        if (bytes.length !== expected) {
            throw new Error(`mask: expected ${expected} bytes for ${height}x${width} cells, found ${bytes.length} or more`);
        }
        const cells = Uint8Array.from({length: count}, (_, at) => (bytes[at >> 3] >> (7 - (at & 7))) & 1);
        return make(height, width, cells);
    }

    // Per corner of the grid, which borders begin there: 1 to the right, 2 down, 4 left, 8 up; the mask is on their right hand.
    function borders(mask) {
        const {height, width, cells} = mask;
        const stride = width + 1;
        const out = new Uint8Array((height + 1) * stride);
        for (let row = 0; row < height; row++) {
            for (let column = 0; column < width; column++) {
                const cell = row * width + column;
                if (!cells[cell]) continue;
                const corner = row * stride + column;
                if (!row || !cells[cell - width]) out[corner] |= 1;
                if (column === width - 1 || !cells[cell + 1]) out[corner + 1] |= 2;
                if (row === height - 1 || !cells[cell + width]) out[corner + stride + 1] |= 4;
                if (!column || !cells[cell - 1]) out[corner + stride] |= 8;
            }
        }
        return out;
    }

    /**
     * The mask's outline: closed loops of corners [x, y] in cells, clockwise around what is set, counter-clockwise around holes.
     * Cells that touch at a corner alone belong to different loops.
     */
    function outline(mask) {
        const out = borders(mask);
        const stride = mask.width + 1;
        const steps = [1, stride, -1, -stride];
        const loops = [];
        for (let start = 0; start < out.length; start++) {
            while (out[start] & 1) {
                const loop = [];
                let [corner, way] = [start, 0];
                let before = -1;
                do {
                    // Turn right where one can, else go straight on, else left.
                    while (!(out[corner] & (1 << way))) way = (way + 3) % 4;
                    if (way !== before) loop.push([corner % stride, Math.floor(corner / stride)]);
                    out[corner] &= ~(1 << way);
                    before = way;
                    corner += steps[way];
                    way = (way + 1) % 4;
                } while (corner !== start || out[start] & (1 << ((before + 1) % 4)));
                loops.push(loop);
            }
        }
        return loops;
    }

    /** A loop with its corners cut halfway: stairs become slopes. */
    function smooth(loop) {
        const points = [];
        loop.forEach(([x, y], index) => {
            const [nextX, nextY] = loop[(index + 1) % loop.length];
            const [stepX, stepY] = [Math.sign(nextX - x) / 2, Math.sign(nextY - y) / 2];
            points.push([x + stepX, y + stepY]);
            if (Math.abs(nextX - x) + Math.abs(nextY - y) > 1) points.push([nextX - stepX, nextY - stepY]);
        });
        return points;
    }

    globalThis.omg ??= {};
    globalThis.omg.masks = {
        LONGEST_CELLS, make, area, isEmpty, equal, union, subtract, at, stroke, normalBox, fromBox, bounds, anchor, resize,
        gridOf, pack, unpack, outline, smooth,
    };
})();
