import { expect, test } from 'vitest';
import { bytes, duration, place, placeTyped, statusInWords } from './words';

test('durations are read as clocks show them', () => {
  expect([0, 9.6, 75, 3599.4, 3675].map(duration)).toEqual(['0:00', '0:10', '1:15', '59:59', '1:01:15']);
});

test('a place is typed as it is shown', () => {
  expect([0, 65.25, 59.96, 3601].map(place)).toEqual(['0:00.0', '1:05.3', '1:00.0', '60:01.0']);
  expect(['1:05.3', ' 65,3 ', '1:01:05', '7'].map(placeTyped)).toEqual([65.3, 65.3, 3665, 7]);
  expect(['', 'x', '1:2:3:4', '-1', '1:x.5', '1.'].map(placeTyped)).toEqual([null, null, null, null, null, null]);
});

test('sizes have a unit that fits', () => {
  expect([0, 999, 1000, 1_234_567, 20e9].map(bytes)).toEqual(['0 bytes', '999 bytes', '1.0 kB', '1.2 MB', '20.0 GB']);
});

test('only what is being made has a progress', () => {
  expect(statusInWords('processing', 40)).toBe('Being made ready, 40 %');
  expect(statusInWords('ready', 100)).toBe('Ready');
});
