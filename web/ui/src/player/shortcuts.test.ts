import { expect, it } from 'vitest';
import { actionFor, SHORTCUTS } from './shortcuts';

const press = (key: string, more = {}) => ({ key, ctrlKey: false, altKey: false, metaKey: false, ...more });

it('maps keys, in either case', () => {
  expect(actionFor(press(' '), 'other')).toBe('togglePlay');
  expect(actionFor(press('K'), 'other')).toBe('togglePlay');
  expect(actionFor(press('ArrowLeft'), 'other')).toBe('seekBack');
  expect(actionFor(press('?'), 'other')).toBe('toggleHelp');
  expect(actionFor(press('z'), 'other')).toBeNull();
});

it('leaves keys to what has the focus, and combinations to the browser', () => {
  expect(actionFor(press('m'), 'text')).toBeNull();
  expect(actionFor(press('ArrowUp'), 'slider')).toBeNull();
  expect(actionFor(press('m'), 'slider')).toBe('toggleMute');
  expect(actionFor(press(' '), 'button')).toBeNull();
  expect(actionFor(press('f', { ctrlKey: true }), 'other')).toBeNull();
});

it('gives no key two meanings', () => {
  const keys = SHORTCUTS.flatMap((shortcut) => shortcut.keys);
  expect(new Set(keys).size).toBe(keys.length);
});
