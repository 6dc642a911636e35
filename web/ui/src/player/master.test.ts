import { expect, it } from 'vitest';
import { broadcastKey, parseRetryAfter } from './master';

const master = (broadcast: string) =>
  `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="main",DEFAULT=YES,URI="${broadcast}/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2500000,CODECS="avc1.64001f,mp4a.40.2",AUDIO="a"
${broadcast}/720p.m3u8
`;

it('tells broadcasts apart by where their media playlists are', () => {
  expect(broadcastKey(master('b1'))).toBe('b1/720p.m3u8\nb1/audio.m3u8');
  expect(broadcastKey(master('b1'))).not.toBe(broadcastKey(master('b2')));
});

it('does not mind attributes, comments, order and line ends', () => {
  const same = master('b1').replace('BANDWIDTH=2500000', 'BANDWIDTH=2600000').replaceAll('\n', '\r\n') + '# comment\r\n';
  expect(broadcastKey(same)).toBe(broadcastKey(master('b1')));
});

it('reads Retry-After', () => {
  expect(parseRetryAfter(null)).toBeNull();
  expect(parseRetryAfter('2')).toBe(2000);
  expect(parseRetryAfter('Wed, 21 Oct 2026 07:28:00 GMT')).toBe(1000);
});
