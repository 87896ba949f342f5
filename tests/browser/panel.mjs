// The panel in the real WebUI, by a real browser: fill in, look, generate, paste the PNG info back, compare.
//
//   node tests/browser/panel.mjs            the WebUI must be running with this extension linked into extensions/
//   OMG_URL          where it runs          (http://127.0.0.1:7861)
//   OMG_PLAYWRIGHT   folder of playwright-core (else node_modules of the repository)
//   OMG_CHROMIUM     the browser            (/usr/bin/chromium)
//   OMG_SHOTS        folder for screenshots (a new one under /tmp)
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const url = process.env.OMG_URL ?? "http://127.0.0.1:7861";
const browserPath = process.env.OMG_CHROMIUM ?? "/usr/bin/chromium";
const shots = process.env.OMG_SHOTS ?? mkdtempSync(join(tmpdir(), "omg-shots-"));
const panel = "#txt2img_omg";

// The WebUI without extensions throws it as well, when the size or the hires fix changes.
const hostsOwn = /Cannot read properties of undefined \(reading 'props'\)/;

function skip(reason) {
  console.error(`SKIPPED: tests/browser/panel.mjs: ${reason}`);
  process.exit(process.env.CI ? 1 : 0);
}

function findPlaywright() {
  const require = createRequire(import.meta.url);
  const folder = process.env.OMG_PLAYWRIGHT;
  try {
    return require(folder ?? "playwright-core");
  } catch {
    return skip(`no playwright-core in ${folder ?? "node_modules"}; npm install playwright-core, or set OMG_PLAYWRIGHT`);
  }
}

const input = (name, kind = "textarea, input") => `${panel}_${name} :is(${kind})`;

async function pick(page, name, text) {
  await page.locator(`${panel}_${name} label`).filter({ hasText: text }).click();
}

async function choose(page, name, option) {
  await page.click(input(name, "input"));
  await page.locator(`${panel}_${name} li`).filter({ hasText: option }).click();
}

async function slide(page, name, value) {
  const number = page.locator(input(name, "input[type=number]"));
  await number.fill(String(value));
  await number.blur();
}

const tab = (page, number) =>
  page.locator(`${panel}_concepts > .tab-nav > button`).filter({ hasText: `Concept ${number}` }).click();

async function shot(page, name) {
  mkdirSync(shots, { recursive: true });
  await page.locator(panel).screenshot({ path: join(shots, `${name}.png`) });
}

/** What the panel holds, by element id; hidden inputs count only if they are drawn. */
const values = (page) =>
  page.evaluate((root) => {
    const found = {};
    for (const element of document.querySelectorAll(`${root} :is(input, textarea)`)) {
      const owner = element.closest(`[id^="${root.slice(1)}_"]`);
      if (!owner || element.type === "file" || element.type === "range" || element.type === "color") continue;
      if (element.type === "radio" && !element.checked) continue;
      found[owner.id] = element.type === "checkbox" ? element.checked : element.value;
    }
    return found;
  }, panel);

async function paint(page) {
  await page.click(`${panel}_concept2_mask_picture_blank`);
  const canvas = page.locator(`${panel}_concept2_mask_picture canvas[key=interface]`);
  await canvas.waitFor();
  await page.waitForTimeout(800);
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  const at = (x, y) => page.mouse.move(box.x + box.width * x, box.y + box.height * y, { steps: 8 });
  await at(0.6, 0.2);
  await page.mouse.down();
  for (let row = 0.2; row < 0.8; row += 0.1) {
    await at(0.9, row);
    await at(0.6, row + 0.05);
  }
  await page.mouse.up();
  await page.waitForTimeout(300);
}

/** Each picture has a seed of its own, by which its PNG info is known. */
async function generate(page, seed) {
  await page.fill("#txt2img_seed input[type=number]", String(seed));
  await page.click("#txt2img_generate");
  const shown = page.locator("#html_info_txt2img").first();
  await shown.filter({ hasText: `Seed: ${seed},` }).waitFor({ timeout: 60_000 });
  return shown.innerText();
}

/** The WebUI's own paste button, with the PNG info in the prompt box. */
async function paste(page, text) {
  await page.fill("#txt2img_prompt textarea", text);
  await page.click("#paste");
  await page.waitForTimeout(3000);
}

