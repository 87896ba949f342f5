// The channel and the panel's values, with gradio played by hand.
const {test} = require("node:test");
const assert = require("node:assert/strict");

require("../../javascript/omg_channel.js");
const {channel, panel, txt2img} = globalThis.omg;

const soon = () => new Promise((resolve) => setTimeout(resolve, 1));

// ---- calls

/** A channel whose presses are written down; `hear(lane)` is gradio asking for what to send. */
function calls(lanes = 2) {
    const pressed = [];
    const made = channel.makeChannel((lane) => pressed.push(lane), lanes);
    return {...made, pressed, hear: (lane) => JSON.parse(made.take(lane))};
}

const result = (id, value) => JSON.stringify({id, result: value});

test("a call's reply is its result", async () => {
    const {call, hear, receive, pressed} = calls();
    const called = call("cards.list", {refresh: true});
    assert.deepEqual(pressed, [0]);
    const {id, ...rest} = hear(0);
    assert.deepEqual(rest, {method: "cards.list", params: {refresh: true}});
    assert.deepEqual(receive(0, result(id, [1, 2])), [], "gradio wants a list");
    assert.deepEqual(await called, [1, 2]);
});

test("an error is told in its own words", async () => {
    const {call, hear, receive} = calls();
    const called = call("layout.get", {id: "x"});
    receive(0, JSON.stringify({id: hear(0).id, error: "There is no layout 'x'."}));
    await assert.rejects(called, {message: "There is no layout 'x'."});
});

test("null and false are results", async () => {
    const {call, hear, receive} = calls();
    for (const value of [null, false, 0]) {
        const called = call("layout.latest");
        receive(0, result(hear(0).id, value));
        assert.equal(await called, value);
    }
});

test("as many calls at once as there are lanes; the others wait their turn, and replies may cross", async () => {
    const {call, hear, receive, pressed} = calls(2);
    const made = [1, 2, 3].map((n) => call("m", {n}));
    const [first, second] = [hear(0), hear(1)];
    assert.deepEqual([first.params.n, second.params.n], [1, 2]);
    assert.deepEqual(pressed, [0, 1], "the third waits");
    receive(1, result(second.id, "two"));
    assert.equal(await made[1], "two");
    const third = hear(1);
    assert.equal(third.params.n, 3);
    receive(0, result(first.id, "one"));
    receive(1, result(third.id, "three"));
    assert.deepEqual(await Promise.all(made), ["one", "two", "three"]);
});

for (const [what, text] of [["no", ""], ["a broken", "{"], ["another call's", result(77, 1)], ["an empty", "null"]]) {
    test(`${what} reply fails the call, and the lane is free again`, async () => {
        const {call, hear, receive} = calls(1);
        const lost = call("m");
        const next = call("n");
        hear(0);
        receive(0, text);
        await assert.rejects(lost, /no answer/);
        receive(0, result(hear(0).id, "well"));
        assert.equal(await next, "well");
    });
}

test("a page that isn't drawn yet is pressed again; a reply nobody asked for is nothing", async (t) => {
    t.mock.timers.enable({apis: ["setTimeout", "Date"]});
    const {call, take, receive, pressed} = calls(1);
    assert.equal(take(0), "", "nothing to send");
    call("m");
    receive(0, result(1, "early"));
    t.mock.timers.tick(250);
    t.mock.timers.tick(250);
    assert.equal(pressed.length, 3);
    assert.notEqual(take(0), "", "the call still waits");
    t.mock.timers.tick(1000);
    assert.equal(pressed.length, 3, "once heard, never pressed again");
});

test("a page that never hears is given up", async (t) => {
    t.mock.timers.enable({apis: ["setTimeout", "Date"]});
    const {call} = calls(1);
    const lost = assert.rejects(call("m"), /reload the page/);
    for (let passed = 0; passed < 61_000; passed += 250) t.mock.timers.tick(250);
    await lost;
});

// ---- values

