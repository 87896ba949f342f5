// What a layout hangs on in the txt2img tab, by the names of a picture's generation parameters, and what of it has changed. Pure.
(() => {
    const omg = (globalThis.omg ??= {});
    const NUMBERS = ["Seed", "Steps", "CFG scale"];
    const CALLED = {
        Prompt: "prompt", "Negative prompt": "negative prompt", Seed: "seed", Size: "size", Sampler: "sampler",
        "Schedule type": "schedule type", Steps: "number of steps", "CFG scale": "CFG scale", Model: "model",
    };
    const NAMES = Object.keys(CALLED);
    const LONG = ["Prompt", "Negative prompt"];

    function normal(name, value) {
        const text = String(value ?? "").trim();
        if (NUMBERS.includes(name)) return String(Number(text));
        // The page may show "folder/name.safetensors [hash]"; generation parameters say "name".
        if (name === "Model") return text.replace(/\s*\[[^\]]*\]$/, "").replace(/^.*[\\/]/, "").replace(/\.(safetensors|ckpt|pt)$/i, "");
        return text.replace(/\s+/g, " ");
    }

    const isRandom = (seed) => String(seed).trim() === "" || Number(seed) === -1;

    function isSame(name, was, is, exact) {
        if (was === undefined || was === null || is === undefined || is === null) return true;
        if (name === "Seed" && (isRandom(was) || isRandom(is))) return true;
        // Generation parameters may name the schedule that "Automatic" chose.
        if (name === "Schedule type" && !exact && [was, is].includes("Automatic")) return true;
        return normal(name, was) === normal(name, is);
    }

    /**
     * Names of the fields that differ; one that either side lacks doesn't, nor does seed -1.
     *
     * @param exact both were read from the page.
     */
    const differing = (was, is, exact = false) => NAMES.filter((name) => !isSame(name, was?.[name], is?.[name], exact));

    /** What to tell the user of a layout that no longer fits; empty if it does. */
    function warning(was, is, exact = false) {
        const texts = differing(was, is, exact).map((name) => {
            const which = `another ${CALLED[name]}`;
            return LONG.includes(name) ? which : `${which} (${normal(name, was[name])}, now ${normal(name, is[name])})`;
        });
        if (!texts.length) return "";
        const list = texts.length > 1 ? `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}` : texts[0];
        return `The layout is of ${list}. Press Layout for a new one, or Let go.`;
    }

    /** The fields that a layout hangs on, of many. */
    const only = (fields) => Object.fromEntries(NAMES.filter((name) => fields?.[name] !== undefined).map((name) => [name, fields[name]]));

    /** The id of the layout that generation parameters name, or null. */
    const layoutIdIn = (text) => /OMG layout: "?([\w.-]+)"?/.exec(text ?? "")?.[1] ?? null;

    omg.boardFields = {NAMES, differing, warning, only, layoutIdIn};
})();
