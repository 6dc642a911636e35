import { describe, expect, it } from 'vitest';
import { paceRate, shouldJump } from './pace';

const at = (latency: number, slack: number, rate = 1) => paceRate({ latency, target: 1, slack, rate });

describe('paceRate', () => {
  it('plays at normal speed at the target', () => {
    expect(at(1, 0.6)).toBe(1);
    expect(at(1.1, 0.6)).toBe(1);
  });

  it('catches up gently, and faster when far behind', () => {
    expect(at(1.3, 0.6)).toBe(1.04);
    expect(at(2.5, 0.6)).toBe(1.08);
  });

  it('does not flicker: a catch-up goes on until the target is nearly reached', () => {
    expect(at(1.08, 0.6)).toBe(1);
    expect(at(1.08, 0.6, 1.04)).toBe(1.04);
    expect(at(1.03, 0.6, 1.04)).toBe(1);
  });

  it('never trades the buffer for delay', () => {
    expect(at(2.5, 0.1)).toBe(1);
    expect(at(2.5, 0.1, 1.08)).toBe(1);
  });

  it('slows down when it plays closer to the edge than it should with next to nothing buffered', () => {
    expect(at(0.5, 0.02)).toBe(0.96);
    expect(at(0.8, 0.1, 0.96)).toBe(0.96);
    expect(at(1, 0.1, 0.96)).toBe(1);
  });

  it('brings any start to the target in simulated playback, without running dry', () => {
    for (const start of [0.4, 1, 1.6, 3.5]) {
      // Parts of a third of a second: the buffer ends at the last whole part.
      let latency = start;
      let rate = 1;
      const readings: number[] = [];
      for (let t = 0; t < 120; t += 0.25) {
        const sinceLastPart = t % (1 / 3);
        const ahead = latency - sinceLastPart;
        expect(ahead).toBeGreaterThan(-0.001);
        readings.push(ahead);
        rate = paceRate({ latency, target: 1, slack: Math.min(...readings.slice(-8)), rate });
        latency -= (rate - 1) * 0.25;
      }
      expect(latency).toBeLessThan(1.13);
    }
  });
});

it('jumps only when catching up by rate would take too long', () => {
  expect(shouldJump(3.9, 1)).toBe(false);
  expect(shouldJump(4.1, 1)).toBe(true);
});
