import Hls, { type HlsConfig, type LoaderContext, type LoaderCallbacks, type LevelDetails, type LoaderConfiguration } from 'hls.js';
import { bufferedAhead } from './buffered';
import type { HeadStart } from './head-start';
import { LEAST_START } from './opening';
import { GENTLE, paceRate, shouldJump } from './pace';
import type { Quality, Source, SourceEvents } from './source';

/** Playlist requests go on through a broadcaster's blip: the server holds or refuses them for up to a minute, then carries on. */
const PATIENT = { maxNumRetry: 60, retryDelayMs: 500, maxRetryDelayMs: 1500, backoff: 'linear' } as const;

const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // The first parts need not wait for the Media Source.
  startFragPrefetch: true,
  // Parsing a 333 ms fMP4 part takes well under a millisecond; a worker would cost a second script at start and a copy per part.
  enableWorker: false,
  // The distance to the live edge is the playlist's PART-HOLD-BACK (no liveSyncDuration set); pace.ts keeps it.
  maxLiveSyncPlaybackRate: 1,
  // A stall asks for a little more distance, not for the default whole second.
  liveSyncOnStallIncrease: 0.2,
  liveDurationInfinity: true,
  // A phone's memory: at the live edge there is one second ahead anyway; these bound DVR viewing.
  maxBufferLength: 10,
  maxMaxBufferLength: 20,
  maxBufferSize: 24_000_000,
  backBufferLength: 12,
  capLevelToPlayerSize: true,
  // Start from a guess that fits broadband instead of probing with the smallest picture; the first parts correct it.
  abrEwmaDefaultEstimate: 4_000_000,
  testBandwidth: false,
  // One late part must not freeze the picture for seconds before hls.js looks at the gap.
  detectStallWithCurrentTimeMs: 500,
  highBufferWatchdogPeriod: 1,
  nudgeMaxRetry: 6,
  // Asking the decoder's opinion of each level takes a cold browser a tenth of a second; CODECS and isTypeSupported decide.
  useMediaCapabilities: false,
  // When the broadcaster's line breaks just after a segment was closed, hls.js has already filed the next segment under the old
  // discontinuity number and calls the real one a mismatch, fatally. Everything up to it is merged by then, so going on is right.
  ignorePlaylistParsingErrors: true,
  // Nova sends neither captions nor interstitials nor DRM.
  enableWebVTT: false,
  enableIMSC1: false,
  enableCEA708Captions: false,
  enableInterstitialPlayback: false,
  playlistLoadPolicy: {
    default: {
      // Longer than the server's own limit for a held request (three target durations).
      maxTimeToFirstByteMs: 20_000,
      maxLoadTimeMs: 30_000,
      timeoutRetry: { ...PATIENT, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: PATIENT,
    },
  },
  fragLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 8_000,
      maxLoadTimeMs: 30_000,
      timeoutRetry: { maxNumRetry: 4, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 8, retryDelayMs: 250, maxRetryDelayMs: 2000, backoff: 'linear' },
    },
  },
};

/** Extra distance after stalls is given back in steps of this size, one whenever this long passed without a stall. */
const RELAX_STEP = 0.2;
const RELAX_AFTER_MS = 20_000;
/** Readings of the buffer, four a second, that make up `slack`. */
const SLACK_READINGS = 8;

/** Seconds behind the live position from which the start jumps there, instead of playing a little faster. */
const JUMP_AT_START = 0.3;

export class HlsSource implements Source {
  readonly hls: Hls;
  #advancedAt: number | null = null;
  #silent = false;
  #unreachable = false;
  #ended = false;
  #recoveredAt = -Infinity;
  #slack: number[] = [];
  /** Between the first keyframe and the live position. */
  #arriving = false;
  #hold: ReturnType<typeof setTimeout> | undefined;
  #calmSince = performance.now();

  static supported(): boolean {
    return Hls.isSupported();
  }

