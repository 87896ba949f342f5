// The panel by a real browser: fill in, look, generate, paste the generation text back, compare. See tools.mjs.
import assert from "node:assert/strict";

import {
  choose, conceptTab, generate, input, open, openPanel, panel, paste, pick, ready, set, shot, slide, writePrompt,
} from "./tools.mjs";

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

async function fillIn(page) {
  await openPanel(page);
  await page.fill(input("concept1_class_word"), "woman");
  await choose(page, "concept1_lora", "ida");
  await slide(page, "concept1_weight", 0.85);
  await page.fill(input("concept1_prompt"), 'ida, "quoted", a: b');
  await shot(page, "panel-concept1", panel);
  await conceptTab(page, 2);
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
  await shot(page, "panel-box", panel);
  await pick(page, "concept2_mask_source", "painted");
  await canvas.waitFor({ state: "visible", timeout: 10_000 });
  assert.equal(await box.isVisible(), false, "painted shows no box");
  await paint(page);
  await shot(page, "panel-painted", panel);
}

/** The settings' entry of a generation text. */
const entry = (text) => /OMG: ("(?:\\.|[^\\"])+")/.exec(text)[1];

async function pastedBack(page, info, before) {
  await page.reload();
  await ready(page);
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
  assert.equal(entry(await generate(page, 2)), entry(info), "the same settings again from the mask's text");

  await conceptTab(page, 2);
  await page.locator(`${panel}_concept2_mask_picture canvas`).first().waitFor({ timeout: 10_000 });
  await page.waitForTimeout(1500);
  await shot(page, "panel-pasted", panel);
  assert.equal(entry(await generate(page, 3)), entry(info), "the same settings again from the mask on the canvas");
}

async function otherTexts(page, info) {
  await paste(page, "a cat\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 256x192");
  assert.equal(await page.isChecked(`${panel}-visible-checkbox`), false, "a text without OMG turns it off");
  await paste(page, info.replaceAll("rex", "gone"));
  assert.equal(await page.inputValue(input("concept2_lora", "input")), "gone", "a LoRA that is gone keeps its name");
  const toast = await page.locator(".toast-wrap").innerText();
  assert.match(toast, /concept 2: the LoRA 'gone' of this picture isn't there/, "and the user is told");
  await assert.rejects(generate(page, 4), /the host shows: .*gone/, "without it no picture is drawn, and the page says why");
}

await open("panel", async (page) => {
  await set(page, { steps: 2, width: 128, height: 96 });
  await fillIn(page);
  await regions(page);
  await page.click(`${panel}_advanced > .label-wrap`);
  await shot(page, "panel-advanced", panel);
  await writePrompt(page, "a woman and a dog");
  const info = await generate(page, 1);
  assert.match(info, /OMG: "/, `the generation text holds the settings: ${info}`);
  await pastedBack(page, info, await values(page));
  await otherTexts(page, info);
});
