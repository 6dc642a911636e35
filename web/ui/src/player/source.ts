/** One attempt at playing one broadcast: hls.js over MSE, or the browser's own HLS. The player owns it and replaces it. */

export interface Quality {
  /** Index in `levels`, what `pickQuality` takes. */
  readonly index: number;
  readonly width: number;
  readonly height: number;
  /** 0 when the playlist does not declare it. */
  readonly frameRate: number;
  readonly bitrate: number;
}

/** What a source reports. All are facts; what follows from them is the player's business. */
export interface SourceEvents {
  /** The live playlist grew. */
  advanced(): void;
  /** No playlist update for longer than a healthy broadcast would take. */
  silent(): void;
  /** Playlist requests get no answer. */
  offline(): void;
  /** EXT-X-ENDLIST was seen: what is buffered or listed is all there will be. */
  over(): void;
  /** This attempt is lost. */
  fatal(reason: string): void;
  /** Levels, or the level in use, changed. */
  quality(): void;
}

export interface Source {
  readonly levels: readonly Quality[];
  /** Level being shown, -1 when not known. */
  readonly level: number;
  /** True while the source chooses the level by itself. */
  readonly automatic: boolean;
  pickQuality(index: number): void;
  /** Wall clock of the picture being shown, from EXT-X-PROGRAM-DATE-TIME; `null` without one. */
  playingDate(): number | null;
  /** Seekable part of the broadcast in media time: oldest second kept, and where "live" plays. */
  range(): { start: number; live: number } | null;
  /** Called about four times a second. `following`: the viewer wants the live edge. Keeps the pace, notices silence. */
  tick(following: boolean): void;
  destroy(): void;
}
