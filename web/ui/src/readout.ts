/** Numbers as the pages print them. */

/** Seconds behind the broadcaster: "1.2 s behind", "14 s behind", "2:05 behind". */
export function formatLatency(seconds: number): string {
  const behind = Math.max(0, seconds);
  if (behind < 9.95) return `${behind.toFixed(1)} s behind`;
  if (behind < 59.5) return `${Math.round(behind)} s behind`;
  return `${formatClock(behind)} behind`;
}

/** A length of media: "0:07", "12:30", "1:02:03". */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

/** How long a broadcast has run: "just started", "12 min", "3 h 20 min". */
export function formatUptime(seconds: number): string {
  const minutes = Math.floor(Math.max(0, seconds) / 60);
  if (minutes < 1) return 'just started';
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}

/** Bits per second: "800 kbit/s", "2.5 Mbit/s". */
export function formatBitrate(bitsPerSecond: number): string {
  if (bitsPerSecond < 999_500) return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
  const mega = bitsPerSecond / 1e6;
  return `${mega < 9.95 ? mega.toFixed(1).replace(/\.0$/, '') : Math.round(mega)} Mbit/s`;
}

/** Picture size in the field's shorthand: "720p30"; the frame rate is left out when nobody declared it. */
export function formatPicture(height: number, frameRate: number): string {
  return `${height}p${frameRate > 0 ? Math.round(frameRate) : ''}`;
}

/** "1 viewer", "2 viewers", "12.3k viewers". */
export function formatViewers(count: number): string {
  if (count === 1) return '1 viewer';
  if (count < 10_000) return `${count} viewers`;
  return `${(count / 1000).toFixed(1).replace(/\.0$/, '')}k viewers`;
}
