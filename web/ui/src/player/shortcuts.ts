/** Keyboard control of the player, as data: the help overlay lists it and the player obeys it. */

export type Action =
  | 'togglePlay'
  | 'toggleMute'
  | 'toggleFullscreen'
  | 'togglePictureInPicture'
  | 'volumeUp'
  | 'volumeDown'
  | 'seekBack'
  | 'seekForward'
  | 'jumpToLive'
  | 'toggleHelp'
  | 'closeOverlay';

export const SHORTCUTS: readonly { keys: readonly string[]; shown: string; action: Action; does: string }[] = [
  { keys: [' ', 'k'], shown: 'Space or K', action: 'togglePlay', does: 'Play or pause' },
  { keys: ['m'], shown: 'M', action: 'toggleMute', does: 'Mute or unmute' },
  { keys: ['f'], shown: 'F', action: 'toggleFullscreen', does: 'Fullscreen' },
  { keys: ['p'], shown: 'P', action: 'togglePictureInPicture', does: 'Picture in picture' },
  { keys: ['arrowup'], shown: '↑', action: 'volumeUp', does: 'Louder' },
  { keys: ['arrowdown'], shown: '↓', action: 'volumeDown', does: 'Quieter' },
  { keys: ['arrowleft', 'j'], shown: '←', action: 'seekBack', does: 'Back 10 seconds' },
  { keys: ['arrowright'], shown: '→', action: 'seekForward', does: 'Forward 10 seconds' },
  { keys: ['l'], shown: 'L', action: 'jumpToLive', does: 'Jump to live' },
  { keys: ['?'], shown: '?', action: 'toggleHelp', does: 'This list' },
  { keys: ['escape'], shown: 'Esc', action: 'closeOverlay', does: 'Close a menu or this list' },
];

/** What has the focus, as far as it decides who gets a key. */
export type FocusKind = 'text' | 'slider' | 'button' | 'other';

/**
 * The action for a key press, or `null` to leave it to the browser: typing stays typing, a focused slider keeps its arrows, a
 * focused button keeps Space, and combinations with Ctrl, Alt or Meta belong to the browser.
 */
export function actionFor(
  event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'altKey' | 'metaKey'>,
  focus: FocusKind,
): Action | null {
  if (event.ctrlKey || event.altKey || event.metaKey || focus === 'text') return null;
  const key = event.key.toLowerCase();
  if (focus === 'slider' && key.startsWith('arrow')) return null;
  if (focus === 'button' && key === ' ') return null;
  return SHORTCUTS.find((shortcut) => shortcut.keys.includes(key))?.action ?? null;
}

export function focusKind(target: EventTarget | null): FocusKind {
  if (!(target instanceof HTMLElement)) return 'other';
  if (target instanceof HTMLInputElement && target.type === 'range') return 'slider';
  if (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName)) return 'text';
  return ['BUTTON', 'A', 'SUMMARY'].includes(target.tagName) ? 'button' : 'other';
}
