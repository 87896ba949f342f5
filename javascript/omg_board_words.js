// The layout board's state in words for the user, and in the forms in which panel and kept layouts hold it. Pure.
(() => {
    const omg = (globalThis.omg ??= {});
    const state_ = () => omg.boardState;

    // ---- words

    /** What a concept is called. */
    const conceptName = (state, slot) => state.concepts.find((one) => one.slot === slot)?.label ?? `concept ${slot + 1}`;

    /** What an instance is called: its class word, with a number from the left where there are several of it. */
    function instanceName(layout, number) {
        const {label} = layout.instances[number];
        const alike = layout.instances.flatMap((one, at) => (one.label === label ? [at] : []));
        return alike.length > 1 ? `${label} ${alike.indexOf(number) + 1}` : label;
    }

    /** Where a concept is. */
    function where(state, slot) {
        const {owners, edits, boxes} = state_().contentOf(state);
        const owner = state.layout && owners[slot] !== null ? instanceName(state.layout, owners[slot]) : "";
        if (edits[slot]) return owner ? `${owner}, painted` : "painted";
        if (boxes[slot]) return "box";
        return owner || state_().BY_ITSELF;
    }

    /** What changed between two states of one layout, in sentences; empty if nothing did. */
    function news(before, after) {
        if (before.layout !== after.layout) return "";
        const [was, is] = [state_().contentOf(before), state_().contentOf(after)];
        const moved = after.concepts
            .filter(({slot}) => ["owners", "edits", "boxes"].some((name) => was[name][slot] !== is[name][slot]))
            .map(({slot, label}) => {
                const place = where(after, slot);
                if (is.edits[slot]) return `${label} is ${is.points[slot].length ? "what you clicked" : "where you painted"}.`;
                if (is.boxes[slot]) return `${label} is in the box.`;
                return place === state_().BY_ITSELF
                    ? `${label} is free: it is looked for when the picture is drawn, and you are told if it isn't found.`
                    : `${label} is ${place}.`;
            });
        const depths = was.depths.join() === is.depths.join() ? [] : [`In front ${frontToBack(after)}.`];
        return [...moved, ...(moved.length ? [] : depths)].join(" ");
    }

    /** "ida, then eva". */
    const frontToBack = (state) => state_().order(state).map((slot) => conceptName(state, slot)).join(", then ");

    // ---- the panel

    const boxText = (box) => box.map((side) => String(side)).join(", ");

    function boxFrom(text) {
        const sides = String(text ?? "").split(",").map((part) => Number.parseFloat(part));
        const good = sides.length === 4 && sides.every((side) => side >= 0 && side <= 1);
        return good && sides[0] < sides[2] && sides[1] < sides[3] ? sides : null;
    }

    // What is painted on the panel's own canvas is not known here as text, nor is a half written box: both are left alone.
    function isForeign(values, slot) {
        const value = (name) => values[state_().key(slot, name)] ?? "";
        if (value("mask_source") === state_().PAINTED) return !String(value("mask")).startsWith("bits:");
        return value("mask_source") === state_().BOX && !boxFrom(value("box"));
    }

    async function placePatch(state, {slot, word}, values) {
        const {FOUND, BOX, PAINTED, contentOf, region} = state_();
        const {owners, edits, boxes} = contentOf(state);
        // Without a class word the panel accepts no found region, so the instance's own is painted.
        if (edits[slot] || (owners[slot] !== null && !word)) {
            return {mask_source: PAINTED, mask: await omg.masks.pack(region(state, slot)), instance: ""};
        }
        if (boxes[slot]) return {mask_source: BOX, box: boxText(boxes[slot]), mask: "", instance: ""};
        if (owners[slot] !== null) return {mask_source: FOUND, mask: "", instance: String(owners[slot])};
        return isForeign(values, slot) ? {instance: ""} : {mask_source: FOUND, mask: "", instance: ""};
    }

    /**
     * The panel's values that say what the board says.
     *
     * @param values the panel's present ones.
     */
    async function patch(state, values = {}) {
        const out = {layout: state.layout?.id ?? ""};
        for (const concept of state.concepts) {
            const place = await placePatch(state, concept, values);
            place.depth = state_().contentOf(state).depths[concept.slot];
            for (const [name, value] of Object.entries(place)) out[state_().key(concept.slot, name)] = value;
        }
        return out;
    }

    /** Where the concepts are, as `masks.final` wants it: {class_word, instance, mask, depth, mask_source, box} each. */
    async function places(state, values = {}) {
        const said = {...values, ...(await patch(state, values))};
        return state.concepts.map(({slot, word}) => {
            const value = (name) => said[state_().key(slot, name)] ?? "";
            const instance = value("instance") === "" ? null : Number(value("instance"));
            const depth = Number(value("depth")) || 0;
            return {class_word: word, instance, mask: value("mask"), depth, mask_source: value("mask_source"), box: boxFrom(value("box"))};
        });
    }

    /** The panel's values without the board: those that the layout's own run had. */
    function patchWithout(layout, concepts = []) {
        const out = {layout: ""};
        const names = {mask_source: state_().FOUND, mask: "", box: "", depth: 0};
        const own = ownSlots(layout, concepts);
        const inUse = slotsNow(layout, concepts);
        for (let slot = 0; slot < state_().SLOTS; slot++) {
            const was = own[inUse.indexOf(slot)];
            for (const [name, value] of Object.entries(names)) {
                out[state_().key(slot, name)] = layout.settings?.[state_().key(was, name)] ?? value;
            }
            out[state_().key(slot, "instance")] = "";
        }
        return out;
    }

    // A run's settings count its concepts one after the other; the panel may have left one between them empty.

    /** Slots of the concepts in the layout's own settings. */
    const ownSlots = (layout, concepts) => (layout.settings ? state_().conceptsFrom(layout.settings) : concepts).map(({slot}) => slot);

    /** The slots where the panel has the same concepts now; those of the settings if it has others. */
    function slotsNow(layout, concepts) {
        const words = (list) => list.map(({word}) => word).join("\n");
        const isSame = layout.settings && words(state_().conceptsFrom(layout.settings)) === words(concepts);
        return isSame ? concepts.map(({slot}) => slot) : ownSlots(layout, concepts);
    }

    /** A content with what is at the slots of one list at those of another. */
    function moved(content, from, to) {
        const out = state_().emptyContent();
        for (const [name, list] of Object.entries(out)) {
            to.forEach((slot, at) => {
                if (from[at] !== undefined) list[slot] = content[name][from[at]];
            });
        }
        return out;
    }

    /** The content that the panel's values say; what doesn't fit the layout is left out. */
    async function contentFromPanel(layout, values) {
        const {SLOTS, BOX, PAINTED, key, emptyContent} = state_();
        const content = emptyContent();
        for (let slot = 0; slot < SLOTS; slot++) {
            const value = (name) => String(values[key(slot, name)] ?? "").trim();
            const instance = /^\d+$/.test(value("instance")) ? Number(value("instance")) : -1;
            if (layout.instances[instance] && !content.owners.includes(instance)) content.owners[slot] = instance;
            if (value("mask_source") === BOX) content.boxes[slot] = boxFrom(value("box"));
            if (value("mask_source") === PAINTED) content.edits[slot] = await maskFrom(layout, value("mask"));
            content.depths[slot] = Math.round(Number(value("depth"))) || 0;
        }
        return content;
    }

    async function maskFrom(layout, text) {
        if (!text?.startsWith?.("bits:")) return null;
        const mask = await omg.masks.unpack(text).catch(() => null);
        const fitting = mask && omg.masks.resize(mask, layout.grid.height, layout.grid.width);
        return fitting && !omg.masks.isEmpty(fitting) ? fitting : null;
    }

    /** The content with which a layout's own run assigned its concepts, for those in the panel now. */
    async function contentOfRun(layout, concepts) {
        const content = await contentFromPanel(layout, layout.settings ?? {});
        const own = ownSlots(layout, concepts);
        content.owners = content.owners.map(() => null);
        own.forEach((slot, place) => {
            const owner = layout.owners?.[place] ?? null;
            const isFree = layout.instances[owner] && !content.owners.includes(owner);
            if (isFree && !content.edits[slot] && !content.boxes[slot]) content.owners[slot] = owner;
        });
        return moved(content, own, slotsNow(layout, concepts));
    }

    // ---- kept layouts

    /** The board as kept with a layout. `pressed`: txt2img's fields as they were when it was made. */
    async function toJson(state, pressed) {
        const {owners, edits, boxes, points, depths} = state_().contentOf(state);
        const packed = await Promise.all(edits.map((mask) => (mask ? omg.masks.pack(mask) : null)));
        return {version: 1, slots: state.concepts.map(({slot}) => slot), owners, edits: packed, boxes, points, depths, pressed: pressed ?? null};
    }

    /** The content of a kept board, for the concepts in the panel now; what is damaged or doesn't fit is left out. */
    async function fromJson(layout, board, concepts) {
        const content = state_().emptyContent();
        for (let slot = 0; slot < state_().SLOTS; slot++) {
            const owner = board.owners?.[slot];
            if (layout.instances[owner] && !content.owners.includes(owner)) content.owners[slot] = owner;
            content.edits[slot] = await maskFrom(layout, board.edits?.[slot]);
            content.boxes[slot] = Array.isArray(board.boxes?.[slot]) ? boxFrom(boxText(board.boxes[slot])) : null;
            content.points[slot] = Array.isArray(board.points?.[slot]) ? board.points[slot] : [];
            content.depths[slot] = Number.isInteger(board.depths?.[slot]) ? board.depths[slot] : 0;
        }
        const slots = Array.isArray(board.slots) ? board.slots.filter((slot) => slot in content.owners) : [];
        return slots.length ? moved(content, slots, slotsNow(layout, concepts)) : content;
    }

    omg.boardWords = {
        conceptName, instanceName, where, news, frontToBack, patch, places, patchWithout, contentFromPanel, contentOfRun, slotsNow, toJson, fromJson,
    };
})();
