// A stand-in for the server, for work on the pages alone: serves dist/ with the server's headers, the API's JSON and one
// low-latency HLS stream that ffmpeg encodes and this file cuts into parts. It keeps to the playback contract where the player
// depends on it (blocking reload, separate audio group, 404 with Retry-After, stall then EXT-X-DISCONTINUITY, new addresses
// for a new broadcast) and to nothing else.
//
//   node tests/stub.mjs [port]          then   curl -X POST 'http://127.0.0.1:PORT/stub/{start,blip,resume,end}'
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const PART_S = 1 / 3;
/** A third of a second of AAC frames is a little longer than one of pictures; the declared limit covers both. */
const PART_TARGET_S = 0.342;
const TARGET_S = 2;
const WINDOW_SEGMENTS = 20;
const CSP =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; " +
  "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors ";
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** The boxes at the top level of a growing fMP4 byte stream; keeps the incomplete rest for later. */
class BoxReader {
  rest = Buffer.alloc(0);

  *push(bytes) {
    this.rest = Buffer.concat([this.rest, bytes]);
    while (this.rest.length >= 8) {
      const size = this.rest.readUInt32BE(0);
      if (this.rest.length < size) return;
      yield { type: this.rest.toString('latin1', 4, 8), bytes: this.rest.subarray(0, size) };
      this.rest = this.rest.subarray(size);
    }
  }
}

/** One track's live playlist: segments of parts, and the requests held until a part exists. */
class Track {
  segments = [];
  open = { parts: [], discontinuity: false, date: null, init: 0 };
  sequence = 0;
  discontinuitySequence = 0;
  inits = [];
  media = new Map();
  held = new Set();
  ended = false;

  addInit(bytes) {
    this.inits.push(bytes);
    if (this.inits.length > 1) {
      this.closeSegment();
      this.open.discontinuity = true;
    }
    this.open.init = this.inits.length - 1;
  }

  addPart(bytes, duration, independent, now, cut) {
    if (cut && this.open.parts.length > 0) this.closeSegment();
    if (this.open.parts.length === 0) this.open.date = new Date(now - duration * 1000);
    const name = `s${this.sequence + this.segments.length}.${this.open.parts.length}.m4s`;
    this.media.set(name, bytes);
    this.open.parts.push({ name, duration, independent });
    this.wake();
  }

  closeSegment() {
    if (this.open.parts.length === 0) return;
    const name = `s${this.sequence + this.segments.length}.m4s`;
    this.media.set(name, Buffer.concat(this.open.parts.map((part) => this.media.get(part.name))));
    this.segments.push({ ...this.open, name, duration: this.open.parts.reduce((sum, part) => sum + part.duration, 0) });
    this.open = { parts: [], discontinuity: false, date: null, init: this.inits.length - 1 };
    if (this.segments.length > WINDOW_SEGMENTS) {
      const gone = this.segments.shift();
      this.sequence++;
      if (gone.discontinuity) this.discontinuitySequence++;
    }
  }

  end() {
    this.closeSegment();
    this.ended = true;
    this.wake();
  }

  wake() {
    for (const attempt of this.held) attempt();
  }

  has(msn, part) {
    const last = this.sequence + this.segments.length;
    if (msn < last) return true;
    return msn === last && part !== null && part < this.open.parts.length;
  }

  text(base) {
    const lines = [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      `#EXT-X-TARGETDURATION:${TARGET_S}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_TARGET_S}`,
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(3 * PART_TARGET_S).toFixed(3)},HOLD-BACK=${3 * TARGET_S}`,
      `#EXT-X-MEDIA-SEQUENCE:${this.sequence}`,
      `#EXT-X-DISCONTINUITY-SEQUENCE:${this.discontinuitySequence}`,
    ];
    const all = [...this.segments, this.open];
    let init = -1;
    all.forEach((segment, index) => {
      if (segment.parts.length === 0) return;
      if (segment.discontinuity) lines.push('#EXT-X-DISCONTINUITY');
      if (segment.init !== init) lines.push(`#EXT-X-MAP:URI="${base}init${segment.init}.mp4"`);
      init = segment.init;
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${segment.date.toISOString()}`);
      if (index >= all.length - 4) {
        for (const part of segment.parts) {
          lines.push(`#EXT-X-PART:DURATION=${part.duration.toFixed(5)},URI="${base}${part.name}"${part.independent ? ',INDEPENDENT=YES' : ''}`);
        }
      }
      if (segment !== this.open) lines.push(`#EXTINF:${segment.duration.toFixed(5)},`, base + segment.name);
    });
    if (this.ended) lines.push('#EXT-X-ENDLIST');
    return lines.join('\n') + '\n';
  }
}

