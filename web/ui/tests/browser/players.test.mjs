// Other players, with their defaults, play what Nova serves.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openOrigin, REAL } from '../origin.mjs';
import { openPlayers } from '../players/players.mjs';

let origin;
let players;

before(async () => {
  [origin, players] = await Promise.all([openOrigin(), openPlayers()]);
  // A manifest is there a moment after the broadcaster is.
  for (let i = 0; i < 60; i++) {
    if ((await fetch(`${origin.url}/live/${origin.name}/master.m3u8`)).ok) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error('the stream did not go live');
});
after(async () => {
  await players?.close();
  await origin?.close();
});

for (const [player, manifest] of [
  ['hls', 'master.m3u8'],
  ['shaka', 'master.m3u8'],
  ['shaka', 'manifest.mpd'],
  ['dash', 'manifest.mpd'],
]) {
  const skip = manifest === 'manifest.mpd' && !REAL && 'the stand-in serves no DASH';
  test(`${player} plays ${manifest}`, { skip }, async () => {
    const page = await players.open(player, `${origin.url}/live/${origin.name}/${manifest}`);
    await page.firstFrame(25_000);
    const [before, first] = [await page.stats(), await page.picture()];
    await page.page.waitForTimeout(4000);
    const [after, second] = [await page.stats(), await page.picture()];
    assert.equal(after.videoWidth, 1280);
    assert.ok(after.currentTime - before.currentTime > 2.5, `advanced ${after.currentTime - before.currentTime} s in 4 s`);
    assert.ok(after.frames > before.frames + 60, `${after.frames - before.frames} frames in 4 s`);
    assert.ok(first.filter((value, i) => Math.abs(value - second[i]) > 24).length > 50, 'the picture changes');
    assert.deepEqual(after.errors.filter((error) => error.fatal), []);
    await page.close();
  });
}

test('Shaka shows I-frames while it runs through a broadcast (conformance 57)', { skip: !REAL && 'the stand-in has no lists of them' }, async () => {
  const page = await players.open('shaka', `${origin.url}/live/${origin.name}/master.m3u8`);
  const asked = [];
  page.page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.firstFrame(25_000);
  await page.page.waitForFunction(() => video.seekable.end(0) - video.seekable.start(0) > 12, null, { timeout: 25_000 });
  await page.page.evaluate(() => (video.currentTime = video.seekable.start(0) + 1));
  await page.page.waitForFunction(() => !video.seeking && video.readyState >= 3);
  const before = await page.stats();
  await page.page.evaluate(() => window.player.trick(4));
  await page.page.waitForFunction((from) => video.currentTime > from + 5, before.currentTime, { timeout: 10_000 });
  assert.ok(asked.some((path) => path.endsWith('-iframes.m3u8')), asked.slice(-20).join(' '));
  await page.page.evaluate(() => window.player.trick(1));
  const { frames } = await page.stats();
  await page.page.waitForFunction((shown) => video.getVideoPlaybackQuality().totalVideoFrames > shown + 60, frames, { timeout: 15_000 });
  assert.deepEqual((await page.stats()).errors.filter((error) => error.fatal), []);
  await page.close();
});

test('every player goes on by itself when the broadcaster comes back', { skip: !REAL && 'the stand-in serves no DASH' }, async () => {
  const pages = await Promise.all(
    [['hls', 'master.m3u8'], ['shaka', 'manifest.mpd'], ['dash', 'manifest.mpd']].map(async ([player, manifest]) => {
      const page = await players.open(player, `${origin.url}/live/${origin.name}/${manifest}`);
      await page.firstFrame(25_000);
      return [player, page];
    }),
  );
  await origin.blip();
  await pages[0][1].page.waitForTimeout(5000);
  origin.resume();
  for (const [player, page] of pages) {
    const away = (await page.stats()).frames;
    // Two seconds of new pictures, however long the player takes to find them.
    let frames = away;
    for (let i = 0; i < 60 && frames < away + 60; i++) {
      await page.page.waitForTimeout(500);
      frames = (await page.stats()).frames;
    }
    const { errors } = await page.stats();
    assert.ok(frames >= away + 60, `${player} shows new pictures: ${frames - away} ${JSON.stringify(errors)}`);
    assert.deepEqual(errors.filter((error) => error.fatal), [], player);
    await page.close();
  }
});
