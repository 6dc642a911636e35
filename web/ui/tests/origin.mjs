// Where the browser tests get pages and a broadcast from. With NOVA_URL (and NOVA_RTMP_URL, as in rtmp://127.0.0.1:1935/live)
// that is a running server, to which ffmpeg publishes; without, the stand-in of stub.mjs, so that work on the pages needs no
// server. Every origin has a stream name of its own: test files do not disturb each other.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startStub } from './stub.mjs';

export const REAL = process.env.NOVA_URL !== undefined;

/**
 * `live`: publish at once. Returns `url`, `name` and the broadcaster's life: `start` goes on air, `blip` cuts the line without
 * a word, `resume` comes back, `end` says goodbye.
 */
export async function openOrigin({ live = true } = {}) {
  const name = `ui-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  if (!REAL) return { name, ...(await startStub({ live, name })) };

  const url = process.env.NOVA_URL.replace(/\/$/, '');
  const rtmp = process.env.NOVA_RTMP_URL?.replace(/\/$/, '');
  if (!rtmp) throw new Error('NOVA_URL is set and NOVA_RTMP_URL is not');
  let encoder = null;
  const publish = () => {
    encoder = spawn('ffmpeg', [
      '-hide_banner', '-loglevel', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30',
      '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
      '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-threads', '1', '-g', '60', '-pix_fmt', 'yuv420p', '-b:v', '2000k',
      '-c:a', 'aac', '-b:a', '128k', '-f', 'flv', `${rtmp}/${name}`,
    ], { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const stop = async (signal) => {
    if (!encoder || encoder.exitCode !== null || encoder.signalCode !== null) return;
    const gone = once(encoder, 'exit');
    encoder.kill(signal);
    await gone;
  };
  if (live) publish();
  return {
    url,
    name,
    start: publish,
    blip: () => stop('SIGKILL'),
    resume: publish,
    end: () => stop('SIGINT'),
    close: () => stop('SIGKILL'),
  };
}
