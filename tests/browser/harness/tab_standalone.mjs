// The OMG tab in a real browser, without a WebUI: harness/tab.html plays gradio, the server and txt2img.
//
//   node tests/browser/harness/tab_standalone.mjs
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

function browserPath() {
  const places = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)));
  return process.env.OMG_CHROMIUM ?? places.find(existsSync);
}

function skip(reason) {
  console.error(`*** SKIPPED: tab_standalone.mjs: ${reason} ***`);
  process.exit(process.env.CI ? 1 : 0);
}

const card = (page, name) => page.locator(`.omg-card[data-name="${name}"]`);
const field = (number, name) => `#omg_tab_concept${number}_${name}`;
const choose = (page, number) => page.click(field(number, "head"));
const values = (page, ...names) => page.evaluate((all) => all.map((name) => values[name]), names);
const shownCards = (page) => page.locator(".omg-card:visible").count();
const focused = (page) => page.evaluate(() => document.activeElement.dataset.name ?? document.activeElement.id);
const landed = (page) => page.evaluate(() => omg.panel.settled());
/** As PNG info or somebody in the panel changes inputs. */
const elsewhere = (page, changes) => page.evaluate((all) => Object.entries(all).forEach(([name, value]) => write(name, value)), changes);

const TESTS = {
  "a card goes into the chosen concept; another one takes its place, and what was typed stays": async (page) => {
    await card(page, "mia").click();
    await landed(page);
    assert.deepEqual(await values(page, "concept1_lora", "concept1_prompt", "concept1_weight"), ["mia", "mia woman", 0.8]);
    await page.locator(field(1, "prompt")).press("End");
    await page.locator(field(1, "prompt")).pressSequentially(", smiling");
    await card(page, "ida").click();
    await landed(page);
    assert.deepEqual(await values(page, "concept1_lora", "concept1_prompt", "concept1_weight"), ["ida", "ida woman, smiling", 1]);
    await page.click(field(1, "remove"));
    await landed(page);
    assert.deepEqual(await values(page, "concept1_lora", "concept1_prompt"), ["None", "smiling"]);
    assert.equal(await page.locator(field(1, "remove")).isVisible(), false);
  },

  "dragging a card onto another concept chooses that concept": async (page) => {
    await card(page, "ida").dragTo(page.locator('.omg-slot[data-number="3"]'));
    await landed(page);
    assert.deepEqual(await values(page, "concept1_lora", "concept3_lora"), ["None", "ida"]);
    assert.ok(await page.locator(field(3, "prompt")).isVisible());
    assert.equal(await page.locator(field(1, "prompt")).isVisible(), false);
  },

  "everything by keys": async (page) => {
    await page.focus(field(2, "head"));
    await page.keyboard.press("Enter");
    await page.focus("#omg_cards_search");
    await page.keyboard.type("PERSON 01");
    await page.keyboard.press("Enter");
    assert.equal(await focused(page), "person 010");
    await page.keyboard.press("ArrowRight");
    assert.equal(await focused(page), "person 011");
    await page.keyboard.press("Enter");
    await landed(page);
    assert.deepEqual(await values(page, "concept2_lora"), ["person 011"]);
    await page.keyboard.press("Home");
    assert.equal(await focused(page), "person 010");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "person 010", "Tab comes back to the same card, not to the first of many");
  },

  "the filter, and what the line says": async (page) => {
    assert.equal(await shownCards(page), 9);
    assert.match(await page.innerText(".omg-cards .omg-status"), /9 of 14 LoRAs; 5 made for another base model/);
    await page.uncheck("#omg_cards_fits");
    assert.equal(await shownCards(page), 14);
    await page.fill("#omg_cards_search", "nobody at all");
    assert.match(await page.innerText(".omg-cards .omg-status"), /None of 14 LoRAs matches/);
  },

  "names are text, whatever is in them": async (page) => {
    await page.uncheck("#omg_cards_fits");
    assert.equal(await page.locator(".omg-card b").count(), 0);
    const odd = await page.evaluate(() => odd);
    for (const name of odd) {
      await page.evaluate((one) => [...document.querySelectorAll(".omg-card")].find((node) => node.dataset.name === one).click(), name);
      await landed(page);
      assert.deepEqual(await values(page, "concept1_lora"), [name]);
      assert.equal(await page.locator(`.omg-slot[data-number="1"] .omg-slot-lora`).innerText(), name);
    }
    assert.equal(await page.locator(".omg-slot b").count(), 0);
  },

  "what changes elsewhere is shown here; a box in which somebody types is left alone": async (page) => {
    await page.fill(field(1, "class_word"), "wom");
    await elsewhere(page, {concept1_class_word: "man", concept1_weight: 0.35, concept2_lora: "mia"});
    await page.waitForTimeout(50);
    assert.equal(await page.inputValue(field(1, "class_word")), "wom");
    assert.equal(await page.inputValue(field(1, "weight")), "0.35");
    await page.locator(field(1, "class_word")).blur();
    await landed(page);
    await page.waitForTimeout(50);
    assert.deepEqual(await values(page, "concept1_class_word"), ["wom"], "the last word is the typist's");
    assert.equal(await page.locator('.omg-slot[data-number="2"] .omg-slot-lora').innerText(), "mia");
  },

  "trigger words that came with settings are replaced, those that somebody wrote are not": async (page) => {
    await elsewhere(page, {concept1_lora: "ida", concept1_prompt: "ida woman, at night"});
    await elsewhere(page, {concept2_prompt: "ida woman, by hand"});
    await elsewhere(page, {concept2_lora: "ida"});
    await page.waitForTimeout(50);
    await card(page, "mia").click();
    await choose(page, 2);
    await card(page, "mia").click();
    await landed(page);
    assert.deepEqual(await values(page, "concept1_prompt", "concept2_prompt"), ["mia woman, at night", "mia woman, ida woman, by hand"]);
  },

  "numbers: slider and box are one; nonsense changes nothing": async (page) => {
    await page.fill(field(1, "weight"), "0.6");
    await page.locator(field(1, "weight")).blur();
    await landed(page);
    assert.deepEqual(await values(page, "concept1_weight"), [0.6]);
    const slider = page.locator('.omg-slot[data-number="1"] input[type=range][data-field=weight]');
    assert.equal(await slider.inputValue(), "0.6");
    await slider.press("ArrowRight");
    await landed(page);
    assert.deepEqual(await values(page, "concept1_weight"), [0.65]);
    assert.equal(await page.inputValue(field(1, "weight")), "0.65");
    for (const wrong of ["9", ""]) {
      await page.fill(field(1, "weight"), wrong);
      await page.locator(field(1, "weight")).blur();
      await landed(page);
      await page.waitForTimeout(20);
      assert.deepEqual(await values(page, "concept1_weight"), [0.65]);
      assert.equal(await page.inputValue(field(1, "weight")), "0.65", "the box shows what holds");
    }
  },

  "the prompt is txt2img's, both ways; a class word that isn't in it is told": async (page) => {
    await page.fill("#omg_tab_prompt", "a man in the park");
    assert.equal(await page.inputValue("#txt2img_prompt textarea"), "a man in the park");
    await page.fill(field(1, "class_word"), "woman");
    await landed(page);
    assert.match(await page.innerText('.omg-slot[data-number="1"] .omg-hint'), /no 'woman'/);
    await page.evaluate(() => omg.txt2img.set({Prompt: "a woman in the park"}));
    assert.equal(await page.inputValue("#omg_tab_prompt"), "a woman in the park");
    assert.equal(await page.locator('.omg-slot[data-number="1"] .omg-hint').isVisible(), false);
  },

  "Generate takes the last letter typed, and turns OMG on": async (page) => {
    await page.fill(field(1, "class_word"), "woman");
    await page.click("#omg_tab_generate");
    await page.waitForFunction(() => generated.length);
    const made = await page.evaluate(() => generated[0]);
    assert.deepEqual([made.enabled, made.concept1_class_word], [true, "woman"]);
    assert.ok(await page.isChecked("#omg_tab_enabled"));
  },

  "to txt2img and back": async (page) => {
    await page.click("#omg_tab_send");
    await page.locator("#txt2img_omg > .label-wrap.open").waitFor();
    assert.deepEqual(await values(page, "enabled"), [true]);
    assert.equal(await page.locator("#omg_tab").isVisible(), false);
    await page.evaluate(() => omg.tab.open());
    assert.ok(await page.locator("#omg_tab").isVisible());
  },

  "tags of the training are offered, and go into the prompt": async (page) => {
    await card(page, "ida").click();
    await page.locator(".omg-slot .omg-chip", {hasText: "freckles"}).click();
    await landed(page);
    assert.deepEqual(await values(page, "concept1_prompt"), ["ida woman, freckles"]);
    assert.equal(await page.locator(".omg-slot .omg-chip", {hasText: "freckles"}).count(), 0, "once is enough");
  },

  "the server's error is told": async (page) => {
    await page.evaluate(() => delete methods["cards.list"]);
    await page.click("#omg_cards_refresh");
    await page.locator(".omg-cards .omg-status", {hasText: "method: found cards.list"}).waitFor();
    assert.equal(await page.locator(".omg-card").count(), 14, "what was there stays");
  },
};

