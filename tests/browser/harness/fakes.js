// Stands in for the server, the panel and txt2img in board.html. `fakes` remembers what it was asked and told.
globalThis.fakes = (() => {
    const query = new URLSearchParams(location.search);
    if (query.get("theme") === "dark") document.body.classList.add("dark");
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const shelf = query.has("empty") ? [] : globalThis.layouts.filter(({id}) => id !== "a3");
    const calls = [];
    const sets = [];
    const runs = [];
    const failing = new Map();

    const values = {enabled: false, layout: "", layout_only: false, feather_px: 8, dilation_px: 0};
    for (let number = 1; number <= 5; number++) {
        Object.assign(values, {
            [`concept${number}_class_word`]: "", [`concept${number}_lora`]: "None", [`concept${number}_prompt`]: "",
            [`concept${number}_mask_source`]: "attention", [`concept${number}_box`]: "", [`concept${number}_mask`]: "",
            [`concept${number}_depth`]: 0, [`concept${number}_instance`]: "",
        });
    }
    if (!query.has("empty")) {
        Object.assign(values, {concept1_class_word: "woman", concept1_lora: "ida", concept2_class_word: "woman", concept2_lora: "eva"});
    }
    const listeners = new Set();

    const panel = {
        ready: Promise.resolve(),
        get: () => ({...values}),
        async set(changes) {
            for (const name of Object.keys(changes)) if (!(name in values)) throw new Error(`OMG (${name}): expected the name of an input`);
            sets.push({...changes});
            Object.assign(values, changes);
            await wait(5);
            for (const fn of listeners) fn({...changes});
        },
        settled: async () => {},
        onChange(fn) {
            listeners.add(fn);
            return () => listeners.delete(fn);
        },
    };

    // Concepts of the kept one are its own run's.
    const settingsOf = (layout) => ({
        ...values, enabled: true, ...Object.fromEntries(Object.keys(values).filter((name) => /_(mask|box|instance)$/.test(name)).map((name) => [name, ""])),
        ...(layout.kept && layout.id === "b1"
            ? {concept1_class_word: "man", concept1_lora: "rex", concept2_class_word: "woman", concept2_lora: "ida", concept3_class_word: "dog", concept3_lora: "ace"}
            : {}),
    });
    const find = (id) => {
        const found = shelf.find((one) => one.id === id);
        if (!found) throw new Error("OMG: the approved layout isn't kept any more. Press Layout for a new one, or let go of it.");
        return found;
    };
    const summary = ({id, name, seed, width, height, picture, ready, kept, fields}) =>
        ({id, name, seed, width, height, thumbnail: picture, ready, kept, prompt: fields.Prompt});
    const list = () => shelf.map(summary);

    function png(cells, height, width) {
        const canvas = Object.assign(document.createElement("canvas"), {height, width});
        const context = canvas.getContext("2d");
        const image = context.createImageData(width, height);
        cells.forEach((value, at) => image.data.set([value, value, value, 255], at * 4));
        context.putImageData(image, 0, 0);
        return canvas.toDataURL();
    }

    const methods = {
        "layout.get": ({id}) => ({...find(id), settings: find(id).settings ?? settingsOf(find(id))}),
        "layout.latest": () => methods["layout.list"]().filter(({kept}) => !kept).map(({id}) => methods["layout.get"]({id}))[0] ?? null,
        "layout.list": list,
        "layout.keep"({id, name, board}) {
            if (/[\\/]/.test(name)) throw new Error(`name: expected a name without slashes, found "${name}"`);
            Object.assign(find(id), {name, board, kept: true, settings: {...values}});
            return list();
        },
        "layout.rename"({id, name}) {
            find(id).name = name;
            return list();
        },
        "layout.delete"({id}) {
            shelf.splice(shelf.indexOf(find(id)), 1);
            return list();
        },
        async "masks.final"({id, concepts}) {
            const layout = find(id);
            const [height, width] = layout.latent;
            const whole = await Promise.all(concepts.map(async ({instance, mask, mask_source, box}) => {
                const {masks} = omg;
                if (mask_source === "painted") return masks.unpack(mask);
                if (mask_source === "box") return masks.fromBox(layout.height, layout.width, box);
                return instance === null ? masks.make(height, width) : masks.unpack(layout.instances[instance].mask);
            }));
            return {size: [height, width], masks: whole.map((mask) => png(omg.masks.resize(mask, height, width).cells.map((cell) => cell * 255), height, width))};
        },
        "sam.click"({id, points}) {
            if (query.has("nosam")) throw new Error("SAM: no checkpoint found. Put sam_vit_b_01ec64.pth into models/sam.");
            const [x, y] = points.at(-1);
            const mask = omg.masks.stroke(omg.masks.make(128, 192), [x, y], [x, y], 12 + 4 * points.length, 1);
            return omg.masks.pack(mask).then((text) => ({mask: text}));
        },
    };

    const channel = {
        async call(method, params = {}) {
            calls.push({method, params: JSON.parse(JSON.stringify(params))});
            await wait(Number(query.get("slow") ?? 5));
            if (failing.has(method)) throw new Error(failing.get(method));
            return JSON.parse(JSON.stringify(await methods[method](params)));
        },
    };
    globalThis.omg ??= {};
    Object.assign(globalThis.omg, {channel, panel});

    document.addEventListener("click", async ({target}) => {
        if (target.id !== "txt2img_generate") return;
        const interrupt = document.getElementById("txt2img_interrupt");
        const [info, log] = ["html_info_txt2img", "html_log_txt2img"].map((id) => document.getElementById(id));
        const asked = {...values};
        runs.push(asked);
        interrupt.style.display = "block";
        log.innerHTML = "";
        await wait(Number(query.get("run") ?? 400));
        const layout = asked.layout ? shelf.find(({id}) => id === asked.layout) : globalThis.layouts[2];
        if (failing.has("run")) {
            info.textContent = "";
            log.innerHTML = `<div class="error">${failing.get("run")}</div>`;
        } else {
            if (!shelf.includes(layout)) shelf.unshift(layout);
            info.textContent = `two women in the snow Steps: 20, Seed: ${layout.seed}, OMG layout: ${layout.id}, Version: v1.10.1`;
            log.textContent = `${runs.length}.0 s`;
        }
        interrupt.style.display = "none";
    });

    return {query, shelf, calls, sets, runs, failing, values, methods};
})();
