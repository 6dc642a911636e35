// The broadcaster comes, stumbles, goes and comes again, while a viewer keeps the page open.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../chromium.mjs';
import { openOrigin, REAL } from '../origin.mjs';
import { assertMoves, axeFindings, DESKTOP, openPage, stats, untilPlaying, untilState } from '../pages.mjs';

let origin;
let browser;
let viewer;

before(async () => {
  [origin, browser] = await Promise.all([openOrigin({ live: false }), launchChromium()]);
  viewer = await openPage(browser, DESKTOP, { quiet404: true });
});
after(async () => {
  await browser?.close();
  await origin?.close();
});

test('a page opened too early says so, is accessible, and starts by itself', async () => {
  const { page, complaints } = viewer;
  await page.goto(`${origin.url}/watch/${origin.name}`);
  await page.getByText(`${origin.name} is not live yet`).waitFor();
  assert.ok(['waiting', 'unknown'].includes((await stats(page)).state));
  assert.deepEqual(await axeFindings(page), []);
  origin.start();
  await untilPlaying(page, 30_000);
  await assertMoves(page);
  assert.deepEqual(complaints, []);
});

test('a blip of the broadcaster is announced, and playback goes on by itself and catches up', async () => {
  const { page, complaints } = viewer;
  await page.waitForTimeout(3000);
  await origin.blip();
  await untilState(page, 'reconnecting', 15_000);
  await page.getByText('The broadcaster is reconnecting').waitFor();
  // Long enough for held playlist requests to be refused.
  await page.waitForTimeout(9000);
  await origin.resume();
  await untilState(page, 'live', 20_000);
  await page.waitForTimeout(3000);
  await assertMoves(page);
  const { latency } = await stats(page);
  assert.ok(latency < 4, `${latency} s behind after the blip`);
  assert.deepEqual(complaints.filter((line) => !line.includes('503')), []);
});

test('the end is told, and the next broadcast starts by itself', async () => {
  const { page } = viewer;
  await origin.end();
  // A server keeps a broadcast open for the reconnect time.
  await untilState(page, 'ended', REAL ? 75_000 : 20_000);
  await page.getByText('The stream has ended').waitFor();
  origin.start();
  await untilState(page, 'live', 30_000);
  // A broadcast of two seconds' age has next to nothing to buffer; its first moments may stumble.
  await page.waitForTimeout(2500);
  await assertMoves(page);
});
