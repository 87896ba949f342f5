// One layout board in the page: what its buttons and keys do, and how it shows the store's state.
(() => {
    const omg = (globalThis.omg ??= {});

    const loadImage = (url) =>
        new Promise((resolve, reject) => {
            const image = new Image();
            image.onload = () => resolve(image);
            image.onerror = () => reject(new Error("A picture from the server can't be shown."));
            image.src = url;
        });

    class View {
        constructor(root, board) {
            this.root = root;
            this.store = board;
            this.size = 0.06;
            this.hover = null;
            /** Number of the instance that keys work on; whether it is shown, and whether it was asked for and goes before others. */
            this.focus = null;
            this.isFocusShown = false;
            this.isFocusMeant = false;
            this.isCells = false;
            this.picture = null;
            this.places = [];
            omg.boardBuild.build(this);
            this.tools = new omg.boardTools.Tools(this);
            this.leaving = board.subscribe(() => this.update());
            this.watching = new ResizeObserver(() => this.draw());
            this.watching.observe(this.canvas);
            root.addEventListener("keydown", (event) => this.key(event));
            this.update();
        }

        names() {
            return this.places;
        }

        // ---- what a user does

        setTool(name) {
            this.store.act((state) => omg.boardState.withTool(state, name));
            this.store.say(omg.boardBuild.TOOLS.find(([one]) => one === name)[2] + ".");
        }

        setSize(size) {
            this.size = size;
            this.update();
        }

        toggleCells() {
            this.isCells = !this.isCells;
            this.update();
        }

        /** Keys of the whole board; not while one writes in it. */
        key(event) {
            const name = event.key.toLowerCase();
            const isText = event.target.matches?.("input:not([type=range]), textarea");
            if (isText || event.altKey) return;
            const {store: board} = this;
            const withControl = {z: () => (event.shiftKey ? board.redo() : board.undo()), y: () => board.redo()};
            const alone = {
                v: () => this.setTool("pick"), b: () => this.setTool("brush"), e: () => this.setTool("erase"), x: () => this.setTool("box"),
                c: () => this.setTool("sam"), s: () => board.swap(), f: () => board.shift(-1), g: () => board.shift(1),
                m: () => this.toggleCells(), "[": () => this.setSize(omg.boardTools.resized(this.size, -1)),
                "]": () => this.setSize(omg.boardTools.resized(this.size, 1)),
            };
            const act = event.ctrlKey || event.metaKey ? withControl[name] : /^[1-5]$/.test(name) ? () => board.choose(Number(name) - 1) : alone[name];
            if (event.key === "Escape") this.escape(event);
            else if (act && board.state.layout) {
                act();
                event.preventDefault();
                event.stopPropagation();
            }
        }

        /** Escape ends what was begun, else leaves the picture. Elsewhere it is the WebUI's, which interrupts by it. */
        escape(event) {
            if (this.store.swapping !== null) this.store.cancelSwap();
            else if (this.tools.gesture) this.tools.cancel();
            else if (document.activeElement === this.canvas) this.canvas.blur();
            else return;
            event.preventDefault();
            event.stopPropagation();
        }

        // ---- showing

        update() {
            const {state, busy, adopted} = this.store;
            const {layout, concepts} = state;
            const {set} = omg.boardParts;
            if (layout !== this.shown) this.showLayout(layout);
            set(this.empty, "hidden", Boolean(layout));
            set(this.canvas, "hidden", !layout);
            set(this.bar, "hidden", !layout);
            set(this.layoutButton, "disabled", Boolean(busy));
            set(this.generateButton, "disabled", Boolean(busy) || !layout);
            set(this.letGoButton, "hidden", !layout);
            set(this.letGoButton, "disabled", Boolean(busy));
            set(this.which, "textContent", layout ? this.titleOf(layout, adopted) : "");
            this.updateTools();
            this.updateChips();
            this.updateNotice();
            this.updateEmpty(concepts, busy);
            set(this.status, "textContent", this.store.status.text);
            set(this.status, "className", `omg-b-status ${this.store.status.kind ? `omg-b-${this.store.status.kind}` : ""}`.trim());
            set(this.caption, "hidden", !(this.isCells && this.store.final));
            set(this.caption, "textContent", this.store.final?.text ?? "");
            if (this.isCells && layout) this.store.askFinal();
            if (this.store.final !== this.finalShown) this.showCells(this.store.final);
            this.draw();
        }

        titleOf(layout, adopted) {
            const name = this.store.shelf.summary(layout.id)?.name ?? layout.name;
            const parts = [name, `Seed ${layout.seed}`, `${layout.width} × ${layout.height}`, adopted ? "" : "not in use"];
            return parts.filter(Boolean).join(" · ");
        }

        updateTools() {
            const {state} = this.store;
            const {set} = omg.boardParts;
            for (const one of this.toolButtons) set(one, "aria-pressed", one.dataset.tool === state.tool);
            set(this.sizes, "hidden", !["brush", "erase"].includes(state.tool));
            set(this.slider, "value", String(Math.round(this.size * 100)));
            set(this.swapButton, "aria-pressed", this.store.swapping !== null);
            set(this.undoButton, "disabled", !omg.history.canUndo(state.history));
            set(this.redoButton, "disabled", !omg.history.canRedo(state.history));
            set(this.cellsButton, "aria-pressed", this.isCells);
            const isOne = state.concepts.length < 2;
            for (const one of [this.swapButton, this.frontButton, this.behindButton]) set(one, "disabled", isOne);
            this.canvas.style.touchAction = omg.boardTools.TOUCH[state.tool];
            this.canvas.dataset.tool = state.tool;
        }

        updateChips() {
            const {state} = this.store;
            const {make, css} = omg.boardParts;
            const told = JSON.stringify([state.concepts, state.chosen, state.concepts.map(({slot}) => state.layout && omg.boardWords.where(state, slot))]);
            if (told === this.chipsTold) return;
            this.chipsTold = told;
            const hadFocus = this.chips.contains(document.activeElement) ? document.activeElement.dataset.slot : null;
            this.chips.replaceChildren(...state.concepts.map(({slot, label, word, colour}) => {
                const where = state.layout ? omg.boardWords.where(state, slot) : word;
                const isFree = state.layout && where === omg.boardState.BY_ITSELF;
                return make("button", {
                    type: "button", class: "omg-b-chip", "data-slot": slot, style: `--omg-colour: ${css(colour)}`, "aria-pressed": String(slot === state.chosen),
                    title: `Concept ${slot + 1}: ${label}${word && word !== label ? `, ${word}` : ""} (${slot + 1})`, onclick: () => this.store.choose(slot),
                }, make("span", {class: "omg-b-chip-number"}, String(slot + 1)), make("span", {class: "omg-b-chip-name"}, label),
                make("span", {class: `omg-b-chip-where ${isFree ? "omg-b-free" : ""}`}, where));
            }));
            if (hadFocus !== null) this.chips.querySelector(`[data-slot="${hadFocus}"]`)?.focus();
        }

        updateNotice() {
            const {stale, notice} = this.store.shelf;
            const {make, button} = omg.boardParts;
            const shown = stale
                ? {text: stale, actions: [
                    {label: "Layout", run: () => this.store.runs.pressLayout()}, {label: "Let go", run: () => this.store.shelf.letGo()},
                    {label: "Put txt2img back", run: () => this.store.shelf.putBack()}]}
                : notice;
            if ((shown?.text ?? "") === this.noticeTold) return;
            this.noticeTold = shown?.text ?? "";
            this.notice.hidden = !shown;
            this.notice.classList.toggle("omg-b-stale", Boolean(stale));
            this.notice.replaceChildren(...(shown ? [make("span", {}, shown.text), make("span", {class: "omg-b-notice-actions"},
                shown.actions.map(({label, run}) => button(label, run, {look: "omg-b-small"})))] : []));
        }

        updateEmpty(concepts, busy) {
            const {make} = omg.boardParts;
            const told = `${concepts.length} ${busy}`;
            if (told === this.emptyTold) return;
            this.emptyTold = told;
            const steps = [
                "Write the prompt in txt2img, with a plain word for everybody: “two women in a park”.",
                "Fill in a concept for each of them: class word and LoRA.",
                "Press Layout. Only the first pass is drawn, and you see who is where.",
                "Click somebody to say who it is. Generate then draws the second pass alone, as often as you like.",
            ];
            const from = concepts.length ? 2 : 0;
            this.empty.replaceChildren(
                make("strong", {}, busy || "No layout yet"),
                make("ol", {}, steps.map((step, index) => make("li", {class: index < from ? "omg-b-done" : null}, step))),
            );
        }

        showLayout(layout) {
            this.shown = layout;
            this.picture = null;
            this.cells = null;
            [this.hover, this.focus, this.isFocusMeant] = [null, null, false];
            if (!layout) return;
            this.canvas.style.aspectRatio = `${layout.width} / ${layout.height}`;
            this.canvas.style.setProperty("--omg-ratio", layout.width / layout.height);
            this.store.trying(async () => {
                const picture = await loadImage(layout.picture);
                if (this.shown !== layout) return;
                this.picture = picture;
                this.draw();
            });
        }

        async showCells(final) {
            this.finalShown = final;
            if (!final?.masks) return;
            const images = await this.store.trying(() => Promise.all(final.masks.map(loadImage)));
            if (!images || this.finalShown !== final) return;
            this.cells = images.map((image, at) => omg.boardCanvas.coloured(image, omg.boardState.COLOURS[final.slots[at]]));
            this.draw();
        }

        /** Draw with the next frame. */
        draw() {
            if (this.waiting) return;
            this.waiting = true;
            requestAnimationFrame(() => {
                this.waiting = false;
                if (!this.canvas.isConnected || !this.canvas.offsetParent) return;
                this.places = omg.boardCanvas.draw(this.canvas, this.scene());
            });
        }

        scene() {
            const {store: board, tools} = this;
            const state = tools.shownState;
            const {chosen, concepts} = state;
            const colour = concepts.find(({slot}) => slot === chosen)?.colour ?? [255, 255, 255];
            const showsFocus = this.isFocusShown && document.activeElement === this.canvas;
            return {
                state, picture: this.picture, cells: this.isCells && board.final ? (this.cells ?? []) : null, isBusy: tools.isBusy,
                hover: this.hover, focus: showsFocus || this.isFocusMeant ? this.focus : null, colour,
                cursor: tools.cursor ? {at: tools.cursor, radius: this.size / 2, erase: state.tool === "erase"} : null,
                box: tools.gesture?.box ?? null, drag: tools.gesture?.drag ?? null,
                points: state.tool === "sam" && chosen !== null ? omg.boardState.contentOf(state).points[chosen] : [],
            };
        }

        /** Draw, and measure the time from an event until the page shows it: `omg-board-click` of the performance timeline. */
        drawMeasured(start) {
            this.draw();
            requestAnimationFrame(() => {
                const channel = new MessageChannel();
                channel.port1.onmessage = () => {
                    performance.clearMeasures("omg-board-click");
                    performance.measure("omg-board-click", {start, end: performance.now()});
                };
                channel.port2.postMessage(null);
            });
        }

        /** Take the board out of the page. */
        destroy() {
            this.leaving();
            this.leavingStrip();
            this.watching.disconnect();
            this.root.replaceChildren();
        }
    }

    omg.boardView = {View};
})();
