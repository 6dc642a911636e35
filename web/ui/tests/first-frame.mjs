// How soon there is a picture: opens the watch page again and again, each time in a browser that has never seen it.
//
//   NOVA_URL=http://127.0.0.1:8080 node first-frame.mjs STREAM [VISITS] [--warm]
//
// Every visit is a Chromium of its own with an empty profile, whose window is left alone for two seconds so that its own start is over. Times are
// milliseconds after navigation start; "behind" is the clock less the PROGRAM-DATE-TIME of the picture, just after the first one. --warm
// counts a second visit in the same browser. Several servers, as in NOVA_URL=http://a,http://b, are visited in turn, so that a busy
// machine is busy for all of them.
import { launchChromium } from './chromium.mjs';

const warm = process.argv.includes('--warm');
const [stream, visits = '15'] = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const servers = (process.env.NOVA_URL ?? 'http://127.0.0.1:8080').split(',').map((url) => url.replace(/\/$/, ''));
if (!stream) throw new Error('usage: NOVA_URL=… node first-frame.mjs STREAM [VISITS] [--warm]');

/** Runs before the page's own scripts: notes when the steps to a picture are first taken. */
function noteSteps() {
  const steps = (window.steps = {});
  const note = (name) => (steps[name] ??= performance.now());
  const before = (owner, method, act) => {
    const original = owner[method];
    owner[method] = function (...given) {
      act.apply(this, given);
      return original.apply(this, given);
    };
  };
  before(MediaSource.prototype, 'addSourceBuffer', () => note('buffers made'));
  before(SourceBuffer.prototype, 'appendBuffer', function () {
    this.addEventListener('updateend', () => this.buffered.length > 0 && note('buffered'), { once: true });
  });
  const create = document.createElement;
  document.createElement = function (...given) {
    const made = create.apply(document, given);
    if (made instanceof HTMLVideoElement) {
      note('script');
      made.addEventListener('loadedmetadata', () => note('metadata'));
      made.addEventListener('loadeddata', () => note('decoded'));
      made.addEventListener('playing', () => note('playing'));
      made.requestVideoFrameCallback(() => note('frame'));
    }
    return made;
  };
  new MutationObserver(() => document.querySelector('video') && note('on the page')).observe(document, { childList: true, subtree: true });
}

async function visit(context, server) {
  const page = await context.newPage();
  await page.addInitScript(noteSteps);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await page.goto(`${server}/watch/${stream}`, { waitUntil: 'commit' });
  await page.waitForFunction(() => window.steps.frame && window.steps['on the page'], null, { polling: 50, timeout: 20_000 });
  const seen = await page.evaluate(() => {
    const loaded = (part) => performance.getEntriesByType('resource').find(({ name }) => name.includes(part))?.responseEnd ?? NaN;
    const { frame, ...steps } = window.steps;
    const date = window.__nova.hls?.playingDate;
    return {
      'hls.js here': loaded('/assets/hls-'),
      'master here': loaded('master.m3u8'),
      ...steps,
      frame,
      // A picture is seen when it is there and has a place on the page.
      'SEEN': Math.max(frame, steps['on the page']),
      behind: date ? Date.now() - date.getTime() : NaN,
    };
  });
  if (process.env.REQUESTS) {
    const requests = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name, startTime, responseStart, responseEnd }) => [startTime, responseStart, responseEnd, name]));
    for (const [start, first, end, name] of requests) console.log([start, first, end].map((ms) => ms.toFixed(0).padStart(6)).join(''), name);
  }
  await page.close();
  return seen;
}

const all = servers.map(() => []);
for (let number = 0; number < Number(visits) * servers.length; number++) {
  const server = servers[number % servers.length];
  const browser = await launchChromium();
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    if (warm) await visit(context, server);
    all[number % servers.length].push(await visit(context, server));
  } finally {
    await browser.close();
  }
}
for (const [index, seen] of all.entries()) {
  console.log(`${servers[index]}, ${seen.length} visits`);
  for (const step of Object.keys(seen[0])) {
    const sorted = seen.map((one) => one[step]).sort((a, b) => a - b);
    const at = (share) => String(Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))])).padStart(6);
    console.log(`  ${step.padEnd(13)} median${at(0.5)}   least${at(0)}   p90${at(0.9)}`);
  }
}
