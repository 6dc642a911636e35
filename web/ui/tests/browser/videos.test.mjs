// A video with captions in other people's players, and its owner's tools on the watch page.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launchChromium } from '../chromium.mjs';
import { axeFindings, DESKTOP, openPage } from '../pages.mjs';
import { openPlayers } from '../players/players.mjs';

// Cookies belong to a host name.
const url = process.env.NOVA_URL?.replace(/\/$/, '').replace('127.0.0.1', 'localhost');
const skip = !url && 'needs a server';
const PASSWORD = 'a rather long phrase of mine';
const WEBVTT = `WEBVTT

${Array.from({ length: 11 }, (_, n) => `00:${String(n).padStart(2, '0')}.000 --> 00:${String(n).padStart(2, '0')}.900\nsecond ${n}\n`).join('\n')}`;
let browser;
let players;
let folder;
let token;
let video;

async function call(method, path, body, type = 'application/json') {
  const answer = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { ...(body ? { 'content-type': type } : {}), ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: body && (typeof body === 'string' ? body : JSON.stringify(body)),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.headers.get('content-type')?.includes('json') ? answer.json() : answer.text();
}

async function until(what, seconds, look) {
  for (let i = 0; i < seconds * 10; i++) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}

const ready = (id) => until('the video', 60, async () => ((await call('GET', `/videos/${id}`)).status === 'ready' ? id : null));

async function mailedCode() {
  return until('a mail with a code', 10, async () => {
    for (const name of await readdir(process.env.MAIL_DIR).catch(() => [])) {
      if (!name.endsWith('verify-address.eml')) continue;
      const code = (await readFile(join(process.env.MAIL_DIR, name), 'utf8')).match(/^ {4}(\d{8})\r?$/m);
      if (code) return code[1];
    }
    return null;
  });
}

before(async () => {
  if (skip) return;
  browser = await launchChromium();
  players = await openPlayers({ browser });
  folder = await mkdtemp(join(tmpdir(), 'nova-videos-'));
  const film = join(folder, 'film.mp4');
  execFileSync('ffmpeg', [
    ...'-hide_banner -loglevel error -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=frequency=440 -t 12'.split(' '),
    ...'-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac'.split(' '), film,
  ]);
  await call('POST', '/auth/register', { email: 'ada@example.org', username: 'ada', password: PASSWORD });
  await call('POST', '/auth/verify-email', { email: 'ada@example.org', code: await mailedCode() });
  ({ access_token: token } = await call('POST', '/auth/login', { email_or_username: 'ada', password: PASSWORD }));
  execFileSync('node', ['upload.mjs', `${url}/api/v1/uploads`, token, film, 'My film', join(folder, 'address')]);
  video = await ready((await call('GET', '/videos?owner=me')).items[0].id);
});
after(async () => {
  await players?.close();
  await browser?.close();
  if (folder) await rm(folder, { recursive: true });
});

/** Plays a manifest with captions chosen, and says at each cue where the picture stood. */
async function cuesSeen(player, manifest) {
  const opened = await players.open(player, manifest, { caption: 'en' });
  await opened.firstFrame(25_000);
  const { page } = opened;
  await page.evaluate(() => window.player.caption('en'));
  await page.evaluate(() => (video.currentTime = 2.2));
  const seen = await page.evaluate(async () => {
    const seen = [];
    const until = Date.now() + 15_000;
    while (Date.now() < until && seen.length < 4) {
      for (const track of video.textTracks) {
        for (const cue of track.activeCues ?? []) {
          if (!video.seeking && seen.at(-1)?.text !== cue.text) seen.push({ text: cue.text, at: video.currentTime, start: cue.startTime });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return seen;
  });
  const { errors } = await opened.stats();
  assert.deepEqual(errors.filter((error) => error.fatal), []);
  await opened.close();
  return seen;
}

for (const [player, manifest] of [['hls', 'master.m3u8'], ['shaka', 'master.m3u8'], ['shaka', 'manifest.mpd']]) {
  test(`${player} shows the captions of a film and of a clip of it in ${manifest}`, { skip }, async () => {
    await call('PUT', `/videos/${video}/captions/en?label=English`, WEBVTT, 'text/vtt');
    const clip = await ready((await call('POST', `/videos/${video}/clips`, { start: 3.3, end: 10.7 })).id);
    await call('PUT', `/videos/${clip}/captions/en?label=English`, WEBVTT, 'text/vtt');
    for (const id of [video, clip]) {
      await until('the captions', 5, async () => (await (await fetch(`${url}/vod/${id}/${manifest}`)).text()).includes('"en"'));
      const seen = await cuesSeen(player, `${url}/vod/${id}/${manifest}`);
      assert.ok(seen.length >= 4, `${id === clip ? 'clip' : 'film'}: ${JSON.stringify(seen)}`);
      // In a clip, media time begins late; what viewers see begins at nought.
      for (const { text, at } of seen) {
        const second = Number(text.replace('second ', ''));
        assert.ok(at >= second - 0.1 && at < second + 1.0, `${text} is shown at ${at}: ${JSON.stringify(seen)}`);
      }
    }
  });
}

test('the bar under a video shows the picture of where the pointer is', { skip }, async () => {
  await until('the storyboard', 20, async () => (await call('GET', `/videos/${video}`)).storyboard_url);
  const { page, complaints, close } = await openPage(browser, DESKTOP, { quiet404: true });
  await page.goto(`${url}/watch/v/${video}`);
  const bar = page.getByLabel('Position in the video');
  const preview = page.getByTestId('preview');
  await page.waitForFunction(() => document.querySelector('input[type=range]')?.max > 11, undefined, { timeout: 20_000 });
  const { x, y, width, height } = await bar.boundingBox();
  const seen = [];
  for (const part of [0, 0.4, 0.8, 1]) {
    await page.mouse.move(x + Math.min(width - 1, width * part), y + height / 2);
    await preview.waitFor();
    // The picture itself, drawn from its sheet as the page shows it.
    seen.push(await preview.evaluate(async (figure) => {
      const box = figure.getBoundingClientRect();
      const { backgroundImage, backgroundPosition, width, height } = getComputedStyle(figure.firstElementChild);
      const sheet = new Image();
      sheet.src = backgroundImage.slice(5, -2);
      await sheet.decode();
      const [left, top] = backgroundPosition.split(' ').map((value) => -parseFloat(value));
      const [w, h] = [parseFloat(width), parseFloat(height)];
      const canvas = new OffscreenCanvas(w, h).getContext('2d');
      canvas.drawImage(sheet, left, top, w, h, 0, 0, w, h);
      const pixels = canvas.getImageData(0, 0, w, h).data;
      return {
        inside: left + w <= sheet.width && top + h <= sheet.height && box.left >= 0 && box.right <= innerWidth,
        brightness: pixels.reduce((sum, value) => sum + value, 0) / pixels.length,
        picture: pixels.join(),
        time: figure.textContent.trim(),
      };
    }));
    if (part === 0.4 && process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace('.png', '-bar.png') });
  }
  assert.ok(seen.every(({ inside, brightness }) => inside && brightness > 80), JSON.stringify(seen.map(({ picture, ...rest }) => rest)));
  assert.deepEqual([seen[0].time, seen.at(-1).time], ['0:00', '0:12']);
  assert.notEqual(seen[0].picture, seen[2].picture);
  await page.mouse.click(x + width * 0.75, y + height / 2);
  await page.waitForFunction(() => Math.abs(document.querySelector('video').currentTime - 9) < 0.3);
  await bar.focus();
  await page.keyboard.press('Home');
  await page.waitForFunction(() => document.querySelector('video').currentTime < 0.5);
  assert.deepEqual(await axeFindings(page), []);
  assert.deepEqual(complaints, []);
  await close();
});

test('the owner cuts a clip and adds captions on the watch page', { skip }, async () => {
  const { page, complaints, close } = await openPage(browser, DESKTOP, { quiet404: true });
  await page.goto(`${url}/login?next=/watch/v/${video}`);
  await page.fill('input[name=email_or_username]', 'ada');
  await page.fill('input[name=password]', PASSWORD);
  await page.keyboard.press('Enter');
  await page.waitForURL((address) => address.pathname.startsWith('/watch/v/'));
  await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2, undefined, { timeout: 20_000 });

  await page.getByText('Cut a clip').click();
  const seek = (to) => page.evaluate((at) => (document.querySelector('video').currentTime = at), to);
  await seek(2.5);
  await page.getByRole('button', { name: 'Begin here' }).click();
  await page.getByLabel('Title').fill('The middle');
  await page.getByRole('button', { name: 'Cut the clip' }).click();
  await page.getByText('is a time, as 1:05.3', { exact: false }).waitFor();
  await seek(7);
  await page.getByRole('button', { name: 'End here' }).click();
  await page.getByRole('button', { name: 'Cut the clip' }).click();
  await page.getByText('The clip is being made.').waitFor();

  await page.getByText('Captions', { exact: true }).click();
  const file = join(folder, 'words.vtt');
  const other = join(folder, 'words.srt.vtt');
  await writeFile(file, WEBVTT);
  await writeFile(other, '1\n00:00:01,000 --> 00:00:02,000\nof another format\n');
  await page.getByLabel('Language').fill('de');
  await page.getByLabel('Name', { exact: true }).fill('Deutsch');
  await page.getByLabel('WebVTT file').setInputFiles(other);
  await page.getByRole('button', { name: 'Add the captions' }).click();
  await page.getByText('it does not begin with WEBVTT', { exact: false }).waitFor();
  await page.getByLabel('WebVTT file').setInputFiles(file);
  await page.getByRole('button', { name: 'Add the captions' }).click();
  await page.getByText('Deutsch (de), 11 cues').waitFor();
  assert.deepEqual(await axeFindings(page), []);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true });

  const link = page.getByRole('link', { name: 'Watch The middle' });
  const clip = (await link.getAttribute('href')).split('/').at(-1);
  const shown = await call('GET', `/videos/${await ready(clip)}`);
  assert.deepEqual([shown.title, shown.clip], ['The middle', { video_id: video, start_s: 2.5, end_s: 7 }]);
  await link.click();
  await page.locator('video').evaluate((element) => element.play());
  await page.waitForFunction(() => document.querySelector('video').currentTime > 1 && document.querySelector('video').videoHeight === 360, undefined, { timeout: 20_000 });
  // The server's refusals are its answers, not the page's faults.
  assert.deepEqual(complaints.filter((complaint) => !complaint.includes('422')), []);
  await close();
});
