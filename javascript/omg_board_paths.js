// Outlines of masks on a canvas.
(() => {
    const omg = (globalThis.omg ??= {});
    // Of a large mask, specks smaller than this are tinted but not outlined: they would be a rash of dots.
    const [LEAST_SPECK, LARGE] = [12, 400];

    function loopArea(loop) {
        const twice = loop.reduce((sum, [ax, ay], index) => {
            const [bx, by] = loop[(index + 1) % loop.length];
            return sum + ax * by - bx * ay;
        }, 0);
        return Math.abs(twice) / 2;
    }

    /** The outlines of a mask that are drawn as lines: all, but for specks beside something large. */
    function withoutSpecks(loops) {
        const isLarge = loops.some((loop) => loopArea(loop) > LARGE);
        return isLarge ? loops.filter((loop) => loopArea(loop) >= LEAST_SPECK) : loops;
    }

    function through(loops, {width, height}) {
        const path = new Path2D();
        for (const loop of loops) {
            omg.masks.smooth(loop).forEach(([x, y], index) => path[index ? "lineTo" : "moveTo"](x / width, y / height));
            path.closePath();
        }
        return path;
    }

    const known = new WeakMap();

    /** Paths in fractions of the picture: {whole, line}. */
    function pathsOf(mask) {
        if (!known.has(mask)) {
            const loops = omg.masks.outline(mask);
            known.set(mask, {whole: through(loops, mask), line: through(withoutSpecks(loops), mask)});
        }
        return known.get(mask);
    }

    /** In pixels, so that a line keeps its width. */
    function scaled(path, {width, height}) {
        const out = new Path2D();
        out.addPath(path, new DOMMatrix([width, 0, 0, height, 0, 0]));
        return out;
    }

    /** Draw a mask's outline; `casing` is what a dark line below is wider. */
    function strokeMask(context, size, mask, {colour, line, dash = [], casing = 2}) {
        const path = scaled(pathsOf(mask).line, size);
        context.lineJoin = "round";
        context.setLineDash(dash);
        if (casing) {
            context.strokeStyle = "rgba(0, 0, 0, 0.55)";
            context.lineWidth = line + casing;
            context.stroke(path);
        }
        context.strokeStyle = colour;
        context.lineWidth = line;
        context.stroke(path);
        context.setLineDash([]);
    }

    function fillMask(context, size, mask, colour) {
        context.fillStyle = colour;
        context.fill(scaled(pathsOf(mask).whole, size), "evenodd");
    }

    const anchors = new WeakMap();

    /** Point deep in a mask, see `omg.masks.anchor`. */
    function anchorOf(mask) {
        if (!anchors.has(mask)) anchors.set(mask, omg.masks.anchor(mask));
        return anchors.get(mask);
    }

    omg.boardPaths = {withoutSpecks, strokeMask, fillMask, anchorOf};
})();
