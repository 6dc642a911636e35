import { opening, type Opening, renditions } from './opening';

/** An answer that came before anybody asked, with its times on `performance.now()`'s clock for bandwidth estimates. */
export interface Early {
  readonly data: string | ArrayBuffer;
  readonly started: number;
  readonly answered: number;
  readonly ended: number;
}

/** Two seconds in parts of the usual length, twice: what comes later is asked for one by one, as always. */
const MOST_PARTS = 12;

/**
 * What hls.js will ask for first, on its way while hls.js itself is: the media playlists, the initialisation segments and the parts
 * around the start position. Only a guess: what it does not hold or could not fetch, hls.js asks for itself.
 */
export class HeadStart {
  readonly #answers = new Map<string, Promise<Early | null>>();
  readonly #unused = new AbortController();

  /** Starts from a multivariant playlist that is here, which is the first thing handed out. */
  constructor(master: { url: string; text: string }) {
    const now = performance.now();
    this.#answers.set(master.url, Promise.resolve({ data: master.text, started: now, answered: now, ended: now }));
    const [video, ...sounds] = renditions(master.text).map((uri) => new URL(uri, master.url).href);
    if (video === undefined) return;
    const start = this.#follow(video);
    for (const sound of sounds) void this.#follow(sound, start);
  }

  /** The answer for this address, once; `null` when it is not known early. */
  take(url: string): Promise<Early | null> | null {
    const answer = this.#answers.get(url) ?? null;
    this.#answers.delete(url);
    return answer;
  }

  /** Forgets what nobody took. */
  drop(): void {
    this.#unused.abort();
    this.#answers.clear();
  }

  /** Fetches what a rendition starts with; `beside` says where another one does. */
  async #follow(playlist: string, beside?: Promise<Opening | null>): Promise<Opening | null> {
    const early = await this.#fetch(playlist, (response) => response.text());
    // Not a turn later than needed: hls.js reads the same playlist next and would ask for the same files.
    const other = beside && (await beside);
    if (typeof early?.data !== 'string' || other === null || this.#unused.signal.aborted) return null;
    const start = opening(early.data, other?.from);
    for (const uri of start?.uris.slice(0, MOST_PARTS) ?? []) {
      void this.#fetch(new URL(uri, playlist).href, (response) => response.arrayBuffer());
    }
    return start;
  }

  #fetch(url: string, read: (response: Response) => Promise<string | ArrayBuffer>): Promise<Early | null> {
    const load = async (): Promise<Early | null> => {
      try {
        const started = performance.now();
        const response = await fetch(url, { signal: this.#unused.signal });
        if (!response.ok) return null;
        const answered = performance.now();
        const data = await read(response);
        return { data, started, answered, ended: performance.now() };
      } catch {
        return null;
      }
    };
    const early = load();
    this.#answers.set(url, early);
    return early;
  }
}

/**
 * Opens a Media Source on the element, for hls.js to find open: that takes the browser as long as fetching a playlist. `null` where
 * hls.js has to do it its own way (ManagedMediaSource) or there is none.
 */
export function openMediaSource(video: HTMLVideoElement): MediaSource | null {
  if ('ManagedMediaSource' in window || typeof MediaSource === 'undefined') return null;
  const source = new MediaSource();
  const url = URL.createObjectURL(source);
  source.addEventListener('sourceopen', () => URL.revokeObjectURL(url), { once: true });
  video.src = url;
  return source;
}
