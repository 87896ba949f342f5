// The layout board, second part: the host was started again; the kept layout is recalled and drawn on.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { board, button, logEnd, openBoard, picture, pixelHash, rowsSince, until } from "./board_tools.mjs";
import { generated, open, openPanel, shot, shots } from "./tools.mjs";

const before = JSON.parse(readFileSync(join(shots, "board.json"), "utf8"));

async function draw(page) {
  const from = logEnd();
  await button(page, "Generate").click();
  await page.waitForTimeout(300);
  await until(page, ({ busy }) => !busy, "the second pass", 120_000);
  const info = await generated(page, before.seed);
  assert.match(info, new RegExp(`OMG layout: ${before.id}`), "the generation text names the layout");
  return { hash: pixelHash(await picture(page)), rows: rowsSince(from) };
}

await open("board-again", async (page) => {
  await openPanel(page);
  await openBoard(page);
  await page.locator(`${board} .omg-b-thumb`).filter({ hasText: before.name }).first().click();
  const now = await until(page, ({ id, adopted, busy }) => id === before.id && adopted && !busy, "the kept layout is recalled");
  assert.deepEqual(now.owners.slice(0, 2), [1, 0], "who is who was kept");
  await until(page, ({ panel }) => panel.concept1_instance === "1" && panel.layout === before.id, "the panel has it");
  assert.equal(await page.inputValue("#txt2img_prompt textarea"), "two women in the park");
  assert.equal(await page.inputValue("#txt2img_seed input"), String(before.seed));
  await shot(page, "board-recalled", board);

  const first = await draw(page);
  assert.equal(first.hash, before.hash, "the same picture as before the restart");
  const second = await draw(page);
  assert.equal(second.hash, before.hash, "and again");
  if (second.rows) {
    assert.equal(first.rows.layout.length, 1, "after a restart the layout pass is computed once");
    assert.deepEqual(second.rows.layout, [], "then no more");
    assert.deepEqual(second.rows.whole, [before.rows], "the second pass costs what it cost before");
  }
});
