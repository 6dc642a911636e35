// An OpenID provider (oidc-provider, in the folder of the first argument) and somebody with a browser who uses it. The first line printed
// is the issuer; then each line read is who they are and an address to open, and the line printed for it is where the browser was sent
// back to. Mallory says that alice's address is hers, and this provider does not vouch for that.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const { default: Provider } = await import(createRequire(`${process.argv[2]}/`).resolve('oidc-provider'));
// The library's notices go to standard output, too.
const print = (line) => process.stdout.write(`${line}\n`);
console.info = console.error;
const CALLBACKS = ['https://nova.example/callback', ...['op', 'another'].map((name) => `https://nova.example/api/v1/auth/oauth/${name}/callback`)];

const server = createServer();
await new Promise((up) => server.listen(0, '127.0.0.1', up));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'nova', client_secret: 's3cret', redirect_uris: CALLBACKS, response_types: ['code'],
    grant_types: ['authorization_code'], token_endpoint_auth_method: 'client_secret_post',
  }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () =>
      id === 'mallory'
        ? { sub: id, email: 'alice@example.org', email_verified: false, name: 'Mallory' }
        : { sub: id, email: `${id}@example.org`, email_verified: true, name: id === 'alice' ? 'Alice Liddell' : id },
  }),
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  conformIdTokenClaims: false,
});
// A Nova on this machine is sent back to, too: its port is not known before it runs.
const registered = provider.Client.prototype.redirectUriAllowed;
provider.Client.prototype.redirectUriAllowed = function (uri) {
  return /^http:\/\/localhost:\d+\/api\/v1\/auth\/oauth\/op\/callback$/.test(uri) || registered.call(this, uri);
};
server.on('request', provider.callback());
print(issuer);

async function browse(login, address) {
  const jar = new Map();
  let [url, options] = [new URL(address), {}];
  for (let step = 0; step < 20; step++) {
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const answer = await fetch(url, { redirect: 'manual', ...options, headers: { cookie } });
    // Debian's Node 18 has no getSetCookie: what is joined is parted before the next name.
    for (const line of (answer.headers.get('set-cookie') ?? '').split(/, (?=[^;, ]+=)/).filter(Boolean)) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      jar.set(name, value);
    }
    const location = answer.headers.get('location');
    if (location) {
      [url, options] = [new URL(location, url), {}];
      if (url.host === 'nova.example') return url.href;
      continue;
    }
    const page = await answer.text();
    const prompt = page.match(/name="prompt" value="([^"]+)"/)?.[1];
    if (!prompt) throw new Error(`${answer.status} ${page}`);
    url = new URL(page.match(/action="([^"]+)"/)[1], url);
    options = { method: 'POST', body: new URLSearchParams({ prompt, login, password: 'x' }) };
  }
  throw new Error('no end');
}

for await (const line of createInterface({ input: process.stdin })) {
  print(await browse(...line.split(' ')));
}
process.exit(0);
