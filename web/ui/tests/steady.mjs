// How far behind, and how steadily: the watch page and hls.js with its defaults, side by side in one browser.
//
//   NOVA_URL=http://127.0.0.1:8080 node steady.mjs STREAM [SECONDS]
//
// Delay is the clock less the EXT-X-PROGRAM-DATE-TIME of the picture shown, sampled each second: from a frame's arrival at the server to
// the screen. Run it on a machine with nothing else to do, with a publisher that only copies (ffmpeg -re -stream_loop -1 -c copy).
//
// A publisher that draws the time into the picture, as 32 bits of milliseconds from left to right, lowest first, is read back from the screen
// as well: from camera to screen, whatever the server says.
//
//   ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 -filter_complex "[0:v]split[picture][b];
//     [b]crop=32:2:0:0,geq=lum='255*mod(floor(time(0)*1000/pow(2,X)),2)':cb=128:cr=128,scale=1280:40:flags=neighbor[clock];
//     [picture][clock]overlay[v]" -map '[v]' -map 1:a -c:v libx264 -preset ultrafast -tune zerolatency -g 60 -pix_fmt yuv420p
//     -c:a aac -f flv rtmp://127.0.0.1:1935/live/STREAM
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
const delays = { 'watch page': [], 'hls.js defaults': [], 'watch page, clock in the picture': [], 'hls.js defaults, clock in the picture': [] };

/** Milliseconds since the picture on the screen was drawn, or null when there is no clock in it. */
function clockInPicture() {
  const video = document.querySelector('video');
  const canvas = (window.clockCanvas ??= Object.assign(document.createElement('canvas'), { width: 1280, height: 8 }));
  const drawing = canvas.getContext('2d', { willReadFrequently: true });
  drawing.drawImage(video, 0, (16 * video.videoHeight) / 720, video.videoWidth, (8 * video.videoHeight) / 720, 0, 0, 1280, 8);
  const now = Date.now();
  const row = drawing.getImageData(0, 4, 1280, 1).data;
  let shown = 0;
  for (let bit = 0; bit < 32; bit++) if (row[(bit * 40 + 20) * 4] > 127) shown += 2 ** bit;
  const late = (((now - shown) % 2 ** 32) + 2 ** 32) % 2 ** 32;
  return late < 60_000 ? late : null;
}
let [still, last] = [0, -1];
for (const end = Date.now() + Number(seconds) * 1000; Date.now() < end; ) {
  await page.waitForTimeout(1000);
  const [own, time] = await page.evaluate(() => {
    const date = window.__nova.hls?.playingDate;
    return [date ? (Date.now() - date) / 1000 : null, window.__nova.video.currentTime];
  });
  const theirs = await other.page.evaluate(() => window.player.latency());
  const drawn = { 'watch page': await page.evaluate(clockInPicture), 'hls.js defaults': await other.page.evaluate(clockInPicture) };
  for (const [name, late] of Object.entries(drawn)) if (late !== null) delays[`${name}, clock in the picture`].push(late / 1000);
  if (own !== null) delays['watch page'].push(own);
  if (theirs !== null) delays['hls.js defaults'].push(theirs);
  if (time === last) still++;
  last = time;
}
for (const [name, all] of Object.entries(delays)) {
  if (all.length === 0) continue;
  const sorted = all.slice(15).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]?.toFixed(2);
  console.log(`${name}: first ${all[0]?.toFixed(2)} s; after 15 s least ${at(0)}, median ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)} s (${sorted.length} readings)`);
}
console.log(`seconds in which the watch page stood still: ${still}`);
await players.close();
await browser.close();
