/** The secret of a link in a message. It leaves the address bar and the history at once: whoever sees the screen does not get it. */
export function takeFragment(): string {
  const secret = location.hash.slice(1);
  if (secret !== '') history.replaceState(history.state, '', location.pathname + location.search);
  return secret;
}

/** The address that the page before this one was about. */
export function passedAddress(): string {
  const state: unknown = history.state;
  const email = typeof state === 'object' && state !== null && 'email' in state ? state.email : '';
  return typeof email === 'string' ? email : '';
}
