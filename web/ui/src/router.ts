/** Which page an address means. The server answers the same shell for all of them; this decides what it shows. */
export type Route =
  | { page: 'home' }
  | { page: 'watch'; name: string }
  | { page: 'embed'; name: string }
  | { page: 'user'; name: string }
  | { page: 'video'; name: string }
  | { page: PlainPage }
  | { page: 'missing' };

/** Pages whose whole address is fixed. */
const PLAIN = {
  '/register': 'register',
  '/login': 'login',
  '/verify-email': 'verify-email',
  '/reset-password': 'reset-password',
  '/account': 'account',
  '/account/sessions': 'sessions',
  '/account/tokens': 'tokens',
  '/account/export': 'export',
  '/account/streams': 'streams',
  '/account/videos': 'videos',
  '/api/docs': 'docs',
} as const;
export type PlainPage = (typeof PLAIN)[keyof typeof PLAIN];

/** A stream's name or id, as the publishing contract spells it. Anything else cannot be a stream and is not asked for. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

export function parseRoute(pathname: string): Route {
  const parts = pathname.split('/').filter((part) => part !== '');
  const [first, second, ...rest] = parts;
  if (first === undefined) return { page: 'home' };
  const path = `/${parts.join('/')}`;
  if (Object.hasOwn(PLAIN, path)) return { page: PLAIN[path as keyof typeof PLAIN] };
  if (first === 'u' && second !== undefined && rest.length === 0 && NAME.test(second)) return { page: 'user', name: second };
  if (first === 'watch' && second === 'v' && rest.length === 1 && NAME.test(rest[0] ?? '')) return { page: 'video', name: rest[0] ?? '' };
  if ((first === 'watch' || first === 'embed') && second !== undefined && rest.length === 0 && NAME.test(second)) {
    return { page: first, name: second };
  }
  return { page: 'missing' };
}

export function watchPath(name: string): string {
  return `/watch/${encodeURIComponent(name)}`;
}

export function videoPath(id: string): string {
  return `/watch/v/${encodeURIComponent(id)}`;
}

export function embedPath(name: string): string {
  return `/embed/${encodeURIComponent(name)}`;
}

export function userPath(name: string): string {
  return `/u/${encodeURIComponent(name)}`;
}

/** Opens a page of this app as a click on a link to it would. `state` is for that page alone. */
export function go(path: string, state: Record<string, string> = {}): void {
  history.pushState(state, '', path);
  dispatchEvent(new Event('nova:go'));
}

/** Where to go after logging in: a page of this app, or the account. Anything else in a link is somebody's trick. */
export function nextPath(search: string): string {
  const asked = new URLSearchParams(search).get('next') ?? '';
  const base = 'http://nova.invalid';
  try {
    const url = new URL(asked, base);
    const known = parseRoute(url.pathname).page;
    if (asked.startsWith('/') && url.origin === base && known !== 'missing' && known !== 'login') return url.pathname + url.search;
  } catch {
    // Not an address.
  }
  return '/account';
}

/** True for a click that the browser itself would follow in this tab; others (new tab, download) stay the browser's. */
export function isPlainClick(event: Pick<MouseEvent, 'button' | 'metaKey' | 'ctrlKey' | 'shiftKey' | 'altKey' | 'defaultPrevented'>): boolean {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented;
}
