// Pointer and keys on the board's canvas: what they mean for the state. Mouse, pen and touch alike (pointer events).
(() => {
    const omg = (globalThis.omg ??= {});
    const DRAG_PX = 6;
    const LEAST_BOX = 0.01;
    const [LEAST_SIZE, MOST_SIZE, SIZE_STEP] = [0.01, 0.4, 1.25];
    const [RIGHT_BUTTON, ERASER_BUTTON] = [2, 5];
    // The page scrolls and zooms by touch as ever, but for the finger that draws.
    const TOUCH = {pick: "pan-y pinch-zoom", brush: "pinch-zoom", erase: "pinch-zoom", box: "pinch-zoom", sam: "pan-y pinch-zoom"};
    const WAYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

    /** The next brush size, larger (1) or smaller (-1), as a fraction of the picture's long side. */
    const resized = (size, way) => Math.min(MOST_SIZE, Math.max(LEAST_SIZE, size * SIZE_STEP ** way));

    /** Which of `anchors` ([x, y] | null each) lies next in a direction; null if none does. */
    function nextTowards(anchors, from, [wayX, wayY]) {
        if (from === null || !anchors[from]) return anchors.findIndex(Boolean) < 0 ? null : anchors.findIndex(Boolean);
        let [best, least] = [null, Infinity];
        anchors.forEach((anchor, number) => {
            if (!anchor || number === from) return;
            const [dx, dy] = [anchor[0] - anchors[from][0], anchor[1] - anchors[from][1]];
            const along = dx * wayX + dy * wayY;
            const aside = Math.abs(dx * wayY) + Math.abs(dy * wayX);
            const distance = along + 2 * aside;
            if (along > 1e-6 && distance < least) [best, least] = [number, distance];
        });
        return best;
    }

    /** What happens on one canvas. `view` has {canvas, store, size, names(), draw(), focus, isFocusMeant, hover}. */
    class Tools {
        constructor(view) {
            this.view = view;
            this.store = view.store;
            this.gesture = null;
            this.cursor = null;
            const on = (type, fn) => view.canvas.addEventListener(type, fn);
            on("pointerdown", (event) => this.down(event));
            on("pointermove", (event) => this.move(event));
            on("pointerup", (event) => this.up(event));
            on("pointercancel", () => this.cancel());
            on("pointerleave", () => this.leave());
            on("contextmenu", (event) => this.state.layout && this.tool !== "pick" && event.preventDefault());
            on("keydown", (event) => this.key(event));
            on("focus", () => this.focused());
            on("blur", () => this.blurred());
        }

        get state() {
            return this.store.state;
        }

        get tool() {
            return this.state.tool;
        }

        get isBusy() {
            return Boolean(this.gesture?.draft || this.gesture?.box);
        }

        /** The state with the line or box that is being drawn. */
        get shownState() {
            return this.gesture?.draft ?? this.state;
        }

        at(event) {
            return omg.boardCanvas.toFraction(this.view.canvas.getBoundingClientRect(), event.clientX, event.clientY);
        }

        /** Name under a point on the page, or null. */
        nameAt(event) {
            const rect = this.view.canvas.getBoundingClientRect();
            const [x, y] = [event.clientX - rect.left, event.clientY - rect.top];
            const inside = (place) => x >= place.x && x <= place.x + place.width && y >= place.y && y <= place.y + place.height;
            return this.view.names().findLast(inside) ?? null;
        }

        /** Instance that a click there means: a name's, the focused one if it was meant, else the one in front; null for none. */
        instanceAt(event) {
            const name = this.nameAt(event);
            if (name) return name.instance;
            const found = omg.boardState.instancesAt(this.state, ...this.at(event));
            const {focus, isFocusMeant} = this.view;
            return isFocusMeant && found.includes(focus) ? focus : (found[0] ?? null);
        }

        // ---- pointer

        down(event) {
            const isErasing = event.button === RIGHT_BUTTON || event.button === ERASER_BUTTON;
            if (!this.state.layout || this.gesture || (event.button > 0 && !isErasing)) return;
            if (isErasing && this.tool === "pick") return;
            this.view.isFocusShown = false;
            const at = this.at(event);
            this.gesture = {pointer: event.pointerId, start: at, at, x: event.clientX, y: event.clientY, time: event.timeStamp, isErasing};
            this.view.canvas.setPointerCapture?.(event.pointerId);
            if (this.tool === "pick") this.gesture.from = this.instanceAt(event);
            if (this.tool === "brush" || this.tool === "erase") this.paint(at);
            if (this.tool === "box" && this.hasConcept()) this.gesture.box = [...at, ...at];
            this.view.draw();
        }

        hasConcept() {
            if (this.state.chosen !== null) return true;
            this.store.say("Fill in a concept first: a class word and a LoRA.", "error");
            return false;
        }

        paint(to) {
            const {gesture} = this;
            if (!this.hasConcept()) return;
            const {grid} = this.state.layout;
            const before = gesture.draft ?? this.state;
            const radius = (this.view.size / 2) * Math.max(grid.height, grid.width);
            const add = this.tool === "brush" && !gesture.isErasing;
            gesture.draft = omg.boardState.brushed(before, this.state.chosen, [gesture.at, to], {radius, add});
            gesture.at = to;
        }

        move(event) {
            const at = this.at(event);
            const isDrawing = this.tool === "brush" || this.tool === "erase";
            this.cursor = isDrawing && event.pointerType !== "touch" ? at : null;
            const {gesture} = this;
            if (!gesture) {
                const hover = this.tool === "pick" && this.state.layout ? this.instanceAt(event) : null;
                if (hover === this.view.hover && !isDrawing) return;
                this.view.hover = hover;
            } else if (gesture.pointer === event.pointerId) {
                if (isDrawing) (event.getCoalescedEvents?.() ?? [event]).concat(event).forEach((one) => this.paint(this.at(one)));
                if (gesture.box) gesture.box = [...gesture.start, ...at];
                const isFar = Math.hypot(event.clientX - gesture.x, event.clientY - gesture.y) > DRAG_PX;
                if (this.tool === "pick" && gesture.from !== null && (isFar || gesture.drag)) {
                    gesture.drag = {from: gesture.start, to: at};
                    this.view.hover = this.instanceAt(event);
                }
            }
            this.view.draw();
        }

        up(event) {
            const {gesture} = this;
            if (!gesture || gesture.pointer !== event.pointerId) return;
            this.gesture = null;
            if (gesture.draft) this.commit(gesture.draft);
            else if (gesture.drag) this.drop(gesture.from, this.instanceAt(event));
            else if (gesture.box) this.finishBox(gesture, event);
            else if (this.tool === "sam") this.store.clickSam([...this.at(event), event.altKey || gesture.isErasing ? 0 : 1]);
            else if (this.tool === "pick") this.click(event);
            this.view.drawMeasured(gesture.time);
        }

        commit(draft) {
            const {chosen} = this.state;
            const mask = omg.boardState.region(draft, chosen);
            const done = this.store.act((state) => (mask ? omg.boardState.painted(state, chosen, mask) : omg.boardState.freed(state, chosen)));
            if (!done) this.store.say("Nothing to change there.");
        }

        drop(from, to) {
            if (to === null || from === to) this.store.say("Drag one person onto another to let them change places.");
            else if (!this.store.act((state) => omg.boardState.dragged(state, from, to))) this.store.say("Neither of them is anybody yet: click them.");
        }

        finishBox({box}, event) {
            const [left, top, right, bottom] = omg.masks.normalBox(box);
            if (right - left < LEAST_BOX || bottom - top < LEAST_BOX) {
                this.store.say("Drag from one corner to the other; with Shift the box is added, with Alt taken away.");
                return;
            }
            const how = event.shiftKey ? "add" : event.altKey ? "cut" : "set";
            this.store.act((state) => omg.boardState.boxed(state, state.chosen, box, how));
        }

        click(event) {
            const {view} = this;
            const found = omg.boardState.instancesAt(this.state, ...this.at(event));
            if (event.altKey && found.length) {
                this.look(found[(Math.max(0, found.indexOf(view.focus)) + 1) % found.length]);
                return;
            }
            const instance = this.instanceAt(event);
            const slot = this.nameAt(event)?.slot ?? omg.boardState.conceptAt(this.state, ...this.at(event));
            if (instance !== null) {
                view.focus = instance;
                view.isFocusMeant = false;
                this.store.pick(instance);
            } else if (slot !== null) this.store.choose(slot);
            else this.store.say("Nobody was found there. Use the brush or a box to say that somebody is.");
        }

        cancel() {
            this.gesture = null;
            this.cursor = null;
            this.view.draw();
        }

        leave() {
            this.cursor = null;
            if (!this.gesture) this.view.hover = null;
            this.view.draw();
        }

        // ---- keys

        /** Focus an instance, and say which. */
        look(instance) {
            const {view, store} = this;
            view.focus = instance;
            view.isFocusMeant = true;
            view.isFocusShown = true;
            const owner = omg.boardState.ownerOf(this.state, instance);
            const whose = owner === null ? "nobody yet" : store.name(owner);
            store.say(`${omg.boardWords.instanceName(this.state.layout, instance)}: ${whose}. Enter or a click gives it to ${this.chosenName()}.`);
        }

        chosenName() {
            return this.state.chosen === null ? "a concept" : this.store.name(this.state.chosen);
        }

        /** Reached by key, the canvas shows where one is. */
        focused() {
            const {view} = this;
            const {layout} = this.state;
            if (!view.canvas.matches(":focus-visible") || !layout?.instances.length) return;
            this.look(layout.instances[view.focus] ? view.focus : 0);
        }

        blurred() {
            this.view.isFocusShown = false;
            this.view.draw();
        }

        /** Keys on the canvas alone; those of the whole board are in `omg_board.js`. */
        key(event) {
            if (!this.state.layout || event.ctrlKey || event.metaKey || event.altKey) return;
            const {instances} = this.state.layout;
            const {view} = this;
            if (event.key === "Tab") {
                // The canvas is no trap: beyond the first and the last the focus goes on in the page.
                const next = view.focus === null ? 0 : view.focus + (event.shiftKey ? -1 : 1);
                if (!instances[next]) {
                    view.focus = null;
                    return;
                }
                this.look(next);
            } else if (event.key in WAYS) {
                const anchors = instances.map(({mask}) => omg.boardPaths.anchorOf(mask));
                const next = nextTowards(anchors, view.focus, WAYS[event.key]);
                if (next !== null) this.look(next);
            } else if (event.key === "Enter" || event.key === " ") {
                if (view.focus === null || !instances[view.focus]) return;
                this.store.pick(view.focus);
                view.drawMeasured(event.timeStamp);
            } else return;
            event.preventDefault();
            event.stopPropagation();
        }
    }

    omg.boardTools = {Tools, resized, nextTowards, LEAST_SIZE, MOST_SIZE, TOUCH};
})();
