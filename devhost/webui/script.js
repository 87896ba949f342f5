// The page's side of devhost: the functions of the WebUI's page that extensions call, in our own words.

/** Where the page's elements are. */
function gradioApp() {
    const app = document.querySelector("gradio-app");
    if (!app) return document;
    app.getElementById = (id) => document.getElementById(id);
    return app.shadowRoot ?? app;
}

function get_uiCurrentTab() {
    return gradioApp().querySelector("#tabs > .tab-nav > button.selected");
}

function get_uiCurrentTabContent() {
    const tabs = [...gradioApp().querySelectorAll('#tabs > .tabitem[id^="tab_"]')];
    return tabs.find((tab) => tab.style.display !== "none") ?? null;
}

const pageCallbacks = { loaded: [], update: [], afterUpdate: [], tabChange: [] };

function onUiLoaded(callback) {
    pageCallbacks.loaded.push(callback);
}

function onUiUpdate(callback) {
    pageCallbacks.update.push(callback);
}

function onAfterUiUpdate(callback) {
    pageCallbacks.afterUpdate.push(callback);
}

function onUiTabChange(callback) {
    pageCallbacks.tabChange.push(callback);
}

function runCallbacks(callbacks, ...args) {
    for (const callback of callbacks) {
        try {
            callback(...args);
        } catch (error) {
            console.error("a callback of the page failed:", error);
        }
    }
}

document.addEventListener("DOMContentLoaded", () => {
    let loaded = false;
    let shownTab = null;
    let timer = 0;
    new MutationObserver((changes) => {
        if (!loaded && gradioApp().querySelector("#txt2img_prompt")) {
            loaded = true;
            runCallbacks(pageCallbacks.loaded);
        }
        runCallbacks(pageCallbacks.update, changes);
        clearTimeout(timer);
        timer = setTimeout(() => runCallbacks(pageCallbacks.afterUpdate), 200);
        const tab = get_uiCurrentTab();
        if (tab && tab !== shownTab) {
            shownTab = tab;
            runCallbacks(pageCallbacks.tabChange);
        }
    }).observe(gradioApp(), { childList: true, subtree: true });
});

/** Tell gradio that an input's value was changed by a script. */
function updateInput(target) {
    target.dispatchEvent(new Event("input", { bubbles: true }));
}

function switch_to_txt2img(...values) {
    gradioApp().querySelector("#tabs > .tab-nav > button").click();
    return values;
}

function showSubmitButtons(tab, ready) {
    for (const name of ["interrupt", "skip"]) {
        gradioApp().getElementById(`${tab}_${name}`).style.display = ready ? "none" : "block";
    }
}

/** Before Generate: names the job. */
function submit(_task, ...values) {
    showSubmitButtons("txt2img", false);
    return [`task(${Math.random().toString(36).slice(2)})`, ...values];
}

/** The accordion follows its checkbox; called when Python sets it. */
function inputAccordionChecked(id, checked) {
    const box = gradioApp().getElementById(`${id}-visible-checkbox`);
    if (!box || box.checked === checked) return;
    box.checked = checked;
    updateInput(box);
}

/** An accordion with a checkbox in its label: opening ticks it; once clicked itself, the two go their own ways. */
function setUpInputAccordion(accordion) {
    const label = accordion.querySelector(".label-wrap");
    const hidden = gradioApp().querySelector(`#${accordion.id}-checkbox input`);
    const isOpen = () => label.classList.contains("open");
    const box = Object.assign(document.createElement("input"), {
        type: "checkbox", id: `${accordion.id}-visible-checkbox`, className: hidden.className, checked: isOpen(),
    });
    let together = true;
    const follow = () => {
        if (together && isOpen() !== box.checked) label.click();
        if (hidden.checked === box.checked) return;
        hidden.checked = box.checked;
        hidden.dispatchEvent(new Event("change", { bubbles: true }));
        updateInput(hidden);
    };
    box.addEventListener("click", (event) => {
        together = false;
        event.stopPropagation();
    });
    box.addEventListener("input", follow);
    label.querySelector("span").prepend(box, " ");
    new MutationObserver(() => {
        if (!together) return;
        box.checked = isOpen();
        follow();
    }).observe(label, { attributes: true, attributeFilter: ["class"] });
}

onUiLoaded(() => gradioApp().querySelectorAll(".input-accordion").forEach(setUpInputAccordion));
