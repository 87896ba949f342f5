// What the browser tests share: a real browser on a host's page, screenshots, and the inputs of the host and the panel.
//
//   OMG_URL          where the host runs; `node tests/browser/<name>.mjs` runs one test against it
//   OMG_PLAYWRIGHT   folder of playwright-core (.cache/playwright of the repository, which `make browser` fills)
//   OMG_CHROMIUM     the browser (chromium, chromium-browser or google-chrome on the PATH)
//   OMG_SHOTS        folder for screenshots (a new one under /tmp)
import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const url = process.env.OMG_URL ?? "http://127.0.0.1:7861";
export const shots = process.env.OMG_SHOTS ?? mkdtempSync(join(tmpdir(), "omg-shots-"));
export const panel = "#txt2img_omg";

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];
// No GPU and no sandbox (containers run as root); nothing that talks to the network by itself.
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// The WebUI without extensions throws it as well, when the size or the hires fix changes.
const HOSTS_OWN = /Cannot read properties of undefined \(reading 'props'\)/;
// Files of other machines (fonts) are not fetched; see `open`.
const NOT_LOADED = /Failed to load resource|net::ERR_/;

function playwright() {
  const folder = process.env.OMG_PLAYWRIGHT ?? join(REPOSITORY, ".cache/playwright/node_modules/playwright-core");
  try {
    return createRequire(import.meta.url)(folder);
  } catch (error) {
    throw new Error(`no playwright-core in ${folder}: run \`make browser\` once, or set OMG_PLAYWRIGHT (${error.message})`);
  }
}

function browserPath() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const places = BROWSERS.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = process.env.OMG_CHROMIUM ?? places.find(executable);
  assert.ok(found, `no ${BROWSERS.join(", ")} on the PATH: install one (Debian: apt-get install chromium), or set OMG_CHROMIUM`);
  return found;
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Write a screenshot of an element of the page, or of what the window shows. */
export async function shot(page, name, selector) {
  mkdirSync(shots, { recursive: true });
  const path = join(shots, `${name}.png`);
  await (selector ? page.locator(selector).first().screenshot({ path }) : page.screenshot({ path }));
  return path;
}

/** Wait until the page is drawn and its scripts have run. */
export async function ready(page) {
  await page.waitForSelector(`${panel}-visible-checkbox`, { timeout: 60_000 });
  await page.waitForTimeout(1000);
}

/**
 * Run a test in a fresh browser on the host's page.
 *
 * An error in the page fails it, also one that a host's callback swallowed and wrote to the console.
 *
 * @param name for the screenshot of a failure
 * @param test (page, context) => Promise
 * @param options playwright's: viewport, colorScheme, hasTouch
 */
export async function open(name, test, options = {}) {
  const profile = mkdtempSync(join(tmpdir(), "omg-browser-"));
  const context = await playwright().chromium.launchPersistentContext(profile, {
    executablePath: browserPath(), viewport: { width: 1280, height: 1600 }, args: FLAGS, ...options,
  });
  const problems = [];
  const note = (text) => HOSTS_OWN.test(text) || NOT_LOADED.test(text) || problems.push(text);
  try {
    await context.route((address) => address.host !== new URL(url).host, (route) => route.abort());
    const page = context.pages()[0] ?? (await context.newPage());
    page.on("pageerror", (error) => note(String(error.stack ?? error)));
    page.on("console", (message) => message.type() === "error" && note(message.text()));
    await page.goto(url);
    await ready(page);
    try {
      await test(page, context);
    } catch (error) {
      console.error(`the page then: ${await shot(page, `${name}-failed`)}\nerrors in it: ${problems.join("\n") || "none"}`);
      throw error;
    }
    assert.deepEqual(problems, [], "no errors in the page");
    console.log(`ok: ${name} on ${url}; screenshots in ${shots}`);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

// --- the panel's inputs -----------------------------------------------------------------------------------------------

export const input = (name, kind = "textarea, input") => `${panel}_${name} :is(${kind})`;

export async function pick(page, name, text) {
  await page.locator(`${panel}_${name} label`).filter({ hasText: text }).click();
}

export async function choose(page, name, option) {
  await page.click(input(name, "input"));
  await page.locator(`${panel}_${name} li[data-value="${option}"]`).click();
}

export async function slide(page, name, value) {
  const number = page.locator(input(name, "input[type=number]"));
  await number.fill(String(value));
  await number.blur();
}

export const conceptTab = (page, number) =>
  page.locator(`${panel}_concepts > .tab-nav > button`).filter({ hasText: `Concept ${number}` }).click();

/** Open the accordion, which turns OMG on. */
export const openPanel = (page) => page.click(`${panel} > .label-wrap`);

// --- the host's inputs ------------------------------------------------------------------------------------------------

/** Fill the host's numbers: {steps: 2, width: 256}. */
export async function set(page, numbers) {
  for (const [name, value] of Object.entries(numbers)) {
    const number = page.locator(`#txt2img_${name} input[type=number]`);
    await number.fill(String(value));
    await number.blur();
  }
}

export const writePrompt = (page, text) => page.fill("#txt2img_prompt textarea", text);

/** Press Generate and wait for the picture with this seed; gives its generation text. */
export async function generate(page, seed) {
  await set(page, { seed });
  await page.click("#txt2img_generate");
  return generated(page, seed);
}

/** Wait for the generation text of the picture with this seed; an error the host shows instead is thrown. */
export async function generated(page, seed) {
  const shown = page.locator("#html_info_txt2img").first().filter({ hasText: `Seed: ${seed},` });
  const failed = page.locator("#html_log_txt2img .error").first();
  await shown.or(failed).first().waitFor({ timeout: 120_000 });
  if (await failed.isVisible()) throw new Error(`the host shows: ${await failed.innerText()}`);
  return shown.innerText();
}

/** The host's own paste button, with the generation text in the prompt box. */
export async function paste(page, text) {
  await writePrompt(page, text);
  await page.click("#paste");
  await page.waitForTimeout(3000);
}
