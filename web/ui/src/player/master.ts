/** Fetching master.m3u8 and telling broadcasts apart. hls.js parses the playlist; here only its addresses matter. */

export type MasterAnswer =
  | { is: 'here'; url: string; text: string; key: string }
  /** 404: `known` when the server sent Retry-After, which it does for a stream that is only not on air. */
  | { is: 'absent'; known: boolean; retryAfterMs: number | null }
  | { is: 'unreachable' };

export function masterUrl(name: string): string {
  return `/live/${encodeURIComponent(name)}/master.m3u8`;
}

export async function fetchMaster(name: string, signal: AbortSignal): Promise<MasterAnswer> {
  try {
    const response = await fetch(masterUrl(name), { signal, cache: 'no-cache' });
    if (response.ok) {
      const text = await response.text();
      return { is: 'here', url: response.url, text, key: broadcastKey(text) };
    }
    if (response.status === 404) {
      const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'));
      return { is: 'absent', known: retryAfterMs !== null, retryAfterMs };
    }
    return { is: 'unreachable' };
  } catch {
    return { is: 'unreachable' };
  }
}

/** Delay-seconds of RFC 9110 10.2.3, in milliseconds. The date form is read as "soon": Nova never sends it. */
export function parseRetryAfter(header: string | null): number | null {
  if (header === null) return null;
  const seconds = Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : 1000;
}

/**
 * The media playlists that a multivariant playlist points to, as one comparable string. Each broadcast has its own media
 * playlist addresses, so an unchanged key after EXT-X-ENDLIST is the broadcast that ended, and a changed one is a new one.
 */
export function broadcastKey(text: string): string {
  const uris: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#EXT-X-MEDIA:') || line.startsWith('#EXT-X-I-FRAME-STREAM-INF:')) {
      const uri = /[:,]URI="([^"]*)"/.exec(line)?.[1];
      if (uri !== undefined) uris.push(uri);
    } else if (line !== '' && !line.startsWith('#')) {
      uris.push(line);
    }
  }
  return uris.sort().join('\n');
}
