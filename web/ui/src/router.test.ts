import { describe, expect, it } from 'vitest';
import { embedPath, isPlainClick, nextPath, parseRoute, userPath, watchPath } from './router';

describe('parseRoute', () => {
  it.each([
    ['/', { page: 'home' }],
    ['', { page: 'home' }],
    ['/watch/cam-1_A', { page: 'watch', name: 'cam-1_A' }],
    ['/watch/cam/', { page: 'watch', name: 'cam' }],
    ['/embed/cam', { page: 'embed', name: 'cam' }],
    ['/watch', { page: 'missing' }],
    ['/watch/v/0190b3a0', { page: 'video', name: '0190b3a0' }],
    ['/watch/a%2Fb', { page: 'missing' }],
    ['/watch/%', { page: 'missing' }],
    [`/watch/${'x'.repeat(65)}`, { page: 'missing' }],
    ['/account', { page: 'account' }],
    ['/account/sessions/', { page: 'sessions' }],
    ['/account/nothing', { page: 'missing' }],
    ['/api/docs', { page: 'docs' }],
    ['/api/openapi.json', { page: 'missing' }],
    ['/constructor', { page: 'missing' }],
    ['/u/ada', { page: 'user', name: 'ada' }],
    ['/u/ada/x', { page: 'missing' }],
    ['/u', { page: 'missing' }],
    ['/live/cam/master.m3u8', { page: 'missing' }],
  ])('%s', (path, route) => expect(parseRoute(path)).toEqual(route));

  it('reads back the paths it writes', () => {
    expect(parseRoute(watchPath('a-b_1'))).toEqual({ page: 'watch', name: 'a-b_1' });
    expect(parseRoute(embedPath('a-b_1'))).toEqual({ page: 'embed', name: 'a-b_1' });
    expect(parseRoute(userPath('ada_1'))).toEqual({ page: 'user', name: 'ada_1' });
  });
});

describe('nextPath', () => {
  it.each([
    ['?next=/account/streams', '/account/streams'],
    ['?next=%2Fwatch%2Fcam', '/watch/cam'],
    ['', '/account'],
    ['?next=https://example.org/account', '/account'],
    ['?next=//example.org/account', '/account'],
    ['?next=/%5Cexample.org/account', '/account'],
    ['?next=javascript:alert(1)', '/account'],
    ['?next=/login', '/account'],
    ['?next=/api/openapi.json', '/account'],
  ])('%s', (search, path) => expect(nextPath(search)).toBe(path));
});

describe('isPlainClick', () => {
  const plain = { button: 0, metaKey: false, ctrlKey: false, shiftKey: false, altKey: false, defaultPrevented: false };

  it('leaves new tabs, downloads and handled clicks to the browser', () => {
    expect(isPlainClick(plain)).toBe(true);
    for (const other of [{ button: 1 }, { metaKey: true }, { ctrlKey: true }, { shiftKey: true }, { altKey: true }, { defaultPrevented: true }]) {
      expect(isPlainClick({ ...plain, ...other })).toBe(false);
    }
  });
});
