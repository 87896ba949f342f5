// The layout board in a real browser, without a WebUI: harness/board.html has a fake server, panel and txt2img.
//
//   node tests/browser/harness/board_standalone.mjs
//   OMG_PLAYWRIGHT   folder of playwright-core (.cache/playwright of the repository, which `make browser` fills)
//   OMG_CHROMIUM     the browser (chromium, chromium-browser or google-chrome on the PATH)
//   OMG_SHOTS        folder for screenshots (a new one under /tmp)
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PLAYWRIGHT = process.env.OMG_PLAYWRIGHT ?? resolve(HERE, "../../../.cache/playwright/node_modules/playwright-core");
const SHOTS = process.env.OMG_SHOTS ?? mkdtempSync(join(tmpdir(), "omg-shots-"));
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const WRITTEN_MS = 450; // the board writes to the panel a fifth of a second after the last change
// In harness/layouts.js: where the first layout's women are, in fractions.
const [LEFT, RIGHT] = [[0.52, 0.63], [0.75, 0.6]];

function browserPath() {
  const places = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)));
  return process.env.OMG_CHROMIUM ?? places.find(existsSync);
}

function skip(reason) {
  console.error(`*** SKIPPED: board_standalone.mjs: ${reason} ***`);
  process.exit(process.env.CI ? 1 : 0);
}

// --- the board --------------------------------------------------------------------------------------------------------

const canvas = (page, board = 0) => page.locator(`#board${board} canvas`);

async function place(page, [x, y], board = 0) {
  const box = await canvas(page, board).boundingBox();
  return [box.x + x * box.width, box.y + y * box.height];
}

const click = async (page, at, options = {}) => page.mouse.click(...(await place(page, at)), options);

async function drag(page, from, to, options = {}) {
  await page.mouse.move(...(await place(page, from)));
  await page.mouse.down(options);
  await page.mouse.move(...(await place(page, to)), { steps: 8 });
  await page.mouse.up(options);
}

const tool = (page, name) => page.click(`#board0 [data-tool=${name}]`);
const status = (page) => page.locator("#board0 [role=status]").innerText();
const shown = (page, text) => page.locator("#board0 [role=status]").filter({ hasText: text }).waitFor({ timeout: 5000 });
const owners = (page) => page.evaluate(() => omg.boardState.contentOf(omg.board.state).owners.slice(0, 3));
const values = (page, ...names) => page.evaluate((all) => all.map((name) => fakes.values[name]), names);
const press = (page, word) => page.locator("#board0 .omg-b-head button", { hasText: word }).click();

/** Colour of the canvas at a point: [red, green, blue]. */
const colour = (page, [x, y]) =>
  page.evaluate(([fx, fy]) => {
    const one = document.querySelector("#board0 canvas");
    return [...one.getContext("2d").getImageData(Math.floor(fx * one.width), Math.floor(fy * one.height), 1, 1).data].slice(0, 3);
  }, [x, y]);

async function settle(page) {
  await page.waitForTimeout(WRITTEN_MS);
}

// --- tests ------------------------------------------------------------------------------------------------------------

