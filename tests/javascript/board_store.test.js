const assert = require("node:assert/strict");
const {test} = require("node:test");
const {told} = require("./tools.js");

const BOXES = [[0, 0, 0.3, 1], [0.5, 0, 1, 1]];
const FIELDS = {Prompt: "two women", Seed: 1, Size: "64x48"};
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
console.warn = () => {}; // what users are told goes there as well

/** A store among fakes: `server` answers calls, `panel` holds values, `page` draws in 20 ms. */
async function world({shelf = {}, values = {}} = {}) {
    const layouts = {l1: await told(BOXES, {owners: [0, 1], fields: FIELDS}), l2: await told(BOXES, {id: "l2", seed: 2, fields: {...FIELDS, Seed: 2}}), ...shelf};
    const panelValues = {
        enabled: false, layout: "", layout_only: false, feather_px: 8, dilation_px: 0, concept1_class_word: "woman", concept2_class_word: "woman",
        ...Object.fromEntries([1, 2].flatMap((n) => [[`concept${n}_mask_source`, "attention"], [`concept${n}_instance`, ""], [`concept${n}_mask`, ""], [`concept${n}_box`, ""], [`concept${n}_depth`, 0]])),
        ...values,
    };
    const made = {sets: [], calls: [], runs: [], fields: {...FIELDS}, failing: {}, info: "", trouble: "", remarks: "", ended: 0, running: false, next: "l2", listeners: [], values: panelValues, layouts};
    const panel = {
        ready: Promise.resolve(), get: () => ({...panelValues}), onChange: (fn) => made.listeners.push(fn),
        async set(changes) {
            if (made.failing.set) throw new Error(made.failing.set);
            made.sets.push(changes);
            Object.assign(panelValues, changes);
            made.listeners.forEach((fn) => fn(changes));
        },
    };
    const page = {
        readFields: () => made.fields, setFields: async (fields) => void Object.assign(made.fields, fields), running: () => made.running,
        info: () => made.info, said: () => `${made.info} ${made.trouble} ${made.ended}`, trouble: () => made.trouble, remarks: () => made.remarks, onUpdate: (fn) => (made.update = fn),
        start() {
            made.runs.push({...panelValues});
            made.running = true;
            setTimeout(() => {
                made.running = false;
                made.ended++;
                made.trouble = made.failing.run ?? "";
                made.info = made.failing.run ? "" : `a picture, OMG layout: ${made.runs.at(-1).layout || made.next}, x`;
            }, 150);
        },
    };
    const list = () => Object.values(layouts).map(({id, name, seed, kept}) => ({id, name, seed, kept, prompt: ""}));
    const server = {
        "layout.get": ({id}) => layouts[id] ?? Promise.reject(new Error(`no layout ${id}`)), "layout.list": list, "layout.latest": () => null,
        "layout.keep": ({id, name, board}) => (Object.assign(layouts[id], {name, board, kept: true, settings: {...panelValues}}), list()),
        "layout.delete": ({id}) => (delete layouts[id], list()),
    };
    const call = async (method, params) => {
        made.calls.push([method, params]);
        if (made.failing[method]) throw new Error(made.failing[method]);
        return server[method](params);
    };
    const store = new omg.boardStore.Store({call, panel, page, concepts: null});
    await store.begin();
    return Object.assign(made, {store, server});
}

const owners = (store) => omg.boardState.contentOf(store.state).owners.slice(0, 2);
const click = (store, instance, slot) => store.act((state) => omg.boardState.clicked(state, instance, slot));

test("what is done on the board is in the panel a little later, once", async () => {
    const {store, sets, values} = await world();
    await store.shelf.use("l1");
    assert.deepEqual([values.layout, values.concept1_instance, values.concept2_instance], ["l1", "0", "1"]);
    sets.length = 0;
    store.swap();
    store.undo();
    store.swap();
    assert.deepEqual(sets, []);
    await wait(400);
    assert.deepEqual(sets, [{concept1_instance: "1", concept2_instance: "0"}]);
    assert.match(store.status.text, /c?woman is woman 2/);
});

test("Layout runs the first pass alone, shows what came, and leaves no switch behind", async () => {
    const world_ = await world();
    const {store, runs, values} = world_;
    await store.shelf.use("l1");
    click(store, 0, 0); // freed
    world_.fields.Seed = "-1";
    await store.runs.pressLayout();
    assert.equal(runs.length, 1);
    assert.deepEqual([runs[0].enabled, runs[0].layout_only, runs[0].layout, runs[0].concept2_instance], [true, true, "", ""]);
    assert.deepEqual([values.layout_only, values.layout, store.state.layout.id, store.busy], [false, "l2", "l2", ""]);
    assert.equal(store.shelf.stale, "", "-1 stands for any seed");
    await store.shelf.use("l1");
    assert.deepEqual(owners(store), [null, 1], "the former board is as it was left");
});

