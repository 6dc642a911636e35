import type { Quality, Source, SourceEvents } from './source';

/** Safari's non-standard start of the HLS timeline as wall clock. */
type VideoWithStartDate = HTMLVideoElement & { getStartDate?: () => Date };

/**
 * The browser's own HLS, for iPhones without ManagedMediaSource. The browser fetches playlists by itself, so pace, quality and
 * retries are its own; this only reports what the element tells.
 */
export class NativeSource implements Source {
  readonly levels: readonly Quality[] = [];
  readonly level = -1;
  readonly automatic = true;
  readonly #listeners = new AbortController();
  #edge = 0;
  #movedAt = performance.now();
  #silent = false;

  static supported(): boolean {
    return document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '';
  }

  constructor(
    private readonly video: VideoWithStartDate,
    url: string,
    private readonly events: SourceEvents,
  ) {
    const { signal } = this.#listeners;
    video.addEventListener('error', () => events.fatal(`media element error ${video.error?.code ?? 0}`), { signal });
    // A live playlist has no end; once it has one, the broadcast is over.
    video.addEventListener('durationchange', () => Number.isFinite(video.duration) && events.over(), { signal });
    video.src = url;
  }

  pickQuality(): void {
    // The browser chooses.
  }

  playingDate(): number | null {
    const start = this.video.getStartDate?.().getTime() ?? NaN;
    return Number.isNaN(start) ? null : start + this.video.currentTime * 1000;
  }

  range(): { start: number; live: number } | null {
    const { seekable } = this.video;
    return seekable.length === 0 ? null : { start: seekable.start(0), live: seekable.end(seekable.length - 1) };
  }

  tick(): void {
    const edge = this.range()?.live ?? 0;
    const now = performance.now();
    if (edge > this.#edge) {
      this.#edge = edge;
      this.#movedAt = now;
      this.#silent = false;
      this.events.advanced();
    } else if (!this.#silent && now - this.#movedAt > 8000) {
      this.#silent = true;
      this.events.silent();
    }
  }

  destroy(): void {
    this.#listeners.abort();
    this.video.removeAttribute('src');
    this.video.load();
  }
}
