import { fetchMaster, type MasterAnswer } from './master';

/**
 * Work that a player page starts before the page itself exists: the multivariant playlist and the hls.js chunk travel while
 * the rest of the app is still being parsed and mounted.
 */

export type HlsModule = typeof import('./hls-source');

let loading: Promise<HlsModule> | null = null;
let early: { name: string; answer: Promise<MasterAnswer> } | null = null;

/** The hls.js chunk; fetched once, tried again after a failure. */
export function loadHls(): Promise<HlsModule> {
  loading ??= import('./hls-source').catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

export function startEarly(name: string): void {
  early = { name, answer: fetchMaster(name, new AbortController().signal) };
  // The player asks again and deals with a failure.
  loadHls().catch(() => {});
}

/** The early answer, once: a later attempt has to see the present. */
export function takeEarly(name: string): Promise<MasterAnswer> | null {
  const answer = early?.name === name ? early.answer : null;
  early = null;
  return answer;
}
