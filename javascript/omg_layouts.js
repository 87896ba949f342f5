// The strip of layouts under the board: choose one, name and keep it, rename it, delete it.
(() => {
    const omg = (globalThis.omg ??= {});

    /** What a layout of the strip is called. */
    const title = ({name, seed}) => name || `Seed ${seed}`;

    /** The layouts that `text` finds by name, prompt or seed. */
    function matching(list, text) {
        const words = text.toLowerCase().split(/\s+/).filter(Boolean);
        return list.filter(({name, prompt, seed}) => {
            const all = `${name} ${prompt} ${seed}`.toLowerCase();
            return words.every((word) => all.includes(word));
        });
    }

    class Strip {
        constructor(root, store) {
            this.root = root;
            this.store = store;
            this.asking = null;
            this.build();
            this.leaving = store.subscribe(() => this.update());
            this.update();
        }

        build() {
            const {make} = omg.boardParts;
            this.heading = make("div", {class: "omg-b-layouts-title"}, "Layouts");
            this.search = make("input", {type: "search", class: "omg-b-input", placeholder: "Find", "aria-label": "Find a layout", oninput: () => this.update()});
            this.thumbs = make("div", {class: "omg-b-thumbs", role: "group", "aria-label": "Layouts, the newest first"});
            this.form = make("form", {class: "omg-b-keep", onsubmit: (event) => this.submit(event)});
            this.root.replaceChildren(make("div", {class: "omg-b-layouts-head"}, this.heading, this.search), this.thumbs, this.form);
        }

        update() {
            const {list} = this.store.shelf;
            const {layout} = this.store.state;
            this.root.hidden = !list.length && !layout;
            this.search.hidden = list.length < 8 && !this.search.value;
            this.updateThumbs(matching(list, this.search.value), layout?.id);
            this.updateForm(layout);
        }

        updateThumbs(list, current) {
            const told = JSON.stringify([list.map(({id, name, ready, kept}) => [id, name, ready, kept]), current, this.store.adopted]);
            if (told === this.thumbsTold) return;
            this.thumbsTold = told;
            const focused = this.thumbs.contains(document.activeElement) ? document.activeElement.dataset.id : null;
            this.thumbs.replaceChildren(...list.map((one) => this.thumb(one, one.id === current)));
            if (focused) [...this.thumbs.children].find((one) => one.dataset.id === focused)?.focus();
        }

        thumb(one, isCurrent) {
            const {make, icon} = omg.boardParts;
            const hints = [one.prompt, `seed ${one.seed}, ${one.width} × ${one.height}`,
                one.kept ? "kept" : "", one.ready ? "" : "its first pass is computed again once"];
            return make("button", {
                type: "button", class: "omg-b-thumb", "data-id": one.id, "aria-pressed": String(isCurrent), title: hints.filter(Boolean).join("\n"),
                onclick: () => this.store.shelf.recall(one.id),
            }, make("img", {src: one.thumbnail, alt: "", draggable: "false"}),
            make("span", {class: "omg-b-thumb-marks"}, one.kept ? icon("pin") : null, one.ready ? null : icon("wait")),
            make("span", {class: "omg-b-thumb-name"}, title(one)));
        }

        updateForm(layout) {
            const one = layout ? (this.store.shelf.summary(layout.id) ?? {id: layout.id, name: layout.name ?? "", kept: layout.kept}) : null;
            const told = JSON.stringify([one?.id, one?.name, one?.kept, this.asking]);
            if (told === this.formTold) return;
            const typed = this.field?.value;
            const stays = this.formOf === one?.id && typed && typed !== this.nameThen;
            this.formTold = told;
            this.formOf = one?.id;
            this.nameThen = one?.name ?? "";
            this.form.hidden = !one;
            this.form.replaceChildren(...(one ? (this.asking === one.id ? this.question(one) : this.fields(one, stays ? typed : this.nameThen)) : []));
        }

        fields(one, value) {
            const {make, button} = omg.boardParts;
            this.field = make("input", {type: "text", class: "omg-b-input", value, maxlength: "100", placeholder: "Name", "aria-label": "Name of this layout"});
            const keep = button(one.kept ? "Keep again" : "Keep", () => {}, {
                look: "omg-b-small", type: "submit", title: one.kept ? "Keep it as it is now, under this name" : "Keep this layout under a name, also over a restart",
            });
            const rename = one.kept ? button("Rename", () => this.rename(one), {look: "omg-b-small"}) : null;
            const remove = button("Delete", () => this.ask(one.id), {look: "omg-b-small omg-b-quiet"});
            return [this.field, keep, rename, remove].filter(Boolean);
        }

        question(one) {
            const {make, button} = omg.boardParts;
            const yes = button("Delete", () => this.remove(one), {look: "omg-b-small omg-b-danger"});
            const no = button("Leave it", () => this.ask(null), {look: "omg-b-small"});
            queueMicrotask(() => no.focus());
            return [make("span", {class: "omg-b-question"}, `Delete ${one.name ? `"${one.name}"` : "this layout"} for good?`), yes, no];
        }

        ask(id) {
            this.asking = id;
            this.update();
        }

        named() {
            const name = this.field.value.trim();
            if (!name) {
                this.store.say("Give it a name first.", "error");
                this.field.focus();
            }
            return name;
        }

        submit(event) {
            event.preventDefault();
            const name = this.asking ? "" : this.named();
            if (name) this.store.shelf.keep(name);
        }

        rename(one) {
            const name = this.named();
            if (name && name !== one.name) this.store.shelf.rename(one.id, name);
            else if (name) this.store.say("It has that name already.");
        }

        remove(one) {
            this.asking = null;
            this.store.shelf.remove(one.id);
        }
    }

    /** Put a strip into an element; `store` is the board's. */
    const mount = (element, store) => new Strip(element, store);

    omg.layouts = {mount, matching, title};
})();
