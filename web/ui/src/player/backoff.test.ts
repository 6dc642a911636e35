import { expect, it } from 'vitest';
import { Backoff } from './backoff';

it('doubles up to the limit and starts over after a reset', () => {
  const backoff = new Backoff(500, 3000, () => 0);
  expect([backoff.next(), backoff.next(), backoff.next(), backoff.next(), backoff.next()]).toEqual([500, 1000, 2000, 3000, 3000]);
  backoff.reset();
  expect(backoff.next()).toBe(500);
});

it('takes at most a fifth off', () => {
  expect(new Backoff(1000, 2000, () => 0.999).next()).toBeGreaterThanOrEqual(800);
});

it('follows Retry-After between its own bounds', () => {
  const backoff = new Backoff(1000, 2000, () => 0);
  expect(backoff.next(1500)).toBe(1500);
  expect(backoff.next(0)).toBe(1000);
  expect(backoff.next(60_000)).toBe(2000);
});

it('stays finite after many tries', () => {
  const backoff = new Backoff(1000, 2000, () => 0);
  for (let i = 0; i < 5000; i++) backoff.next();
  expect(backoff.next()).toBe(2000);
});