const DESCRIBED = [
    {name: "enabled", label: "OMG", kind: "flag"},
    {name: "concept1_weight", label: "Concept 1 weight", kind: "number", minimum: -2, maximum: 2, whole: false},
    {name: "concept1_depth", label: "Concept 1 depth", kind: "number", minimum: null, maximum: null, whole: true},
    {name: "concept1_lora", label: "Concept 1 LoRA", kind: "choice", choices: ["None", "ida"], free: true},
    {name: "view", label: "View", kind: "choice", choices: ["whole", "crop"], free: false},
    {name: "find_by", label: "Find by", kind: "choices", choices: ["attention", "OWL-ViT"], free: false},
    {name: "concept1_mask_picture", label: "Mask", kind: "picture"},
    {name: "concept1_mask", label: "Mask text", kind: "text"},
];
const START = {enabled: false, concept1_weight: 1, concept1_depth: 0, concept1_lora: "None", view: "whole", find_by: ["attention"], concept1_mask: ""};

/** A panel as gradio plays it: a press asks for updates, and the inputs tell of what they got. */
function inputs({deaf = false} = {}) {
    const held = {...START};
    const landed = [];
    let updates = [];
    const apply = () => {
        updates = made.take();
        DESCRIBED.forEach(({name}, at) => {
            if (!("value" in updates[at])) return;
            held[name] = updates[at].value;
            if (name in START) made.changed(name, held[name]);
        });
    };
    const made = panel.makePanel(() => deaf || apply(), (names) => landed.push(...names));
    made.read(DESCRIBED, Object.values(START));
    return {...made, apply, held, landed, updates: () => updates};
}

test("everything is told at the start", async () => {
    const made = panel.makePanel(() => {});
    const heard = [];
    made.onChange((changes) => heard.push(changes));
    assert.deepEqual(made.read(DESCRIBED, Object.values(START)), []);
    await made.ready;
    await soon();
    assert.deepEqual(heard, [START]);
    assert.deepEqual(made.get(), START);
    assert.equal(made.inputs().get("view").label, "View");
});

test("what is set is there at once, lands in its inputs, and leaves the others alone", async () => {
    const {set, get, held, updates} = inputs({});
    const done = set({concept1_weight: 0.8, concept1_lora: "rex"});
    assert.equal(get().concept1_weight, 0.8);
    await done;
    assert.deepEqual(held, {...START, concept1_weight: 0.8, concept1_lora: "rex"});
    assert.equal(updates().length, DESCRIBED.length);
    assert.equal(updates().filter((update) => "value" in update).length, 2);
    assert.ok(updates().every((update) => update.__type__ === "update"));
});

test("a change is told once, whoever made it", async () => {
    const {set, changed, onChange} = inputs();
    await soon();
    const heard = [];
    const stop = onChange((changes) => heard.push(changes));
    await set({enabled: true});
    await soon();
    assert.deepEqual(heard, [{enabled: true}], "not again when the input tells of it");
    changed("view", "crop");
    changed("concept1_depth", 3);
    changed("enabled", true);
    await soon();
    assert.deepEqual(heard.slice(1), [{view: "crop", concept1_depth: 3}], "together, without what is as it was");
    stop();
    changed("view", "whole");
    await soon();
    assert.equal(heard.length, 2);
});

test("a value on its way wins over what its input still tells", async () => {
    const {set, changed, get, apply} = inputs({deaf: true});
    const done = set({concept1_lora: "mia"});
    changed("concept1_lora", "ida");
    assert.equal(get().concept1_lora, "mia");
    const later = set({concept1_lora: "eva", enabled: true});
    apply();
    await Promise.all([done, later]);
    assert.equal(get().concept1_lora, "eva");
    changed("concept1_lora", "ida");
    assert.equal(get().concept1_lora, "ida", "landed: now the input is right");
});

