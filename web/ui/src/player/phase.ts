/**
 * What the viewer is told about the broadcast, as a pure state machine. The player feeds it facts; the page shows the phase.
 * Pausing, buffering and DVR are not phases: they are the viewer's own doing and change nothing here.
 */
export type Phase =
  /** Asking for the playlists, nothing shown yet. */
  | 'connecting'
  /** The stream exists and is not on air. */
  | 'waiting'
  /** The server knows no such stream. Asked again all the same: with open publishing it exists from its first broadcast on. */
  | 'unknown'
  | 'live'
  /** The playlist stands still although the server answers: the broadcaster's connection blipped. */
  | 'reconnecting'
  /** The server does not answer: the viewer's connection blipped. */
  | 'offline'
  | 'ended'
  /** Playback broke; it is being built anew. */
  | 'retrying'
  /** This browser plays neither MSE nor HLS. Final. */
  | 'unsupported';

export type PhaseEvent =
  /** master.m3u8 of a broadcast worth playing arrived. */
  | 'opened'
  /** 404 with Retry-After: known, not on air. */
  | 'absent'
  /** 404 without it. */
  | 'unknown'
  /** master.m3u8 could not be fetched. */
  | 'unreachable'
  /** A picture (or sound, without video) was presented. */
  | 'presented'
  /** The live playlist stopped growing. */
  | 'silent'
  /** Playlist requests fail without an answer. */
  | 'offline'
  /** The live playlist grows (again). */
  | 'advanced'
  /** Everything before EXT-X-ENDLIST was played. */
  | 'finished'
  /** The player gave up on this attempt. */
  | 'fatal'
  | 'unsupported';

export interface PhaseState {
  readonly phase: Phase;
  /** Something of this broadcast was shown on this page: its disappearance then means "ended", not "not live yet". */
  readonly shown: boolean;
}

export const INITIAL: PhaseState = { phase: 'connecting', shown: false };

export function advance(state: PhaseState, event: PhaseEvent): PhaseState {
  const to = (phase: Phase): PhaseState => (phase === state.phase ? state : { ...state, phase });
  if (state.phase === 'unsupported') return state;
  switch (event) {
    case 'unsupported':
      return to('unsupported');
    case 'opened':
      // The new broadcast has shown nothing yet; a rebuilt attempt at the same one keeps what it showed.
      return { phase: 'connecting', shown: state.phase === 'ended' ? false : state.shown };
    case 'absent':
      return to(state.phase === 'ended' || state.shown ? 'ended' : 'waiting');
    case 'unknown':
      return to(state.phase === 'ended' || state.shown ? 'ended' : 'unknown');
    case 'unreachable':
    case 'fatal':
      // Somebody who reads "ended" or "not live yet" is not helped by an alarm about one failed poll.
      return state.phase === 'ended' || state.phase === 'waiting' || state.phase === 'unknown' ? state : to('retrying');
    case 'presented':
      return state.phase === 'connecting' || state.phase === 'retrying' ? { phase: 'live', shown: true } : state;
    case 'silent':
      return state.phase === 'live' || state.phase === 'connecting' || state.phase === 'offline' ? to('reconnecting') : state;
    case 'offline':
      return state.phase === 'live' || state.phase === 'reconnecting' || state.phase === 'connecting' ? to('offline') : state;
    case 'advanced':
      return state.phase === 'reconnecting' || state.phase === 'offline' ? to(state.shown ? 'live' : 'connecting') : state;
    case 'finished':
      return to('ended');
  }
}
