import { describe, expect, it } from 'vitest';
import { advance, INITIAL, type PhaseEvent } from './phase';

const after = (...events: PhaseEvent[]) => events.reduce(advance, INITIAL);

describe('phase', () => {
  it('goes live with the first picture', () => {
    expect(after('opened', 'advanced').phase).toBe('connecting');
    expect(after('opened', 'advanced', 'presented')).toEqual({ phase: 'live', shown: true });
  });

  it('waits for a broadcaster who is not there yet, and starts by itself', () => {
    expect(after('absent').phase).toBe('waiting');
    expect(after('unknown').phase).toBe('unknown');
    expect(after('absent', 'absent', 'opened', 'presented').phase).toBe('live');
    expect(after('unknown', 'opened', 'presented').phase).toBe('live');
  });

  it('lives through a blip of the broadcaster', () => {
    expect(after('opened', 'presented', 'silent').phase).toBe('reconnecting');
    expect(after('opened', 'presented', 'silent', 'presented').phase).toBe('reconnecting');
    expect(after('opened', 'presented', 'silent', 'advanced').phase).toBe('live');
  });

  it('goes back to connecting when the blip came before the first picture', () => {
    expect(after('opened', 'silent', 'advanced').phase).toBe('connecting');
  });

  it('tells the viewer about their own connection', () => {
    expect(after('opened', 'presented', 'offline').phase).toBe('offline');
    expect(after('opened', 'presented', 'silent', 'offline').phase).toBe('offline');
    expect(after('opened', 'presented', 'offline', 'advanced').phase).toBe('live');
    expect(after('opened', 'presented', 'offline', 'silent').phase).toBe('reconnecting');
  });

  it('calls a broadcast ended when its playlist ends, or when it vanishes after it was shown', () => {
    expect(after('opened', 'presented', 'finished').phase).toBe('ended');
    expect(after('opened', 'presented', 'fatal', 'absent').phase).toBe('ended');
    expect(after('opened', 'presented', 'fatal', 'unknown').phase).toBe('ended');
    expect(after('opened', 'finished').phase).toBe('ended');
  });

  it('keeps saying ended while polls find nothing or fail', () => {
    const ended = after('opened', 'presented', 'finished');
    for (const event of ['absent', 'unknown', 'unreachable'] as const) expect(advance(ended, event).phase).toBe('ended');
  });

  it('starts the next broadcast afresh', () => {
    expect(after('opened', 'presented', 'finished', 'opened')).toEqual({ phase: 'connecting', shown: false });
    expect(after('opened', 'presented', 'finished', 'opened', 'absent').phase).toBe('waiting');
  });

  it('retries after a fatal error and remembers that it had shown something', () => {
    expect(after('opened', 'presented', 'fatal')).toEqual({ phase: 'retrying', shown: true });
    expect(after('opened', 'presented', 'fatal', 'opened', 'presented').phase).toBe('live');
  });

  it('raises no alarm about a failed poll while there is nothing to play', () => {
    expect(after('absent', 'unreachable').phase).toBe('waiting');
    expect(after('unreachable').phase).toBe('retrying');
  });

  it('never leaves unsupported', () => {
    expect(after('unsupported', 'opened', 'presented').phase).toBe('unsupported');
  });
});
