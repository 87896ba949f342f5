// Layouts on the board: shown, chosen from the strip, kept, recalled, deleted, let go; and whether they still fit txt2img.
(() => {
    const omg = (globalThis.omg ??= {});
    const MOST_BOARDS = 24;

    class Shelf {
        constructor(store) {
            this.store = store;
            /** What the strip shows: SUMMARYs, the newest first. */
            this.list = [];
            /** Why the layout no longer fits, or "". */
            this.stale = "";
            /** {text, actions: [{label, run}]} or null. */
            this.notice = null;
            /** txt2img's fields when the layout was made, as far as this page saw it. */
            this.pressed = null;
            /** Boards of other layouts by id, so that coming back finds them as they were. */
            this.boards = new Map();
            this.asked = 0;
        }

        async begin() {
            const {env} = this.store;
            await this.store.trying(async () => {
                const inPanel = String(env.panel.get().layout ?? "").trim();
                const id = inPanel || (await env.call("layout.latest", {}))?.id;
                if (id) await this.use(id, {adopt: Boolean(inPanel)});
            });
            await this.refresh();
        }

        stow() {
            const {layout, history} = this.store.state;
            if (!layout) return;
            this.boards.delete(layout.id);
            const slots = this.store.state.concepts.map(({slot}) => slot).join();
            this.boards.set(layout.id, {history, pressed: this.pressed, slots});
            if (this.boards.size > MOST_BOARDS) this.boards.delete(this.boards.keys().next().value);
        }

        /**
         * Show a layout.
         *
         * @param how {adopt: tell the panel to use it, pressed: txt2img's fields when it was made, content(layout): who is who,
         *     isRecalled: the panel is about to get its settings}
         * @returns the layout; null if it couldn't be had: the user is told, the board stays as it is.
         */
        use(id, {adopt = true, pressed = null, content = null, isRecalled = false} = {}) {
            const turn = ++this.asked;
            const {store} = this;
            store.runs.seen = id;
            return store.trying(async () => {
                const layout = await omg.boardState.prepare(await store.env.call("layout.get", {id}));
                const concepts = isRecalled && layout.kept ? omg.boardState.conceptsFrom(layout.settings ?? {}) : store.state.concepts;
                const stowed = this.stowed(layout, concepts);
                const who = await (content ? content(layout) : this.contentOf(layout, concepts));
                if (turn !== this.asked) return null;
                this.stow();
                store.state = omg.boardState.withLayout(store.state, layout, who);
                if (stowed && !content) store.state = {...store.state, history: stowed.history};
                this.pressed = pressed ?? stowed?.pressed ?? layout.board?.pressed ?? null;
                this.notice = null;
                store.final = null;
                store.swapping = null;
                store.adopted = adopt;
                this.checkFields();
                this.greet();
                if (adopt) await store.write();
                return layout;
            });
        }

        /** The board as this page left it, if the panel's concepts are where they were. */
        stowed(layout, concepts) {
            const found = this.boards.get(layout.id);
            return found?.slots === concepts.map(({slot}) => slot).join() ? found : null;
        }

        contentOf(layout, concepts) {
            const {fromJson, contentOfRun} = omg.boardWords;
            return layout.board ? fromJson(layout, layout.board, concepts) : contentOfRun(layout, concepts);
        }

        greet() {
            const {state, adopted} = this.store;
            const {instances} = state.layout;
            if (!instances.length) this.store.say("Nobody was found in this layout. Paint, or draw a box, for every concept.");
            else if (!state.concepts.length) this.store.say("Fill in a concept (class word and LoRA), then say here who it is.");
            else if (!adopted) this.store.say("The last layout. It is used once you change something here or press Generate.");
            else if (state.layout.ready === false) this.store.say("Its first pass is computed once more when you press Generate, then it is there again.");
            else this.store.say("Click somebody to say who it is. Generate then draws the second pass alone.");
        }

        /** What the layout is of, as txt2img says it. */
        fields() {
            const {layout} = this.store.state;
            return omg.boardFields.only({...layout.fields, ...this.pressed, Seed: layout.seed});
        }

        /** Compare txt2img with what the layout is of. */
        checkFields() {
            const {state, adopted, env} = this.store;
            const is = state.layout && adopted ? env.page.readFields() : null;
            const stale = is ? omg.boardFields.warning(this.fields(), is, Boolean(this.pressed)) : "";
            if (stale === this.stale) return;
            this.stale = stale;
            this.store.emit();
        }

        /** Write what the layout is of into txt2img. */
        async putBack() {
            await this.writeFields(this.fields());
            this.checkFields();
        }

        async writeFields(fields) {
            const left = await this.store.trying(() => this.store.env.page.setFields(fields));
            const texts = Object.entries(left ?? {}).map(([name, why]) => `${name}: ${why}`);
            if (texts.length) this.store.say(`Not put into txt2img: ${texts.join("; ")}.`, "error");
        }

        /** The panel and txt2img without this layout. */
        async letGo() {
            const {store} = this;
            const {layout} = store.state;
            if (!layout) return;
            this.stow();
            this.asked++;
            const reset = store.adopted ? omg.boardWords.patchWithout(layout, store.state.concepts) : {layout: ""};
            store.adopted = false;
            store.state = omg.boardState.withLayout(store.state, null);
            store.final = null;
            store.swapping = null;
            this.notice = null;
            this.checkFields();
            const written = await store.write(reset);
            if (written) store.say("Let go. The next picture gets a layout of its own.");
        }

        // ---- the strip

        refresh() {
            return this.change("layout.list", {}, null);
        }

        async change(method, params, said) {
            return this.store.trying(async () => {
                this.list = await this.store.env.call(method, params);
                if (said) this.store.say(said);
                else this.store.emit();
                return true;
            });
        }

        summary(id = this.store.state.layout?.id) {
            return this.list.find((one) => one.id === id) ?? null;
        }

        /** Name the layout on the board and keep it, with what was said and painted on it. */
        async keep(name) {
            const {layout} = this.store.state;
            const board = await omg.boardWords.toJson(this.store.state, this.pressed);
            return this.change("layout.keep", {id: layout.id, name, board}, `Kept as "${name}".`);
        }

        rename(id, name) {
            return this.change("layout.rename", {id, name}, `Renamed to "${name}".`);
        }

        async remove(id) {
            if (!(await this.change("layout.delete", {id}, "Deleted."))) return;
            this.boards.delete(id);
            if (this.store.state.layout?.id !== id) return;
            await this.letGo();
            this.boards.delete(id);
            this.store.say("Deleted.");
        }

        /** Choose a layout of the strip: txt2img gets what it is of, and from a kept one the panel gets its run's settings. */
        async recall(id) {
            const {store} = this;
            const {panel, page} = store.env;
            if (id === store.state.layout?.id && store.adopted) return;
            if (store.busy) {
                store.say(`${store.busy} Choose another layout afterwards.`, "busy");
                return;
            }
            await store.writes;
            const before = {
                id: store.state.layout?.id, adopted: store.adopted, values: panel.get(), fields: omg.boardFields.only(page.readFields()),
            };
            const layout = await this.use(id, {adopt: false, isRecalled: true});
            if (!layout) return;
            const differ = omg.boardFields.differing(this.fields(), before.fields);
            if (differ.length || String(before.fields.Seed) !== String(layout.seed)) await this.writeFields(this.fields());
            const settings = layout.kept ? this.settingsOf(layout, before.values) : {};
            store.adopted = true;
            await this.writeSettings(settings);
            store.refreshConcepts();
            await store.write();
            this.checkFields();
            if (store.status.kind !== "error") this.greet();
            if (differ.length || Object.keys(settings).length) this.offerBack(layout, before, Object.keys(settings).length > 0);
        }

        settingsOf(layout, values) {
            const known = Object.entries({...layout.settings, enabled: true, layout_only: false}).filter(
                ([name]) => name in values && !name.endsWith("_picture") && name !== "layout",
            );
            return omg.boardStore.news(Object.fromEntries(known), values);
        }

        /** Set the panel; what one input doesn't take (a LoRA that is gone) is told and doesn't keep the others from theirs. */
        async writeSettings(settings) {
            const {panel} = this.store.env;
            const set = Object.entries(settings).map(([name, value]) => panel.set({[name]: value}));
            const failed = (await Promise.allSettled(set)).filter(({status}) => status === "rejected");
            if (failed.length) this.store.say(failed.map(({reason}) => reason.message).join(" "), "error");
        }

        offerBack(layout, before, isPanel) {
            const whose = layout.name ? `"${layout.name}"` : "this layout";
            this.notice = {
                text: isPanel ? `txt2img and the OMG panel now have the values of ${whose}.` : `txt2img now has the values of ${whose}.`,
                actions: [{label: "Take back", run: () => this.takeBack(before)}, {label: "Fine", run: () => this.dismiss()}],
            };
            this.store.emit();
        }

        async takeBack(before) {
            const {store} = this;
            this.notice = null;
            await store.writeNothing();
            if (before.id) await this.use(before.id, {adopt: false});
            else {
                this.stow();
                store.state = omg.boardState.withLayout(store.state, null);
            }
            store.adopted = before.adopted;
            await this.writeFields(before.fields);
            await this.writeSettings(omg.boardStore.news(before.values, store.env.panel.get()));
            store.refreshConcepts();
            this.checkFields();
            store.say("Taken back.");
        }

        dismiss() {
            this.notice = null;
            this.store.emit();
        }
    }

    omg.boardShelf = {Shelf};
})();
