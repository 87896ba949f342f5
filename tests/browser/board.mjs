// The layout board, first part: approve a layout, say who is who by clicks, draw only the second pass, keep the layout.
// Leaves board-first.png and board-second.png, with the two women in either order; test_browser.py looks who is who there.
// board_again.mjs is the second part, after the host was started again with the same data folder.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  board, button, clickTook, logEnd, named, openBoard, picture, pixelHash, pointOf, rowsSince, status, tool, until,
} from "./board_tools.mjs";
import { choose, conceptTab, generated, input, open, openPanel, set, shot, shots, writePrompt } from "./tools.mjs";

const SEED = 11;
const NAME = "two in the park";

async function fillIn(page) {
  await set(page, { steps: 10, width: 192, height: 128, cfg_scale: 5, seed: SEED });
  await writePrompt(page, "two women in the park");
  await openPanel(page);
  for (const [number, lora] of [[1, "ida"], [2, "mia"]]) {
    await conceptTab(page, number);
    await page.fill(input(`concept${number}_class_word`), "women");
    await choose(page, `concept${number}_lora`, lora);
  }
}

async function layout(page) {
  await openBoard(page);
  await button(page, "Layout").click();
  const now = await until(page, ({ id, busy }) => id && !busy, "a layout on the board", 120_000);
  assert.equal(now.instances, 2, "both women are found");
  assert.deepEqual(now.owners.slice(0, 2), [0, 1], "left to right, one for each concept");
  assert.equal(now.panel.layout_only, false, "Generate draws whole pictures again");
  await page.waitForTimeout(500);
  await shot(page, "board-layout", board);
  return now;
}

/** Press the board's Generate; gives the picture's bytes and what it cost. */
async function draw(page, id) {
  const from = logEnd();
  await button(page, "Generate").click();
  await page.waitForTimeout(300);
  await until(page, ({ busy }) => !busy, "the second pass", 120_000);
  const info = await generated(page, SEED);
  assert.match(info, new RegExp(`OMG layout: ${id}`), "the generation text names the layout");
  const rows = rowsSince(from);
  if (rows) {
    assert.deepEqual(rows.layout, [], "no layout pass was run");
    assert.equal(rows.whole.length, 1, "one second pass was run");
  }
  return { png: await picture(page), rows: rows?.whole[0] ?? null };
}

async function swapByClick(page) {
  await page.locator(`${board} .omg-b-chip[data-slot="0"]`).click();
  await page.mouse.click(...(await pointOf(page, 1)));
  const now = await until(page, ({ panel }) => panel.concept1_instance === "1", "the panel's concept 1 is the right woman");
  assert.deepEqual(now.owners.slice(0, 2), [1, 0], "a click on the other's woman swaps the two");
  assert.equal(now.panel.concept2_instance, "0");
  await shot(page, "board-swapped", board);
  return clickTook(page);
}

async function brushAndUndo(page) {
  await tool(page, "brush").click();
  const [x, y] = await pointOf(page, 1);
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 120, y - 60, { steps: 12 });
  await page.mouse.up();
  const painted = await until(page, ({ panel }) => panel.concept1_mask_source === "painted", "the panel has the painting");
  assert.ok(painted.areas[0] > 0);
  assert.match(painted.panel.concept1_mask, /^bits:\d+x\d+:/);
  await shot(page, "board-brushed", board);
  await named(page, "Undo").click();
  const undone = await until(page, ({ panel }) => panel.concept1_mask_source !== "painted", "undo takes it out of the panel");
  assert.equal(undone.areas[0], null);
  assert.equal(undone.panel.concept1_instance, "1", "who is who stays");
  await tool(page, "pick").click();
}

async function masks(page) {
  await named(page, "Masks").click();
  await page.locator(`${board} .omg-b-caption`).filter({ hasText: "24 x 16 cells" }).waitFor();
  await page.waitForTimeout(500);
  await shot(page, "board-masks", board);
  await named(page, "Masks").click();
}

/** Name and keep it; then another seed is not what it is of. */
async function keep(page) {
  await page.fill(`${board} .omg-b-keep input`, NAME);
  await button(page, "Keep").click();
  await page.locator(`${board} .omg-b-thumb`).filter({ hasText: NAME }).waitFor();
  assert.match(await status(page), /Kept as/);
  await set(page, { seed: SEED + 1 });
  await until(page, ({ stale }) => /another seed/.test(stale), "another seed is noticed");
  await page.locator(`${board} .omg-b-notice`).waitFor();
  await shot(page, "board-stale", board);
}

await open("board", async (page) => {
  await fillIn(page);
  const { id } = await layout(page);
  const first = await draw(page, id);
  writeFileSync(join(shots, "board-first.png"), first.png);
  const clickMs = await swapByClick(page);
  await brushAndUndo(page);
  const second = await draw(page, id);
  writeFileSync(join(shots, "board-second.png"), second.png);
  assert.notEqual(pixelHash(second.png), pixelHash(first.png), "other women are drawn");
  await masks(page);
  await keep(page);
  const kept = { id, name: NAME, seed: SEED, hash: pixelHash(second.png), rows: second.rows, clickMs };
  writeFileSync(join(shots, "board.json"), JSON.stringify(kept));
});