  constructor(
    private readonly video: HTMLVideoElement,
    master: string,
    /** What is already under way for this broadcast, and the Media Source the element has, if any. */
    headStart: HeadStart,
    opened: MediaSource | null,
    private readonly events: SourceEvents,
  ) {
    this.hls = new Hls({ ...CONFIG, loader: loaderWith(headStart) });
    const { hls } = this;
    video.addEventListener(
      'loadeddata',
      () => {
        headStart.drop();
        this.#takePlace();
      },
      { once: true },
    );
    hls.once(Hls.Events.LEVEL_UPDATED, (_, { details }) => this.#startOnKeyframe(details));
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      if (!details.live && !this.#ended) {
        this.#ended = true;
        events.over();
      }
      // The first playlist counts as growth: silence is measured from it.
      if (details.advanced || this.#advancedAt === null) {
        this.#advancedAt = performance.now();
        this.#unreachable = false;
        if (this.#silent) this.#resume();
        events.advanced();
      }
    });
    hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
      // The server answers again; whether the broadcast goes on is the next question.
      if (this.#unreachable && this.#silent) events.silent();
      this.#unreachable = false;
      // A playlist that was finished before it was first read never "updates".
      if (!details.live && !this.#ended) {
        this.#ended = true;
        events.over();
      }
    });
    hls.on(Hls.Events.MANIFEST_PARSED, () => events.quality());
    hls.on(Hls.Events.LEVEL_SWITCHED, () => events.quality());
    hls.on(Hls.Events.LEVELS_UPDATED, () => events.quality());
    hls.on(Hls.Events.ERROR, (_, error) => {
      if (error.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) this.#calmSince = performance.now();
      // Code 0 is a request without any answer. A time-out is none: hls.js cuts held playlist requests short on purpose.
      if (error.response?.code === 0 && !error.fatal && !this.#unreachable) {
        this.#unreachable = true;
        events.offline();
      }
      if (!error.fatal) return;
      // One repair in place keeps the picture; a second soon after means the media element itself is beyond it.
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR && performance.now() - this.#recoveredAt > 5000) {
        this.#recoveredAt = performance.now();
        hls.recoverMediaError();
        return;
      }
      events.fatal(error.details);
    });
    hls.attachMedia(opened ? { media: video, mediaSource: opened } : video);
    hls.loadSource(master);
  }

  get levels(): readonly Quality[] {
    return this.hls.levels.map((level, index) => ({
      index,
      width: level.width,
      height: level.height,
      frameRate: level.frameRate,
      bitrate: level.averageBitrate || level.bitrate,
    }));
  }

  get level(): number {
    return this.hls.currentLevel;
  }

  get automatic(): boolean {
    return this.hls.autoLevelEnabled;
  }

  pickQuality(index: number): void {
    this.hls.nextLevel = index;
    this.events.quality();
  }

  playingDate(): number | null {
    return this.hls.playingDate?.getTime() ?? null;
  }

  range(): { start: number; live: number } | null {
    const details = this.hls.latestLevelDetails;
    if (!details) return null;
    const live = details.live ? this.hls.liveSyncPosition : details.edge;
    return live === null ? null : { start: details.fragmentStart, live };
  }

  tick(following: boolean): void {
    const { video, hls } = this;
    const details = hls.latestLevelDetails;
    if (!details || this.#ended) {
      this.#setRate(1);
      return;
    }
    this.#noticeSilence(details.partTarget, details.targetduration);

    const ahead = bufferedAhead(video);
    this.#slack.push(ahead);
    if (this.#slack.length > SLACK_READINGS) this.#slack.shift();
    const target = hls.targetLatency;
    if (this.#arriving) return;
    if (!following || video.paused || video.seeking || target === null || this.#silent) {
      this.#setRate(1);
      return;
    }
    const latency = hls.latency;
    const live = hls.liveSyncPosition;
    if (shouldJump(latency, target) && live !== null && live > video.currentTime) {
      video.currentTime = live;
      this.#slack = [];
      return;
    }
    this.#setRate(paceRate({ latency, target, slack: Math.min(...this.#slack), rate: video.playbackRate }));
    this.#relax(target, details.partHoldBack);
  }

  destroy(): void {
    clearTimeout(this.#hold);
    this.#setRate(1);
    this.hls.destroy();
  }

  /**
   * Starts at the newest keyframe that leaves something to play, so that the first picture waits neither for the decoding of all frames
   * before the live position nor for their arrival.
   */
  #startOnKeyframe(details: LevelDetails): void {
    const { hls } = this;
    const live = hls.liveSyncPosition;
    const target = hls.targetLatency;
    if (!details.live || details.partHoldBack <= 0 || live === null || target === null) return;
    const keyframe = details.partList?.findLast(({ independent, start }) => independent && start <= live + target * (1 - LEAST_START));
    if (!keyframe) return;
    this.#arriving = true;
    hls.targetLatency = target + live - keyframe.start;
  }

  /** The first picture is there: from its keyframe to the live position, by waiting or by a jump. */
  #takePlace(): void {
    const { hls, video } = this;
    const holdBack = hls.latestLevelDetails?.partHoldBack ?? 0;
    if (!this.#arriving || holdBack <= 0) return;
    this.#arriving = false;
    hls.targetLatency = holdBack;
    const live = hls.liveSyncPosition;
    if (live === null || video.paused) return;
    const late = live - video.currentTime;
    if (late > JUMP_AT_START) {
      video.currentTime = live;
      // The jump takes a moment, by which the live position has moved on. The pace ends this once it is made up for.
      this.#setRate(GENTLE);
    } else if (late < 0) {
      this.#arriving = true;
      this.#setRate(0);
      this.#hold = setTimeout(() => {
        this.#arriving = false;
        this.#setRate(1);
      }, -late * 1000);
    }
  }

  /** Parts come three a second, so seconds without one are a blip; without parts, a segment may take its whole duration twice. */
  #noticeSilence(partTarget: number, targetDuration: number): void {
    if (this.#silent || this.#advancedAt === null) return;
    const allowed = partTarget > 0 ? Math.max(2.5, 4 * partTarget) : 3 * targetDuration;
    if (performance.now() - this.#advancedAt < allowed * 1000) return;
    this.#silent = true;
    if (!this.#unreachable) this.events.silent();
  }

  /** The broadcaster is back. The stalls of the blip say nothing about this viewer's line, so they cost no distance. */
  #resume(): void {
    this.#silent = false;
    this.#slack = [];
    const holdBack = this.hls.latestLevelDetails?.partHoldBack;
    if (holdBack) this.hls.targetLatency = holdBack;
  }

  #relax(target: number, holdBack: number): void {
    const now = performance.now();
    if (holdBack <= 0 || target <= holdBack || now - this.#calmSince < RELAX_AFTER_MS) return;
    this.#calmSince = now;
    this.hls.targetLatency = Math.max(holdBack, target - RELAX_STEP);
  }

  #setRate(rate: number): void {
    if (this.video.playbackRate !== rate) this.video.playbackRate = rate;
  }
}

/** hls.js's own loader, except that what a head start has fetched, or is fetching, is not asked for again. */
function loaderWith(headStart: HeadStart): HlsConfig['loader'] {
  const Base = Hls.DefaultConfig.loader;
  return class extends Base {
    #given: LoaderContext | null = null;

    override load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void {
      const early = headStart.take(context.url);
      if (early === null) {
        super.load(context, config, callbacks);
        return;
      }
      this.#given = context;
      void early.then((answer) => {
        // Aborted or destroyed meanwhile.
        if (this.#given !== context) return;
        this.#given = null;
        if (answer === null) {
          super.load(context, config, callbacks);
          return;
        }
        const { data, started, answered, ended } = answer;
        Object.assign(this.stats.loading, { start: started, first: answered, end: ended });
        this.stats.loaded = this.stats.total = typeof data === 'string' ? data.length : data.byteLength;
        callbacks.onSuccess({ url: context.url, data, code: 200 }, this.stats, context, null);
      });
    }

    override abort(): void {
      this.#given = null;
      super.abort();
    }

    override destroy(): void {
      this.#given = null;
      super.destroy();
    }
  };
}