async function many(page) {
  assert.equal(await page.locator(".omg-card").count(), 500);
  await page.waitForFunction(() => document.querySelector(".omg-card img.omg-has-picture"));
  await page.waitForTimeout(300);
  const batches = await page.evaluate(() => asked.filter(({method}) => method === "cards.previews").map(({params}) => params.names.length));
  const sum = batches.reduce((all, one) => all + one, 0);
  assert.ok(Math.max(...batches) <= 24, `batches: ${batches}`);
  assert.ok(sum > 0 && sum < 100, `only what is in view is asked for: ${sum}`);
  await page.fill("#omg_cards_search", "person 495");
  assert.equal(await shownCards(page), 1);
  await page.waitForFunction(() => asked.some(({params}) => params.names?.includes("person 495")));
}

async function narrow(page) {
  await page.fill("#omg_tab_prompt", "a woman");
  await page.locator(field(2, "head")).tap();
  await card(page, "ida").tap();
  await landed(page);
  assert.deepEqual(await values(page, "concept2_lora"), ["ida"]);
  const wide = await page.evaluate(() => [...document.querySelectorAll("#omg_tab *")]
    .filter((one) => one.offsetParent && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.className));
  assert.deepEqual(wide, [], "nothing sticks out of the screen");
  const small = await page.evaluate(() => [...document.querySelectorAll("#omg_tab :is(button, select, input:not([type=checkbox], [type=range]), textarea)")]
    .filter((one) => one.offsetParent && Math.min(one.offsetWidth, one.offsetHeight) < 32).map((one) => `${one.className} ${one.offsetWidth}x${one.offsetHeight}`));
  assert.deepEqual(small, [], "everything can be hit with a finger");
}