/** One broadcast: ffmpeg writes picture and sound as two fragmented MP4 streams, a fragment each third of a second. */
class Broadcast {
  constructor(id) {
    this.id = id;
    this.startedAt = new Date();
    this.tracks = { v: new Track(), a: new Track() };
    this.publish();
  }

  publish() {
    const cmaf = (pipe) => ['-f', 'mp4', '-movflags', 'empty_moov+default_base_moof', '-frag_duration', String(Math.round(PART_S * 1e6)), '-flush_packets', '1', `pipe:${pipe}`];
    this.encoder = spawn(
      'ffmpeg',
      [
        '-hide_banner', '-loglevel', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30',
        '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
        '-map', '0:v', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-threads', '1', '-profile:v', 'high',
        '-g', '60', '-keyint_min', '60', '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-b:v', '2000k', '-maxrate', '2500k', '-bufsize', '2500k',
        ...cmaf(1),
        '-map', '1:a', '-c:a', 'aac', '-b:a', '128k', ...cmaf(3),
      ],
      { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
    );
    let parts = 0;
    this.read(this.encoder.stdio[1], this.tracks.v, () => {
      const independent = parts++ % 6 === 0;
      return { independent, cut: independent };
    });
    let sounds = 0;
    this.read(this.encoder.stdio[3], this.tracks.a, () => ({ independent: true, cut: sounds++ % 6 === 0 }));
  }

  read(stream, track, cutting) {
    const boxes = new BoxReader();
    let head = [];
    stream.on('data', (bytes) => {
      for (const box of boxes.push(bytes)) {
        if (box.type === 'ftyp' || box.type === 'moof') head = [box.bytes];
        if (box.type === 'moov') track.addInit(Buffer.concat([...head, box.bytes]));
        if (box.type === 'mdat') {
          const { independent, cut } = cutting();
          track.addPart(Buffer.concat([...head, box.bytes]), fragmentSeconds(head[0], track.inits.at(-1)), independent, Date.now(), cut);
        }
      }
    });
  }

  /** The broadcaster's line breaks; `resume` brings it back as a new encoder run, which is a discontinuity. */
  blip() {
    this.encoder.kill('SIGKILL');
  }

  end() {
    this.blip();
    for (const track of Object.values(this.tracks)) track.end();
  }

  /** As the server: a playlist of parts alone is no playlist to hls.js. */
  ready() {
    return Object.values(this.tracks).every((track) => track.segments.length > 0);
  }

  master() {
    return [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      '#EXT-X-INDEPENDENT-SEGMENTS',
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="main",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="1",URI="${this.id}/a/media.m3u8"`,
      '#EXT-X-STREAM-INF:BANDWIDTH=2700000,AVERAGE-BANDWIDTH=2200000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO="aud"',
      `${this.id}/v/media.m3u8`,
      '',
    ].join('\n');
  }
}

/** Sum of the sample durations in a `moof` (14496-12 8.8.8), in seconds by the `mdhd` of its init. */
function fragmentSeconds(moof, init) {
  const mdhd = init.indexOf('mdhd');
  const timescale = init.readUInt32BE(mdhd + 4 + (init[mdhd + 4] === 1 ? 20 : 12));
  const tfhd = moof.indexOf('tfhd');
  const tfhdFlags = moof.readUInt32BE(tfhd + 4) & 0xffffff;
  let at = tfhd + 12;
  if (tfhdFlags & 0x1) at += 8;
  if (tfhdFlags & 0x2) at += 4;
  const usual = tfhdFlags & 0x8 ? moof.readUInt32BE(at) : 0;
  const trun = moof.indexOf('trun');
  const flags = moof.readUInt32BE(trun + 4) & 0xffffff;
  const count = moof.readUInt32BE(trun + 8);
  if (!(flags & 0x100)) return (usual * count) / timescale;
  const stride = [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length * 4;
  let entry = trun + 12 + (flags & 0x1 ? 4 : 0) + (flags & 0x4 ? 4 : 0);
  let sum = 0;
  for (let i = 0; i < count; i++, entry += stride) sum += moof.readUInt32BE(entry);
  return sum / timescale;
}

/** Starts the stand-in on a free port (or `port`); `live: false` leaves the broadcaster away until `start()`. */
export async function startStub({ port = 0, live = true, name = 'test' } = {}) {
  let broadcast = live ? new Broadcast(1) : null;
  let status = live ? 'live' : 'idle';
  let broadcasts = live ? 1 : 0;

  const stream = () => ({
    id: '0190b3a0-0000-7000-8000-000000000001',
    name,
    title: 'Test picture with a tone',
    status,
    viewer_count: 3,
    started_at: broadcast?.startedAt.toISOString() ?? null,
    video: { codec: 'avc1.64001f', width: 1280, height: 720, frame_rate: 30, bitrate: 2_000_000 },
    audio: { codec: 'mp4a.40.2', sample_rate: 48000, channels: 1, bitrate: 128_000 },
    playback: { hls_url: `/live/${name}/master.m3u8`, dash_url: `/live/${name}/manifest.mpd` },
  });
  const onAir = () => broadcast !== null && broadcast.ready();

  const control = {
    start() {
      broadcast = new Broadcast(++broadcasts);
      status = 'live';
    },
    blip() {
      broadcast.blip();
      status = 'reconnecting';
    },
    resume() {
      broadcast.publish();
      status = 'live';
    },
    end() {
      broadcast.end();
      status = 'ended';
    },
  };

  const send = (response, code, headers, body) => {
    response.writeHead(code, { 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff', ...headers });
    response.end(body);
  };
  const json = (response, body) => send(response, 200, { 'content-type': 'application/json', 'cache-control': 'no-store' }, JSON.stringify(body));
  const missing = (response, headers = {}) => send(response, 404, headers, '');

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://stub');
    const [first, ...rest] = url.pathname.slice(1).split('/');
    if (request.method === 'POST' && first === 'stub' && control[rest[0]]) {
      control[rest[0]]();
      return send(response, 204, {}, '');
    }
    if (first === 'time') return send(response, 200, { 'cache-control': 'no-store' }, new Date().toISOString());
    if (url.pathname === '/api/v1/streams') return json(response, { items: onAir() && status !== 'ended' ? [stream()] : [], next_cursor: null });
    if (url.pathname.startsWith('/api/v1/streams/')) return rest.at(-1) === name ? json(response, stream()) : missing(response);
    if (first === 'live') return liveFile(rest, url, response);
    return page(url.pathname, response, request);
  });

  function liveFile([who, ...path], url, response) {
    if (who !== name) return missing(response);
    if (!onAir() || (path[0] === 'master.m3u8' && status === 'ended')) return missing(response, { 'retry-after': '1', 'access-control-expose-headers': 'retry-after' });
    const m3u8 = { 'content-type': 'application/vnd.apple.mpegurl', 'cache-control': 'no-cache' };
    if (path[0] === 'master.m3u8') return send(response, 200, m3u8, broadcast.master());
    const track = Number(path[0]) === broadcast.id ? broadcast.tracks[path[1]] : undefined;
    if (!track) return missing(response);
    if (path[2] === 'media.m3u8') {
      const msn = url.searchParams.get('_HLS_msn');
      const part = url.searchParams.get('_HLS_part');
      const answer = () => send(response, 200, m3u8, track.text(''));
      const wanted = () => track.ended || msn === null || track.has(Number(msn), part === null ? null : Number(part));
      if (wanted()) return answer();
      const limit = setTimeout(() => {
        track.held.delete(attempt);
        send(response, 503, {}, '');
      }, 3 * TARGET_S * 1000);
      const attempt = () => {
        if (!wanted()) return;
        clearTimeout(limit);
        track.held.delete(attempt);
        answer();
      };
      track.held.add(attempt);
      response.on('close', () => (clearTimeout(limit), track.held.delete(attempt)));
      return;
    }
    const init = /^init(\d+)\.mp4$/.exec(path[2]);
    const body = init ? track.inits[Number(init[1])] : track.media.get(path[2]);
    if (!body) return missing(response);
    return send(response, 200, { 'content-type': 'video/mp4', 'cache-control': 'public, max-age=31536000, immutable' }, body);
  }

  async function page(pathname, response) {
    const asset = pathname.startsWith('/assets/');
    const shell = pathname === '/' || /^\/(watch|embed)\/[^/]+$/.test(pathname);
    if (!asset && !shell) return missing(response);
    const file = asset ? join(DIST, normalize(pathname)) : join(DIST, 'index.html');
    try {
      const body = await readFile(`${file}.gz`).catch(() => null);
      const headers = {
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        'cache-control': asset ? 'public, max-age=31536000, immutable' : 'no-cache',
        'content-security-policy': CSP + (pathname.startsWith('/embed/') ? '*' : "'self'"),
      };
      return body ? send(response, 200, { ...headers, 'content-encoding': 'gzip' }, body) : send(response, 200, headers, await readFile(file));
    } catch {
      return missing(response);
    }
  }

  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    ...control,
    url: `http://127.0.0.1:${server.address().port}`,
    async close() {
      broadcast?.blip();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const stub = await startStub({ port: Number(process.argv[2] ?? 8088), live: process.argv[3] !== 'idle' });
  console.log(`stub at ${stub.url}, stream "test"`);
  process.on('SIGINT', () => void stub.close().then(() => process.exit()));
  process.on('SIGTERM', () => void stub.close().then(() => process.exit()));
}
