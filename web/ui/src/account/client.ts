/**
 * The API as a browser speaks it: tokens travel in cookies that no script reads, and the one readable cookie is repeated in a header
 * that another site cannot set. Access tokens live for minutes; a call that finds its own gone refreshes and is made once more.
 */
const BASE = '/api/v1';
const CSRF_COOKIE = '__Host-nova_csrf';

/** What the server refused, and why (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    /** A word that tells cases of one status apart. */
    readonly code: string | null,
    detail: string,
    /** What is wrong with each field, by its name. */
    readonly fields: Readonly<Record<string, string>> = {},
    /** Seconds to wait before it can go better. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

/** What the client needs of the browser around it; tests bring their own. */
export interface Surroundings {
  fetch: typeof fetch;
  cookies(): string;
  /** Runs one task at a time under this name, in all tabs. */
  alone<T>(name: string, task: () => Promise<T>): Promise<T>;
  /** Asks the person to prove who they are; false when they would rather not. */
  proveAgain(): Promise<boolean>;
  /** The session is over: no cookie of it is good any more. */
  ended(): void;
}

/** The value that has to be repeated in the header. `null`: nobody is logged in. A refresh changes it. */
export function csrfToken(cookies: string): string | null {
  for (const pair of cookies.split(';')) {
    const [name, value] = pair.trim().split('=');
    if (name === CSRF_COOKIE && value) return value;
  }
  return null;
}

export class Client {
  #refreshing: Promise<boolean> | null = null;

  constructor(private readonly around: Surroundings) {}

  get<T>(path: string): Promise<T> {
    return this.call<T>('GET', path);
  }

  post<T = void>(path: string, body?: unknown): Promise<T> {
    return this.call<T>('POST', path, body);
  }

  put<T = void>(path: string, body?: unknown): Promise<T> {
    return this.call<T>('PUT', path, body);
  }

  patch<T = void>(path: string, body: unknown): Promise<T> {
    return this.call<T>('PATCH', path, body);
  }

  delete<T = void>(path: string): Promise<T> {
    return this.call<T>('DELETE', path);
  }

  /** Answers the body, or `undefined` where there is none. Rejects with a [`Problem`] for everything else. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    // Each remedy is tried once: what it did not mend, it will not mend.
    let refreshed = false;
    let repeated = false;
    let proved = false;
    for (;;) {
      const csrf = csrfToken(this.around.cookies());
      const response = await this.#send(method, path, body, csrf);
      if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T;
      const problem = await readProblem(response);
      // A 401 with a code is about what was typed; without one, about the access token.
      if (problem.status === 401 && problem.code === null && csrf !== null && !refreshed) {
        refreshed = true;
        if (await this.#refresh(csrf)) continue;
      } else if (problem.code === 'csrf' && !repeated && csrfToken(this.around.cookies()) !== csrf) {
        // Another tab refreshed between the reading of the cookie and its sending.
        repeated = true;
        continue;
      } else if (problem.code === 'sudo_required' && !proved) {
        proved = true;
        if (await this.around.proveAgain()) continue;
      }
      throw problem;
    }
  }

  /**
   * One refresh for all callers of all tabs: a refresh token is good once, and a second one that shows it looks like a thief. `seen` is
   * the CSRF value of the call that failed; when it has changed meanwhile, somebody else has refreshed already.
   */
  #refresh(seen: string): Promise<boolean> {
    this.#refreshing ??= this.around
      .alone('nova-refresh', async () => {
        const csrf = csrfToken(this.around.cookies());
        if (csrf === null) return false;
        if (csrf !== seen) return true;
        const response = await this.#send('POST', '/auth/refresh', {}, csrf);
        if (response.ok) return true;
        const problem = await readProblem(response);
        // A busy server has not ended anything.
        if (problem.status !== 401) throw problem;
        this.around.ended();
        return false;
      })
      .finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #send(method: string, path: string, body: unknown, csrf: string | null): Promise<Response> {
    const headers: Record<string, string> = { accept: 'application/json' };
    // What has a type of its own is sent as it is.
    const raw = body instanceof Blob ? body : null;
    if (body !== undefined) headers['content-type'] = raw?.type ?? 'application/json';
    if (csrf !== null && method !== 'GET') headers['x-csrf-token'] = csrf;
    try {
      return await this.around.fetch(BASE + path, {
        method,
        headers,
        credentials: 'same-origin',
        ...(body === undefined ? {} : { body: raw ?? JSON.stringify(body) }),
      });
    } catch {
      throw new Problem(0, 'unreachable', 'the server does not answer');
    }
  }
}

async function readProblem(response: Response): Promise<Problem> {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : null;
  // What stands between here and the server answers in its own words, not in problem+json.
  const body: unknown = await response.json().catch(() => null);
  if (typeof body !== 'object' || body === null) {
    return new Problem(response.status, null, `the server answered ${response.status}`, {}, retryAfter);
  }
  const { detail, title, code, errors } = body as Record<string, unknown>;
  const fields: Record<string, string> = {};
  for (const error of Array.isArray(errors) ? (errors as Record<string, unknown>[]) : []) {
    if (typeof error['field'] === 'string' && typeof error['message'] === 'string') fields[error['field']] ??= error['message'];
  }
  const words = [detail, title].find((text) => typeof text === 'string' && text !== '') as string | undefined;
  return new Problem(response.status, typeof code === 'string' ? code : null, words ?? `the server answered ${response.status}`, fields, retryAfter);
}

/** A server's lower-case words as a sentence for a person. */
export function sentence(words: string): string {
  const first = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/** What to tell a person about something that failed. */
export function explain(error: unknown): string {
  if (!(error instanceof Problem)) return 'Something went wrong in this page. Reload it and try again.';
  if (error.code === 'sudo_required') return 'Nothing was changed: this asks who you are once more.';
  if (error.code === 'unreachable') return 'The server does not answer. Try again in a moment.';
  if (error.status === 429 && error.retryAfter !== null) return `${sentence(error.message)} Wait ${inWords(error.retryAfter)}.`;
  return sentence(error.message);
}

function inWords(seconds: number): string {
  if (seconds < 90) return seconds === 1 ? 'a second' : `${seconds} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${Math.round(seconds / 3600)} hours`;
}