test("typing is sent when it pauses, or when somebody waits for it", async (t) => {
    const {set, settled, held, get} = inputs();
    set({concept1_lora: "i"}, {soon: true});
    set({concept1_lora: "id"}, {soon: true});
    assert.equal(get().concept1_lora, "id");
    assert.equal(held.concept1_lora, "None");
    await settled();
    assert.equal(held.concept1_lora, "id");
    t.mock.timers.enable({apis: ["setTimeout"]});
    set({concept1_lora: "ida"}, {soon: true});
    t.mock.timers.tick(249);
    assert.equal(held.concept1_lora, "id");
    t.mock.timers.tick(1);
    assert.equal(held.concept1_lora, "ida");
});

test("setting what is so already presses nothing", async () => {
    let presses = 0;
    const made = panel.makePanel(() => presses++);
    made.read(DESCRIBED, Object.values(START));
    await made.set({enabled: false, find_by: ["attention"]});
    assert.equal(presses, 0);
});

test("a mask's canvas is emptied with its text, also when the text is the same", async () => {
    const {set, held, landed} = inputs();
    held.concept1_mask_picture = "strokes";
    await set({concept1_mask: ""});
    assert.equal(held.concept1_mask_picture, null);
    assert.deepEqual(landed, ["concept1_mask"], "to be drawn anew");
});

test("set before the first values waits for them", async () => {
    const made = panel.makePanel(() => made.take());
    const done = made.set({enabled: true});
    made.read(DESCRIBED, Object.values(START));
    await done;
    assert.equal(made.get().enabled, true);
});

const WRONG = [
    [{nobody: 1}, /nobody.*name of an input/],
    [{enabled: 1}, /enabled.*true or false, found 1/],
    [{concept1_weight: "1"}, /a number from -2 to 2, found "1"/],
    [{concept1_weight: 2.5}, /from -2 to 2, found 2.5/],
    [{concept1_weight: NaN}, /expected a number/],
    [{concept1_depth: 0.5}, /a whole number, found 0.5/],
    [{concept1_lora: null}, /a text, found null/],
    [{view: "sideways"}, /one of whole, crop, found "sideways"/],
    [{find_by: "attention"}, /a list of attention, OWL-ViT/],
    [{find_by: ["magic"]}, /a list of attention, OWL-ViT, found \["magic"\]/],
    [{concept1_mask_picture: "x"}, /"concept1_mask" to be set/],
    [{concept1_mask: undefined}, /a text, found undefined/],
];
for (const [values, message] of WRONG) {
    test(`refused, and nothing of it set: ${message}`, async () => {
        const {set, get, held} = inputs();
        await assert.rejects(set({view: "crop", ...values}), message);
        await soon();
        assert.deepEqual(get(), START);
        assert.deepEqual(held, START);
    });
}

test("a listener that fails keeps nobody from hearing", async (t) => {
    t.mock.method(console, "error", () => {});
    const {set, onChange} = inputs();
    const heard = [];
    onChange(() => {
        throw new Error("broken");
    });
    onChange((changes) => heard.push(changes));
    await set({enabled: true});
    assert.deepEqual(heard[0], {enabled: true});
    assert.equal(console.error.mock.callCount() > 0, true);
});

test("a page that never applies fails the change and takes it back", async (t) => {
    t.mock.timers.enable({apis: ["setTimeout", "Date"]});
    const {set, get} = inputs({deaf: true});
    const lost = assert.rejects(set({enabled: true}), /reload the page/);
    for (let passed = 0; passed < 61_000; passed += 250) t.mock.timers.tick(250);
    await lost;
    assert.equal(get().enabled, false);
});

// ---- txt2img's own inputs

test("a model's name as generation parameters have it", () => {
    const names = {"toy.safetensors [0123abcdef]": "toy", "some/folder/a b.ckpt": "a b", "a\\b.c.safetensors": "b.c", plain: "plain"};
    for (const [title, name] of Object.entries(names)) assert.equal(txt2img.modelName(title), name);
});

test("a number outside its input's bounds is refused", () => {
    const width = {min: "64", max: "2048"};
    assert.equal(txt2img.refused(width, 512), "");
    assert.match(txt2img.refused(width, 4096), /64 to 2048, found 4096/);
    assert.match(txt2img.refused({min: "", max: ""}, NaN), /a number/);
    assert.match(txt2img.refused(null, 1), /no such input/);
});
