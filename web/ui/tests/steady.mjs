// How far behind, and how steadily: the watch page and hls.js with its defaults, side by side in one browser.
//
//   NOVA_URL=http://127.0.0.1:8080 node steady.mjs STREAM [SECONDS]
//
// Delay is the clock less the EXT-X-PROGRAM-DATE-TIME of the picture shown, sampled each second: from a frame's arrival at the server to
// the screen. Run it on a machine with nothing else to do, with a publisher that only copies (ffmpeg -re -stream_loop -1 -c copy).
import { launchChromium } from './chromium.mjs';
import { openPlayers } from './players/players.mjs';

const [stream, seconds = '600'] = process.argv.slice(2);
const base = (process.env.NOVA_URL ?? 'http://127.0.0.1:8080').replace(/\/$/, '');
if (!stream) throw new Error('usage: NOVA_URL=… node steady.mjs STREAM [SECONDS]');

const browser = await launchChromium();
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
for (let visit = 1; visit <= 3; visit++) {
  const page = await context.newPage();
  await page.goto(`${base}/watch/${stream}`, { waitUntil: 'commit' });
  await page.waitForFunction(() => (document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 0, null, { polling: 16, timeout: 20_000 });
  console.log(`visit ${visit}: first frame ${await page.evaluate(() => Math.round(performance.now()))} ms after navigation`);
  await page.close();
}

const page = await context.newPage();
await page.goto(`${base}/watch/${stream}`);
const players = await openPlayers({ browser });
const other = await players.open('hls', `${base}/live/${stream}/master.m3u8`);
const delays = { 'watch page': [], 'hls.js defaults': [] };
let [still, last] = [0, -1];
for (const end = Date.now() + Number(seconds) * 1000; Date.now() < end; ) {
  await page.waitForTimeout(1000);
  const [own, time] = await page.evaluate(() => {
    const date = window.__nova.hls?.playingDate;
    return [date ? (Date.now() - date) / 1000 : null, window.__nova.video.currentTime];
  });
  const theirs = await other.page.evaluate(() => window.player.latency());
  if (own !== null) delays['watch page'].push(own);
  if (theirs !== null) delays['hls.js defaults'].push(theirs);
  if (time === last) still++;
  last = time;
}
for (const [name, all] of Object.entries(delays)) {
  const sorted = all.slice(15).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]?.toFixed(2);
  console.log(`${name}: first ${all[0]?.toFixed(2)} s; after 15 s median ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)} s`);
}
console.log(`seconds in which the watch page stood still: ${still}`);
await players.close();
await browser.close();
