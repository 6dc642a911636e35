/** Who is logged in in this browser, for every part of the page. */
import { Client, csrfToken, Problem } from './client';
import { proveAgain } from './sudo';

export interface Me {
  id: string;
  username: string;
  display_name: string;
  avatar_url: string | null;
  email: string;
  role: 'viewer' | 'moderator' | 'admin';
  suspended_until?: string | null;
  delete_at?: string | null;
}

export interface Account extends Me {
  second_factor: boolean;
  created_at: string;
}

let account = $state.raw<Account | null>(null);
let asking: Promise<Account | null> | null = null;

export const api = new Client({
  fetch: (input, init) => fetch(input, init),
  cookies: () => document.cookie,
  // Without TLS there are neither locks nor cookies to guard, except on the machine itself, where there are both.
  alone: (name, task) => ('locks' in navigator ? (navigator.locks.request(name, task) as ReturnType<typeof task>) : task()),
  proveAgain,
  ended: forget,
});

/** The account, when it is known already. */
export function me(): Account | null {
  return account;
}

/** True when this browser has cookies of a session, which may turn out to be over. */
export function hasCookies(): boolean {
  return csrfToken(document.cookie) !== null;
}

/** Who is logged in; `null` for a guest. Asks the server once, however many ask. */
export async function whoAmI(): Promise<Account | null> {
  if (!hasCookies()) return (account = null);
  return account ?? ask();
}

/** The same from the server, after something about the account has changed. */
export function ask(): Promise<Account | null> {
  asking ??= api
    .get<Account>('/auth/account')
    .catch((error: unknown) => {
      if (error instanceof Problem && error.status === 401) return null;
      throw error;
    })
    .then((answer) => (account = answer))
    .finally(() => (asking = null));
  return asking;
}

export async function logOut(): Promise<void> {
  try {
    await api.post('/auth/logout');
  } catch (error) {
    // A session that was over before is as good.
    if (!(error instanceof Problem && error.status === 401)) throw error;
  }
  forget();
}

/** Takes away what a script can take away, so that no page believes in a session that is over. */
function forget(): void {
  document.cookie = '__Host-nova_csrf=; Path=/; Secure; SameSite=Lax; Max-Age=0';
  account = null;
}
