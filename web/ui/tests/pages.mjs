// What the browser tests ask of a page, in their words.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

export const DESKTOP = { viewport: { width: 1280, height: 800 } };
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
export const PHONE_SIDEWAYS = { ...PHONE, viewport: { width: 844, height: 390 } };

/**
 * A page that notes what goes wrong on it: `complaints` collects console errors, exceptions and CSP violations. A 404 for a
 * stream that is not on air is the server's normal answer, which Chromium reports all the same; `quiet404` leaves those out.
 */
export async function openPage(browser, options, { quiet404 = false } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`exception: ${error.stack ?? error}`));
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    if (quiet404 && message.text().includes('404')) return;
    complaints.push(`console: ${message.text()} (${message.location().url})`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI || 'inline'}`);
    });
  });
  return { page, complaints, close: () => context.close() };
}

export const stats = (page) => page.evaluate(() => window.__nova?.stats() ?? null);

/** Waits until the player is in `state`, and says where it stood when it does not come. */
export async function untilState(page, state, timeout = 20_000) {
  try {
    await page.waitForFunction((wanted) => window.__nova?.stats().state === wanted, state, { timeout });
  } catch {
    assert.fail(`player is not "${state}" after ${timeout} ms: ${JSON.stringify(await stats(page))}`);
  }
}

/** Waits for pictures on the move. */
export async function untilPlaying(page, timeout = 20_000) {
  try {
    await page.waitForFunction(
      () => {
        const { video, stats } = window.__nova ?? {};
        return video && !video.paused && video.videoWidth > 0 && video.currentTime > 0 && stats().totalFrames > 5;
      },
      undefined,
      { timeout },
    );
  } catch {
    assert.fail(`nothing plays after ${timeout} ms: ${JSON.stringify(await stats(page))}`);
  }
}

/** A small copy of the picture being shown, as bytes: two of them differ when the picture changes. */
export const picture = (page) =>
  page.evaluate(() => {
    const canvas = document.createElement('canvas');
    canvas.width = 64;
    canvas.height = 36;
    const drawing = canvas.getContext('2d');
    drawing.drawImage(window.__nova.video, 0, 0, 64, 36);
    return [...drawing.getImageData(0, 0, 64, 36).data];
  });

/** The clock runs and the picture changes, over `ms`. */
export async function assertMoves(page, ms = 1500) {
  const [before, first] = [await stats(page), await picture(page)];
  await page.waitForTimeout(ms);
  const [after, second] = [await stats(page), await picture(page)];
  const advanced = after.currentTime - before.currentTime;
  assert.ok(advanced > (ms / 1000) * 0.6, `currentTime advanced by ${advanced} s in ${ms} ms`);
  assert.ok(after.totalFrames > before.totalFrames, 'frames are presented');
  const changed = first.filter((value, i) => Math.abs(value - second[i]) > 24).length;
  assert.ok(changed > 50, `the picture changes (${changed} of ${first.length} values did)`);
  assert.ok(new Set(first).size > 8, 'the picture is not one flat colour');
}

const axeSource = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Serious and critical findings of axe, as readable lines. Evaluated, not injected as a script: the page's CSP forbids that. */
export async function axeFindings(page) {
  await page.evaluate(await axeSource);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }),
  );
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`);
}

/** Nothing sticks out sideways, which on a phone would make the whole page slide about. */
export async function assertNoSidewaysScroll(page) {
  const { content, window: width } = await page.evaluate(() => ({
    content: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
  }));
  assert.ok(content <= width, `page is ${content} px wide in a window of ${width} px`);
}
