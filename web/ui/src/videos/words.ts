/** What the pages say about videos. */
import type { VideoStatus } from '../api';

/** `75` is `1:15`, `3675` is `1:01:15`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number): string => String(n).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A place in a video as it is typed, to a tenth: `65.25` is `1:05.3`. */
export function place(seconds: number): string {
  const tenths = Math.round(Math.max(seconds, 0) * 10);
  const rest = String(tenths % 600).padStart(3, '0');
  return `${Math.floor(tenths / 600)}:${rest.slice(0, 2)}.${rest.slice(2)}`;
}

/** Seconds of what somebody typed: `1:05.3`, `1:01:05` or `65.3`; `null` when it is no time. */
export function placeTyped(text: string): number | null {
  const parts = text.trim().split(':');
  const last = parts.pop() ?? '';
  if (parts.length > 2 || !/^\d+([.,]\d+)?$/.test(last) || !parts.every((part) => /^\d+$/.test(part))) return null;
  const whole = parts.reduce((sum, part) => sum * 60 + Number(part), 0);
  return whole * 60 + Number(last.replace(',', '.'));
}

/** `1234567` is `1.2 MB`. */
export function bytes(count: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = count < 1000 ? 0 : Math.min(Math.floor(Math.log10(count) / 3), units.length - 1);
  return power === 0 ? `${count} bytes` : `${(count / 1000 ** power).toFixed(1)} ${units[power]}`;
}

const STATUS: Record<VideoStatus, string> = {
  live: 'On air, being recorded',
  uploading: 'Its file is still coming',
  processing: 'Being made ready',
  ready: 'Ready',
  failed: 'Failed',
  cancelled: 'Given up',
};

export function statusInWords(status: VideoStatus, progress: number): string {
  return status === 'processing' ? `${STATUS.processing}, ${progress} %` : STATUS[status];
}
