import { expect, it } from 'vitest';
import { opening, renditions } from './opening';

const sound = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,URI="b1/a1.m3u8"';
const variant = (uri: string) => `#EXT-X-STREAM-INF:BANDWIDTH=2500000,CODECS="avc1.64001f,mp4a.40.2",AUDIO="a"\n${uri}`;

/** Segments of three parts of 0.5 s, the first of each independent, the last segment with `open` parts; 1 s from the end is live. */
const playlist = (open: number) => {
  const part = (sequence: number, number: number) =>
    `#EXT-X-PART:DURATION=0.50000,URI="v0/${sequence}.${number}.m4s"${number === 0 ? ',INDEPENDENT=YES' : ''}`;
  const segment = (sequence: number) => [0, 1, 2].map((number) => part(sequence, number)).join('\n') + `\n#EXTINF:1.50000,\nv0/${sequence}.m4s`;
  return [
    '#EXTM3U',
    '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,HOLD-BACK=6.0',
    '#EXT-X-MEDIA-SEQUENCE:4',
    '#EXT-X-MAP:URI="v0/init-0.mp4"',
    segment(4),
    segment(5),
    ...Array.from({ length: open }, (_, number) => part(6, number)),
    '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0/next.m4s"',
    '',
  ].join('\n');
};

it('finds the picture and the default sound of a stream with one variant', () => {
  expect(renditions(['#EXTM3U', sound, variant('b1/v0.m3u8'), ''].join('\n'))).toEqual(['b1/v0.m3u8', 'b1/a1.m3u8']);
  expect(renditions(['#EXTM3U', variant('b1/v0.m3u8'), ''].join('\r\n'))).toEqual(['b1/v0.m3u8']);
});

it('leaves the choice between several variants to the player', () => {
  expect(renditions(['#EXTM3U', sound, variant('b1/v0.m3u8'), variant('b1/v1.m3u8'), ''].join('\n'))).toEqual([]);
});

it('starts with the newest independent part that leaves something to play', () => {
  expect(opening(playlist(0))).toMatchObject({ uris: ['v0/init-0.mp4', 'v0/5.0.m4s', 'v0/5.1.m4s', 'v0/5.2.m4s'], from: { sequence: 5, part: 0 } });
  expect(opening(playlist(1))).toMatchObject({ uris: ['v0/init-0.mp4', 'v0/6.0.m4s'], from: { sequence: 6, part: 0 } });
});

it('starts where another rendition does', () => {
  expect(opening(playlist(1), { sequence: 5, part: 1 })?.uris).toEqual(['v0/init-0.mp4', 'v0/5.1.m4s', 'v0/5.2.m4s', 'v0/6.0.m4s']);
  expect(opening(playlist(1), { sequence: 9, part: 0 })).toBeNull();
});

it('knows nothing to start with in a playlist without parts', () => {
  expect(opening('#EXTM3U\n#EXT-X-MAP:URI="v0/init-0.mp4"\n#EXTINF:2,\nv0/1.m4s\n')).toBeNull();
});
