/** A person's own streams, as `/api/v1/streams` answers them to their owner. Whatever a server leaves out is left out here, not guessed. */
import type { StreamStatus } from '../api';
import { watchPath } from '../router';

export type Visibility = 'public' | 'unlisted' | 'private';

export interface OwnStream {
  id: string;
  name: string;
  title: string;
  description: string;
  status: StreamStatus;
  visibility: Visibility | null;
  viewers: number | null;
  /** Only in the answer that made it: it is not kept. */
  key: string | null;
  ingest: Ingest | null;
  watch: string;
}

export interface Ingest {
  /** What OBS calls "Server". */
  server: string;
  /** Other protocols, by their name. */
  others: { name: string; url: string }[];
}

const STATUS: readonly StreamStatus[] = ['idle', 'starting', 'live', 'reconnecting', 'ended', 'error'];
const VISIBILITY: readonly Visibility[] = ['public', 'unlisted', 'private'];

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** `null` for what is no stream at all. */
export function readStream(value: unknown): OwnStream | null {
  if (!isObject(value)) return null;
  const [id, name] = [text(value['id']), text(value['name'])];
  if (id === '' && name === '') return null;
  const key = text(value['stream_key']) || null;
  return {
    id: id || name,
    name: name || id,
    title: text(value['title']),
    description: text(value['description']),
    status: STATUS.find((one) => one === value['status']) ?? 'idle',
    visibility: VISIBILITY.find((one) => one === value['visibility']) ?? null,
    viewers: typeof value['viewer_count'] === 'number' ? value['viewer_count'] : null,
    key,
    ingest: readIngest(value['ingest'], key),
    watch: watchPath(name || id),
  };
}

/** True for what the server shows to nobody but its owner. */
export function isOwn(value: unknown, me: string): boolean {
  if (!isObject(value)) return false;
  const owner = value['owner'];
  const id = text(value['owner_id']) || text(isObject(owner) ? owner['id'] : owner);
  return id === '' ? isObject(value['ingest']) : id === me;
}

function readIngest(value: unknown, key: string | null): Ingest | null {
  if (!isObject(value)) return null;
  const rtmp = text(value['rtmp_url']);
  // `rtmp_url` may carry the key; OBS wants the two apart.
  const bare = key !== null && rtmp.endsWith(`/${key}`) ? rtmp.slice(0, -key.length - 1) : rtmp;
  const server = (text(value['server']) || bare).replace(/\/$/, '');
  const others = Object.entries(value)
    .filter(([name, url]) => name.endsWith('_url') && name !== 'rtmp_url' && text(url) !== '')
    .map(([name, url]) => ({ name: name.replace(/_url$/, '').toUpperCase(), url: text(url) }));
  return server === '' && others.length === 0 ? null : { server, others };
}

/** A moving test picture with a tone, to this address. */
export function ffmpegLine(server: string, key: string): string {
  return (
    'ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 ' +
    '-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac ' +
    `-f flv ${server}/${key}`
  );
}

/** Whether "stop" means anything. */
export function onAir({ status }: OwnStream): boolean {
  return status === 'starting' || status === 'live' || status === 'reconnecting';
}