async function fillIn(page) {
  await page.click(`${panel} > .label-wrap`);
  await page.fill(input("concept1_class_word"), "woman");
  await choose(page, "concept1_lora", "ida");
  await slide(page, "concept1_weight", 0.85);
  await page.fill(input("concept1_prompt"), 'ida, "quoted", a: b');
  await shot(page, "concept1");
  await tab(page, 2);
  await page.fill(input("concept2_class_word"), "dog");
  await choose(page, "concept2_lora", "rex");
  await slide(page, "concept2_start", 0.4);
}

async function regions(page) {
  const box = page.locator(input("concept2_box"));
  const canvas = page.locator(`${panel}_concept2_mask_picture`);
  assert.equal(await box.isVisible(), false, "attention shows no box");
  await pick(page, "concept2_mask_source", "box");
  await box.waitFor({ state: "visible", timeout: 10_000 });
  await box.fill("0, 0.2, 0.5, 1");
  await shot(page, "box");
  await pick(page, "concept2_mask_source", "painted");
  await canvas.waitFor({ state: "visible", timeout: 10_000 });
  assert.equal(await box.isVisible(), false, "painted shows no box");
  await paint(page);
  await shot(page, "painted");
}

async function main() {
  const { chromium } = findPlaywright();
  if (!existsSync(browserPath)) skip(`no browser at ${browserPath}; set OMG_CHROMIUM`);
  if (!(await fetch(url).then((r) => r.ok, () => false))) skip(`no WebUI answers at ${url}; set OMG_URL`);
  const profile = mkdtempSync(join(tmpdir(), "omg-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: browserPath,
    viewport: { width: 1280, height: 1600 },
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    const problems = [];
    page.on("pageerror", (error) => {
      if (!hostsOwn.test(String(error))) problems.push(String(error));
    });
    await page.goto(url);
    await page.waitForSelector(`${panel}-visible-checkbox`, { timeout: 60_000 });
    await page.waitForTimeout(1000);
    for (const [id, value] of [["txt2img_steps", 2], ["txt2img_width", 256], ["txt2img_height", 192]]) {
      await page.fill(`#${id} input[type=number]`, String(value));
    }
    await fillIn(page);
    await regions(page);
    await page.click(`${panel}_advanced > .label-wrap`);
    await shot(page, "advanced");
    await page.fill("#txt2img_prompt textarea", "a woman and a dog");
    const info = await generate(page, 1);
    assert.match(info, /OMG: "/, `PNG info holds the settings: ${info}`);
    const before = await values(page);

    await page.reload();
    await page.waitForSelector(`${panel}-visible-checkbox`, { timeout: 60_000 });
    await page.waitForTimeout(1000);
    await paste(page, info);
    const after = await values(page);
    assert.equal(await page.isChecked(`${panel}-visible-checkbox`), true, "paste turns OMG on");
    for (const name of ["concept1_lora", "concept2_lora", "concept1_weight", "concept2_start"]) {
      assert.equal(after[`${panel.slice(1)}_${name}`], before[`${panel.slice(1)}_${name}`], name);
    }
    // The box was filled in but not chosen; the mask was painted and comes back as text.
    for (const name of ["concept2_box", "concept2_mask"]) {
      delete before[`${panel.slice(1)}_${name}`];
      delete after[`${panel.slice(1)}_${name}`];
    }
    assert.deepEqual(after, before, "paste restores what was set");
    const entry = (text) => /OMG: ("(?:\\.|[^\\"])+")/.exec(text)[1];
    assert.equal(entry(await generate(page, 2)), entry(info), "the same settings again from the mask's text");

    await tab(page, 2);
    await page.locator(`${panel}_concept2_mask_picture canvas`).first().waitFor({ timeout: 10_000 });
    await page.waitForTimeout(1500);
    await shot(page, "pasted");
    assert.equal(entry(await generate(page, 3)), entry(info), "the same settings again from the mask on the canvas");

    await paste(page, "a cat\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 256x192");
    assert.equal(await page.isChecked(`${panel}-visible-checkbox`), false, "a text without OMG turns it off");
    await paste(page, info.replaceAll("rex", "gone"));
    assert.equal(await page.inputValue(input("concept2_lora", "input")), "gone", "a LoRA that is gone keeps its name");
    const toast = await page.locator(".toast-wrap").innerText();
    assert.match(toast, /concept 2: the LoRA 'gone' of this picture isn't there/, "and the user is told");
    assert.deepEqual(problems, [], "no errors in the page");
    console.log(`ok; screenshots in ${shots}`);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

await main();
