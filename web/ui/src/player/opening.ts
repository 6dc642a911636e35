/** Reading playlists just far enough to know what a player will ask for first. hls.js parses them properly. */

/**
 * The media playlists of a multivariant playlist with one variant: its own and its group's default sound. Empty with several variants,
 * since which one the player takes depends on the viewer's line and screen.
 */
export function renditions(master: string): string[] {
  const lines = master.split(/\r?\n/);
  const variants = lines.filter((line) => line !== '' && !line.startsWith('#'));
  const sound = lines.find((line) => line.startsWith('#EXT-X-MEDIA:TYPE=AUDIO') && line.includes('DEFAULT=YES'));
  const uri = sound && /[:,]URI="([^"]*)"/.exec(sound)?.[1];
  if (variants.length !== 1) return [];
  return uri === undefined ? variants : [...variants, uri];
}

/** Of PART-HOLD-BACK: a keyframe nearer to the end than this leaves too little to play. */
export const LEAST_START = 0.4;

/** A part by its segment's sequence number and its place in it. Every rendition is cut at the same times under the same numbers. */
export interface PartNumber {
  readonly sequence: number;
  readonly part: number;
}

/** What to fetch of a media playlist before the first picture, and the part that it starts with. */
export interface Opening {
  readonly uris: readonly string[];
  readonly from: PartNumber;
}

/**
 * The initialisation segment and the parts to the end: from the newest one that a player can start with, or from where another rendition
 * starts. `null` without such parts.
 */
export function opening(playlist: string, from?: PartNumber): Opening | null {
  const holdBack = Number(/PART-HOLD-BACK=([\d.]+)/.exec(playlist)?.[1] ?? NaN);
  let sequence = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(playlist)?.[1] ?? 0);
  let map: string | null = null;
  let parts: (PartNumber & { uri: string; start: number; independent: boolean })[] = [];
  let part = 0;
  let end = 0;
  for (const line of playlist.split(/\r?\n/)) {
    const uri = /[:,]URI="([^"]*)"/.exec(line)?.[1];
    if (line.startsWith('#EXT-X-MAP:') && uri !== undefined) {
      map = uri;
      // Nothing before a change of format is of use after it.
      parts = [];
    } else if (line.startsWith('#EXT-X-PART:') && uri !== undefined) {
      parts.push({ uri, sequence, part: part++, start: end, independent: line.includes('INDEPENDENT=YES') });
      end += Number(/DURATION=([\d.]+)/.exec(line)?.[1] ?? 0);
    } else if (line !== '' && !line.startsWith('#')) {
      sequence++;
      part = 0;
    }
  }
  const first = from
    ? parts.findIndex((one) => one.sequence === from.sequence && one.part === from.part)
    : parts.findLastIndex(({ start, independent }) => independent && start <= end - holdBack * LEAST_START);
  const start = parts[first];
  if (map === null || !start) return null;
  return { uris: [map, ...parts.slice(first).map(({ uri }) => uri)], from: start };
}
