// What the page's scripts and the server say to each other; the other side is lib_omg/ui/channel.py.
//
// omg.channel.call(method, params) -> Promise(result), rejected with Error(message for the user)
// omg.panel     the inputs of the panel in the txt2img tab:
//   get() -> {name: value}; what was set is there at once
//   set({name: value}, {soon}) -> Promise, fulfilled when the inputs hold the values. `soon`: while somebody types
//   settled() -> Promise: nothing set is on its way any more; wait for it before pressing Generate
//   onChange(fn) -> function to stop it; fn({name: value}) hears of what changed, by whoever, and of everything at the start
//   inputs() -> Map of name -> {kind, label, choices, minimum, maximum, step, ...}; ready: Promise of the first values
// omg.txt2img   the host's own inputs, by their names in PNG info: get(), set(fields) -> Promise({set, left}), onChange(fn)
(() => {
    const omg = (globalThis.omg ??= {});
    const LANES = 3;
    const PRESS_AGAIN_MS = 250;
    const GIVE_UP_MS = 60_000;
    const SOON_MS = 250;
    const KEEP = Object.freeze({__type__: "update"});

    // One for each concept, as lib_omg/vision/overlay.py has them.
    omg.COLOURS ??= [[230, 60, 60], [60, 130, 240], [60, 190, 90], [240, 180, 40], [170, 90, 220]];

    const page = () => (typeof gradioApp === "function" ? gradioApp() : globalThis.document);
    const byId = (id) => page()?.getElementById?.(id) ?? globalThis.document?.getElementById(id) ?? null;
    const same = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);

    /** Press a hidden button until gradio has asked for what is to be sent: a page still being drawn doesn't hear it. */
    function pressUntil(press, taken, giveUp) {
        const end = Date.now() + GIVE_UP_MS;
        const again = () => {
            if (taken()) return;
            if (Date.now() > end) return giveUp();
            press();
            if (!taken()) setTimeout(again, PRESS_AGAIN_MS);
        };
        again();
    }

    /** Calls by name. A lane is a hidden button and box of its own; gradio answers one call a lane at a time. */
    function makeChannel(press, lanes = LANES) {
        const waiting = [];
        const lane = Array(lanes).fill(null);
        let counter = 0;

        function settle(at, finish) {
            const call = lane[at];
            lane[at] = null;
            finish(call);
            pump();
        }

        function pump() {
            for (let at = 0; at < lanes && waiting.length; at++) {
                if (lane[at]) continue;
                const call = (lane[at] = waiting.shift());
                const lost = () => {
                    if (lane[at] === call) settle(at, () => call.reject(new Error("The page's OMG panel doesn't answer; reload the page.")));
                };
                pressUntil(() => press(at), () => call.taken || lane[at] !== call, lost);
            }
        }

        return {
            call(method, params = {}) {
                return new Promise((resolve, reject) => {
                    const id = ++counter;
                    waiting.push({id, resolve, reject, taken: false, text: JSON.stringify({id, method, params})});
                    pump();
                });
            },
            /** For gradio: what the lane's button sends. */
            take(at) {
                const call = lane[at];
                if (!call) return "";
                call.taken = true;
                return call.text;
            },
            /** For gradio: the lane's call is over; after a lost connection `text` is still the reply before. */
            receive(at, text) {
                if (!lane[at]?.taken) return [];
                let reply = null;
                try {
                    reply = JSON.parse(text);
                } catch {
                    // told below
                }
                settle(at, ({id, resolve, reject}) => {
                    if (reply?.id !== id) reject(new Error("The server gave no answer; see the WebUI's log."));
                    else if (reply.error !== undefined) reject(new Error(reply.error));
                    else resolve(reply.result);
                });
                return [];
            },
        };
    }

    const wanted = {flag: "true or false", number: "a number", choice: "a choice", choices: "a list of choices", text: "a text"};

    /** A value for an input as the input wants it; throws an Error with expected and found. */
    function checked(input, name, value) {
        const fail = (expected) => {
            const found = (JSON.stringify(value) ?? String(value)).slice(0, 60);
            throw new Error(`${input?.label ?? "OMG"} (${name}): expected ${expected}, found ${found}`);
        };
        if (!input) fail("the name of an input");
        const {kind, free} = input;
        if (kind === "picture") fail(`"${name.replace("_picture", "")}" to be set`);
        if (kind === "flag" && typeof value !== "boolean") fail(wanted.flag);
        if (kind === "text" && typeof value !== "string") fail(wanted.text);
        if (kind === "number") {
            const low = input.minimum ?? -Infinity;
            const high = input.maximum ?? Infinity;
            const good = Number.isFinite(value) && value >= low && value <= high && (!input.whole || Number.isInteger(value));
            if (!good) fail(Number.isFinite(low) ? `a number from ${low} to ${high}` : input.whole ? "a whole number" : wanted.number);
        }
        const known = (text) => typeof text === "string" && (free || input.choices.includes(text));
        if (kind === "choice" && !known(value)) fail(free ? wanted.text : `one of ${input.choices.join(", ")}`);
        if (kind === "choices" && !(Array.isArray(value) && value.every(known))) fail(`a list of ${input.choices.join(", ")}`);
        return value;
    }

    /** The panel's values, and changes on their way to it. `press` is a click on the hidden button; `landed` hears names. */
    function makePanel(press, landed = () => {}) {
        let inputs = null;
        let told; // fulfils `ready`
        const ready = new Promise((resolve) => (told = resolve));
        const base = {}; // what the inputs hold
        const ahead = {}; // what they are about to hold
        const listeners = new Set();
        let outgoing = null; // {values, done: [[resolve, reject]], timer}
        let underway = Promise.resolve();
        let news = null;

        function tell(changes) {
            for (const listener of [...listeners]) {
                try {
                    listener({...changes});
                } catch (error) {
                    console.error("OMG: a listener of the panel failed:", error);
                }
            }
        }

        /** Inputs that change together are told together. */
        function tellSoon(changes) {
            if (!news) {
                news = {};
                setTimeout(() => {
                    const all = news;
                    news = null;
                    // Only what still holds: a later value may be known by now.
                    const current = api.get();
                    tell(Object.fromEntries(Object.keys(all).map((name) => [name, current[name]])));
                }, 0);
            }
            Object.assign(news, changes);
        }

        function send() {
            const patch = outgoing;
            if (!patch || patch.pressed) return;
            clearTimeout(patch.timer);
            patch.pressed = true;
            pressUntil(press, () => outgoing !== patch, () => {
                outgoing = null;
                for (const name of Object.keys(patch.values)) delete ahead[name];
                patch.done.forEach(([, reject]) => reject(new Error("The page's OMG panel doesn't answer; reload the page.")));
            });
        }

        function finish(patch) {
            for (const [name, value] of Object.entries(patch.values)) {
                base[name] = value;
                if (!(outgoing && name in outgoing.values)) delete ahead[name];
            }
            landed(Object.keys(patch.values));
            patch.done.forEach(([resolve]) => resolve());
        }

        const api = {
            ready,
            inputs: () => inputs ?? new Map(),
            get: () => ({...base, ...ahead}),
            set(values, {soon = false} = {}) {
                if (!inputs) return ready.then(() => api.set(values, {soon}));
                const now = api.get();
                const changes = {};
                try {
                    for (const [name, value] of Object.entries(values)) {
                        const good = checked(inputs.get(name), name, value);
                        // A mask's text may be the same while there are strokes on its canvas.
                        if (!same(now[name], good) || inputs.has(`${name}_picture`)) changes[name] = good;
                    }
                } catch (error) {
                    return Promise.reject(error);
                }
                if (!Object.keys(changes).length) return api.settled();
                outgoing ??= {values: {}, done: [], timer: null, pressed: false};
                Object.assign(outgoing.values, changes);
                Object.assign(ahead, changes);
                const done = new Promise((resolve, reject) => outgoing.done.push([resolve, reject]));
                underway = Promise.allSettled([underway, done]).then(() => undefined);
                if (soon) {
                    clearTimeout(outgoing.timer);
                    if (!outgoing.pressed) outgoing.timer = setTimeout(send, SOON_MS);
                } else send();
                tell(changes);
                return done;
            },
            settled() {
                send();
                return underway;
            },
            onChange(listener) {
                listeners.add(listener);
                return () => listeners.delete(listener);
            },
            /** For gradio: all inputs, and the values of all but pictures. */
            read(described, values) {
                inputs = new Map(described.map((input) => [input.name, input]));
                described.filter(({kind}) => kind !== "picture").forEach(({name}, at) => (base[name] = values[at]));
                told();
                tellSoon(base);
                return [];
            },
            /** For gradio: an input changed. */
            changed(name, value) {
                const before = base[name];
                base[name] = value;
                if (!(name in ahead) && !same(before, value)) tellSoon({[name]: value});
                return [];
            },
            /** For gradio: an update for every input, in their order. */
            take() {
                const patch = outgoing;
                outgoing = null;
                if (!inputs) return [];
                // The inputs take the values before the next task.
                if (patch) setTimeout(() => finish(patch), 0);
                const values = patch?.values ?? {};
                return [...inputs.keys()].map((name) => {
                    if (name in values) return {...KEEP, value: values[name]};
                    // A canvas comes before its mask's text; it is drawn anew from it.
                    const text = name.endsWith("_picture") ? name.slice(0, -"_picture".length) : "";
                    return text in values ? {...KEEP, value: null} : {...KEEP};
                });
            },
        };
        return api;
    }

    const INPUTS = {
        Prompt: "#txt2img_prompt textarea",
        "Negative prompt": "#txt2img_neg_prompt textarea",
        Seed: "#txt2img_seed input",
        Steps: "#txt2img_steps input[type=number]",
        "CFG scale": "#txt2img_cfg_scale input[type=number]",
    };
    const SIDES = ["#txt2img_width input[type=number]", "#txt2img_height input[type=number]"];
    const LISTS = {Sampler: "txt2img_sampling", "Schedule type": "txt2img_scheduler"};
    const MODEL = "#setting_sd_model_checkpoint input";
    const isText = (name) => name.endsWith("rompt");

    const find = (selector) => page()?.querySelector?.(selector) ?? null;

    /** Write into one of the host's inputs as if somebody had typed. */
    function type(input, value) {
        if (input.value === String(value)) return;
        input.value = String(value);
        input.dispatchEvent(new Event("input", {bubbles: true}));
    }

    /** Why a number can't go into an input; "" if it can. */
    function refused(input, value) {
        if (!input) return "the page has no such input";
        const low = input.min === "" ? -Infinity : Number(input.min);
        const high = input.max === "" ? Infinity : Number(input.max);
        if (Number.isFinite(value) && value >= low && value <= high) return "";
        return Number.isFinite(low) || Number.isFinite(high) ? `expected ${low} to ${high}, found ${value}` : `expected a number, found ${value}`;
    }

    const nextTask = () => new Promise((resolve) => setTimeout(resolve, 0));

    /** Choose in one of gradio's lists or radios. Gives "" or what kept it. */
    async function choose(id, text) {
        const radio = [...(find(`#${id}`)?.querySelectorAll("input[type=radio]") ?? [])].find((one) => one.value === text);
        if (radio) {
            radio.click();
            return "";
        }
        const input = find(`#${id} input:not([type=radio])`);
        if (!input) return find(`#${id}`) ? `there is no '${text}'` : "the page has no such input";
        if (input.value === text) return "";
        // A list in a hidden tab gets no focus, but it opens all the same.
        input.dispatchEvent(new FocusEvent("focus"));
        await nextTask();
        const option = [...find(`#${id}`).querySelectorAll("li[data-value]")].find((one) => one.dataset.value === text);
        if (option) option.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}));
        input.dispatchEvent(new FocusEvent("blur"));
        await nextTask();
        if (!option) return `there is no '${text}'`;
        return input.value === text ? "" : `it stays at '${input.value}'`;
    }

    function readHost() {
        const fields = {};
        for (const [name, selector] of Object.entries(INPUTS)) {
            const input = find(selector);
            if (input) fields[name] = isText(name) ? input.value : Number(input.value);
        }
        const [width, height] = SIDES.map(find);
        if (width && height) fields.Size = `${Number(width.value)}x${Number(height.value)}`;
        for (const [name, id] of Object.entries(LISTS)) {
            const input = find(`#${id} input:checked`) ?? find(`#${id} input`);
            if (input) fields[name] = input.value;
        }
        const model = find(MODEL);
        if (model) fields.Model = modelName(model.value);
        return fields;
    }

    /** As PNG info has it: "folder/toy.safetensors [0123456789]" -> "toy". */
    function modelName(title) {
        return title.replace(/ \[[0-9a-f]+\]$/i, "").replace(/\.(safetensors|ckpt|pt)$/i, "").split(/[\\/]/).pop();
    }

    /** Gives "" or what kept a field from being set. */
    async function setField(name, value) {
        if (name in LISTS) return choose(LISTS[name], String(value));
        if (name === "Size") {
            const sides = String(value).split("x").map(Number);
            const boxes = SIDES.map(find);
            const trouble = sides.length === 2 ? boxes.map((box, at) => refused(box, sides[at])).find(Boolean) : `expected 'width x height', found '${value}'`;
            if (!trouble) boxes.forEach((box, at) => type(box, sides[at]));
            return trouble ?? "";
        }
        if (name === "Model") {
            const loaded = readHost().Model;
            return loaded === undefined || loaded === value ? "" : `'${value}' was loaded then, '${loaded}' is now`;
        }
        const input = INPUTS[name] ? find(INPUTS[name]) : null;
        if (!input) return "the page has no such input";
        const trouble = isText(name) ? "" : refused(input, Number(value));
        if (!trouble) type(input, value);
        return trouble;
    }

    /** The host's inputs; `watch` tells of changes made by hand or by `set`. */
    function makeHost() {
        const listeners = new Set();
        let last = null;
        const api = {
            get: readHost,
            async set(fields) {
                const made = {set: [], left: {}};
                for (const [name, value] of Object.entries(fields)) {
                    const trouble = await setField(name, value);
                    if (trouble) made.left[name] = trouble;
                    else made.set.push(name);
                }
                await nextTask();
                api.look();
                return made;
            },
            onChange(listener) {
                listeners.add(listener);
                return () => listeners.delete(listener);
            },
            look() {
                const now = readHost();
                if (same(now, last)) return;
                last = now;
                listeners.forEach((listener) => listener({...now}));
            },
        };
        return api;
    }

    omg.channel = Object.assign(makeChannel((lane) => byId(`omg_channel_send_${lane}`)?.click()), {makeChannel});
    omg.panel = Object.assign(
        makePanel(() => byId("omg_panel_apply")?.click(), drawCanvases),
        {makePanel, checked},
    );
    omg.txt2img = Object.assign(makeHost(), {modelName, refused});

    /** Canvases in view are drawn from their masks' new texts; the others are when they come into view (omg.js). */
    function drawCanvases(names) {
        for (const name of names) {
            const canvas = omg.panel.inputs().get(`${name}_picture`);
            if (canvas && byId(canvas.id)?.offsetParent) byId(`${canvas.id}_draw`)?.click();
        }
    }

    /** A slider's bounds may be the user's own (ui-config.json). */
    function takeBoundsFromPage() {
        for (const input of omg.panel.inputs().values()) {
            const box = input.kind === "number" ? find(`#${input.id} input[type=number]`) : null;
            if (box?.min) input.minimum = Number(box.min);
            if (box?.max) input.maximum = Number(box.max);
        }
    }

    if (typeof onUiLoaded === "function") {
        onUiLoaded(() => {
            omg.panel.ready.then(takeBoundsFromPage);
            pressUntil(() => byId("omg_panel_read")?.click(), () => omg.panel.inputs().size > 0, () => {});
            const look = () => setTimeout(omg.txt2img.look, 0);
            for (const event of ["input", "change", "focusout", "click"]) find("#tab_txt2img")?.addEventListener(event, look);
            find("#quicksettings")?.addEventListener("focusout", look);
        });
        onUiTabChange(() => {
            omg.panel.settled();
            omg.txt2img.look();
        });
    }
})();
