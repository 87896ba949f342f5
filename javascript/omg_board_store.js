// The one state that all layout boards of a page show: what a user does to it, the panel it is written to, the server it asks.
(() => {
    const omg = (globalThis.omg ??= {});
    const WRITE_AFTER_MS = 200;
    const READ_AFTER_MS = 250;

    /** What of a patch the panel doesn't hold yet. */
    const news = (patch, values) =>
        Object.fromEntries(Object.entries(patch).filter(([name, value]) => JSON.stringify(values[name]) !== JSON.stringify(value)));

    /**
     * @param env {call(method, params), panel: {ready, get, set, onChange}, page: as omg.boardPage, concepts(): [{label, word?,
     *     slot?, colour?}] or null for those of the panel}
     */
    class Store {
        constructor(env) {
            this.env = env;
            this.state = omg.boardState.empty();
            /** Whether the panel is told to use the layout. */
            this.adopted = false;
            /** What is going on; nothing else is begun meanwhile. */
            this.busy = "";
            this.status = {text: "", kind: ""};
            /** Masks at latent size: {key, text, masks: [data URL, one a concept] | null, slots}. */
            this.final = null;
            /** Slot that waits for another to change places with. */
            this.swapping = null;
            this.listeners = new Set();
            this.writes = Promise.resolve();
            this.shelf = new omg.boardShelf.Shelf(this);
            this.runs = new omg.boardRuns.Runs(this);
        }

        subscribe(fn) {
            this.listeners.add(fn);
            return () => this.listeners.delete(fn);
        }

        emit() {
            for (const fn of [...this.listeners]) fn(this);
        }

        say(text, kind = "") {
            this.status = {text, kind};
            this.emit();
        }

        /** Do something that may fail; the user is told what it said. Null then. */
        async trying(doing) {
            try {
                return await doing();
            } catch (error) {
                console.warn("OMG:", error);
                this.say(error?.message || String(error), "error");
                return null;
            }
        }

        /** Listen to panel and page; show what there is. */
        async begin() {
            const {panel, page} = this.env;
            await panel.ready;
            panel.onChange(() => this.panelChanged());
            page.onUpdate(() => this.runs.pageChanged());
            this.refreshConcepts();
            await this.shelf.begin();
        }

        // ---- what a user does

        /** Change the state by a function of boardState; what changed is said, and written to the panel a little later. */
        act(change) {
            const before = this.state;
            const after = change(before);
            if (after === before) return false;
            this.state = after;
            if (after.history === before.history) {
                this.emit();
                return true;
            }
            this.adopted = true;
            this.shelf.checkFields();
            this.say(omg.boardWords.news(before, after) || this.status.text);
            this.writeSoon();
            return true;
        }

        name(slot) {
            return omg.boardWords.conceptName(this.state, slot);
        }

        /** Choose a concept, or the one that the waiting one changes places with. */
        choose(slot) {
            if (this.swapping !== null) this.swapWith(slot);
            else if (this.act((state) => omg.boardState.chosen(state, slot))) {
                this.say(`${this.name(slot)}: ${omg.boardWords.where(this.state, slot)}.`);
            }
        }

        /** Swap the only two concepts, or ask with whom the chosen one changes places. */
        swap() {
            const {concepts, chosen} = this.state;
            if (this.swapping !== null) this.cancelSwap();
            else if (concepts.length === 2) this.swapWith(concepts[1].slot, concepts[0].slot);
            else if (concepts.length > 2 && chosen !== null) {
                this.swapping = chosen;
                this.say(`With whom shall ${this.name(chosen)} change places? Click a person or a concept; Escape: with nobody.`);
            } else this.say("There is nobody to swap with: fill in a second concept.");
        }

        swapWith(slot, one = this.swapping) {
            this.swapping = null;
            if (!this.act((state) => omg.boardState.swapped(state, one, slot))) this.say("Nothing to swap.");
        }

        cancelSwap() {
            this.swapping = null;
            this.say("");
        }

        /** The user pressed on an instance. */
        pick(instance) {
            const {chosen, concepts} = this.state;
            if (this.swapping !== null) {
                const owner = omg.boardState.ownerOf(this.state, instance);
                if (owner === null) this.say("Nobody is there yet: click somebody who has a colour, or a concept.");
                else this.swapWith(owner);
            } else if (!concepts.length) this.say("Fill in a concept first: a class word and a LoRA.", "error");
            else if (chosen !== null) this.act((state) => omg.boardState.clicked(state, instance));
        }

        /** Bring the chosen concept one place to the front (-1) or back (1). */
        shift(by) {
            const {chosen} = this.state;
            if (chosen === null) return;
            if (!this.act((state) => omg.boardState.shifted(state, chosen, by))) {
                this.say(`${this.name(chosen)} is ${by < 0 ? "in front" : "behind"} already.`);
            }
        }

        undo() {
            if (!this.act(omg.boardState.undone)) this.say("Nothing to undo.");
        }

        redo() {
            if (!this.act(omg.boardState.redone)) this.say("Nothing to redo.");
        }

        /** One click for SAM: [x, y, 1 for the concept | 0 for what isn't]. */
        async clickSam(point) {
            const {layout, chosen} = this.state;
            if (!layout || chosen === null) return;
            const before = omg.boardState.contentOf(this.state).points[chosen];
            const box = omg.boardState.contentOf(this.state).boxes[chosen];
            const points = [...before, point];
            this.say("Segment Anything looks at the picture...", "busy");
            const found = await this.trying(async () => {
                const {mask} = await this.env.call("sam.click", {id: layout.id, points, box});
                return omg.masks.unpack(mask);
            });
            const now = omg.boardState.contentOf(this.state).points[chosen];
            if (!found || this.state.layout?.id !== layout.id || now !== before) return;
            if (!this.act((state) => omg.boardState.outlined(state, chosen, found, points))) this.say("Nothing was found there.");
        }

        // ---- the panel

        writeSoon() {
            clearTimeout(this.writing);
            this.writing = setTimeout(() => this.write(), WRITE_AFTER_MS);
        }

        /** Forget what was to be written. */
        writeNothing() {
            clearTimeout(this.writing);
            this.writing = null;
            return this.writes;
        }

        /** Write the board, and `more`, to the panel now. Resolves to null if that failed (the user is told). */
        write(more = {}) {
            this.writeNothing();
            this.writes = this.writes.then(() =>
                this.trying(async () => {
                    const {panel} = this.env;
                    const board = this.adopted && this.state.layout ? await omg.boardWords.patch(this.state, panel.get()) : {};
                    const changes = news({...board, ...more}, panel.get());
                    if (Object.keys(changes).length) await panel.set(changes);
                    return true;
                }),
            );
            return this.writes;
        }

        refreshConcepts() {
            const {concepts, panel} = this.env;
            const told = concepts?.()?.map((one, slot) => ({slot, word: one.label, colour: omg.boardState.COLOURS[slot], ...one}));
            const now = told ?? omg.boardState.conceptsFrom(panel.get());
            if (JSON.stringify(now) === JSON.stringify(this.state.concepts)) return;
            this.state = omg.boardState.withConcepts(this.state, now);
            this.emit();
        }

        /** The panel has changed, by the board's own hand or another: follow it. */
        panelChanged() {
            clearTimeout(this.reading);
            this.reading = setTimeout(() => this.trying(() => this.readPanel()), READ_AFTER_MS);
        }

        async readPanel() {
            this.refreshConcepts();
            await this.writes;
            if (this.writing || this.busy) return;
            const values = this.env.panel.get();
            const {layout} = this.state;
            const inPanel = String(values.layout ?? "").trim();
            if (inPanel && inPanel !== layout?.id) {
                await this.shelf.use(inPanel, {content: (found) => omg.boardWords.contentFromPanel(found, values)});
            } else if (!inPanel && this.adopted) {
                this.adopted = false;
                this.shelf.checkFields();
                this.say("The panel has let the layout go.");
            } else if (layout && this.adopted) await this.readPlaces(layout, values);
        }

        async readPlaces(layout, values) {
            const {patch, contentFromPanel} = omg.boardWords;
            const before = this.state;
            if (!Object.keys(news(await patch(before, values), values)).length) return;
            const content = await contentFromPanel(layout, values);
            if (this.writing || this.state !== before) return;
            this.state = omg.boardState.withContent(before, content);
            this.emit();
        }

        // ---- masks at latent size

        /** Ask for the masks that would be used; `final` holds them when they are there. */
        async askFinal() {
            const {layout, concepts} = this.state;
            if (!layout || !concepts.length) return;
            const values = this.env.panel.get();
            const params = {
                id: layout.id,
                concepts: await omg.boardWords.places(this.state, values),
                feather_px: Number(values.feather_px ?? 0),
                dilation_px: Number(values.dilation_px ?? 0),
            };
            const key = JSON.stringify(params);
            if (this.final?.key === key) return;
            this.final = {key, masks: null, text: "The masks are computed..."};
            this.emit();
            const answer = await this.trying(() => this.env.call("masks.final", params));
            if (this.final?.key !== key) return;
            const slots = concepts.map(({slot}) => slot);
            this.final = answer
                ? {key, slots, masks: answer.masks, text: `The masks as they are used: ${answer.size[1]} x ${answer.size[0]} cells`}
                : {key, masks: null, text: "The masks couldn't be computed"};
            this.emit();
        }
    }

    omg.boardStore = {Store, news};
})();
