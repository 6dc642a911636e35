// Plays a manifest in other people's players, with their defaults, to see that Nova is not only right for its own page.
//
//   const players = await openPlayers();
//   const player = await players.open('dash', 'http://127.0.0.1:8080/live/test/manifest.mpd');
//   await player.firstFrame(15_000);  await player.stats();  await player.close();  await players.close();
//
// or by hand: node players/players.mjs hls|shaka|dash MANIFEST [SECONDS]. Manifests are fetched cross-origin: the pages come
// from a little server here that knows nothing of media, so a missing CORS header shows.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { launchChromium } from '../chromium.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const LIBRARIES = fileURLToPath(new URL('../node_modules/', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' };

/** Names of the pages, each NAME.html beside this file. */
export const PLAYERS = ['hls', 'shaka', 'dash'];

/** Starts Chromium and the page server; `browser` lends one that is open already. */
export async function openPlayers({ browser: lent } = {}) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://players').pathname);
    const file = path.startsWith('/lib/') ? join(LIBRARIES, path.slice(5)) : join(HERE, path);
    try {
      if (path === '/favicon.ico') return response.writeHead(204).end();
      const body = await readFile(file);
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = lent ?? (await launchChromium());

  return {
    async open(name, manifest, parameters = {}) {
      if (!PLAYERS.includes(name)) throw new Error(`no player ${name}; there are ${PLAYERS.join(', ')}`);
      const context = await browser.newContext();
      const page = await context.newPage();
      const failures = [];
      page.on('pageerror', (error) => failures.push({ text: `exception: ${error}`, fatal: true }));
      page.on('requestfailed', (request) => {
        const why = request.failure()?.errorText ?? '';
        // Players abort requests of their own accord.
        if (why !== 'net::ERR_ABORTED') failures.push({ text: `${request.url()}: ${why}`, fatal: false });
      });
      const opened = Date.now();
      await page.goto(`${origin}/${name}.html?${new URLSearchParams({ u: manifest, ...parameters })}`);

      /** currentTime, videoWidth, videoHeight, frames, dropped, latency (s or null), paused, version, errors [{text, fatal}]. */
      const stats = async () => {
        const now = await page.evaluate(() => {
          const frames = video.getVideoPlaybackQuality();
          return {
            currentTime: video.currentTime,
            videoWidth: video.videoWidth,
            videoHeight: video.videoHeight,
            frames: frames.totalVideoFrames,
            dropped: frames.droppedVideoFrames,
            latency: window.player?.latency() ?? null,
            paused: video.paused,
            version: window.player?.version ?? null,
            errors: window.player?.errors ?? [{ text: 'the page did not start its player', fatal: true }],
          };
        });
        return { ...now, errors: [...now.errors, ...failures] };
      };
      return {
        page,
        stats,
        /** Resolves with the milliseconds from opening to moving pictures; rejects with the player's own errors. */
        async firstFrame(timeout = 20_000) {
          try {
            await page.waitForFunction(() => video.videoWidth > 0 && video.currentTime > 0 && video.getVideoPlaybackQuality().totalVideoFrames > 5, undefined, { timeout, polling: 50 });
            return Date.now() - opened;
          } catch {
            throw new Error(`${name} shows nothing of ${manifest} after ${timeout} ms: ${JSON.stringify(await stats())}`);
          }
        },
        /** A small copy of the picture as bytes, or null when the browser forbids reading it. */
        picture: () =>
          page.evaluate(() => {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [64, 36];
            const drawing = canvas.getContext('2d');
            drawing.drawImage(video, 0, 0, 64, 36);
            return [...drawing.getImageData(0, 0, 64, 36).data];
          }),
        close: () => context.close(),
      };
    },
    async close() {
      if (!lent) await browser.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [name, manifest, seconds = '5'] = process.argv.slice(2);
  const players = await openPlayers();
  try {
    const player = await players.open(name, manifest);
    console.log(`first frame after ${await player.firstFrame()} ms`);
    await player.page.waitForTimeout(Number(seconds) * 1000);
    console.log(JSON.stringify(await player.stats(), null, 2));
  } finally {
    await players.close();
  }
}
