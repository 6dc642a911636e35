import { Backoff } from './backoff';
import { ServerClock } from './clock';
import { bufferedAhead } from './buffered';
import { HeadStart, openMediaSource } from './head-start';
import type { HlsSource } from './hls-source';
import { fetchMaster, masterUrl, type MasterAnswer } from './master';
import { NativeSource } from './native-source';
import { advance, INITIAL, type Phase, type PhaseEvent, type PhaseState } from './phase';
import { keepSound, recallSound } from './sound';
import type { Quality, Source, SourceEvents } from './source';

/** Everything the controls draw. Replaced as a whole, four times a second and whenever something happens. */
export interface PlayerView {
  readonly phase: Phase;
  /** There is a picture of this broadcast. */
  readonly shown: boolean;
  readonly paused: boolean;
  /** Wants to play and has nothing to show. */
  readonly buffering: boolean;
  readonly muted: boolean;
  readonly volume: number;
  /** Muted by the browser's autoplay rule, not by the viewer. */
  readonly soundBlocked: boolean;
  /** Seconds from capture to screen, `null` without EXT-X-PROGRAM-DATE-TIME. */
  readonly latency: number | null;
  /** At the live edge, or on the way there. */
  readonly following: boolean;
  /** The broadcast ended; what is left is being watched. */
  readonly over: boolean;
  readonly range: { readonly start: number; readonly live: number; readonly position: number } | null;
  readonly levels: readonly Quality[];
  readonly quality: Quality | null;
  readonly automatic: boolean;
}

/** What `window.__nova` shows to tests and to people who look into a problem. Reading it changes nothing. */
export interface DebugHook {
  /** The hls.js instance, `null` with native HLS or before the first broadcast. */
  readonly hls: HlsSource['hls'] | null;
  readonly video: HTMLVideoElement;
  stats(): {
    state: Phase;
    /** Seconds from capture to screen by the server's clock, `null` when unknown. */
    latency: number | null;
    /** Distance to the playlist's edge that the player keeps, in seconds. */
    targetLatency: number | null;
    currentTime: number;
    /** Seconds of media buffered after the playhead. */
    bufferedAhead: number;
    playbackRate: number;
    level: number;
    totalFrames: number;
    droppedFrames: number;
    /** Times playback ran dry after it had started. */
    stalls: number;
    /** Milliseconds from navigation start to the first picture, `null` before it. */
    firstFrameMs: number | null;
  };
}

declare global {
  interface Window {
    __nova?: DebugHook;
  }
}

/** hls.js is by far the largest chunk and has nothing to do with drawing; fetched once, tried again after a failure. */
let loading: Promise<typeof import('./hls-source')> | null = null;

