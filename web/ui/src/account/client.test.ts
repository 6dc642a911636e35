import { describe, expect, it } from 'vitest';
import { Client, csrfToken, explain, Problem, type Surroundings } from './client';

interface Sent {
  method: string;
  path: string;
  csrf: string | undefined;
  body: unknown;
}

const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(body === undefined ? null : JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });
const nobody = () => json(401, { title: 'Unauthorized', status: 401, detail: 'log in first' });

/** A browser with cookies in common between its tabs, and a server that `answer` plays. */
function browser(answer: (sent: Sent, jar: { csrf: string | null }) => Response | Promise<Response>) {
  const jar: { csrf: string | null } = { csrf: 'one' };
  const sent: Sent[] = [];
  const told = { ended: 0, asked: 0, willProve: true };
  let last: Promise<unknown> = Promise.resolve();
  const around: Surroundings = {
    fetch: async (input, init) => {
      const one: Sent = {
        method: init?.method ?? 'GET',
        path: String(input),
        csrf: (init?.headers as Record<string, string>)['x-csrf-token'],
        body: typeof init?.body === 'string' ? JSON.parse(init.body) : undefined,
      };
      sent.push(one);
      await Promise.resolve();
      return answer(one, jar);
    },
    cookies: () => (jar.csrf === null ? 'theme=dark' : `theme=dark; __Host-nova_csrf=${jar.csrf}`),
    alone: (_name, task) => {
      const run = last.then(task, task);
      last = run.catch(() => {});
      return run;
    },
    proveAgain: async () => {
      told.asked += 1;
      return told.willProve;
    },
    ended: () => {
      told.ended += 1;
      jar.csrf = null;
    },
  };
  return { jar, sent, told, tab: () => new Client(around) };
}

/** A server whose access token is gone until somebody refreshes. */
function expired() {
  let fresh = false;
  return browser((one, jar) => {
    if (one.path.endsWith('/auth/refresh')) {
      if (one.csrf !== jar.csrf) return json(403, { code: 'csrf' });
      fresh = true;
      jar.csrf = 'two';
      return json(200, {});
    }
    return fresh ? json(200, { path: one.path }) : nobody();
  });
}

const refreshes = (sent: Sent[]) => sent.filter(({ path }) => path.endsWith('/auth/refresh')).length;

describe('csrfToken', () => {
  it('reads its cookie among others', () => {
    expect(csrfToken('a=1; __Host-nova_csrf=abc; b=2')).toBe('abc');
    expect(csrfToken('a=1; x__Host-nova_csrf=abc')).toBeNull();
    expect(csrfToken('__Host-nova_csrf=')).toBeNull();
    expect(csrfToken('')).toBeNull();
  });
});