const tests = {
  async "click swaps two women, within a tenth of a second"(page) {
    assert.deepEqual(await owners(page), [0, 1, null]);
    const before = await colour(page, [0.5, 0.6]);
    const times = [];
    for (let round = 0; round < 21; round++) {
      await click(page, round % 2 ? LEFT : RIGHT);
      await page.waitForTimeout(60);
      times.push(await page.evaluate(() => performance.getEntriesByName("omg-board-click").at(-1).duration));
    }
    assert.deepEqual(await owners(page), [1, 0, null], "an odd number of swaps");
    const after = await colour(page, [0.5, 0.6]);
    assert.ok(after[2] - before[2] > 20 && before[0] - after[0] > 20, `the left woman turns from red to blue: ${before} ${after}`);
    await settle(page);
    assert.deepEqual(await values(page, "concept1_instance", "concept2_instance", "layout"), ["1", "0", "a1"]);
    times.sort((a, b) => a - b);
    console.log(`click to painted frame: median ${times[10].toFixed(1)} ms, slowest of 21 ${times[20].toFixed(1)} ms`);
  },

  async "click again frees; who is free is said"(page) {
    await click(page, LEFT);
    await shown(page, "ida is free");
    assert.match(await page.locator("#board0 .omg-b-chip").first().innerText(), /found automatically/);
    await settle(page);
    assert.deepEqual(await values(page, "concept1_instance", "concept1_mask_source"), ["", "attention"]);
  },

  async "brush, undo, redo, erase by the right button"(page) {
    await tool(page, "brush");
    await drag(page, [0.1, 0.3], [0.3, 0.3]);
    await settle(page);
    const [source, mask] = await values(page, "concept1_mask_source", "concept1_mask");
    assert.deepEqual([source, mask.slice(0, 13)], ["painted", "bits:128x192:"]);
    const covered = (x, y) => page.evaluate(async ([fx, fy]) => omg.masks.at(await omg.masks.unpack(fakes.values.concept1_mask), fx, fy), [x, y]);
    assert.deepEqual([await covered(0.2, 0.3), await covered(...LEFT), await covered(0.2, 0.6)], [true, true, false]);
    await page.keyboard.press("Control+z");
    await settle(page);
    assert.deepEqual(await values(page, "concept1_mask_source", "concept1_mask", "concept1_instance"), ["attention", "", "0"]);
    await page.keyboard.press("Control+Shift+Z");
    await drag(page, [0.1, 0.3], [0.2, 0.3], { button: "right" });
    await settle(page);
    assert.deepEqual([await covered(0.12, 0.3), await covered(0.29, 0.3)], [false, true]);
    const size = () => page.inputValue("#board0 input[type=range]");
    const before = Number(await size());
    await page.keyboard.press("]");
    assert.ok(Number(await size()) > before);
    await page.keyboard.press("[");
    assert.equal(Number(await size()), before);
  },

  async "box"(page) {
    await tool(page, "box");
    await drag(page, [0.5, 0.9], [0.1, 0.25]);
    await settle(page);
    const [source, text] = await values(page, "concept1_mask_source", "concept1_box");
    assert.equal(source, "box");
    text.split(", ").map(Number).forEach((side, at) => assert.ok(Math.abs(side - [0.1, 0.25, 0.5, 0.9][at]) < 0.01, text));
    await page.locator("#board0 [aria-label=Undo]").click();
    assert.deepEqual(await owners(page), [0, 1, null]);
  },

  async "the masks as they are used, in squares"(page) {
    await page.keyboard.press("m"); // keys act once the board has the focus
    assert.equal(await page.locator("#board0 .omg-b-caption").isVisible(), false);
    await page.click("#board0 [aria-label=Masks]");
    await page.locator("#board0 .omg-b-caption", { hasText: "24 x 16 cells" }).waitFor();
    await page.waitForTimeout(200);
    // Two points of one cell, far from its edges, are of one colour where the picture below is: sky.
    const asked = await page.evaluate(() => fakes.calls.find(({ method }) => method === "masks.final").params);
    assert.deepEqual(asked.concepts.map(({ instance, mask_source }) => [instance, mask_source]), [[0, "attention"], [1, "attention"]]);
    const [red] = await colour(page, [0.52, 0.75]);
    assert.ok(red > 120, `the left woman's cells are red: ${red}`);
    await page.keyboard.press("m");
    await page.locator("#board0 .omg-b-caption").waitFor({ state: "hidden" });
  },

  async "keys alone: look, give, choose, swap, depth, leave"(page) {
    await page.locator("#board0 [aria-label=Masks]").focus();
    await page.keyboard.press("Tab");
    assert.match(await status(page), /^woman 1: ida\. Enter/);
    await page.keyboard.press("ArrowRight");
    assert.match(await status(page), /^woman 2: eva/);
    await page.keyboard.press("Enter");
    assert.deepEqual(await owners(page), [1, 0, null]);
    await page.keyboard.press("2");
    await page.keyboard.press("f");
    assert.match(await status(page), /In front eva, then ida/);
    await page.keyboard.press("s");
    assert.deepEqual(await owners(page), [0, 1, null]);
    const focused = () => page.evaluate(() => document.activeElement.tagName);
    assert.equal(await focused(), "CANVAS");
    await page.keyboard.press("Tab");
    assert.notEqual(await focused(), "CANVAS", "the picture is no trap");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Escape");
    assert.equal(await focused(), "BODY");
  },

  async "drag one onto another; Alt+click looks beneath"(page) {
    await page.mouse.move(...(await place(page, LEFT)));
    await page.mouse.down();
    await page.mouse.move(...(await place(page, RIGHT)), { steps: 6 });
    await page.waitForTimeout(50);
    await canvas(page).screenshot({ path: join(SHOTS, "drag.png") });
    await page.mouse.up();
    assert.deepEqual(await owners(page), [1, 0, null]);
    await page.click("[data-id=b1]");
    await page.locator("#board0 .omg-b-chip").nth(2).waitFor();
    const spot = [0.61, 0.77]; // the dog's tail lies over the woman
    const there = await page.evaluate((at) => omg.boardState.instancesAt(omg.board.state, ...at), spot);
    assert.deepEqual(there, [2, 1]);
    await page.keyboard.down("Alt");
    await click(page, spot);
    await page.keyboard.up("Alt");
    assert.match(await status(page), /^woman: ida\./);
    assert.deepEqual(await owners(page), [0, 1, 2], "looking changes nothing");
    await click(page, spot);
    assert.deepEqual(await owners(page), [1, 0, 2], "the next click is for the one beneath");
  },

  async "Layout, then Generate"(page) {
    await page.evaluate(() => (document.querySelector("#txt2img_seed input").value = "-1"));
    await press(page, "Layout");
    assert.equal(await page.locator("#board0 .omg-b-head button", { hasText: "Generate" }).isDisabled(), true);
    await page.waitForFunction(() => omg.board.state.layout?.id === "a3");
    await page.waitForFunction(() => !omg.board.store.busy);
    assert.deepEqual(await page.evaluate(() => fakes.runs.map(({ layout_only, enabled, layout }) => [layout_only, enabled, layout])), [[true, true, ""]]);
    assert.equal(await page.locator("#board0 .omg-b-thumb").count(), 4, "the strip shows it");
    await press(page, "Generate");
    await shown(page, /^Drawn\./);
    assert.deepEqual(await page.evaluate(() => [fakes.runs[1].layout_only, fakes.runs[1].layout]), [false, "a3"]);
    await page.evaluate(() => (document.querySelector("#txt2img_prompt textarea").value = "two men"));
    await page.locator("#board0 .omg-b-notice", { hasText: "another prompt" }).waitFor({ timeout: 4000 });
    await page.locator("#board0 .omg-b-notice button", { hasText: "Put txt2img back" }).click();
    assert.equal(await page.inputValue("#txt2img_prompt textarea"), "two women in the beach");
    await press(page, "Let go");
    await shown(page, /^Let go\./);
    assert.deepEqual(await values(page, "layout", "concept1_instance"), ["", ""]);
    await page.locator("#board0 .omg-b-empty").waitFor();
  },

  async "a run that fails is told, and the board stays"(page) {
    await click(page, RIGHT);
    await page.evaluate(() => fakes.failing.set("run", "OMG: 'woman' isn't in the prompt"));
    await press(page, "Layout");
    await shown(page, "isn't in the prompt");
    assert.deepEqual(await owners(page), [1, 0, null]);
    assert.deepEqual(await values(page, "layout_only", "layout"), [false, "a1"]);
  },

  async "keep, rename, delete; a name that won't do stays in its field"(page) {
    const name = page.locator("#board0 [aria-label='Name of this layout']");
    const button = (word) => page.locator("#board0 .omg-b-keep button", { hasText: word });
    await name.fill("a/b");
    await name.press("Enter");
    await shown(page, "without slashes");
    assert.equal(await name.inputValue(), "a/b");
    await name.fill("beach");
    await button("Keep").click();
    await page.locator("#board0 .omg-b-thumb", { hasText: "beach" }).waitFor();
    await name.fill("beach two");
    await button("Rename").click();
    await page.locator("#board0 .omg-b-thumb", { hasText: "beach two" }).waitFor();
    await button("Delete").click();
    await button("Leave it").click();
    assert.equal(await page.locator("#board0 .omg-b-thumb").count(), 3);
    await button("Delete").click();
    await button("Delete").click();
    await page.locator("#board0 .omg-b-thumb", { hasText: "beach two" }).waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => omg.board.state.layout), null);
  },

  async "a kept layout brings all its settings, and Take back undoes it"(page) {
    await page.click("[data-id=b1]");
    await page.locator("#board0 .omg-b-notice", { hasText: "three in town" }).waitFor();
    assert.deepEqual(await values(page, "concept1_lora", "concept3_class_word", "layout"), ["rex", "dog", "b1"]);
    assert.equal(await page.inputValue("#txt2img_seed input"), "7");
    await page.locator("#board0 .omg-b-notice button", { hasText: "Take back" }).click();
    await shown(page, "Taken back");
    assert.deepEqual(await values(page, "concept1_lora", "concept3_class_word", "layout"), ["ida", "", ""]);
    assert.equal(await page.inputValue("#txt2img_seed input"), "1");
  },
};

