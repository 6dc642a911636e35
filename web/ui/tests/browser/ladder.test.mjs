// Players go up and down the ladder without a stall, and do not notice when the encoder that makes it dies.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { openOrigin } from '../origin.mjs';
import { openPlayers } from '../players/players.mjs';

let origin;
let players;

before(async () => {
  [origin, players] = await Promise.all([openOrigin(), openPlayers()]);
  for (let i = 0; i < 60; i++) {
    const answer = await fetch(`${origin.url}/live/${origin.name}/master.m3u8`);
    if (answer.ok && (await answer.text()).includes('x240')) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error('the ladder did not come');
});
after(async () => {
  await players?.close();
  await origin?.close();
});

/** From now on, counts how often and how long the picture stands still. */
const watchStalls = (page) =>
  page.evaluate(() => {
    window.stalls = 0;
    video.addEventListener('waiting', () => window.stalls++);
  });

for (const [player, manifest] of [
  ['hls', 'master.m3u8'],
  ['shaka', 'master.m3u8'],
  ['shaka', 'manifest.mpd'],
]) {
  test(`${player} switches rungs of ${manifest} up and down`, async () => {
    const opened = await players.open(player, `${origin.url}/live/${origin.name}/${manifest}`);
    await opened.firstFrame(25_000);
    const { page } = opened;
    const heights = await page.evaluate(() => window.player.heights());
    assert.deepEqual([...new Set(heights)].sort((a, b) => a - b), [240, 360, 720]);
    await page.waitForTimeout(1500);
    await watchStalls(page);
    for (const height of [240, 720, 360]) {
      await page.evaluate((wanted) => window.player.choose(wanted), height);
      try {
        await page.waitForFunction((wanted) => video.videoHeight === wanted, height, { timeout: 20_000 });
      } catch {
        assert.fail(`${height} is not shown: ${JSON.stringify(await opened.stats())}`);
      }
    }
    // The worker dies while its rung is watched.
    execFileSync('pkill', ['-KILL', '-P', process.env.SERVER_PID, 'nova-transcode']);
    const before = await opened.stats();
    await page.waitForTimeout(5000);
    const after = await opened.stats();
    assert.equal(after.videoHeight, 360);
    assert.ok(after.currentTime - before.currentTime > 4, `advanced ${after.currentTime - before.currentTime} s in 5 s`);
    assert.ok((await page.evaluate(() => window.stalls)) <= 1, `${await page.evaluate(() => window.stalls)} stalls`);
    assert.deepEqual(after.errors.filter((error) => error.fatal), []);
    await opened.close();
  });
}
