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