async function main() {
  if (!existsSync(PLAYWRIGHT)) skip(`no playwright-core in ${PLAYWRIGHT}: run \`make browser\` once, or set OMG_PLAYWRIGHT`);
  const executablePath = browserPath();
  if (!executablePath) skip("no browser; install chromium, or set OMG_CHROMIUM");
  mkdirSync(SHOTS, {recursive: true});
  const browser = await createRequire(import.meta.url)(PLAYWRIGHT).chromium.launch({executablePath, args: FLAGS});
  const address = pathToFileURL(join(HERE, "tab.html")).href;
  const failures = [];

  async function run(name, test, query = "", options = {}) {
    const context = await browser.newContext({viewport: {width: 1400, height: 1000}, ...options});
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    const problems = [];
    page.on("pageerror", (error) => problems.push(String(error.stack ?? error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    try {
      await page.goto(address + query);
      await page.locator(".omg-card").first().waitFor();
      await test(page);
      assert.deepEqual(problems, [], "no errors in the page");
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
    await page.screenshot({path: join(SHOTS, `tab ${name.replace(/[^a-z0-9]+/gi, "-").slice(0, 40)}.png`)});
    await context.close();
  }

  for (const [name, test] of Object.entries(TESTS)) await run(name, test);
  await run("five hundred LoRAs", many, "?loras=500");
  await run("a phone in the dark", narrow, "?dark", {viewport: {width: 390, height: 844}, hasTouch: true, isMobile: true});
  await run("a slow server", TESTS["a card goes into the chosen concept; another one takes its place, and what was typed stays"], "?slow=400");
  await browser.close();
  if (failures.length) {
    console.error(failures.join("\n\n"));
    process.exit(1);
  }
  console.log(`ok: ${Object.keys(TESTS).length + 3} tests; screenshots in ${SHOTS}`);
}

await main();