test("a first pass that fails says why and loses nothing", async () => {
    const world_ = await world();
    const {store, values} = world_;
    await store.shelf.use("l1");
    store.swap();
    world_.failing.run = "OMG: 'woman' isn't in the prompt";
    await store.runs.pressLayout();
    assert.deepEqual([store.status.kind, store.status.text], ["error", "OMG: 'woman' isn't in the prompt"]);
    assert.deepEqual(owners(store), [1, 0]);
    assert.deepEqual([values.layout, values.layout_only, values.concept1_instance, store.busy], ["l1", false, "1", ""]);
});

test("Generate writes the board first; on another seed it isn't begun", async () => {
    const world_ = await world();
    const {store, runs} = world_;
    await store.shelf.use("l1");
    store.swap();
    await store.runs.pressGenerate();
    assert.deepEqual([runs[0].layout, runs[0].enabled, runs[0].concept1_instance], ["l1", true, "1"]);
    world_.fields.Seed = 5;
    await store.runs.pressGenerate();
    assert.equal(runs.length, 1);
    assert.match(store.status.text, /another seed \(1, now 5\)/);
    await store.shelf.putBack();
    assert.equal(world_.fields.Seed, 1);
    assert.equal(store.shelf.stale, "");
});

test("Generate twice gives the same words; what the run remarks is told", async () => {
    const world_ = await world();
    const {store, runs} = world_;
    await store.shelf.use("l1");
    await store.runs.pressGenerate();
    assert.match(store.status.text, /^Drawn\. Change/);
    world_.remarks = "OMG: one of them belongs to no concept";
    await store.runs.pressGenerate();
    assert.deepEqual([store.status.kind, store.status.text, runs.length], ["", "Drawn. OMG: one of them belongs to no concept", 2]);
    world_.failing.run = "out of memory";
    await store.runs.pressGenerate();
    assert.deepEqual([store.status.kind, store.status.text], ["error", "out of memory"]);
});

test("while txt2img draws, nothing is begun", async () => {
    const world_ = await world();
    await world_.store.shelf.use("l1");
    world_.running = true;
    await world_.store.runs.pressLayout();
    await world_.store.runs.pressGenerate();
    assert.deepEqual(world_.runs, []);
    assert.match(world_.store.status.text, /drawing already/);
});

test("letting go empties what the board wrote", async () => {
    const {store, values} = await world();
    await store.shelf.use("l1");
    store.act((state) => omg.boardState.boxed(state, 0, [0, 0, 0.5, 0.5]));
    await store.write();
    assert.equal(values.concept1_mask_source, "box");
    await store.shelf.letGo();
    assert.deepEqual([values.layout, values.concept1_mask_source, values.concept1_box, values.concept2_instance], ["", "attention", "", ""]);
    assert.equal(store.state.layout, null);
});

test("a layout that can't be had leaves the board as it is", async () => {
    const {store} = await world();
    await store.shelf.use("l1");
    store.swap();
    assert.equal(await store.shelf.use("gone"), null);
    assert.deepEqual([store.state.layout.id, ...owners(store), store.status.text], ["l1", 1, 0, "no layout gone"]);
});

test("of two layouts asked for at once the later is shown", async () => {
    const {store, server} = await world();
    const get = server["layout.get"];
    server["layout.get"] = async ({id}) => (await wait(id === "l1" ? 60 : 5), get({id}));
    await Promise.all([store.shelf.use("l1"), store.shelf.use("l2")]);
    assert.equal(store.state.layout.id, "l2");
});

test("the panel is followed: a layout pasted, an instance changed, the layout taken out", async () => {
    const {store, values, listeners} = await world();
    const paste = async (changes) => {
        Object.assign(values, changes);
        listeners.forEach((fn) => fn(changes));
        await wait(350);
    };
    await paste({layout: "l2", concept1_instance: "1"});
    assert.deepEqual([store.state.layout.id, store.adopted, ...owners(store)], ["l2", true, 1, null]);
    await paste({concept2_instance: "0"});
    assert.deepEqual(owners(store), [1, 0]);
    assert.deepEqual(owners({state: omg.boardState.undone(store.state)}), [1, null], "and it can be undone");
    await paste({layout: ""});
    assert.deepEqual([store.adopted, store.state.layout.id], [false, "l2"]);
});

test("a picture of another layout shows it; it is used only if one was in use", async () => {
    const world_ = await world();
    const {store, values} = world_;
    world_.info = "OMG layout: l1, x";
    await world_.update();
    assert.deepEqual([store.state.layout.id, store.adopted, values.layout], ["l1", false, ""]);
    click(store, 1, 0);
    await wait(300);
    assert.deepEqual([store.adopted, values.layout, values.concept1_instance], [true, "l1", "1"]);
});

