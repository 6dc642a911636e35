/**
 * How fast to play while following the live edge. hls.js has a catch-up of its own, but it only acts with more than one second
 * buffered, which a stream played one second behind never has; so the player sets `maxLiveSyncPlaybackRate: 1` and uses this.
 */

export interface PaceInput {
  /** Seconds between the playhead and the live edge of the playlist. */
  readonly latency: number;
  /** Where that should be: the playlist's PART-HOLD-BACK, more after stalls. */
  readonly target: number;
  /** Least buffered media ahead during the last moments. The newest part arrives in a jump, so one reading says little. */
  readonly slack: number;
  /** The rate in use, for hysteresis. */
  readonly rate: number;
}

/** Speeding up with less than this buffered would trade delay for a stall. */
const SAFE_SLACK = 0.18;
/** The smaller of the two rates above 1. */
export const GENTLE = 1.04;
/** Below this the next late part stalls playback: give the buffer a moment to grow. */
const THIN_SLACK = 0.06;

/**
 * The playback rate to use. Few distinct values, because each change makes the audio stretcher start over; at most 8 % up and
 * 4 % down, which speech and music take without being noticed.
 */
export function paceRate({ latency, target, slack, rate }: PaceInput): number {
  const late = latency - target;
  // After a blip playback goes on at the very edge, closer than the server asks players to be.
  if (late < -0.3 || (slack < THIN_SLACK && late < 0)) return 0.96;
  // Once slowed, stay slow until the distance is restored, else the rate would flicker around the threshold.
  if (rate < 1 && late < -0.03) return 0.96;
  if (slack < SAFE_SLACK) return 1;
  const start = rate > 1 ? 0.04 : 0.12;
  if (late <= start) return 1;
  return late > 0.6 ? 1.08 : GENTLE;
}

/** Further behind than this, catching up by rate would take minutes: jump instead. */
export function shouldJump(latency: number, target: number): boolean {
  return latency - target > 3;
}
