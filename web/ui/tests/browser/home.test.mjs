// A server on which nobody streams.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../chromium.mjs';
import { openOrigin, REAL } from '../origin.mjs';
import { assertNoSidewaysScroll, axeFindings, DESKTOP, openPage, PHONE } from '../pages.mjs';

let origin;
let browser;

before(async () => {
  [origin, browser] = await Promise.all([openOrigin({ live: false }), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await origin?.close();
});

test('an empty home page explains how to stream', { skip: REAL && 'other streams of the run may be on air' }, async () => {
  for (const options of [DESKTOP, PHONE]) {
    const { page, complaints, close } = await openPage(browser, options);
    await page.goto(origin.url);
    await page.getByRole('heading', { name: 'Start a stream' }).waitFor();
    await page.getByText('rtmp://127.0.0.1:1935/live', { exact: true }).waitFor();
    await assertNoSidewaysScroll(page);
    assert.deepEqual(await axeFindings(page), []);
    await page.screenshot({ path: new URL(`../output/home-empty-${options.viewport.width}.png`, import.meta.url).pathname, fullPage: true });
    assert.deepEqual(complaints, []);
    await close();
  }
});

test('the ffmpeg line can be copied', { skip: REAL && 'other streams of the run may be on air' }, async () => {
  const { page, close } = await openPage(browser, { ...DESKTOP, permissions: ['clipboard-read', 'clipboard-write'] });
  await page.goto(origin.url);
  await page.getByRole('button', { name: 'Copy ffmpeg command' }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /^ffmpeg -re .* -f flv rtmp:\/\/127\.0\.0\.1:1935\/live\/test$/);
  await close();
});

test('an address that is no page says so', async () => {
  const { page, close } = await openPage(browser, DESKTOP, { quiet404: true });
  await page.goto(origin.url);
  await page.evaluate(() => {
    history.pushState(null, '', '/nowhere/at/all');
    dispatchEvent(new PopStateEvent('popstate'));
  });
  await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
  await close();
});
