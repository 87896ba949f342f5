// Draws a layout: the picture, who is where in their colours, outlines, names, or the masks at latent size; and tools over it.
(() => {
    const omg = (globalThis.omg ??= {});
    const TINT = 0.34;
    const FONT = '600 13px "Source Sans Pro", ui-sans-serif, system-ui, sans-serif';
    const BADGE_PX = 22;
    const MOST_PIXELS = 1600;

    /** Pixels on the page to fractions of the picture; `rect` is the canvas's place on the page. */
    const toFraction = (rect, x, y) => [(x - rect.left) / rect.width, (y - rect.top) / rect.height];

    /** Give the canvas as many pixels as the screen has for it, within reason. Returns {width, height, ratio} in CSS pixels. */
    function fit(canvas, screen = globalThis.devicePixelRatio || 1) {
        const {width, height} = canvas.getBoundingClientRect();
        const ratio = Math.max(1, Math.min(screen, MOST_PIXELS / Math.max(width, height, 1)));
        const [columns, rows] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
        if (canvas.width !== columns) canvas.width = columns;
        if (canvas.height !== rows) canvas.height = rows;
        return {width, height, ratio};
    }

    function canvasOf(width, height) {
        return Object.assign(document.createElement("canvas"), {width, height});
    }

    // What is drawn of a content, kept while it stays: the seen and the hidden part of every region, those behind first.
    let parts = {};

    function partsOf(state) {
        const {layout, concepts} = state;
        const content = omg.boardState.contentOf(state);
        if (parts.content === content && parts.layout === layout && parts.concepts === concepts) return parts;
        const cells = omg.boardState.ownership(state);
        const {height, width} = layout.grid;
        const regions = omg.boardState.order(state).reverse().flatMap((slot) => {
            const whole = omg.boardState.region(state, slot);
            if (!whole) return [];
            const seen = omg.masks.make(height, width, whole.cells.map((cell, at) => (cell && cells[at] === slot + 1 ? 1 : 0)));
            const isWhole = omg.masks.equal(whole, seen);
            const {colour} = concepts.find((one) => one.slot === slot);
            // A whole region is the same mask as before, whose outline is known.
            return [{slot, colour, whole, seen: isWhole ? whole : seen, hidden: isWhole ? null : omg.masks.subtract(whole, seen)}];
        });
        parts = {content, layout, concepts, regions};
        return parts;
    }

    function drawPicture(context, size, {picture, cells}) {
        context.imageSmoothingEnabled = true;
        context.imageSmoothingQuality = "high";
        if (picture) context.drawImage(picture, 0, 0, size.width, size.height);
        context.fillStyle = cells ? "rgba(0, 0, 0, 0.55)" : "rgba(0, 0, 0, 0.14)";
        context.fillRect(0, 0, size.width, size.height);
    }

    // Layers of a canvas that stay the same from frame to frame: name -> {canvas, told}.
    const layers = new WeakMap();

    /** Put a layer onto a canvas; it is drawn anew where what it shows (`told`, a list) or its size has changed. */
    function layer(context, size, name, told, drawing) {
        const {canvas} = context;
        if (!layers.has(canvas)) layers.set(canvas, {});
        const all = layers.get(canvas);
        const shown = [canvas.width, canvas.height, ...told];
        if (!all[name]?.told.every((one, at) => one === shown[at])) {
            const own = all[name]?.canvas ?? canvasOf(1, 1);
            Object.assign(own, {width: canvas.width, height: canvas.height});
            const inner = own.getContext("2d");
            inner.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
            drawing(inner);
            all[name] = {canvas: own, told: shown};
        }
        context.save();
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.drawImage(all[name].canvas, 0, 0);
        context.restore();
    }

    /** A grey mask in a concept's colour, as see-through as the mask is dark. */
    function coloured(image, colour) {
        const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
        const context = canvas.getContext("2d", {willReadFrequently: true});
        context.drawImage(image, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
        for (let at = 0; at < pixels.data.length; at += 4) {
            const value = pixels.data[at];
            pixels.data.set([...colour, value], at);
        }
        context.putImageData(pixels, 0, 0);
        return canvas;
    }

    function drawCells(context, size, cells) {
        context.imageSmoothingEnabled = false;
        context.globalAlpha = 0.8;
        for (const canvas of cells) context.drawImage(canvas, 0, 0, size.width, size.height);
        context.globalAlpha = 1;
    }

    function drawRegions(context, size, state) {
        const {regions} = partsOf(state);
        for (const {seen, colour} of regions) omg.boardPaths.fillMask(context, size, seen, omg.boardParts.css(colour, TINT));
        state.layout.instances.forEach((instance, number) => {
            if (omg.boardState.ownerOf(state, number) === null) omg.boardPaths.strokeMask(context, size, instance.mask, {colour: "#fff", line: 1.5, dash: [5, 4]});
        });
        for (const {slot, seen, hidden, colour} of regions) {
            if (hidden) omg.boardPaths.strokeMask(context, size, hidden, {colour: omg.boardParts.css(colour), line: 1.5, dash: [3, 3], casing: 0});
            omg.boardPaths.strokeMask(context, size, seen, {colour: omg.boardParts.css(colour), line: slot === state.chosen ? 3.5 : 2});
        }
    }

    /** The picture, and over it the regions or the masks at latent size. */
    function drawBase(context, size, scene) {
        const {state, picture, cells} = scene;
        layer(context, size, "picture", [picture, Boolean(cells)], (inner) => drawPicture(inner, size, scene));
        if (cells) drawCells(context, size, cells);
        else drawRegions(context, size, state);
    }

    function drawFocus(context, size, scene) {
        for (const [number, colour, line] of [[scene.hover, "rgba(255, 255, 255, 0.85)", 1.5], [scene.focus, "#fff", 3]]) {
            const mask = scene.state.layout.instances[number]?.mask;
            if (!mask) continue;
            omg.boardPaths.fillMask(context, size, mask, "rgba(255, 255, 255, 0.16)");
            omg.boardPaths.strokeMask(context, size, mask, {colour, line});
        }
    }

    /** Names to be written: of concepts where they are, of instances that nobody has. */
    function namesOf(scene) {
        const {state} = scene;
        const {regions} = partsOf(state);
        const {conceptName, instanceName} = omg.boardWords;
        const {owners} = omg.boardState.contentOf(state);
        const taken = regions.map(({slot, seen, whole, colour}) => (
            {slot, instance: owners[slot], at: omg.boardPaths.anchorOf(seen) ?? omg.boardPaths.anchorOf(whole), text: `${slot + 1} ${conceptName(state, slot)}`, colour}
        ));
        const free = state.layout.instances.flatMap((instance, number) =>
            omg.boardState.ownerOf(state, number) === null
                ? [{slot: null, instance: number, at: omg.boardPaths.anchorOf(instance.mask), text: instanceName(state.layout, number), colour: null}]
                : [],
        );
        return [...free, ...taken].filter(({at}) => at);
    }

    function shortened(context, text, most) {
        if (context.measureText(text).width <= most) return text;
        let short = text;
        while (short.length > 1 && context.measureText(`${short}…`).width > most) short = short.slice(0, -1);
        return `${short}…`;
    }

    /** Draw the names so that none hides another. Returns their places: {x, y, width, height, slot, instance} in CSS pixels. */
    function drawNames(context, size, scene) {
        const places = [];
        context.font = FONT;
        context.textBaseline = "middle";
        for (const name of namesOf(scene)) {
            const text = shortened(context, name.text, Math.min(150, size.width * 0.4));
            const width = context.measureText(text).width + 16;
            const place = {
                slot: name.slot, instance: name.instance, width, height: BADGE_PX,
                x: Math.min(Math.max(2, name.at[0] * size.width - width / 2), Math.max(2, size.width - width - 2)),
                y: Math.min(Math.max(2, name.at[1] * size.height - BADGE_PX / 2), size.height - BADGE_PX - 2),
            };
            const hits = (other) => place.x < other.x + other.width && other.x < place.x + width && Math.abs(place.y - other.y) < BADGE_PX + 1;
            for (let tries = 0; tries < 12 && places.some(hits); tries++) place.y = (place.y + BADGE_PX + 2) % Math.max(1, size.height - BADGE_PX);
            places.push(place);
            context.beginPath();
            context.roundRect(place.x, place.y, width, BADGE_PX, BADGE_PX / 2);
            context.fillStyle = name.colour ? omg.boardParts.css(name.colour, 0.95) : "rgba(20, 22, 28, 0.78)";
            context.fill();
            context.lineWidth = name.slot !== null && name.slot === scene.state.chosen ? 2 : 1;
            context.strokeStyle = context.lineWidth === 2 ? "#fff" : "rgba(255, 255, 255, 0.55)";
            context.stroke();
            context.fillStyle = name.colour ? omg.boardParts.inkOn(name.colour) : "#fff";
            context.fillText(text, place.x + 8, place.y + BADGE_PX / 2 + 0.5);
        }
        return places;
    }

    function ringed(context, colour, line) {
        context.lineWidth = line + 2;
        context.strokeStyle = "rgba(0, 0, 0, 0.6)";
        context.stroke();
        context.lineWidth = line;
        context.strokeStyle = colour;
        context.stroke();
    }

    function drawTools(context, size, {cursor, box, drag, points = [], colour}) {
        const px = ([x, y]) => [x * size.width, y * size.height];
        if (box) {
            const [[left, top], [right, bottom]] = [px(box.slice(0, 2)), px(box.slice(2))];
            context.beginPath();
            context.rect(Math.min(left, right), Math.min(top, bottom), Math.abs(right - left), Math.abs(bottom - top));
            context.fillStyle = omg.boardParts.css(colour, 0.25);
            context.fill();
            ringed(context, omg.boardParts.css(colour), 2);
        }
        for (const [x, y, isIn] of points) {
            context.beginPath();
            context.arc(...px([x, y]), 5, 0, 7);
            context.fillStyle = isIn ? omg.boardParts.css(colour) : "#111";
            context.fill();
            ringed(context, "#fff", 1.5);
        }
        if (drag) {
            const [from, to] = [px(drag.from), px(drag.to)];
            context.beginPath();
            context.moveTo(...from);
            context.lineTo(...to);
            ringed(context, "#fff", 3);
            context.beginPath();
            context.arc(...to, 7, 0, 7);
            context.fillStyle = "#fff";
            context.fill();
        }
        if (cursor) {
            context.beginPath();
            context.arc(...px(cursor.at), Math.max(2, cursor.radius * Math.max(size.width, size.height)), 0, 7);
            if (cursor.erase) context.setLineDash([4, 3]);
            ringed(context, cursor.erase ? "#fff" : omg.boardParts.css(colour), 1.5);
            context.setLineDash([]);
        }
    }

    /**
     * Draw.
     *
     * @param scene {state, picture, cells: coloured masks at latent size | null, hover, focus: numbers of instances | null,
     *     isBusy: in the middle of a line or box, and of tools: cursor {at, radius: fraction of the long side, erase}, box, drag {from, to}, points, colour}
     * @returns places of the names, see `drawNames`.
     */
    function draw(canvas, scene) {
        const size = fit(canvas);
        const context = canvas.getContext("2d");
        context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
        context.clearRect(0, 0, size.width, size.height);
        if (!scene.state.layout) return [];
        const {state, picture, cells} = scene;
        const told = [picture, cells, state.layout, state.concepts, state.chosen, omg.boardState.contentOf(state)];
        layer(context, size, "base", told, (inner) => drawBase(inner, size, scene));
        if (!cells) drawFocus(context, size, scene);
        const places = scene.isBusy ? [] : drawNames(context, size, scene); // names would jump about while one draws
        drawTools(context, size, scene);
        return places;
    }

    omg.boardCanvas = {toFraction, fit, coloured, draw};
})();
