// The layout board: who is who in a layout. All boards of a page show one state.
(() => {
    const omg = (globalThis.omg ??= {});
    const FIELDS_EVERY_MS = 1500;
    let store = null;

    /** The store of this page; the first to ask says what it works with. */
    function theStore(options = {}) {
        if (store) return store;
        const page = {...omg.boardPage, ...(options.readFields ? {readFields: options.readFields} : {})};
        const call = (method, params) => omg.channel.call(method, params);
        store = new omg.boardStore.Store({call, panel: omg.panel, page, concepts: options.concepts ?? null});
        store.begin();
        setInterval(() => document.hidden || store.shelf.checkFields(), FIELDS_EVERY_MS);
        return store;
    }

    /**
     * Put a board into an element.
     *
     * @param options {concepts(): [{label, word?, slot?, colour?: [r, g, b]}] in the panel's order (else the panel's own are read),
     *     readFields(): txt2img's fields}; those of the first board hold for all.
     * @returns the view; its `destroy()` takes it out again.
     */
    const mount = (element, options = {}) => new omg.boardView.View(element, theStore(options));

    /** Choose a concept, if it is filled in: clicks on the board are for it. Slot 0 is the panel's concept 1. */
    const choose = (slot) => store?.act((state) => omg.boardState.chosen(state, slot));

    omg.board = {
        mount,
        choose,
        get store() {
            return store;
        },
        get state() {
            return store?.state ?? null;
        },
    };
})();
