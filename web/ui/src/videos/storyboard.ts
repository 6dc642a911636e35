/** Small pictures of a video: WebVTT whose cues name a place on a sheet (`#xywh`, Media Fragments URI 4.2.2). */
export interface Shot {
  /** Seconds. */
  start: number;
  end: number;
  sheet: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The cues of a storyboard, in order; addresses are relative to `base`. What does not read is left out. */
export function parseStoryboard(text: string, base: string): Shot[] {
  const shots: Shot[] = [];
  for (const block of text.split(/\r?\n\r?\n/)) {
    const [times, address] = block.trim().split(/\r?\n/);
    const [start = NaN, end = NaN] = (times ?? '').split(' --> ').map(seconds);
    const [, sheet, ...place] = address?.match(/^(.+)#xywh=(\d+),(\d+),(\d+),(\d+)$/) ?? [];
    if (!sheet || !Number.isFinite(start) || !Number.isFinite(end)) continue;
    const [x = 0, y = 0, width = 0, height = 0] = place.map(Number);
    shots.push({ start, end, sheet: new URL(sheet, base).href, x, y, width, height });
  }
  return shots;
}

/** The picture of a time: the last one that has begun. */
export function shotAt(shots: Shot[], at: number): Shot | null {
  return shots.findLast((shot) => shot.start <= at) ?? shots[0] ?? null;
}

/** "01:02:03.500" or "02:03.500". */
function seconds(time: string): number {
  const parts = time.trim().split(':').map(Number);
  return parts.length < 2 || parts.length > 3 ? NaN : parts.reduce((sum, part) => sum * 60 + part, 0);
}
