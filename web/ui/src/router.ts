/** Which page an address means. The server answers the same shell for all of them; this decides what it shows. */
export type Route =
  | { page: 'home' }
  | { page: 'watch'; name: string }
  | { page: 'embed'; name: string }
  | { page: 'missing' };

/** A stream's name or id, as the publishing contract spells it. Anything else cannot be a stream and is not asked for. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

export function parseRoute(pathname: string): Route {
  const [first, second, ...rest] = pathname.split('/').filter((part) => part !== '');
  if (first === undefined) return { page: 'home' };
  if ((first === 'watch' || first === 'embed') && second !== undefined && rest.length === 0 && NAME.test(second)) {
    return { page: first, name: second };
  }
  return { page: 'missing' };
}

export function watchPath(name: string): string {
  return `/watch/${encodeURIComponent(name)}`;
}

export function embedPath(name: string): string {
  return `/embed/${encodeURIComponent(name)}`;
}

/** True for a click that the browser itself would follow in this tab; others (new tab, download) stay the browser's. */
export function isPlainClick(event: Pick<MouseEvent, 'button' | 'metaKey' | 'ctrlKey' | 'shiftKey' | 'altKey' | 'defaultPrevented'>): boolean {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented;
}
