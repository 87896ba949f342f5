// The board's runs in the txt2img tab: the first pass alone, the second pass on a layout, and pictures that came by themselves.
(() => {
    const omg = (globalThis.omg ??= {});
    const BEGIN_MS = 5000;
    const LAST_WORDS_MS = 4000;
    const STEP_MS = 100;

    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

    async function until(condition, most) {
        for (let waited = 0; !condition(); waited += STEP_MS) {
            if (waited >= most) return false;
            await wait(STEP_MS);
        }
        return true;
    }

    class Runs {
        constructor(store) {
            this.store = store;
            /** The id of the layout that the page's generation parameters named last. */
            this.seen = null;
        }

        get page() {
            return this.store.env.page;
        }

        async during(text, doing) {
            const {store} = this;
            if (store.busy) return;
            if (this.page.running()) {
                store.say("txt2img is drawing already: wait for it, or interrupt it.", "error");
                return;
            }
            store.busy = text;
            store.say(text, "busy");
            await store.trying(doing);
            store.busy = "";
            store.emit();
            await store.shelf.refresh();
        }

        /**
         * Press Generate in txt2img and wait for the end. `begun` is called once the run has taken the panel's values.
         *
         * @returns the id of the layout it names, or null. Rejects with what the run failed of.
         */
        async run(begun = () => {}) {
            const {page} = this;
            const before = page.said();
            await this.store.env.panel.settled?.();
            page.start();
            await until(() => page.running() || page.said() !== before, BEGIN_MS);
            await begun();
            await until(() => !page.running(), Infinity);
            await until(() => page.said() !== before, LAST_WORDS_MS);
            if (page.trouble()) throw new Error(page.trouble());
            return omg.boardFields.layoutIdIn(page.info());
        }

        /** Run the first pass alone and show its layout. */
        pressLayout() {
            return this.during("The first pass is drawn...", async () => {
                const {store} = this;
                const {panel} = store.env;
                const {layout} = store.state;
                const pressed = omg.boardFields.only(this.page.readFields());
                await store.writeNothing();
                // What was said of one layout doesn't hold for the next.
                const reset = store.adopted && layout ? omg.boardWords.patchWithout(layout, store.state.concepts) : {layout: ""};
                try {
                    await panel.set(omg.boardStore.news({...reset, enabled: true, layout_only: true}, panel.get()));
                    const id = await this.run(() => panel.set({layout_only: false}));
                    if (!id) throw new Error(this.page.remarks() || "No layout came back; see the messages under the pictures.");
                    const layout = await store.shelf.use(id, {pressed});
                    if (layout && this.page.remarks()) store.say(this.page.remarks());
                } catch (error) {
                    await store.write({layout_only: false}); // the former layout, as it was
                    throw error;
                }
            });
        }

        /** Draw the second pass on the layout. */
        async pressGenerate() {
            const {store} = this;
            if (store.state.layout) store.adopted = true;
            store.shelf.checkFields();
            if (store.shelf.stale) {
                store.say(store.shelf.stale, "error");
                return;
            }
            await this.during("The second pass is drawn...", async () => {
                if (!(await store.write({enabled: true, layout_only: false}))) return;
                this.seen = await this.run();
                store.say(`Drawn. ${this.page.remarks() || "Change LoRAs, weights or prompts and press Generate again: the layout stays."}`);
            });
        }

        /** The page has changed: a picture of another layout may be shown. */
        async pageChanged() {
            const {store} = this;
            store.shelf.checkFields();
            if (store.busy || this.page.running()) return;
            const id = omg.boardFields.layoutIdIn(this.page.info());
            if (!id || id === this.seen) return;
            this.seen = id;
            if (id !== store.state.layout?.id) await store.shelf.use(id, {adopt: store.adopted});
            await store.shelf.refresh();
        }
    }

    omg.boardRuns = {Runs};
})();
