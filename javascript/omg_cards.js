// LoRAs as cards: finding them, what a card puts into a concept, and the list of cards on the page.
//
// omg.cards.create({call, onChoose, onLoad}) -> {element, load(refresh), byName(name), thumbnail(name, image), mark(names)}
(() => {
    const omg = (globalThis.omg ??= {});
    const MOST_PREVIEWS = 24;
    const COLLECT_MS = 60;
    const NO_LORA = "None";
    const COUNT_UNDER = 12; // so few are told without a look at the numbers

    /** For comparing: lower case, without accents. */
    const plain = (text) => String(text ?? "").normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

    /** All that a search looks through. */
    const haystack = (card) =>
        plain([card.name, card.alias, card.title, card.folder, card.triggers, card.base_model, ...(card.tags ?? []), card.notes].join("\n"));

    /** Whether a card has every word of the search somewhere. */
    const matches = (hay, query) => plain(query).split(/\s+/).every((word) => hay.includes(word));

    /** Which of the cards are shown; those of unknown base model fit. */
    function filtered(entries, query, onlyFitting) {
        return entries.filter(({card, hay}) => !(onlyFitting && card.fits === false) && matches(hay, query));
    }

    const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

    /** Where whole words stand in a prompt: [start, end], or null. Blanks match any blanks. */
    function findWords(prompt, words) {
        const parts = words.trim().split(/\s+/).filter(Boolean);
        if (!parts.length) return null;
        const found = new RegExp(`(?<![\\p{L}\\p{N}_])${parts.map(escaped).join("\\s+")}(?![\\p{L}\\p{N}_])`, "u").exec(prompt);
        return found ? [found.index, found.index + found[0].length] : null;
    }

    /**
     * A prompt with a LoRA's trigger words in the place of those that the LoRA before put there.
     * `placed` is what was put there ("" if nothing was); what the user wrote stays. Words that are there already are not
     * written twice. Gives {prompt, placed}.
     */
    function withTriggers(prompt, placed, triggers) {
        const words = triggers.trim();
        const old = placed ? findWords(prompt, placed) : null;
        if (old && placed === words) return {prompt, placed};
        const before = old ? prompt.slice(0, old[0]) : "";
        const after = old ? prompt.slice(old[1]) : prompt;
        if (words && !findWords(`${before},${after}`, words)) {
            if (old) return {prompt: before + words + after, placed: words};
            return {prompt: after.trim() ? `${words}, ${after.trimStart()}` : words, placed: words};
        }
        if (!old) return {prompt, placed: ""};
        // Without the words, and without a comma or blank that only they needed.
        const left = before.replace(/\s+$/, "");
        const right = after.replace(/^\s+/, "");
        if (!right) return {prompt: left.replace(/,$/, ""), placed: ""};
        if (!left || left.endsWith(",")) return {prompt: `${left} ${right.replace(/^,\s*/, "")}`.trim(), placed: ""};
        return {prompt: right.startsWith(",") ? left + right : `${left} ${right}`, placed: ""};
    }

    /** A card's weight for a concept: its preferred one; else 1 again if the LoRA before had brought its own. */
    function weightFor(card, before, weight, [low, high] = [-2, 2]) {
        const wanted = card?.preferred_weight ?? (before?.preferred_weight === weight ? 1 : weight);
        return Math.min(Math.max(wanted, low), high);
    }

    /**
     * What choosing a card (null: no LoRA) changes in a concept.
     * `now`: {class_word, lora, weight, prompt}; `before`: the card of the LoRA there is. Gives {values, placed}.
     */
    function put(card, now, {before = null, placed = "", bounds} = {}) {
        const text = withTriggers(now.prompt, placed, card?.triggers ?? "");
        const values = {lora: card?.name ?? NO_LORA, weight: weightFor(card, before, now.weight, bounds), prompt: text.prompt};
        if (!now.class_word.trim() && card?.class_word) values.class_word = card.class_word;
        return {values, placed: text.placed};
    }

    /** What the line under the search says. */
    function told({shown, all, unfit, query}) {
        if (!all) return "No LoRAs found. Put .safetensors files into the folder models/Lora and press ↻.";
        const hidden = unfit ? `; ${unfit} made for another base model` : "";
        if (!shown) return `None of ${all} LoRAs ${query.trim() ? "matches" : "fits the loaded model"}${query.trim() ? hidden : ""}.`;
        return shown === all && all < COUNT_UNDER ? "" : `${shown} of ${all} LoRAs${hidden}`;
    }

    const make = (tag, className, text) => {
        const element = document.createElement(tag);
        if (className) element.className = className;
        if (text) element.textContent = text;
        return element;
    };

    /** Thumbnails, asked for when their cards come into view, a batch at a time; each once. */
    function makePreviews(call) {
        let known = new Map(); // name -> url | null
        const shown = new Map(); // img -> name it shows or waits for
        const wanted = new Set();
        let timer = null;

        async function fetchSome() {
            timer = null;
            const names = [...wanted].slice(0, MOST_PREVIEWS);
            names.forEach((name) => wanted.delete(name));
            if (wanted.size) timer = setTimeout(fetchSome, 0);
            const into = known;
            const got = await call("cards.previews", {names}).catch(() => ({}));
            names.forEach((name) => into.set(name, got[name] ?? null));
            for (const [image, name] of shown) if (names.includes(name)) draw(image, got[name]);
        }

        function draw(image, url) {
            if (url) image.src = url;
            else image.removeAttribute("src");
            image.classList.toggle("omg-has-picture", Boolean(url));
        }

        return {
            /** Show a LoRA's thumbnail in an image, now or when it has come; null: nothing. */
            into(image, name) {
                if ((shown.get(image) ?? null) === name) return;
                if (name === null) shown.delete(image);
                else shown.set(image, name);
                draw(image, known.get(name));
                if (name === null || known.has(name)) return;
                wanted.add(name);
                timer ??= setTimeout(fetchSome, COLLECT_MS);
            },
            /** The files may be others now; images of cards that are gone need no thumbnails. */
            forget() {
                known = new Map();
                shown.clear();
                wanted.clear();
            },
        };
    }

    function drawCard(card) {
        const button = make("button", "omg-card");
        button.type = "button";
        button.draggable = true;
        button.tabIndex = -1;
        button.dataset.name = card.name;
        button.classList.toggle("omg-unfit", card.fits === false);
        const picture = make("span", "omg-card-picture");
        picture.dataset.letter = [...card.name][0]?.toUpperCase() ?? "?";
        const image = make("img");
        image.alt = "";
        image.decoding = "async";
        picture.append(image);
        if (card.base_model) picture.append(make("span", "omg-badge", card.base_model));
        button.append(picture, make("span", "omg-card-name", card.name), make("span", "omg-card-triggers", card.triggers));
        const lines = [card.title !== card.name && card.title, card.folder && `in ${card.folder}`, card.notes];
        if (card.fits === false) lines.unshift("made for another base model than the loaded one");
        button.title = lines.filter(Boolean).join("\n");
        return button;
    }

    function drawHead() {
        const head = make("div", "omg-cards-head");
        const search = make("input", "omg-input");
        Object.assign(search, {type: "search", placeholder: "Search name, trigger words, tags, notes", id: "omg_cards_search"});
        search.setAttribute("aria-label", "Search LoRAs");
        const refresh = make("button", "omg-button omg-icon", "↻");
        Object.assign(refresh, {type: "button", id: "omg_cards_refresh", title: "Look for LoRAs on disk again"});
        refresh.setAttribute("aria-label", "Look for LoRAs on disk again");
        const label = make("label", "omg-check");
        const fits = make("input");
        Object.assign(fits, {type: "checkbox", checked: true, id: "omg_cards_fits"});
        label.append(fits, make("span", "", "fits the loaded model"));
        head.append(search, refresh, label);
        return {head, search, refresh, fits};
    }

    /** Columns of the grid as it is drawn, for the arrow keys. */
    function columns(cards) {
        const top = cards[0]?.offsetTop;
        const next = cards.findIndex((card) => card.offsetTop !== top);
        return next < 0 ? cards.length : next;
    }

    const STEPS = {
        ArrowRight: (at) => at + 1,
        ArrowLeft: (at) => at - 1,
        ArrowDown: (at, wide) => at + wide,
        ArrowUp: (at, wide) => at - wide,
        Home: () => 0,
        End: (at, wide, count) => count - 1,
    };

    /** The list: search, filter, cards. `onChoose(card)` when one is clicked or entered; dragging carries its name. */
    function create({call, onChoose, onLoad = () => {}}) {
        const element = make("section", "omg-cards");
        const {head, search, refresh, fits} = drawHead();
        const status = make("p", "omg-status");
        status.setAttribute("role", "status");
        const grid = make("div", "omg-card-grid");
        grid.setAttribute("role", "group");
        grid.setAttribute("aria-label", "LoRAs");
        element.append(head, status, grid);
        const previews = makePreviews(call);
        let entries = [];
        let current = null; // the one card that Tab reaches

        const seen = new IntersectionObserver((changes) => {
            for (const {isIntersecting, target} of changes) {
                if (!isIntersecting) continue;
                seen.unobserve(target);
                previews.into(target.querySelector("img"), target.dataset.name);
            }
        }, {rootMargin: "200px"});

        const shownCards = () => entries.filter(({node}) => !node.hidden).map(({node}) => node);

        function reach(node, focus) {
            if (current) current.tabIndex = -1;
            current = node ?? null;
            if (!current) return;
            current.tabIndex = 0;
            if (focus) current.focus();
        }

        function show() {
            const shown = new Set(filtered(entries, search.value, fits.checked));
            for (const entry of entries) entry.node.hidden = !shown.has(entry);
            if (!current || current.hidden) reach(shownCards()[0], false);
            const unfit = fits.checked ? entries.filter(({card, hay}) => card.fits === false && matches(hay, search.value)).length : 0;
            status.textContent = told({shown: shown.size, all: entries.length, unfit, query: search.value});
        }

        async function load(again = false) {
            element.setAttribute("aria-busy", "true");
            refresh.disabled = true;
            try {
                const cards = await call("cards.list", again ? {refresh: true} : {});
                seen.disconnect();
                previews.forget();
                entries = cards.map((card) => ({card, hay: haystack(card), node: drawCard(card)}));
                current = null;
                grid.replaceChildren(...entries.map(({node}) => node));
                entries.filter(({card}) => card.has_preview).forEach(({node}) => seen.observe(node));
                show();
                onLoad(cards);
            } catch (error) {
                status.textContent = error.message;
            } finally {
                element.removeAttribute("aria-busy");
                refresh.disabled = false;
            }
        }

        const byName = (name) => entries.find(({card}) => card.name === name)?.card ?? entries.find(({card}) => card.alias === name)?.card ?? null;

        grid.addEventListener("click", (event) => {
            const node = event.target.closest(".omg-card");
            if (!node) return;
            reach(node, false);
            onChoose(byName(node.dataset.name));
        });
        grid.addEventListener("keydown", (event) => {
            const step = STEPS[event.key];
            const node = event.target.closest(".omg-card");
            if (!step || !node) return;
            const cards = shownCards();
            const to = step(cards.indexOf(node), columns(cards), cards.length);
            if (cards[to]) reach(cards[to], true);
            event.preventDefault();
        });
        grid.addEventListener("dragstart", (event) => {
            const node = event.target.closest(".omg-card");
            event.dataTransfer.setData("application/x-omg-lora", node.dataset.name);
            event.dataTransfer.effectAllowed = "copy";
        });
        search.addEventListener("input", show);
        search.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" && event.key !== "ArrowDown") return;
            event.preventDefault();
            reach(shownCards()[0], true);
        });
        fits.addEventListener("change", show);
        refresh.addEventListener("click", () => load(true));

        return {
            element,
            load,
            byName,
            thumbnail: previews.into,
            /** Show which LoRAs the concepts have: {name: [colour, ...]}. */
            mark(users) {
                for (const {card, node} of entries) {
                    const colours = users[card.name] ?? [];
                    node.style.setProperty("--omg-mark", colours[0] ?? "transparent");
                    node.classList.toggle("omg-used", colours.length > 0);
                    node.setAttribute("aria-pressed", String(colours.length > 0));
                }
            },
        };
    }

    omg.cards = {create, filtered, haystack, matches, withTriggers, weightFor, put, told, plain, makePreviews, NO_LORA};
})();
