import { LivePlayer } from './live-player';

/**
 * A player that starts before the page around it exists. Its playlists, the hls.js chunk and the first parts travel, and its
 * decoder starts, while the controls are still being parsed and mounted: mounting alone costs a tenth of a second on a phone.
 */

let waiting: { name: string; player: LivePlayer } | null = null;

/** Without a picture for this long, a viewer wants to see a page meanwhile. */
const PATIENCE_MS = 500;

/**
 * Starts playing in `place` and resolves when drawing the page no longer delays the picture. `fill`: the picture will be all there is.
 */
export async function startEarly(name: string, place: HTMLElement, fill: boolean): Promise<void> {
  const player = new LivePlayer(name);
  const { video } = player;
  waiting = { name, player };
  // There is something to play, and its playlists are on their way: on a busy machine sound must not come before them.
  video.addEventListener('loadstart', wakeSound, { once: true });
  const show = (): void => {
    if (video.isConnected) return;
    video.classList.toggle('fill', fill);
    place.append(video);
  };
  video.addEventListener('loadedmetadata', show, { once: true });
  await Promise.race([player.settled, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  video.removeEventListener('loadedmetadata', show);
}

/** The player that was started early for this stream, once; a new one for anybody else. */
export function takePlayer(name: string): LivePlayer {
  const early = waiting?.name === name ? waiting.player : null;
  waiting = null;
  return early ?? new LivePlayer(name);
}

/**
 * Chromium starts its sound output when a first medium wants it, which takes a fifth of a second in which no picture is decoded either.
 * Asking which devices there are starts it now; it asks the viewer nothing, and the answer is of no interest.
 */
function wakeSound(): void {
  navigator.mediaDevices?.enumerateDevices().catch(() => {});
}
