/** What a sign-in through another leaves in the fragment of the login page's address. */
import { nextPath } from '../router';

export interface Arrival {
  /** What a session is made of; empty when the sign-in was refused. */
  ticket: string;
  /** Where to go afterwards: a page of this app. */
  to: string;
  /** Why there is no ticket. */
  refused: string;
}

const REFUSED: Record<string, string> = {
  failed: 'The sign-in did not work out. Try again, or log in another way.',
  login_first: 'There is an account with this address. Log in to it, then add the other sign-in on your account page.',
  no_account: 'There is no account for it. Register first, then add the other sign-in on your account page.',
  taken: 'This identity belongs to another account.',
};

/** A provider as people call it, from its name in paths. */
export const called = (provider: string): string => provider.charAt(0).toUpperCase() + provider.slice(1);

export function readArrival(hash: string): Arrival | null {
  const found = new URLSearchParams(hash.replace(/^#/, ''));
  const [ticket, refused] = [found.get('ticket'), found.get('oauth')];
  if (ticket === null && refused === null) return null;
  const to = nextPath(`?next=${encodeURIComponent(found.get('to') ?? '')}`);
  return { ticket: ticket ?? '', to, refused: refused === null ? '' : (REFUSED[refused] ?? REFUSED['failed'] ?? '') };
}
