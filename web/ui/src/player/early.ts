import { LivePlayer } from './live-player';

/**
 * A player that starts before the page around it exists. Its playlists, the hls.js chunk and the first parts travel, and its
 * decoder starts, while the controls are still being parsed and mounted: mounting alone costs a tenth of a second on a phone.
 */

let waiting: { name: string; player: LivePlayer } | null = null;

/**
 * Starts playing and resolves when drawing no longer delays the picture: the first source is at work, or there is nothing to
 * play, or the player's code takes so long that a viewer wants to see a page meanwhile.
 */
export async function startEarly(name: string): Promise<void> {
  const player = new LivePlayer(name);
  waiting = { name, player };
  await Promise.race([player.opened, new Promise((resolve) => setTimeout(resolve, 250))]);
}

/** The player that was started early for this stream, once; a new one for anybody else. */
export function takePlayer(name: string): LivePlayer {
  const early = waiting?.name === name ? waiting.player : null;
  waiting = null;
  return early ?? new LivePlayer(name);
}
