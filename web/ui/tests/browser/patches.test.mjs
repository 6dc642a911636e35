// Players of DASH that have hours to go back to take what changed in the manifest, not all of it (conformance 81).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openOrigin, REAL } from '../origin.mjs';
import { openPlayers } from '../players/players.mjs';

let origin;
let players;

before(async () => {
  [origin, players] = await Promise.all([openOrigin(), openPlayers()]);
  // A manifest is there a moment after the broadcaster is.
  for (let i = 0; REAL && i < 60; i++) {
    if ((await fetch(`${origin.url}/live/${origin.name}/manifest.mpd`)).ok) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
});
after(async () => {
  await players?.close();
  await origin?.close();
});

test('Shaka and dash.js follow by patches, over a break', { skip: !REAL && 'the stand-in serves no DASH' }, async () => {
  const pages = await Promise.all(
    ['shaka', 'dash'].map(async (player) => {
      const page = await players.open(player, `${origin.url}/live/${origin.name}/manifest.mpd`);
      const answers = { manifests: 0, patches: 0, failed: [] };
      page.page.on('response', (response) => {
        const file = new URL(response.url()).pathname.split('/').pop();
        if (file === 'manifest.mpd') answers.manifests++;
        if (file === 'patch.mpd' && response.ok()) answers.patches++;
        else if (file === 'patch.mpd') answers.failed.push(response.status());
      });
      await page.firstFrame(25_000);
      return { player, page, answers };
    }),
  );
  const follow = async ({ player, page, answers }, patches) => {
    const { frames } = await page.stats();
    const before = { ...answers };
    let stats;
    for (let i = 0; i < 80; i++) {
      await page.page.waitForTimeout(500);
      stats = await page.stats();
      if (stats.frames >= frames + 120 && answers.patches >= before.patches + patches) break;
    }
    assert.ok(stats.frames >= frames + 120, `${player}: ${stats.frames - frames} pictures ${JSON.stringify(stats.errors)}`);
    assert.ok(answers.patches >= before.patches + patches, `${player}: ${JSON.stringify(answers)}`);
    // After a break sound may come a moment behind the pictures, which no patch tells.
    assert.ok(answers.manifests - before.manifests <= 2, `${player} needs whole manifests: ${JSON.stringify(answers)}`);
    assert.deepEqual(stats.errors.filter((error) => error.fatal), [], player);
  };
  await Promise.all(pages.map((one) => follow(one, 3)));
  await origin.blip();
  await pages[0].page.page.waitForTimeout(3000);
  origin.resume();
  await Promise.all(pages.map((one) => follow(one, 3)));
  for (const { page } of pages) await page.close();
});