export function loadHls(): Promise<typeof import('./hls-source')> {
  loading ??= import('./hls-source').catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

const TICK_MS = 250;
/** After EXT-X-ENDLIST, standing still for this long is the end. */
const PLAYED_OUT_MS = 1500;
/** This close to the live position counts as being there. */
const AT_LIVE_S = 1.5;

/**
 * Plays one stream for as long as the page is open: waits for the broadcaster, follows the live edge, lives through blips, ends
 * and starts again with the next broadcast. Owns the video element, which the page puts where it wants it; draws nothing.
 */
export class LivePlayer {
  readonly video = document.createElement('video');
  /** Resolves when the first picture is on the screen, or there is none to be had for now. */
  readonly settled: Promise<void>;
  #settle: () => void = () => {};
  #changed: ((view: PlayerView) => void) | null = null;
  #state: PhaseState = INITIAL;
  #source: Source | null = null;
  #hls: HlsSource | null = null;
  #following = true;
  #over = false;
  #buffering = false;
  #soundBlocked = false;
  /** The viewer pressed pause: a rebuilt or new broadcast must not start talking by itself. */
  #pausedByViewer = false;
  /** The broadcast that is playing, and the one known to have ended. */
  #key = '';
  #endedKey: string | null = null;
  #attempt = new AbortController();
  #stalls = 0;
  #lastTime = 0;
  #movedAt = 0;
  #firstFrameMs: number | null = null;
  readonly #polls = new Backoff(1000, 2000);
  readonly #retries = new Backoff(500, 8000);
  readonly #clock = new ServerClock();
  readonly #alive = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(private readonly name: string) {
    const { video } = this;
    this.settled = new Promise((resolve) => (this.#settle = resolve));
    video.playsInline = true;
    const sound = recallSound();
    video.volume = sound.volume;
    video.muted = sound.muted;
    this.#listen();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#exposeForDebugging();
    // In flight together with the playlist, whether or not there turns out to be a broadcast.
    loadHls().catch(() => {});
    void this.#open();
  }

  /** Calls `changed` with the view now and whenever it changes. */
  watch(changed: (view: PlayerView) => void): void {
    this.#changed = changed;
    this.#notify();
  }

  destroy(): void {
    this.#alive.abort();
    this.#attempt.abort();
    clearInterval(this.#timer);
    this.#dropSource();
    delete window.__nova;
  }

  get view(): PlayerView {
    const { video } = this;
    const range = this.#source?.range() ?? null;
    const levels = this.#source?.levels ?? [];
    return {
      phase: this.#state.phase,
      shown: this.#state.shown,
      paused: video.paused,
      buffering: this.#buffering && !video.paused,
      muted: video.muted || video.volume === 0,
      volume: video.volume,
      soundBlocked: this.#soundBlocked,
      latency: this.#latency(),
      following: this.#following,
      over: this.#over,
      range: range && { ...range, position: video.currentTime },
      levels,
      quality: levels[this.#source?.level ?? -1] ?? null,
      automatic: this.#source?.automatic ?? true,
    };
  }

  togglePlay(): void {
    if (this.video.paused) {
      this.#pausedByViewer = false;
      void this.#play();
    } else {
      this.#pausedByViewer = true;
      // Coming back, the viewer continues where they left and may jump to live.
      this.#following = false;
      this.video.pause();
    }
  }

  toggleMute(): void {
    const { video } = this;
    if (video.muted || video.volume === 0) {
      video.muted = false;
      if (video.volume === 0) video.volume = 0.5;
    } else {
      video.muted = true;
    }
    this.#soundBlocked = false;
    this.#keepSound();
  }

  setVolume(volume: number): void {
    this.video.volume = Math.min(1, Math.max(0, volume));
    this.video.muted = false;
    this.#soundBlocked = false;
    this.#keepSound();
  }

  seekTo(position: number): void {
    const range = this.#source?.range();
    if (!range) return;
    this.video.currentTime = Math.min(range.live, Math.max(range.start, position));
    this.#following = !this.#over && range.live - this.video.currentTime < AT_LIVE_S;
    this.#notify();
  }

  jumpToLive(): void {
    const range = this.#source?.range();
    if (!range || this.#over) return;
    this.#following = true;
    this.video.currentTime = range.live;
    if (this.video.paused) this.togglePlay();
    this.#notify();
  }

  /** `-1` lets the player choose. */
  pickQuality(index: number): void {
    this.#source?.pickQuality(index);
  }

  /** Fetches master.m3u8 until there is a broadcast that has not ended, then plays it. */
  async #open(): Promise<void> {
    this.#attempt.abort();
    const attempt = (this.#attempt = new AbortController());
    const { signal } = attempt;
    let answer = await fetchMaster(this.name, signal);
    for (;;) {
      if (signal.aborted) return;
      if (answer.is === 'here' && answer.key !== this.#endedKey) break;
      if (answer.is === 'absent') this.#fire(answer.known ? 'absent' : 'unknown');
      if (answer.is === 'unreachable') this.#fire('unreachable');
      this.#settle();
      const wait = this.#polls.next(answer.is === 'absent' ? answer.retryAfterMs : null);
      // Nobody looks: ask rarely, but do ask, since starting by itself in a background tab is what the viewer left it for.
      await elapse(document.hidden ? wait * 5 : wait, signal);
      answer = await fetchMaster(this.name, signal);
    }
    this.#polls.reset();
    await this.#attach(answer, signal);
  }

  async #attach(master: Extract<MasterAnswer, { is: 'here' }>, signal: AbortSignal): Promise<void> {
    this.#fire('opened');
    this.#dropSource();
    this.#key = master.key;
    this.#over = false;
    this.#following = true;
    const events = this.#eventsOf(signal);
    const headStart = new HeadStart(master);
    const opened = openMediaSource(this.video);
    signal.addEventListener('abort', () => headStart.drop(), { once: true });
    try {
      const { HlsSource } = await loadHls();
      if (signal.aborted) return;
      if (HlsSource.supported()) {
        this.#hls = new HlsSource(this.video, master.url, headStart, opened, events);
        this.#source = this.#hls;
      } else if (NativeSource.supported()) {
        this.#source = new NativeSource(this.video, masterUrl(this.name), events);
      } else {
        this.#fire('unsupported');
        this.#settle();
        return;
      }
    } catch {
      // The chunk did not arrive; the connection is as likely the reason as anything.
      if (!signal.aborted) events.fatal('player code did not load');
      return;
    }
    if (!this.#pausedByViewer) void this.#play();
  }

  /** A source's reports, deaf once its attempt is over: hls.js may still speak while it is taken down. */
  #eventsOf(signal: AbortSignal): SourceEvents {
    const heard = (act: () => void) => () => {
      if (!signal.aborted) act();
    };
    return {
      advanced: heard(() => this.#fire('advanced')),
      silent: heard(() => this.#fire('silent')),
      offline: heard(() => this.#fire('offline')),
      quality: heard(() => this.#notify()),
      over: heard(() => {
        this.#over = true;
        this.#following = false;
        // Opened after the end: there is nothing live to show.
        if (!this.#state.shown) {
          this.#finish();
          this.#settle();
        }
        this.#notify();
      }),
      fatal: heard(() => {
        this.#fire('fatal');
        this.#settle();
        this.#attempt.abort();
        const retry = (this.#attempt = new AbortController());
        void elapse(this.#retries.next(), retry.signal).then(() => {
          if (!retry.signal.aborted) void this.#open();
        });
      }),
    };
  }

  /** The last picture stays while the page waits for the next broadcast. */
  #finish(): void {
    if (this.#state.phase === 'ended') return;
    this.#endedKey = this.#key;
    this.#fire('finished');
    void this.#open();
  }

  async #play(): Promise<void> {
    const { video } = this;
    try {
      await video.play();
    } catch (error) {
      // AbortError is a source being replaced; its successor plays again.
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError' || video.muted) return;
      video.muted = true;
      this.#soundBlocked = true;
      await video.play().catch(() => {});
    }
    this.#notify();
  }

  #listen(): void {
    const { video } = this;
    const on = (type: string, act: () => void): void =>
      video.addEventListener(
        type,
        () => {
          act();
          this.#notify();
        },
        { signal: this.#alive.signal },
      );
    on('loadeddata', () => this.#presented());
    on('timeupdate', () => !video.paused && !video.seeking && this.#presented());
    on('playing', () => (this.#buffering = false));
    on('waiting', () => {
      if (this.#state.phase === 'live' && !video.seeking) this.#stalls++;
      this.#buffering = true;
    });
    on('ended', () => this.#over && this.#finish());
    on('pause', () => {});
    on('volumechange', () => {});
  }

  #presented(): void {
    if (this.#firstFrameMs === null) {
      this.#firstFrameMs = performance.now();
      // With the next frame of the page it is on the screen.
      requestAnimationFrame(() => setTimeout(() => this.#settle()));
      // Not before: until now every request of this page was for the picture.
      void this.#clock.synchronise(this.#alive.signal);
    }
    if (this.#state.phase !== 'live') this.#retries.reset();
    this.#fire('presented');
  }

  #tick(): void {
    this.#source?.tick(this.#following);
    if (this.#over) this.#noticePlayedOut();
    this.#notify();
  }

  /**
   * The element's `ended` does not always come: sound and picture of the last segment need not end together, and then playback
   * stops a few frames short for good.
   */
  #noticePlayedOut(): void {
    const { currentTime, paused } = this.video;
    const now = performance.now();
    const left = (this.#source?.range()?.live ?? 0) - currentTime;
    if (currentTime !== this.#lastTime || paused || left > 1) {
      this.#lastTime = currentTime;
      this.#movedAt = now;
    } else if (now - this.#movedAt > PLAYED_OUT_MS) {
      this.#finish();
    }
  }

  /**
   * Capture to screen: the server's clock now, minus the EXT-X-PROGRAM-DATE-TIME of the picture being shown. Not `hls.latency`,
   * which is the distance to the playlist's edge and so leaves out everything before publication.
   */
  #latency(): number | null {
    const shown = this.#state.shown ? this.#source?.playingDate() : null;
    return shown == null ? null : Math.max(0, (this.#clock.now() - shown) / 1000);
  }

  #fire(event: PhaseEvent): void {
    const before = this.#state;
    this.#state = advance(before, event);
    if (this.#state !== before) this.#notify();
  }

  #notify(): void {
    if (!this.#alive.signal.aborted) this.#changed?.(this.view);
  }

  #dropSource(): void {
    this.#source?.destroy();
    this.#source = null;
    this.#hls = null;
  }

  #keepSound(): void {
    keepSound({ volume: this.video.volume, muted: this.video.muted });
    this.#notify();
  }

  #exposeForDebugging(): void {
    const player = this;
    const { video } = this;
    window.__nova = Object.freeze({
      get hls() {
        return player.#hls?.hls ?? null;
      },
      video,
      stats() {
        const frames = video.getVideoPlaybackQuality();
        return {
          state: player.#state.phase,
          latency: player.#latency(),
          targetLatency: player.#hls?.hls.targetLatency ?? null,
          currentTime: video.currentTime,
          bufferedAhead: bufferedAhead(video),
          playbackRate: video.playbackRate,
          level: player.#source?.level ?? -1,
          totalFrames: frames.totalVideoFrames,
          droppedFrames: frames.droppedVideoFrames,
          stalls: player.#stalls,
          firstFrameMs: player.#firstFrameMs,
        };
      },
    });
  }
}

/** Resolves after `ms`, or at once when `signal` aborts; the caller looks at the signal. */
function elapse(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
