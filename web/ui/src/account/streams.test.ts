import { describe, expect, it } from 'vitest';
import { ffmpegLine, isOwn, onAir, readStream } from './streams';

const MADE = {
  id: '01a0-1',
  name: 'evening-show',
  title: 'Evening show',
  status: 'idle',
  visibility: 'unlisted',
  stream_key: 'nsk_secret',
  ingest: { server: 'rtmp://media.example:1935/live', rtmp_url: 'rtmp://media.example:1935/live/nsk_secret', srt_url: 'srt://media.example:9000' },
  playback: { hls_url: '/live/evening-show/master.m3u8', dash_url: '/live/evening-show/manifest.mpd' },
};

describe('readStream', () => {
  it('reads what a new stream answers', () => {
    expect(readStream(MADE)).toEqual({
      id: '01a0-1',
      name: 'evening-show',
      title: 'Evening show',
      description: '',
      status: 'idle',
      visibility: 'unlisted',
      viewers: null,
      key: 'nsk_secret',
      ingest: { server: 'rtmp://media.example:1935/live', others: [{ name: 'SRT', url: 'srt://media.example:9000' }] },
      watch: '/watch/evening-show',
    });
  });

  it('takes the key off the address for servers that send no `server`', () => {
    expect(readStream({ ...MADE, ingest: { rtmp_url: 'rtmp://h/live/nsk_secret' } })?.ingest?.server).toBe('rtmp://h/live');
    expect(readStream({ ...MADE, ingest: { rtmp_url: 'rtmp://h/live/' } })?.ingest?.server).toBe('rtmp://h/live');
  });

  it('lives without what is missing', () => {
    expect(readStream({ id: 'x' })).toMatchObject({ id: 'x', name: 'x', title: '', status: 'idle', visibility: null, key: null, ingest: null, watch: '/watch/x' });
    expect(readStream({ name: 'y', status: 'dreaming', ingest: {}, viewer_count: '3' })).toMatchObject({ id: 'y', status: 'idle', ingest: null, viewers: null });
    for (const nothing of [null, undefined, 'text', 7, [], {}]) expect(readStream(nothing)).toBeNull();
  });
});

describe('isOwn', () => {
  it('goes by the owner, and without one by what only owners are shown', () => {
    expect(isOwn({ ...MADE, owner_id: 'me' }, 'me')).toBe(true);
    expect(isOwn({ ...MADE, owner: { id: 'other' } }, 'me')).toBe(false);
    expect(isOwn({ ...MADE, owner: 'me' }, 'me')).toBe(true);
    expect(isOwn(MADE, 'me')).toBe(true);
    expect(isOwn({ id: 'x', name: 'x', playback: {} }, 'me')).toBe(false);
    expect(isOwn(null, 'me')).toBe(false);
  });
});

it('says how to publish', () => {
  expect(ffmpegLine('rtmp://h/live', 'k')).toMatch(/^ffmpeg -re .* -f flv rtmp:\/\/h\/live\/k$/);
});

it('knows what can be stopped', () => {
  const status = (status: string) => onAir(readStream({ id: 'x', status })!);
  expect(['idle', 'starting', 'live', 'reconnecting', 'ended', 'error'].map(status)).toEqual([false, true, true, true, false, false]);
});
