import { expect, test } from 'vitest';
import { bytes, duration, statusInWords } from './words';

test('durations are read as clocks show them', () => {
  expect([0, 9.6, 75, 3599.4, 3675].map(duration)).toEqual(['0:00', '0:10', '1:15', '59:59', '1:01:15']);
});

test('sizes have a unit that fits', () => {
  expect([0, 999, 1000, 1_234_567, 20e9].map(bytes)).toEqual(['0 bytes', '999 bytes', '1.0 kB', '1.2 MB', '20.0 GB']);
});

test('only what is being made has a progress', () => {
  expect(statusInWords('processing', 40)).toBe('Being made ready, 40 %');
  expect(statusInWords('ready', 100)).toBe('Ready');
});
