// The OMG tab: concept slots, prompt, LoRA cards, and the place of the layout board. It keeps no settings of its own: all it
// shows and sets are the inputs of the panel and of txt2img, so both places show the same.
//
// omg.tab.open() shows it; omg.tab.send() goes back to txt2img with the panel open and on.
(() => {
    const omg = (globalThis.omg ??= {});
    const SLOTS = 5;
    const TEXTS = ["class_word", "prompt"];
    const NUMBERS = ["weight", "start"];
    const FIELDS = [...TEXTS, ...NUMBERS, "mask_source", "lora"];
    const TAGS_SHOWN = 8;

    const key = (number, name) => `concept${number}_${name}`;
    const colour = (number) => `rgb(${omg.COLOURS[number - 1].join(", ")})`;
    const app = () => gradioApp();
    const byId = (id) => document.getElementById(id);

    /** A concept's values by their short names. */
    const conceptOf = (values, number) => Object.fromEntries(FIELDS.map((name) => [name, values[key(number, name)]]));
    const hasLora = (lora) => Boolean(lora) && lora !== omg.cards.NO_LORA;
    const isFilledIn = (concept) => Boolean(concept.class_word?.trim() || concept.prompt?.trim() || hasLora(concept.lora));
    const keyed = (number, values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [key(number, name), value]));

    /** Whether a text has a word or words as whole words, in any case. */
    function hasWord(text, word) {
        const parts = word.trim().split(/\s+/).filter(Boolean).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
        return parts.length > 0 && new RegExp(`(?<![\\p{L}\\p{N}_])${parts.join("\\s+")}(?![\\p{L}\\p{N}_])`, "iu").test(text);
    }

    /** What is wrong with a concept's class word, which has to be in the prompt; "" if nothing is. */
    function wordHint(concept, prompt) {
        const word = concept.class_word?.trim() ?? "";
        if (!word) return isFilledIn(concept) ? "Which word of the prompt is it? Write it as the class word." : "";
        return prompt.trim() && !hasWord(prompt, word) ? `The prompt has no '${word}'.` : "";
    }

    /**
     * Which trigger words an earlier LoRA put into each concept's prompt. Those that came with settings (PNG info, defaults)
     * are known by their LoRA and prompt changing together.
     */
    function makePlaced() {
        const placed = Array(SLOTS + 1).fill("");
        const unread = new Map(); // number -> {lora, prompt}, until the cards are there
        return {
            of: (number) => placed[number],
            put: (number, text) => {
                placed[number] = text;
                unread.delete(number);
            },
            cameWith(changes) {
                for (let number = 1; number <= SLOTS; number++) {
                    const {lora, prompt} = conceptOf(changes, number);
                    if (lora !== undefined && prompt !== undefined) unread.set(number, {lora, prompt});
                }
            },
            read(byName) {
                for (const [number, {lora, prompt}] of unread) {
                    const words = byName(lora)?.triggers ?? "";
                    placed[number] = words && omg.cards.withTriggers(prompt, "", words).prompt === prompt ? words : "";
                }
                unread.clear();
            },
        };
    }

    // ---- drawing

    function make(tag, className = "", properties = {}, ...children) {
        const {aria = {}, data = {}, ...rest} = properties;
        const element = Object.assign(document.createElement(tag), rest);
        if (className) element.className = className;
        for (const [name, value] of Object.entries(aria)) element.setAttribute(name === "role" ? name : `aria-${name}`, value);
        Object.assign(element.dataset, data);
        element.append(...children);
        return element;
    }

    const button = (text, properties = {}, className = "") =>
        make("button", `omg-button ${className}`.trim(), {type: "button", textContent: text, ...properties});

    const labelled = (text, ...children) => make("label", "omg-field", {}, make("span", "omg-label", {textContent: text}), ...children);

    /** A number as a slider and a box that show the same. */
    function drawNumber(text, name, id) {
        const slider = make("input", "omg-slider", {type: "range", data: {field: name}, aria: {label: text}});
        const box = make("input", "omg-input omg-number", {type: "number", id, data: {field: name}, aria: {label: `${text}, as a number`}});
        const field = make("div", "omg-field", {}, make("span", "omg-label", {textContent: text}), make("div", "omg-number-row", {}, slider, box));
        return {field, inputs: [slider, box]};
    }

    function drawSlot(number) {
        const id = (name) => `omg_tab_${key(number, name)}`;
        const text = (tag, name, properties) => make(tag, "omg-input", {id: id(name), data: {field: name}, ...properties});
        const word = text("input", "class_word", {type: "text", placeholder: "e.g. woman", autocomplete: "off"});
        const hint = make("p", "omg-hint", {hidden: true});
        const prompt = text("textarea", "prompt", {rows: 2, placeholder: "what stands in the class word's place, e.g. 'ida, a woman in a red coat'"});
        const tags = make("div", "omg-tags", {hidden: true});
        const source = text("select", "mask_source", {});
        const weight = drawNumber("weight", "weight", id("weight"));
        const start = drawNumber("start", "start", id("start"));
        const image = make("img", "", {alt: ""});
        const title = make("span", "omg-slot-title");
        const lora = make("span", "omg-slot-lora");
        const face = make("span", "omg-slot-face", {}, image, make("span", "omg-slot-number", {textContent: String(number)}));
        const head = make("button", "omg-slot-head", {type: "button", id: id("head"), aria: {expanded: "false", controls: id("body")}}, face, make("span", "omg-slot-text", {}, title, lora));
        const remove = button("✕", {title: "Take the LoRA out", id: id("remove"), aria: {label: `Concept ${number}: take the LoRA out`}}, "omg-icon");
        const body = make("div", "omg-slot-body", {id: id("body"), hidden: true},
            make("div", "omg-row", {}, labelled("class word", word), labelled("region from", source)),
            weight.field, labelled("prompt", prompt), tags, start.field);
        const element = make("section", "omg-slot", {data: {number: String(number)}, aria: {label: `Concept ${number}`}},
            make("div", "omg-slot-top", {}, head, remove), hint, body);
        element.style.setProperty("--omg-colour", colour(number));
        const inputs = [word, prompt, source, ...weight.inputs, ...start.inputs];
        return {number, element, head, body, remove, image, title, lora, hint, tags, inputs};
    }

    // ---- slots

    /** The five concepts; one is chosen and open. */
    function makeSlots({panel, cards, say, onChosen}) {
        const placed = makePlaced();
        const slots = Array.from({length: SLOTS}, (_, at) => drawSlot(at + 1));
        let chosen = 1;
        let own = false; // a change is made here

        const now = (number) => conceptOf(panel.get(), number);

        async function set(number, values, options) {
            own = true;
            try {
                const done = panel.set(keyed(number, values), options);
                own = false;
                await done;
            } catch (error) {
                say(error.message, true);
                draw(slots[number - 1]);
            } finally {
                own = false;
            }
        }

        function choose(number, quietly = false) {
            chosen = number;
            for (const slot of slots) {
                const open = slot.number === number;
                slot.body.hidden = !open;
                slot.element.classList.toggle("omg-chosen", open);
                slot.head.setAttribute("aria-expanded", String(open));
            }
            if (!quietly) onChosen(number);
        }

        /** Put a card into a concept; null takes its LoRA out. */
        function put(card, number = chosen) {
            const concept = now(number);
            const weight = panel.inputs().get(key(number, "weight"));
            const bounds = [weight?.minimum ?? -2, weight?.maximum ?? 2];
            placed.read(cards.byName);
            const made = omg.cards.put(card, concept, {before: cards.byName(concept.lora), placed: placed.of(number), bounds});
            placed.put(number, made.placed);
            say(card ? `${card.name} is concept ${number}'s LoRA.` : `Concept ${number} has no LoRA now.`);
            return set(number, made.values);
        }

        function draw(slot) {
            const {number} = slot;
            const concept = now(number);
            for (const input of slot.inputs) {
                const value = concept[input.dataset.field];
                // Nobody's typing is disturbed; a slider that is being drawn along holds the value already.
                if (value === undefined || input === document.activeElement && input.type !== "range") continue;
                if (input.value !== String(value)) input.value = String(value);
            }
            const named = hasLora(concept.lora);
            slot.title.textContent = concept.class_word?.trim() || `Concept ${number}`;
            slot.lora.textContent = named ? concept.lora : "no LoRA";
            slot.remove.hidden = !named;
            slot.element.classList.toggle("omg-empty", !isFilledIn(concept));
            const card = named ? cards.byName(concept.lora) : null;
            cards.thumbnail(slot.image, card?.has_preview ? card.name : null);
            drawTags(slot, card, concept.prompt ?? "");
            drawHint(slot, concept);
        }

        function drawTags(slot, card, prompt) {
            const tags = (card?.tags ?? []).filter((tag) => !hasWord(prompt, tag)).slice(0, TAGS_SHOWN);
            const sign = JSON.stringify([tags, card?.notes]);
            if (slot.tags.dataset.sign === sign) return; // a chip in focus stays
            slot.tags.dataset.sign = sign;
            slot.tags.hidden = !tags.length && !card?.notes;
            const label = make("span", "omg-label", {textContent: tags.length ? "Tags in training:" : ""});
            const chips = tags.map((tag) => button(tag, {title: "Add to the prompt", data: {tag}}, "omg-chip"));
            const notes = make("p", "omg-notes", {textContent: card?.notes ?? ""});
            slot.tags.replaceChildren(label, ...chips, notes);
        }

        function drawHint(slot, concept) {
            const isWhole = panel.get()[key(slot.number, "prompt_mode")] === "whole prompt";
            const text = isWhole ? "" : wordHint(concept, omg.txt2img.get().Prompt ?? "");
            slot.hint.hidden = !text;
            slot.hint.textContent = text;
        }

        function drawAll() {
            slots.forEach(draw);
            const users = {};
            for (const {number} of slots) {
                const {lora} = now(number);
                if (hasLora(lora)) (users[lora] ??= []).push(colour(number));
            }
            cards.mark(users);
        }

        /** Lists and bounds, once they are known. */
        function fit() {
            for (const slot of slots) {
                for (const input of slot.inputs) {
                    const wanted = panel.inputs().get(key(slot.number, input.dataset.field));
                    if (wanted?.kind === "number") Object.assign(input, {min: wanted.minimum, max: wanted.maximum, step: wanted.step ?? "any"});
                    if (input.tagName === "SELECT") input.replaceChildren(...(wanted?.choices ?? []).map((text) => make("option", "", {value: text, textContent: text})));
                }
            }
        }

        function edited(slot, input, soon) {
            const name = input.dataset.field;
            let value = input.value;
            if (NUMBERS.includes(name)) {
                value = Number(input.value);
                if (input.value.trim() === "" || !input.checkValidity() && !(value >= Number(input.min) && value <= Number(input.max))) {
                    if (!soon) draw(slot);
                    return;
                }
            }
            set(slot.number, {[name]: value}, {soon});
        }

        function listen(slot) {
            slot.head.addEventListener("click", () => choose(slot.number));
            slot.remove.addEventListener("click", () => put(null, slot.number));
            slot.body.addEventListener("input", (event) => edited(slot, event.target, true));
            slot.body.addEventListener("change", (event) => edited(slot, event.target, false));
            slot.body.addEventListener("focusout", () => setTimeout(() => draw(slot), 0));
            slot.tags.addEventListener("click", (event) => {
                const {tag} = event.target.dataset;
                const {prompt} = now(slot.number);
                if (tag) set(slot.number, {prompt: prompt.trim() ? `${prompt.trimEnd().replace(/,$/, "")}, ${tag}` : tag});
            });
            const over = (event, on) => {
                if (!event.dataTransfer.types.includes("application/x-omg-lora")) return;
                slot.element.classList.toggle("omg-over", on);
                if (on) event.preventDefault();
            };
            slot.element.addEventListener("dragover", (event) => over(event, true));
            slot.element.addEventListener("dragleave", (event) => slot.element.contains(event.relatedTarget) || over(event, false));
            slot.element.addEventListener("drop", (event) => {
                over(event, false);
                const card = cards.byName(event.dataTransfer.getData("application/x-omg-lora"));
                if (!card) return;
                event.preventDefault();
                choose(slot.number);
                put(card, slot.number);
            });
        }

        slots.forEach(listen);
        choose(1, true);
        panel.onChange((changes) => {
            if (!own) placed.cameWith(changes);
            if (Object.keys(changes).some((name) => name.startsWith("concept"))) drawAll();
        });
        return {
            elements: slots.map(({element}) => element),
            chosen: () => chosen,
            choose,
            put,
            fit,
            draw: drawAll,
            /** The cards are there (anew). */
            cardsRead() {
                placed.read(cards.byName);
                drawAll();
            },
        };
    }

    // ---- the bar: prompt, on and off, generate

    const hostPrompt = () => app().querySelector("#txt2img_prompt textarea");

    function drawBar() {
        const prompt = make("textarea", "omg-input", {rows: 2, id: "omg_tab_prompt", placeholder: "Prompt: a man and a woman in the park", aria: {label: "Prompt"}});
        const on = make("input", "", {type: "checkbox", id: "omg_tab_enabled"});
        const generate = button("Generate", {id: "omg_tab_generate", title: "As in the txt2img tab (Ctrl+Enter)"}, "omg-primary");
        const interrupt = button("Interrupt", {id: "omg_tab_interrupt"}, "omg-stop");
        const skip = button("Skip", {id: "omg_tab_skip"}, "omg-stop");
        const send = button("Send to txt2img", {id: "omg_tab_send", title: "Open txt2img with these settings"});
        const status = make("p", "omg-status", {id: "omg_tab_status", aria: {role: "status"}});
        const check = make("label", "omg-check", {}, on, make("span", "", {textContent: "OMG is on"}));
        const elements = [prompt, make("div", "omg-bar-buttons", {}, generate, interrupt, skip, send, check), status];
        return {elements, prompt, on, generate, interrupt, skip, send, status};
    }

    /** The host's button is shown while it draws; its own shortcuts look for ids that end like these. */
    function mirrorButtons(bar) {
        for (const [name, mine] of [["interrupt", bar.interrupt], ["skip", bar.skip]]) {
            const theirs = byId(`txt2img_${name}`);
            mine.addEventListener("click", () => theirs?.click());
            const follow = () => (mine.style.display = theirs?.style.display === "block" ? "block" : "none");
            if (theirs) new MutationObserver(follow).observe(theirs, {attributes: true, attributeFilter: ["style"]});
            follow();
        }
    }

    function makeBar({panel}) {
        const bar = drawBar();
        const say = (text, isError = false) => {
            bar.status.textContent = text;
            bar.status.classList.toggle("omg-error", isError);
        };
        const follow = () => {
            const prompt = hostPrompt();
            if (prompt && bar.prompt.value !== prompt.value) bar.prompt.value = prompt.value;
        };
        bar.prompt.addEventListener("input", () => omg.txt2img.set({Prompt: bar.prompt.value}));
        bar.on.addEventListener("change", () => panel.set({enabled: bar.on.checked}).catch((error) => say(error.message, true)));
        bar.generate.addEventListener("click", () => run(panel, say));
        bar.send.addEventListener("click", send);
        omg.txt2img.onChange(follow);
        panel.onChange(({enabled}) => {
            if (enabled !== undefined) bar.on.checked = enabled;
        });
        return {...bar, say, follow};
    }

    /** Generate as txt2img does, with what is set here; a concept that is filled in turns OMG on. On an approved layout as the board. */
    async function run(panel, say) {
        const board = omg.board?.store;
        if (board?.adopted && board.state.layout) {
            if (board.busy) say(`Not yet: ${board.busy}`, true);
            else await board.runs.pressGenerate();
            return;
        }
        const values = panel.get();
        const used = Array.from({length: SLOTS}, (_, at) => conceptOf(values, at + 1)).some(isFilledIn);
        try {
            if (used && !values.enabled) await panel.set({enabled: true});
            await panel.settled();
            app().querySelector("#txt2img_generate").click();
        } catch (error) {
            say(error.message, true);
        }
    }

    // ---- tabs

    /** Click the WebUI's tab that holds an element with this id. */
    function showTab(id) {
        const items = [...app().querySelectorAll("#tabs > .tabitem")];
        app().querySelectorAll("#tabs > .tab-nav > button")[items.findIndex((item) => item.id === id)]?.click();
    }

    function open() {
        showTab("tab_omg");
    }

    /** To txt2img, with the panel open, which turns OMG on. */
    async function send() {
        await omg.panel.settled();
        showTab("tab_txt2img");
        const label = app().querySelector("#txt2img_omg > .label-wrap");
        if (label && !label.classList.contains("open")) label.click();
        if (!omg.panel.get().enabled) await omg.panel.set({enabled: true});
        byId("txt2img_omg")?.scrollIntoView({block: "nearest"});
    }

    // ---- what is drawn

    const GALLERY = "#txt2img_gallery_container";
    const last = (selector) => [...app().querySelectorAll(selector)].at(-1) ?? null;

    /** The picture that txt2img draws or has drawn; a click on it goes there. What went wrong there is said here. */
    function makeResult(element, say) {
        const label = make("span", "omg-label");
        const image = make("img", "", {alt: "what txt2img has drawn"});
        const picture = button("", {title: "Show in txt2img"}, "omg-picture");
        picture.append(image);
        picture.addEventListener("click", () => showTab("tab_txt2img"));
        element.append(label, picture);
        let said = "";
        let wasDrawing = false;

        function tell(isDrawing, progress) {
            const trouble = app().querySelector("#html_log_txt2img .error")?.textContent.trim() ?? "";
            if (isDrawing) say(`txt2img draws... ${progress}`);
            else if (trouble && trouble !== said) say(trouble, true);
            else if (wasDrawing) say("Drawn.");
            said = trouble;
            wasDrawing = isDrawing;
        }

        return () => {
            const preview = last(`${GALLERY} .livePreview img`);
            // A gallery shows its chosen picture large and all of them small.
            const source = (preview ?? app().querySelector("#txt2img_gallery :is(.thumbnails, .grid-container) img"))?.src ?? "";
            const progress = app().querySelector(`${GALLERY} .progress`)?.textContent.trim() ?? "";
            const isDrawing = byId("txt2img_interrupt")?.style.display === "block";
            element.hidden = !source;
            if (source && image.src !== source) image.src = source;
            label.textContent = isDrawing ? "txt2img draws..." : "txt2img has drawn";
            tell(isDrawing, progress);
        };
    }

    // ---- the whole

    const isSeen = () => byId("omg_tab")?.offsetParent !== null;
    const loadedModel = () => omg.txt2img.get().Model;

    /** The layout board here and in the panel. A concept that the user chooses there is chosen here. */
    function mountBoards(slots) {
        for (const id of ["omg_tab_board", "txt2img_omg_board"]) {
            const place = byId(id);
            if (place && !place.childElementCount) omg.board?.mount(place);
        }
        let before = omg.board?.state;
        omg.board?.store?.subscribe(() => {
            const {chosen, concepts, layout} = omg.board.state;
            const isUsers = concepts === before.concepts && layout === before.layout && chosen !== before.chosen;
            const isNew = concepts !== before.concepts || layout !== before.layout;
            before = omg.board.state;
            // With new concepts or a new layout the board chooses by itself: it shall choose the one that is open here.
            if (isNew) omg.board.choose(slots.chosen() - 1);
            else if (isUsers && chosen !== null && chosen + 1 !== slots.chosen()) slots.choose(chosen + 1, true);
        });
    }

    /** Fill the tab's places. Lists are asked for when it is first seen, and when another model is loaded. */
    function mount() {
        if (!byId("omg_tab") || byId("omg_tab").dataset.mounted) return;
        byId("omg_tab").dataset.mounted = "yes";
        const {panel} = omg;
        const bar = makeBar({panel});
        const parts = {};
        const cards = omg.cards.create({
            call: omg.channel.call,
            onChoose: (card) => card && parts.slots.put(card),
            onLoad: () => parts.slots.cardsRead(),
        });
        parts.slots = makeSlots({panel, cards, say: bar.say, onChosen: (number) => omg.board?.choose?.(number - 1)});
        byId("omg_tab_bar").append(...bar.elements);
        byId("omg_tab_slots").append(...parts.slots.elements);
        byId("omg_tab_cards").append(cards.element);
        mirrorButtons(bar);
        panel.ready.then(() => {
            parts.slots.fit();
            parts.slots.draw();
            mountBoards(parts.slots);
        });
        omg.txt2img.onChange(() => parts.slots.draw());
        const result = makeResult(byId("omg_tab_result"), bar.say);
        let listed; // the model for which cards were listed
        const look = () => {
            if (!isSeen()) return;
            bar.follow();
            result();
            if (listed === loadedModel()) return;
            listed = loadedModel() ?? null;
            cards.load();
        };
        onUiTabChange(() => setTimeout(look, 0));
        onAfterUiUpdate(() => isSeen() && result());
        look();
        omg.tab.slots = parts.slots;
    }

    omg.tab = {open, send, makePlaced, hasWord, wordHint, isFilledIn, conceptOf};

    if (typeof onUiLoaded === "function") onUiLoaded(mount);
})();
