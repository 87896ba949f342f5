// The layout board and the host's log, for the tests of the board.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

import { panel } from "./tools.mjs";

/** The board in the panel, and the one in the OMG tab: two views of one state. */
export const board = `${panel}_board`;
export const tabBoard = "#omg_tab_board";

export const button = (page, word, root = board) => page.locator(`${root} button`).filter({ hasText: new RegExp(`^${word}$`) }).first();
export const named = (page, label, root = board) => page.locator(`${root} button[aria-label="${label}"]`);
export const tool = (page, name) => page.locator(`${board} [data-tool="${name}"].omg-b-tool`);

/** Open the accordion with the board. */
export const openBoard = (page) => page.click(`${panel}_board_fold > .label-wrap`);

export const status = (page) => page.locator(`${board} .omg-b-status`).innerText();

/** What the board knows: layout id, instances, owners by slot, which slots are painted, what the panel holds. */
export const known = (page) =>
  page.evaluate(() => {
    const { store, state } = omg.board;
    const content = omg.boardState.contentOf(state);
    const areas = content.edits.map((edit, slot) => (edit ? omg.masks.area(edit) : null));
    return {
      id: state.layout?.id ?? null, instances: state.layout?.instances.length ?? 0, owners: content.owners, areas,
      chosen: state.chosen, busy: store.busy, adopted: store.adopted, stale: store.shelf.stale, panel: omg.panel.get(),
    };
  });

/** Wait until the board's state is as `test` (a function of what `known` gives) wants it. */
export async function until(page, test, what, timeout = 60_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const now = await known(page);
    if (test(now)) return now;
    if (Date.now() > end) {
      throw new Error(`${what}: not after ${timeout / 1000} s. The board says "${await status(page)}" and knows ${JSON.stringify(now)}`);
    }
    await page.waitForTimeout(100);
  }
}

/** Point on the page deep inside an instance. */
export async function pointOf(page, instance, root = board) {
  const canvas = page.locator(`${root} canvas`);
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  const [x, y] = await page.evaluate((number) => omg.masks.anchor(omg.board.state.layout.instances[number].mask), instance);
  return [box.x + box.width * x, box.y + box.height * y];
}

/** Milliseconds from the last click on the board until the page showed it. */
export const clickTook = (page) =>
  page.evaluate(() => performance.getEntriesByName("omg-board-click").at(-1)?.duration ?? null);

/** Bytes of the host's log so far; [] where the log isn't known. */
export const logEnd = () => (process.env.OMG_LOG ? readFileSync(process.env.OMG_LOG).length : 0);

/** UNet rows of the layout passes and of whole generations in the host's log since `from`; null where it isn't known. */
export function rowsSince(from) {
  if (!process.env.OMG_LOG) return null;
  const text = readFileSync(process.env.OMG_LOG).subarray(from).toString();
  const all = (pattern) => [...text.matchAll(pattern)].map(([, rows]) => Number(rows));
  return { layout: all(/layout pass: \d+ denoiser calls, (\d+) UNet rows/g), whole: all(/(\d+) UNet rows in both passes/g) };
}

/** The first picture of the gallery: its bytes, as they came from the host. */
export async function picture(page) {
  const source = await page.locator("#txt2img_gallery img").first().getAttribute("src");
  const bytes = Buffer.from(await page.evaluate(async (url) => [...new Uint8Array(await (await fetch(url)).arrayBuffer())], source));
  assert.equal(bytes.subarray(1, 4).toString(), "PNG", "the gallery has a PNG");
  return bytes;
}

/** A PNG's pixels, whatever is written beside them (generation text): a hash of its image data. */
export function pixelHash(png) {
  const data = [];
  for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  return createHash("sha256").update(inflateSync(Buffer.concat(data))).digest("hex");
}
