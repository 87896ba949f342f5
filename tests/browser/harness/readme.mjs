// Screenshots for the README; readme_pictures.py runs it. Not a test.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { board, button, named, openBoard, picture, tabBoard, until } from "../board_tools.mjs";
import { open, openPanel, set, shot, shots, writePrompt } from "../tools.mjs";

const WINDOW = { width: 1280, height: 1000 };
const SIZE = { steps: 20, width: 192, height: 128, cfg_scale: 5 };

const fill = (page, who) =>
  page.evaluate(
    (pairs) => omg.panel.set(Object.fromEntries(pairs.flatMap(([word, lora], at) => [
      [`concept${at + 1}_class_word`, word], [`concept${at + 1}_lora`, lora], [`concept${at + 1}_prompt`, `${lora} ${word}`]]))),
    who,
  );

async function layout(page, seed, root) {
  const before = await page.evaluate(() => omg.board.state.layout?.id ?? null);
  await page.evaluate((Seed) => omg.txt2img.set({ Seed }), seed);
  await button(page, "Layout", root).click();
  await until(page, ({ id, busy }) => id && id !== before && !busy, `a layout of seed ${seed}`, 120_000);
}

async function draw(page, root) {
  await button(page, "Generate", root).click();
  await page.waitForTimeout(300);
  await until(page, ({ busy }) => !busy, "the second pass", 120_000);
  await page.waitForTimeout(700);
  return picture(page);
}

await open("readme-tab", async (page) => {
  await set(page, SIZE);
  await writePrompt(page, "a man, a woman and a dog in the beach");
  await page.locator("#tabs > .tab-nav > button").filter({ hasText: /^\s*OMG\s*$/ }).click();
  await page.locator('#omg_tab_cards .omg-card[data-name="ida"]').waitFor();
  await fill(page, [["man", "rex"], ["woman", "ida"], ["dog", "ace"]]);
  for (const seed of [4, 5, 3, 2]) await layout(page, seed, tabBoard);
  await page.locator('#omg_tab_slots .omg-slot[data-number="2"] .omg-slot-head').click();
  await draw(page, tabBoard);
  await page.mouse.move(5, 5);
  await page.waitForTimeout(1000);
  await shot(page, "readme-tab", "#omg_tab");
}, { colorScheme: "dark", viewport: WINDOW });

await open("readme-swap", async (page) => {
  await set(page, SIZE);
  await writePrompt(page, "two women in the park");
  await openPanel(page);
  await openBoard(page);
  await fill(page, [["women", "ida"], ["women", "mia"]]);
  await layout(page, 13, board);
  for (const name of ["before", "after"]) {
    if (name === "after") await named(page, "Swap").click();
    writeFileSync(join(shots, `readme-${name}-picture.png`), await draw(page, board));
    await page.mouse.move(5, 5);
    await shot(page, `readme-${name}-board`, `${board} canvas`);
  }
}, { viewport: WINDOW });