test("a kept layout brings its settings and fields, and all can be taken back", async () => {
    const world_ = await world();
    const {store, values} = world_;
    await store.shelf.use("l2");
    click(store, 1, 0);
    await store.shelf.keep("mine");
    values.concept1_class_word = "dog";
    Object.assign(world_.fields, {Prompt: "something else", Seed: 9});
    await store.shelf.use("l1");
    world_.layouts.l2.owners = [];
    store.shelf.boards.clear(); // as after a restart
    await store.shelf.recall("l2");
    assert.deepEqual([values.layout, values.concept1_class_word, values.concept1_instance], ["l2", "woman", "1"]);
    assert.deepEqual([world_.fields.Prompt, world_.fields.Seed], ["two women", 2]);
    assert.equal(store.shelf.stale, "");
    await store.shelf.notice.actions[0].run();
    assert.deepEqual([values.layout, values.concept1_class_word, store.state.layout.id], ["l1", "dog", "l1"]);
    assert.deepEqual([world_.fields.Prompt, world_.fields.Seed], ["something else", 9]);
});

test("a LoRA that is gone is told, and all else of a kept layout comes", async () => {
    const world_ = await world();
    const {store, values} = world_;
    Object.assign(values, {concept1_lora: "None", feather_px: 3});
    await store.shelf.use("l2");
    click(store, 1, 0);
    await store.shelf.keep("mine");
    Object.assign(world_.layouts.l2.settings, {concept1_lora: "gone"});
    values.feather_px = 8;
    const {set} = store.env.panel;
    store.env.panel.set = async (changes) => {
        if (changes.concept1_lora === "gone") throw new Error("Concept 1 LoRA: found gone");
        return set(changes);
    };
    await store.shelf.use("l1");
    await store.shelf.recall("l2");
    assert.deepEqual([store.status.kind, store.status.text], ["error", "Concept 1 LoRA: found gone"]);
    assert.deepEqual([values.feather_px, values.layout, values.concept1_instance], [3, "l2", "1"]);
});

test("errors of the channel are told, and the name that was typed isn't needed again", async () => {
    const world_ = await world();
    const {store} = world_;
    await store.shelf.use("l1");
    world_.failing["layout.keep"] = "name: expected a name without slashes";
    assert.equal(await store.shelf.keep("a/b"), null);
    assert.deepEqual([store.status.kind, store.status.text], ["error", "name: expected a name without slashes"]);
    world_.failing.set = "the panel doesn't answer";
    store.swap();
    await store.writes;
    await store.write();
    assert.equal(store.status.text, "the panel doesn't answer");
    assert.deepEqual(owners(store), [1, 0]);
    world_.failing = {};
    await store.write();
    assert.equal(world_.values.concept1_instance, "1");
});

test("SAM: clicks gather; a reply that came too late is dropped; an error keeps the region", async () => {
    const world_ = await world();
    const {store, server} = world_;
    await store.shelf.use("l1");
    const mask = await omg.masks.pack(omg.masks.fromBox(48, 64, [0.5, 0, 1, 1]));
    server["sam.click"] = () => ({mask});
    await store.clickSam([0.7, 0.5, 1]);
    await store.clickSam([0.2, 0.5, 0]);
    assert.deepEqual(world_.calls.at(-1), ["sam.click", {id: "l1", points: [[0.7, 0.5, 1], [0.2, 0.5, 0]], box: null}]);
    const before = store.state;
    world_.failing["sam.click"] = "SAM: no checkpoint";
    await store.clickSam([0.1, 0.1, 1]);
    assert.equal(store.state, before);
    assert.equal(store.status.text, "SAM: no checkpoint");
    world_.failing = {};
    server["sam.click"] = async () => (await wait(30), {mask});
    const late = store.clickSam([0.1, 0.1, 1]);
    store.undo();
    const undone = store.state;
    await late;
    assert.equal(store.state, undone);
});

test("masks at latent size are asked for once a content", async () => {
    const world_ = await world();
    const {store, server, calls} = world_;
    await store.shelf.use("l1");
    server["masks.final"] = () => ({size: [6, 8], masks: ["data:a", "data:b"]});
    await store.askFinal();
    await store.askFinal();
    assert.equal(calls.filter(([method]) => method === "masks.final").length, 1);
    assert.deepEqual([store.final.masks, store.final.slots, store.final.text], [["data:a", "data:b"], [0, 1], "The masks as they are used: 8 x 6 cells"]);
    store.swap();
    await store.askFinal();
    assert.deepEqual(calls.at(-1)[1].concepts.map(({instance}) => instance), [1, 0]);
});
