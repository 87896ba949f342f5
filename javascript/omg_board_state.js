// What the layout board knows, and what a user's action makes of it. Pure: every function returns a new state.
//
// state    {layout, concepts: [{slot, label, word, colour}], chosen: slot | null, tool, history: of contents}
// content  who is who; one place per slot (slot 0 is the panel's concept 1): owners (number of an instance | null), edits
//          (mask | null), boxes ([l, t, r, b] | null), points (clicks for SAM, [[x, y, 1 | 0], ...]), depths (smaller is in
//          front). A concept's region is its edit, else its box, else its instance's mask. An instance has one owner at most.
(() => {
    const omg = (globalThis.omg ??= {});
    const SLOTS = 5;
    // One for each concept, as lib_omg/vision/overlay.py has them.
    const COLOURS = (omg.COLOURS ??= [[230, 60, 60], [60, 130, 240], [60, 190, 90], [240, 180, 40], [170, 90, 220]]);
    const TOOLS = ["pick", "brush", "erase", "box", "sam"];
    const [FOUND, BOX, PAINTED] = ["attention", "box", "painted"];
    const BY_ITSELF = "found automatically";

    const each = (value) => Array.from({length: SLOTS}, () => value);
    const put = (list, slot, value) => list.map((old, at) => (at === slot ? value : old));
    const key = (slot, name) => `concept${slot + 1}_${name}`;
    const contentOf = (state) => state.history.present;

    const emptyContent = () => ({owners: each(null), edits: each(null), boxes: each(null), points: each([]), depths: each(0)});

    /** A board without a layout. */
    function empty() {
        return {layout: null, concepts: [], chosen: null, tool: "pick", history: omg.history.create(emptyContent())};
    }

    // ---- what is there

    /** The concepts that the panel's values fill in. */
    function conceptsFrom(values) {
        const text = (slot, name) => String(values[key(slot, name)] ?? "").trim();
        return each(null).flatMap((_, slot) => {
            const word = text(slot, "class_word");
            const lora = text(slot, "lora") === "None" ? "" : text(slot, "lora");
            const label = lora || word || text(slot, "prompt");
            return label ? [{slot, label, word, colour: COLOURS[slot]}] : [];
        });
    }

    /** A layout as the server tells it, its instances' masks unpacked, all of one size. Rejects if one is damaged. */
    async function prepare(told) {
        const grid = omg.masks.gridOf(told.height, told.width);
        const instances = await Promise.all(
            (told.instances ?? []).map(async (instance) => {
                const mask = omg.masks.resize(await omg.masks.unpack(instance.mask), grid.height, grid.width);
                return {label: instance.label, score: instance.score, mask, area: omg.masks.area(mask)};
            }),
        );
        return {...told, grid, instances};
    }

    const drawnBoxes = new WeakMap();

    /** The mask of a concept, null if the server has to find it. */
    function region(state, slot, content = contentOf(state)) {
        if (content.edits[slot]) return content.edits[slot];
        const box = content.boxes[slot];
        if (box) {
            const {height, width} = state.layout.grid;
            if (!drawnBoxes.has(box)) drawnBoxes.set(box, omg.masks.fromBox(height, width, box));
            return drawnBoxes.get(box);
        }
        return state.layout?.instances[content.owners[slot]]?.mask ?? null;
    }

    // Also the slot of a concept that has been emptied in the panel since.
    function holderOf(state, instance) {
        const slot = contentOf(state).owners.indexOf(instance);
        return slot < 0 ? null : slot;
    }

    /** Slot of the concept that an instance was given to, or null. */
    function ownerOf(state, instance) {
        const slot = holderOf(state, instance);
        return state.concepts.some((one) => one.slot === slot) ? slot : null;
    }

    /** Slots in use, the one in front first: the smaller depth, then the earlier concept. */
    function order(state) {
        const {depths} = contentOf(state);
        return state.concepts.map(({slot}) => slot).sort((a, b) => depths[a] - depths[b] || a - b);
    }

    /** Whose every cell is: slot + 1, 0 for nobody; overlaps belong to the one in front. */
    function ownership(state) {
        const {height, width} = state.layout.grid;
        const cells = new Uint8Array(height * width);
        for (const slot of order(state).reverse()) {
            const mask = region(state, slot);
            for (let at = 0; mask && at < cells.length; at++) if (mask.cells[at]) cells[at] = slot + 1;
        }
        return cells;
    }

    /** Numbers of the instances at a point, the smallest, which stands in front, first. */
    function instancesAt(state, x, y) {
        const found = (state.layout?.instances ?? []).flatMap((one, number) => (omg.masks.at(one.mask, x, y) ? [number] : []));
        return found.sort((a, b) => state.layout.instances[a].area - state.layout.instances[b].area || a - b);
    }

    /** Slot of the concept in front whose region holds the point, or null. */
    function conceptAt(state, x, y) {
        return order(state).find((slot) => region(state, slot) && omg.masks.at(region(state, slot), x, y)) ?? null;
    }

    // ---- what a user does

    function changed(state, content) {
        return {...state, history: omg.history.push(state.history, {...contentOf(state), ...content})};
    }

    const hasRegion = (content, slot) => content.owners[slot] !== null || content.edits[slot] || content.boxes[slot];

    function placed(state, slot, {owner = null, edit = null, box = null, points = []}) {
        const {owners, edits, boxes, points: clicks} = contentOf(state);
        return changed(state, {
            owners: put(owners, slot, owner),
            edits: put(edits, slot, edit),
            boxes: put(boxes, slot, box),
            points: put(clicks, slot, points),
        });
    }

    /** Take a concept's region away. */
    function freed(state, slot) {
        return hasRegion(contentOf(state), slot) ? placed(state, slot, {}) : state;
    }

    /** Exchange the places of two concepts: instances, paintings, and who stands in front. */
    function swapped(state, one, other) {
        const content = contentOf(state);
        if (one === other || !(hasRegion(content, one) || hasRegion(content, other))) return state;
        const exchange = (list) => put(put(list, one, list[other]), other, list[one]);
        return changed(state, Object.fromEntries(Object.entries(content).map(([name, list]) => [name, exchange(list)])));
    }

    /** Give an instance to a concept; the concept's own is freed; with another's, the two change places. */
    function clicked(state, instance, slot = state.chosen) {
        if (slot === null || !state.layout?.instances[instance]) return state;
        const owner = holderOf(state, instance);
        if (owner === slot) return freed(state, slot);
        return owner === null ? placed(state, slot, {owner: instance}) : swapped(state, slot, owner);
    }

    /** One instance dragged onto another: their concepts change places; a free place is taken. */
    function dragged(state, from, to) {
        const [one, other] = [holderOf(state, from), holderOf(state, to)];
        const areThere = [from, to].every((instance) => state.layout?.instances[instance]);
        if (!areThere || from === to || (one === null && other === null)) return state;
        if (one === null) return placed(state, other, {owner: from});
        return other === null ? placed(state, one, {owner: to}) : swapped(state, one, other);
    }

    /** Give a concept a painted region; it stays its instance's owner. Nothing painted frees it. */
    function painted(state, slot, mask) {
        const content = contentOf(state);
        if (omg.masks.isEmpty(mask)) return freed(state, slot);
        const before = region(state, slot);
        if (before && omg.masks.equal(before, mask)) return state;
        return placed(state, slot, {owner: content.owners[slot], edit: mask});
    }

    /** A brush's line from point to point on a concept's region; `add` is false for the eraser. */
    function brushed(state, slot, [from, to], {radius, add}) {
        const {height, width} = state.layout.grid;
        const mask = region(state, slot) ?? omg.masks.make(height, width);
        return painted(state, slot, omg.masks.stroke(mask, from, to, radius, add ? 1 : 0));
    }

    /** A box becomes a concept's region ("set"), or is added to it ("add"), or taken out of it ("cut"). */
    function boxed(state, slot, box, how = "set") {
        const {height, width} = state.layout.grid;
        const normal = omg.masks.normalBox(box).map((side) => Math.round(side * 1000) / 1000);
        const mask = omg.masks.fromBox(height, width, normal);
        if (omg.masks.isEmpty(mask)) return state;
        if (how === "set") return placed(state, slot, {box: normal});
        const before = region(state, slot) ?? omg.masks.make(height, width);
        return painted(state, slot, omg.masks[how === "add" ? "union" : "subtract"](before, mask));
    }

    /** What SAM made of clicks becomes a concept's region. */
    function outlined(state, slot, mask, points) {
        const {height, width} = state.layout.grid;
        const fitting = omg.masks.resize(mask, height, width);
        const box = contentOf(state).boxes[slot]; // stays what SAM is asked with
        return omg.masks.isEmpty(fitting) ? state : placed(state, slot, {edit: fitting, box, points});
    }

    /** Bring a concept one place to the front (-1) or to the back (1). */
    function shifted(state, slot, by) {
        const slots = order(state);
        const place = slots.indexOf(slot);
        const other = slots[place + by];
        if (place < 0 || other === undefined) return state;
        [slots[place], slots[place + by]] = [other, slot];
        const depths = contentOf(state).depths.map((depth, at) => (slots.includes(at) ? slots.indexOf(at) : depth));
        return changed(state, {depths});
    }

    const undone = (state) => ({...state, history: omg.history.undo(state.history)});
    const redone = (state) => ({...state, history: omg.history.redo(state.history)});

    const chosen = (state, slot) => (state.concepts.some((one) => one.slot === slot) ? {...state, chosen: slot} : state);
    const withTool = (state, tool) => (TOOLS.includes(tool) ? {...state, tool} : state);

    /** The concepts now in the panel; the chosen one stays if it is still there. */
    function withConcepts(state, concepts) {
        const stays = concepts.some(({slot}) => slot === state.chosen);
        return {...state, concepts, chosen: stays ? state.chosen : (concepts[0]?.slot ?? null)};
    }

    /** The board with another layout, or with none; undo doesn't lead back to the former. */
    function withLayout(state, layout, content = emptyContent()) {
        return {...state, layout, history: omg.history.create(content)};
    }

    /** The same layout with a content from elsewhere (the panel, a kept board); can be undone. */
    const withContent = (state, content) => changed(state, content);

    omg.boardState = {
        SLOTS, COLOURS, TOOLS, FOUND, BOX, PAINTED, BY_ITSELF, key, empty, emptyContent, contentOf, conceptsFrom, prepare,
        region, ownerOf, order, ownership, instancesAt, conceptAt, hasRegion, freed, swapped, clicked, dragged, painted,
        brushed, boxed, outlined, shifted, undone, redone, chosen, withTool, withConcepts, withLayout, withContent,
    };
})();
