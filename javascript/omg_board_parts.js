// Small pieces of page that the layout board is made of.
(() => {
    const omg = (globalThis.omg ??= {});

    // Drawn on 20 x 20, by lines.
    const ICONS = {
        pick: "M5 3l11 7-5 1 3 5-2 1-3-5-4 4z",
        brush: "M17 3c-4 1-7 4-9 7l2 2c3-2 6-5 7-9zM7.500 11c-2 0-3 1-3 3 0 1-1 2-2 2 4 1.500 7 0 7-3z",
        erase: "M8 16l-5-5 8-8 6 6-7 7zM6.500 7.500l6 6M8 16h9",
        box: "M3 6V3h3M14 3h3v3M17 14v3h-3M6 17H3v-3M9 3h2M9 17h2M3 9v2M17 9v2",
        sam: "M10 2v4M10 14v4M2 10h4M14 10h4M10 9v2M9 10h2M4.500 4.500L7 7M15.500 4.500L13 7M4.500 15.500L7 13M15.500 15.500L13 13",
        swap: "M3 7h13l-3-3M17 13H4l3 3",
        front: "M3 3h9v9H3zM15 8h2v9H8v-2",
        behind: "M12 6V3H3v9h3M8 8h9v9H8z",
        undo: "M7 4L3 8l4 4M3 8h8c3 0 5 2 5 4.500S14 17 11 17H8",
        redo: "M13 4l4 4-4 4M17 8H9c-3 0-5 2-5 4.500S6 17 9 17h3",
        cells: "M3 3h14v14H3zM3 7.700h14M3 12.300h14M7.700 3v14M12.300 3v14",
        pin: "M7 3h6M8 3v5l-3 4h10l-3-4V3M10 12v5",
        wait: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 6v4l3 2",
    };
    const FILLED = ["front", "behind"];

    /** An element; attributes that start with "on" are listeners, `false` and null leave one out. */
    function make(tag, attributes = {}, ...children) {
        const element = document.createElement(tag);
        for (const [name, value] of Object.entries(attributes)) {
            if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
            else if (value === true) element.setAttribute(name, "");
            else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
        }
        element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
        return element;
    }

    /** An icon by name, for the eye alone. */
    function icon(name) {
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        for (const [key, value] of Object.entries({viewBox: "0 0 20 20", class: "omg-b-icon", "aria-hidden": "true"})) svg.setAttribute(key, value);
        const parts = FILLED.includes(name) ? ICONS[name].split(/(?=M)/) : [ICONS[name]];
        parts.forEach((d, index) => {
            const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
            path.setAttribute("d", d);
            const isFilled = FILLED.includes(name) && index === (name === "front" ? 0 : 1);
            if (isFilled) path.setAttribute("fill", "currentColor");
            svg.append(path);
        });
        return svg;
    }

    /** A button of the toolbar: icon and word; `hint` is its title, `keys` the shortcut shown there. */
    function tool(name, word, {hint, keys = "", press, ...attributes}) {
        const title = keys ? `${hint} (${keys})` : hint;
        return make("button", {type: "button", class: "omg-b-tool", title, "aria-label": word, "aria-keyshortcuts": ariaKeys(keys), onclick: press, ...attributes},
            icon(name), make("span", {class: "omg-b-tool-word"}, word));
    }

    const ariaKeys = (keys) => (keys ? keys.split(" or ").map((one) => one.replace("Ctrl", "Control")).join(" ") : null);

    /** A button with words. */
    const button = (word, press, {look = "", ...attributes} = {}) =>
        make("button", {type: "button", class: `omg-b-button ${look}`.trim(), onclick: press, ...attributes}, word);

    /** Set a property or attribute only where it differs, so that nothing is announced or drawn twice. */
    function set(element, name, value) {
        if (name in element) {
            if (element[name] !== value) element[name] = value;
        } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
    }

    const css = (rgb, alpha = 1) => `rgba(${rgb.join(", ")}, ${alpha})`;

    /** Black or white, whichever is read better on a colour. */
    const inkOn = ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue > 150 ? "#111" : "#fff");

    omg.boardParts = {make, icon, tool, button, set, css, inkOn};
})();
