import { expect, it } from 'vitest';
import { formatBitrate, formatClock, formatLatency, formatPicture, formatUptime, formatViewers } from './readout';

it.each([
  [-0.4, '0.0 s behind'],
  [1.234, '1.2 s behind'],
  [9.94, '9.9 s behind'],
  [9.96, '10 s behind'],
  [59.4, '59 s behind'],
  [59.6, '1:00 behind'],
  [125, '2:05 behind'],
])('latency of %s s reads %s', (seconds, text) => expect(formatLatency(seconds)).toBe(text));

it.each([
  [7, '0:07'],
  [750, '12:30'],
  [3723, '1:02:03'],
  [-1, '0:00'],
])('clock of %s s reads %s', (seconds, text) => expect(formatClock(seconds)).toBe(text));

it.each([
  [-5, 'just started'],
  [59, 'just started'],
  [60, '1 min'],
  [3600, '1 h'],
  [12_000, '3 h 20 min'],
])('uptime of %s s reads %s', (seconds, text) => expect(formatUptime(seconds)).toBe(text));

it.each([
  [800_000, '800 kbit/s'],
  [999_600, '1 Mbit/s'],
  [2_500_000, '2.5 Mbit/s'],
  [12_300_000, '12 Mbit/s'],
])('%s bit/s reads %s', (bits, text) => expect(formatBitrate(bits)).toBe(text));

it('pictures and viewers', () => {
  expect(formatPicture(720, 29.97)).toBe('720p30');
  expect(formatPicture(1080, 0)).toBe('1080p');
  expect(formatViewers(0)).toBe('0 viewers');
  expect(formatViewers(1)).toBe('1 viewer');
  expect(formatViewers(12_345)).toBe('12.3k viewers');
});
