// What a layout board is made of in the page.
(() => {
    const omg = (globalThis.omg ??= {});
    const KEYS = [
        ["1 to 5", "choose a concept"], ["Arrows, Tab", "look at somebody"], ["Enter, Space", "give them to the concept, or free them"],
        ["Escape", "leave the picture"], ["V", "pick"], ["B", "brush"], ["E", "erase"], ["[ and ]", "brush size"], ["X", "box"],
        ["C", "Segment Anything by clicks"], ["S", "swap"], ["F, G", "to the front, to the back"], ["M", "masks as they are used"],
        ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["Alt and click", "look at who is beneath"], ["Shift, Alt and box", "add, take away"],
    ];
    const TOOLS = [
        ["pick", "Pick", "Click somebody to give them to the chosen concept, again to free them; drag one onto another to swap", "V"],
        ["brush", "Brush", "Paint where the chosen concept is", "B"],
        ["erase", "Erase", "Erase where the chosen concept isn't; so does the right mouse button", "E"],
        ["box", "Box", "Drag a box around the chosen concept; Shift adds, Alt takes away", "X"],
        ["sam", "SAM", "Click on the chosen concept, Alt+click on what isn't it: Segment Anything outlines it", "C"],
    ];

    /** Fill a view's root; its parts become the view's. */
    function build(view) {
        const {make} = omg.boardParts;
        view.canvas = make("canvas", {
            class: "omg-b-canvas", tabindex: "0", role: "application", "aria-label": "The layout: who is who", "aria-roledescription": "picture",
        });
        view.notice = make("div", {class: "omg-b-notice", role: "alert", hidden: true});
        view.chips = make("div", {class: "omg-b-chips", role: "group", "aria-label": "Concepts"});
        view.status = make("div", {class: "omg-b-status", role: "status", "aria-live": "polite"});
        view.empty = make("div", {class: "omg-b-empty"});
        view.strip = make("div", {class: "omg-b-layouts"});
        view.root.classList.add("omg-board");
        view.caption = make("div", {class: "omg-b-caption", hidden: true});
        view.stage = make("div", {class: "omg-b-stage"}, view.canvas, view.caption, view.empty);
        view.root.replaceChildren(
            make("div", {class: "omg-b-wide"},
                make("div", {class: "omg-b-main"}, head(view), view.notice, view.chips, toolbar(view), view.stage, view.status),
                make("div", {class: "omg-b-side"}, view.strip, help())),
        );
        view.leavingStrip = omg.layouts.mount(view.strip, view.store).leaving;
    }

    function head(view) {
        const {make, button} = omg.boardParts;
        const {runs, shelf} = view.store;
        view.layoutButton = button("Layout", () => runs.pressLayout(), {look: "omg-b-big", title: "Draw the first pass alone and show who is where"});
        view.generateButton = button("Generate", () => runs.pressGenerate(), {look: "omg-b-big omg-b-primary", title: "Draw the second pass on this layout"});
        view.letGoButton = button("Let go", () => shelf.letGo(), {look: "omg-b-quiet", title: "Use this layout no more; txt2img draws new ones again"});
        view.which = make("span", {class: "omg-b-which"});
        return make("div", {class: "omg-b-head"}, view.layoutButton, view.generateButton, view.which, view.letGoButton);
    }

    function toolbar(view) {
        const {make, tool} = omg.boardParts;
        const board = view.store;
        view.toolButtons = TOOLS.map(([name, word, hint, keys]) =>
            tool(name, word, {hint, keys, press: () => view.setTool(name), "data-tool": name, "aria-pressed": "false"}));
        view.slider = make("input", {
            type: "range", min: "1", max: "40", step: "1", "aria-label": "Brush size", title: "Brush size ([ and ])",
            oninput: (event) => view.setSize(Number(event.target.value) / 100),
        });
        view.sizes = make("label", {class: "omg-b-size"}, make("span", {}, "Size"), view.slider);
        view.swapButton = tool("swap", "Swap", {hint: "Let two concepts change places", keys: "S", press: () => board.swap(), "aria-pressed": "false"});
        view.frontButton = tool("front", "In front", {hint: "The chosen concept goes in front where two overlap", keys: "F", press: () => board.shift(-1)});
        view.behindButton = tool("behind", "Behind", {hint: "The chosen concept goes behind where two overlap", keys: "G", press: () => board.shift(1)});
        view.undoButton = tool("undo", "Undo", {hint: "Undo", keys: "Ctrl+Z", press: () => board.undo(), class: "omg-b-tool omg-b-bare"});
        view.redoButton = tool("redo", "Redo", {hint: "Redo", keys: "Ctrl+Shift+Z or Ctrl+Y", press: () => board.redo(), class: "omg-b-tool omg-b-bare"});
        view.cellsButton = tool("cells", "Masks", {hint: "Show the masks as they are used, at latent size", keys: "M", press: () => view.toggleCells(), "aria-pressed": "false"});
        const group = (...items) => make("div", {class: "omg-b-group"}, items);
        return (view.bar = make("div", {class: "omg-b-tools", role: "toolbar", "aria-label": "Tools"},
            group(view.toolButtons), view.sizes, group(view.swapButton, view.frontButton, view.behindButton),
            group(view.undoButton, view.redoButton), group(view.cellsButton)));
    }

    function help() {
        const {make} = omg.boardParts;
        const rows = KEYS.map(([keys, what]) => make("div", {}, make("kbd", {}, keys), make("span", {}, what)));
        return make("details", {class: "omg-b-keys"}, make("summary", {}, "Keys"), make("div", {class: "omg-b-keys-list"}, rows));
    }

    omg.boardBuild = {TOOLS, build};
})();