const others = {
  async "two boards show one state"(page) {
    await click(page, RIGHT);
    await page.waitForTimeout(100);
    const texts = await page.locator(".omg-b-chip").allInnerTexts();
    assert.deepEqual(texts.slice(0, 2), texts.slice(2));
    assert.match(texts[0], /woman 2/);
  },
  async "without SAM the error is said, and nothing is lost"(page) {
    await tool(page, "sam");
    await click(page, LEFT);
    await shown(page, "SAM: no checkpoint found");
    assert.deepEqual(await owners(page), [0, 1, null]);
  },
  async "no layout yet"(page) {
    assert.match(await page.locator("#board0 .omg-b-empty").innerText(), /No layout yet/);
    await page.keyboard.press("b");
    await page.locator("#board0 .omg-b-head button").first().press("s");
  },
  async "by touch, at 390 px"(page) {
    await page.touchscreen.tap(...(await place(page, RIGHT)));
    assert.deepEqual(await owners(page), [1, 0, null]);
    await tool(page, "brush");
    assert.equal(await canvas(page).evaluate((one) => one.style.touchAction), "pinch-zoom");
    await page.touchscreen.tap(...(await place(page, [0.2, 0.2])));
    assert.ok(await page.evaluate(() => omg.masks.at(omg.boardState.contentOf(omg.board.state).edits[0], 0.2, 0.2)));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `nothing is wider than the window: ${wide}`);
  },
};