describe('Client', () => {
  it('repeats the cookie in the header where something is changed', async () => {
    const { sent, tab } = browser(() => json(200, {}));
    await tab().get('/users/me');
    await tab().patch('/users/me', { bio: 'x' });
    expect(sent).toEqual([
      { method: 'GET', path: '/api/v1/users/me', csrf: undefined, body: undefined },
      { method: 'PATCH', path: '/api/v1/users/me', csrf: 'one', body: { bio: 'x' } },
    ]);
  });

  it('answers nothing for 204', async () => {
    const { tab } = browser(() => new Response(null, { status: 204 }));
    expect(await tab().delete('/auth/sessions')).toBeUndefined();
  });

  it('refreshes once and makes the call again', async () => {
    const { sent, tab } = expired();
    expect(await tab().post('/streams', { title: 'a' })).toEqual({ path: '/api/v1/streams' });
    expect(sent.map(({ path, csrf }) => [path, csrf])).toEqual([
      ['/api/v1/streams', 'one'],
      ['/api/v1/auth/refresh', 'one'],
      ['/api/v1/streams', 'two'],
    ]);
  });

  it('refreshes once for all calls of a tab', async () => {
    const { sent, tab } = expired();
    const client = tab();
    await Promise.all([client.get('/a'), client.get('/b'), client.get('/c')]);
    expect(refreshes(sent)).toBe(1);
  });

  it('refreshes once for all tabs', async () => {
    const { sent, tab } = expired();
    await Promise.all([tab().get('/a'), tab().get('/b'), tab().get('/c')]);
    expect(refreshes(sent)).toBe(1);
  });

  it('asks nothing of a guest', async () => {
    const { jar, sent, tab } = expired();
    jar.csrf = null;
    await expect(tab().get('/a')).rejects.toMatchObject({ status: 401 });
    expect(refreshes(sent)).toBe(0);
  });

  it('takes a 401 with a code for what it is', async () => {
    const { sent, tab } = browser(() => json(401, { code: 'totp_required', detail: 'send `totp`' }));
    await expect(tab().post('/auth/login', {})).rejects.toMatchObject({ code: 'totp_required' });
    expect(sent).toHaveLength(1);
  });

  it('tells when the session is over, and only then', async () => {
    const over = browser(() => nobody());
    await expect(over.tab().get('/a')).rejects.toMatchObject({ status: 401 });
    expect([over.told.ended, over.sent.length]).toEqual([1, 2]);
    const busy = browser((one) => (one.path.endsWith('/refresh') ? json(503, { detail: 'busy' }) : nobody()));
    await expect(busy.tab().get('/a')).rejects.toMatchObject({ status: 503 });
    expect(busy.told.ended).toBe(0);
  });

  it('does not refresh for ever', async () => {
    const { sent, tab } = browser((one) => (one.path.endsWith('/refresh') ? json(200, {}) : nobody()));
    await expect(tab().get('/a')).rejects.toMatchObject({ status: 401 });
    expect(sent).toHaveLength(3);
  });

  it('sends again when another tab changed the cookie under a call', async () => {
    const { sent, tab } = browser((one, jar) => {
      if (one.csrf === 'two') return json(200, 'done');
      jar.csrf = 'two';
      return json(403, { code: 'csrf' });
    });
    expect(await tab().post('/a')).toBe('done');
    expect(sent).toHaveLength(2);
  });

  it('asks for a proof and makes the call again', async () => {
    let calls = 0;
    const { told, tab } = browser(() => (++calls === 1 ? json(403, { code: 'sudo_required', detail: 'prove it' }) : json(200, 'done')));
    expect(await tab().delete('/auth/account')).toBe('done');
    expect(told.asked).toBe(1);
  });

  it('gives up when the person would rather not prove it', async () => {
    const { told, sent, tab } = browser(() => json(403, { code: 'sudo_required', detail: 'prove it' }));
    told.willProve = false;
    await expect(tab().post('/auth/totp')).rejects.toMatchObject({ code: 'sudo_required' });
    expect(sent).toHaveLength(1);
    told.willProve = true;
    await expect(tab().post('/auth/totp')).rejects.toMatchObject({ code: 'sudo_required' });
    expect(told.asked).toBe(2);
  });

  it('reads what is wrong with each field', async () => {
    const { tab } = browser(() =>
      json(422, {
        detail: 'some fields are not as they must be',
        errors: [
          { field: 'username', message: 'this name is taken' },
          { field: 'username', message: 'a second word on it' },
          { field: 'password', message: 'is too short' },
          { message: 'no field' },
        ],
      }),
    );
    const problem: Problem = await tab().post('/auth/register', {}).catch((error: Problem) => error) as Problem;
    expect(problem).toBeInstanceOf(Problem);
    expect(problem.fields).toEqual({ username: 'this name is taken', password: 'is too short' });
  });

  it('understands answers that are no problem+json, and no answer', async () => {
    const proxy = browser(() => new Response('<h1>Bad Gateway</h1>', { status: 502, headers: { 'retry-after': '120' } }));
    await expect(proxy.tab().get('/a')).rejects.toMatchObject({ status: 502, code: null, retryAfter: 120 });
    const cable = browser(() => Promise.reject(new TypeError('Failed to fetch')));
    await expect(cable.tab().get('/a')).rejects.toMatchObject({ status: 0, code: 'unreachable' });
  });
});

describe('explain', () => {
  it('speaks in sentences', () => {
    expect(explain(new Problem(409, null, 'there is one already'))).toBe('There is one already.');
    expect(explain(new Problem(429, null, 'too often', {}, 40))).toBe('Too often. Wait 40 seconds.');
    expect(explain(new Problem(429, null, 'too often', {}, 1800))).toBe('Too often. Wait 30 minutes.');
    expect(explain(new Problem(403, 'sudo_required', 'x'))).toBe('Nothing was changed: this asks who you are once more.');
    expect(explain(new Error('boom'))).toBe('Something went wrong in this page. Reload it and try again.');
  });
});
