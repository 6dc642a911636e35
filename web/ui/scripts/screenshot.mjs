// Takes the README's picture: NOVA_URL=http://127.0.0.1:8080 node scripts/screenshot.mjs STREAM FILE.png [WIDTHxHEIGHT]
// Waits until the stream plays close to live, shows the controls, and saves the watch page. Needs `npm --prefix tests ci`.
import { launchChromium } from '../tests/chromium.mjs';
import { DESKTOP, openPage, PHONE, untilPlaying, untilState } from '../tests/pages.mjs';

const [stream, file, size = '1280x800'] = process.argv.slice(2);
const server = process.env.NOVA_URL;
if (!server || !stream || !file) {
  console.error('usage: NOVA_URL=http://HOST:PORT node scripts/screenshot.mjs STREAM FILE.png [WIDTHxHEIGHT]');
  process.exit(2);
}
const [width, height] = size.split('x').map(Number);

const browser = await launchChromium();
try {
  const { page } = await openPage(browser, { ...(width < 600 ? PHONE : DESKTOP), viewport: { width, height } });
  await page.goto(`${server.replace(/\/$/, '')}/watch/${encodeURIComponent(stream)}`);
  await untilPlaying(page, 30_000);
  await untilState(page, 'live');
  // The first seconds still find their pace; the picture should show the delay that viewers get.
  await page.waitForTimeout(8000);
  await page.mouse.move(width / 2, height / 3);
  await page.mouse.move(width / 2 + 4, height / 3);
  await page.waitForTimeout(400);
  await page.screenshot({ path: file });
} finally {
  await browser.close();
}
