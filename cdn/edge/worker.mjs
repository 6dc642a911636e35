// What an edge does with addresses that carry a path token (cdn/src/path_token.rs): checks it, cuts it off, and asks cache and origin for the rest, so
// that a segment is one object for all viewers. Runs wherever there is WebCrypto: Cloudflare Workers, Deno Deploy, Fastly Compute, Node. `KEYS` is JSON,
// the ids with the texts of the key files: {"2026a":"…"}. nginx's secure_link knows MD5 only and cannot check these; its njs module can run `open`.

const encoder = new TextEncoder();

/// The path without its token; null when it may not be given out.
export async function open(path, keys, now) {
    // The clock that a manifest names, `../../time`, is everybody's.
    if (/^\/t\/[^/]*\/time$/.test(path)) return '/time';
    const [, id, until, mac, rest] = /^\/t\/([A-Za-z0-9]{1,16})\.([1-9][0-9]{0,14})\.([A-Za-z0-9_-]{43})(\/.*)$/.exec(path) ?? [];
    const place = /^\/[^/]*\/[^/]*\//.exec(rest ?? '')?.[0];
    if (!place || !Object.hasOwn(keys, id) || Number(until) <= now) return null;
    const key = await crypto.subtle.importKey('raw', encoder.encode(keys[id]), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
    const bytes = Uint8Array.from(atob(mac.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
    // Compares in constant time.
    const good = await crypto.subtle.verify('HMAC', key, bytes, encoder.encode(`${id}.${until}.${place}`));
    return good ? rest : null;
}

export default {
    async fetch(request, env) {
        const url = new URL(request.url);
        const path = await open(url.pathname, JSON.parse(env.KEYS), Date.now() / 1000);
        if (path === null) return new Response('this address has ended', { status: 403, headers: { 'access-control-allow-origin': '*' } });
        url.pathname = path;
        return fetch(new Request(url, request));
    },
};