const LOOKS = [["light", 1240, ""], ["dark", 1240, "theme=dark"], ["accordion", 620, ""], ["phone", 390, ""], ["phone-dark", 390, "theme=dark"]];

async function look(page) {
  await page.click("[data-id=b1]");
  await page.locator("#board0 .omg-b-notice", { hasText: "three in town" }).waitFor();
  await tool(page, "brush");
  await drag(page, [0.2, 0.35], [0.42, 0.3]);
  await page.mouse.move(...(await place(page, [0.8, 0.3])));
  await page.waitForTimeout(200);
}

// --- running ----------------------------------------------------------------------------------------------------------

async function onPage(browser, name, test, query = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error.stack ?? error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(`${pathToFileURL(join(HERE, "board.html"))}?${query}`);
  await page.waitForFunction(() => omg.board?.store?.shelf.list.length || fakes.query.has("empty"));
  await page.waitForTimeout(200);
  try {
    await test(page);
    assert.deepEqual(problems, [], "no errors in the page");
    console.log(`ok: ${name}`);
  } catch (error) {
    await page.screenshot({ path: join(SHOTS, "failed.png"), fullPage: true });
    console.error(`not ok: ${name}; the page then: ${join(SHOTS, "failed.png")}`);
    throw error;
  } finally {
    await context.close();
  }
}

async function main() {
  const path = browserPath();
  if (!path || !existsSync(path)) skip(`no browser${path ? ` at ${path}` : " on the PATH"}; set OMG_CHROMIUM`);
  if (!existsSync(PLAYWRIGHT)) skip(`no playwright-core in ${PLAYWRIGHT}; run \`make browser\`, or set OMG_PLAYWRIGHT`);
  const { chromium } = createRequire(import.meta.url)(PLAYWRIGHT);
  mkdirSync(SHOTS, { recursive: true });
  const browser = await chromium.launch({ executablePath: path, args: FLAGS });
  try {
    for (const [name, test] of Object.entries(tests)) await onPage(browser, name, test);
    const [two, noSam, empty, touch] = Object.entries(others);
    await onPage(browser, ...two, "boards=2");
    await onPage(browser, ...noSam, "nosam");
    await onPage(browser, ...empty, "empty");
    await onPage(browser, ...touch, "", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 3 });
    for (const [name, width, query] of LOOKS) {
      const shoot = async (page) => {
        await look(page);
        await page.screenshot({ path: join(SHOTS, `board-${name}.png`), fullPage: true });
      };
      await onPage(browser, `looks: ${name}`, shoot, query, { viewport: { width, height: 800 } });
    }
    console.log(`ok; screenshots in ${SHOTS}`);
  } finally {
    await browser.close();
  }
}

await main();
