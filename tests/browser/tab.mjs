// The OMG tab in the dark theme: cards into slots, a layout on its board, by keys; then the same on a phone, by touch.
import assert from "node:assert/strict";

import { button, pointOf, tabBoard, until } from "./board_tools.mjs";
import { generated, open, panel, set, shot } from "./tools.mjs";

const SEED = 11;
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

const showTab = (page, title) => page.locator("#tabs > .tab-nav > button").filter({ hasText: new RegExp(`^\\s*${title}\\s*$`) }).click();
const card = (page, name) => page.locator(`#omg_tab_cards .omg-card[data-name="${name}"]`);
const slot = (page, number) => page.locator(`#omg_tab_slots .omg-slot[data-number="${number}"]`);

async function cards(page) {
  await card(page, "ida").waitFor();
  const all = await page.locator("#omg_tab_cards .omg-card:visible").count();
  await page.fill("#omg_cards_search", "ida");
  await card(page, "mia").waitFor({ state: "hidden" });
  assert.ok(await card(page, "ida").isVisible());
  await page.fill("#omg_cards_search", "");
  await card(page, "mia").waitFor();
  assert.equal(await page.locator("#omg_tab_cards .omg-card:visible").count(), all, "an empty search finds all");
}

async function fillIn(page) {
  await page.fill("#omg_tab_prompt", "two women in the beach");
  assert.equal(await page.inputValue("#txt2img_prompt textarea"), "two women in the beach", "the prompt is txt2img's");
  await card(page, "ida").click();
  await card(page, "mia").dragTo(slot(page, 2));
  const now = await until(page, ({ panel }) => panel.concept1_lora === "ida" && panel.concept2_lora === "mia", "both LoRAs are in the panel");
  for (const [number, name] of [[1, "ida"], [2, "mia"]]) {
    const prompt = now.panel[`concept${number}_prompt`];
    assert.match(prompt, new RegExp(name), `the trigger words of ${name} are in the prompt: ${prompt}`);
    await slot(page, number).locator(".omg-slot-head").click();
    await page.fill(`#omg_tab_concept${number}_class_word`, "women");
  }
  await until(page, ({ panel }) => panel.concept1_class_word === "women" && panel.concept2_class_word === "women", "the class words are in the panel");
}

async function boardByKeys(page) {
  await button(page, "Layout", tabBoard).click();
  const { id, instances } = await until(page, ({ id, busy }) => id && !busy, "a layout on the board", 120_000);
  assert.equal(instances, 2, "both women are found");
  await page.locator(`${tabBoard} canvas`).focus();
  await page.keyboard.press("s");
  const now = await until(page, ({ panel }) => panel.concept1_instance === "1", "S swaps the two");
  assert.deepEqual(now.owners.slice(0, 2), [1, 0]);
  await page.keyboard.press("Control+z");
  await until(page, ({ panel }) => panel.concept1_instance === "0", "Ctrl+Z swaps them back");
  return id;
}

await open("tab", async (page) => {
  await set(page, { steps: 10, width: 192, height: 128, cfg_scale: 5, seed: SEED });
  await showTab(page, "OMG");
  await cards(page);
  await fillIn(page);
  const id = await boardByKeys(page);
  await button(page, "Generate", tabBoard).click();
  await page.waitForTimeout(300);
  await until(page, ({ busy }) => !busy, "the second pass", 120_000);
  await page.locator("#omg_tab_result img").waitFor();
  await page.waitForTimeout(500);
  await shot(page, "tab");
  await page.click("#omg_tab_send");
  await page.locator(panel).waitFor({ state: "visible" });
  assert.match(await generated(page, SEED), new RegExp(`OMG layout: ${id}`), "the generation text names the layout");
  assert.equal(await page.inputValue(`${panel}_concept1_lora input`), "ida", "the panel shows what the tab showed");
}, { colorScheme: "dark" });

await open("tab-phone", async (page) => {
  await showTab(page, "OMG");
  await until(page, ({ id }) => id, "the last layout is there");
  await page.locator(`${tabBoard} canvas`).waitFor();
  const wide = await page.evaluate((selector) => {
    const tooWide = [...document.querySelectorAll(`#omg_tab, #omg_tab *`)].filter((one) => one.getBoundingClientRect().right > innerWidth + 1);
    return tooWide.filter((one) => one.offsetParent && !one.closest(".omg-b-thumbs, .omg-b-tools")).map((one) => `${one.tagName}.${one.className}`);
  });
  assert.deepEqual(wide, [], "nothing sticks out of a phone's screen");
  await shot(page, "tab-phone");
  await page.evaluate(() => omg.panel.set({
    concept1_class_word: "women", concept1_lora: "ida", concept2_class_word: "women", concept2_lora: "mia",
  }));
  await page.locator(`${tabBoard} .omg-b-chip[data-slot="1"]`).waitFor();
  await page.touchscreen.tap(...(await pointOf(page, 1, tabBoard)));
  const now = await until(page, ({ panel }) => panel.concept1_instance === "1", "a tap gives the right woman to concept 1");
  assert.deepEqual(now.owners.slice(0, 2), [1, 0], "and the other to concept 2");
  await shot(page, "tab-phone-board");
}, PHONE);
