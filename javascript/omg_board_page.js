// The txt2img tab as the layout board uses it: its fields, its runs, and what they say.
(() => {
    const omg = (globalThis.omg ??= {});
    const app = () => (typeof globalThis.gradioApp === "function" ? globalThis.gradioApp() : document);
    const find = (selector) => app().querySelector(selector);
    const text = (selector) => find(selector)?.textContent.trim() ?? "";
    const isShown = (selector) => find(selector)?.style.display === "block";

    const INPUTS = {
        Prompt: "#txt2img_prompt textarea",
        "Negative prompt": "#txt2img_neg_prompt textarea",
        Seed: "#txt2img_seed input",
        Width: "#txt2img_width input",
        Height: "#txt2img_height input",
        Steps: "#txt2img_steps input",
        "CFG scale": "#txt2img_cfg_scale input",
        Sampler: "#txt2img_sampling input",
        "Schedule type": "#txt2img_scheduler input",
        Model: "#setting_sd_model_checkpoint input",
    };
    const LISTS = ["Sampler", "Schedule type", "Model"];

    /** The fields that the page shows now, by the names of generation parameters; those it doesn't have are left out. */
    function readFields() {
        if (omg.txt2img?.get) return omg.txt2img.get();
        const values = {};
        for (const [name, selector] of Object.entries(INPUTS)) {
            const input = find(selector);
            if (input) values[name] = input.value;
        }
        const {Width, Height, ...fields} = values;
        return Width && Height ? {...fields, Size: `${Width}x${Height}`} : fields;
    }

    /** Write fields into the page. Resolves to {name: why} of those that it didn't take. */
    async function setFields(fields) {
        if (omg.txt2img?.set) return (await omg.txt2img.set(fields))?.left ?? {};
        const [, Width, Height] = /^(\d+)x(\d+)$/.exec(fields.Size ?? "") ?? [];
        const left = {};
        for (const [name, value] of Object.entries({...fields, Width, Height})) {
            if (value === undefined || value === null || name === "Size") continue;
            const input = LISTS.includes(name) ? null : find(INPUTS[name]);
            if (!input) {
                left[name] = "it has to be chosen by hand";
                continue;
            }
            input.value = String(value);
            input.dispatchEvent(new Event("input", {bubbles: true}));
        }
        return left;
    }

    /** Press txt2img's own Generate. */
    function start() {
        const button = find("#txt2img_generate");
        if (!button) throw new Error("This page has no Generate button of txt2img.");
        button.click();
    }

    /** Whether txt2img is drawing. */
    const running = () => isShown("#txt2img_interrupt") || isShown("#txt2img_interrupting");

    /** The generation parameters under the pictures. */
    const info = () => text("#html_info_txt2img");

    /** All that is said under the pictures, times included: another text after another run. */
    const said = () => `${info()}\n${text("#html_log_txt2img")}`;

    /** Why the last run failed; empty if it didn't. */
    const trouble = () => text("#html_log_txt2img .error");

    /** What the last run remarked; empty if nothing. */
    const remarks = () => text("#html_log_txt2img .comments");

    /** Call `fn` when the page has changed. */
    function onUpdate(fn) {
        omg.txt2img?.onChange?.(() => fn());
        if (typeof globalThis.onAfterUiUpdate === "function") {
            globalThis.onAfterUiUpdate(fn);
            return;
        }
        let waiting = null;
        const observer = new MutationObserver(() => {
            clearTimeout(waiting);
            waiting = setTimeout(fn, 200);
        });
        observer.observe(document.body, {childList: true, subtree: true, characterData: true});
    }

    omg.boardPage = {readFields, setFields, start, running, info, said, trouble, remarks, onUpdate};
})();
