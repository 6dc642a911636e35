/** Passkeys: what the API sends and takes as JSON, as `navigator.credentials` has it (Web Authentication Level 3, 5.1.8 to 5.1.10). */
import type { Client } from './client';

export interface Passkey {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
}

interface Challenge {
  flow: string;
  options: { publicKey: Record<string, unknown> };
}

/** Whether this browser can do it at all. */
export const canUsePasskeys = (): boolean => typeof PublicKeyCredential !== 'undefined' && 'credentials' in navigator;

export function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

export function toBase64url(bytes: ArrayBuffer | null): string | null {
  if (bytes === null) return null;
  const binary = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

type Descriptor = { id: string; type: 'public-key'; transports?: AuthenticatorTransport[] };
const described = (list: unknown): PublicKeyCredentialDescriptor[] =>
  ((list ?? []) as Descriptor[]).map((one) => ({ ...one, id: fromBase64url(one.id) }));

/** Makes a key on this device and adds it to the account. */
export async function addPasskey(api: Client, name: string): Promise<void> {
  const { flow, options } = await api.post<Challenge>('/auth/passkeys/register/begin');
  const key = options.publicKey as Record<string, never> & { challenge: string; user: { id: string } };
  const made = (await navigator.credentials.create({
    publicKey: {
      ...(key as unknown as PublicKeyCredentialCreationOptions),
      challenge: fromBase64url(key.challenge),
      user: { ...(key.user as unknown as PublicKeyCredentialUserEntity), id: fromBase64url(key.user.id) },
      excludeCredentials: described(key['excludeCredentials']),
    },
  })) as PublicKeyCredential | null;
  if (made === null) throw new DOMException('nothing was made', 'NotAllowedError');
  const response = made.response as AuthenticatorAttestationResponse;
  await api.post('/auth/passkeys/register/finish', {
    flow,
    name,
    credential: {
      id: made.id,
      rawId: toBase64url(made.rawId),
      type: made.type,
      extensions: made.getClientExtensionResults(),
      response: {
        attestationObject: toBase64url(response.attestationObject),
        clientDataJSON: toBase64url(response.clientDataJSON),
        transports: response.getTransports?.() ?? [],
      },
    },
  });
}

/** Whether this browser offers passkeys among what it fills into a form (conditional mediation). */
export const canFillPasskeys = async (): Promise<boolean> =>
  canUsePasskeys() && (await PublicKeyCredential.isConditionalMediationAvailable?.().catch(() => false)) === true;

/** How a key is asked for: by the browser's dialog, or among what it fills into a form, until `signal`. */
type Asking = Pick<CredentialRequestOptions, 'mediation' | 'signal'>;

/** Asks for a key by `begin`, and gives `finish` what it said. */
async function answer(api: Client, path: string, asking: Asking = {}): Promise<void> {
  const { flow, options } = await api.post<Challenge>(`${path}/begin`);
  const key = options.publicKey as Record<string, never> & { challenge: string };
  const got = (await navigator.credentials.get({
    ...asking,
    publicKey: {
      ...(key as unknown as PublicKeyCredentialRequestOptions),
      challenge: fromBase64url(key.challenge),
      allowCredentials: described(key['allowCredentials']),
    },
  })) as PublicKeyCredential | null;
  if (got === null) throw new DOMException('nothing was picked', 'NotAllowedError');
  const response = got.response as AuthenticatorAssertionResponse;
  await api.post(`${path}/finish`, {
    flow,
    cookies: true,
    credential: {
      id: got.id,
      rawId: toBase64url(got.rawId),
      type: got.type,
      extensions: got.getClientExtensionResults(),
      response: {
        authenticatorData: toBase64url(response.authenticatorData),
        clientDataJSON: toBase64url(response.clientDataJSON),
        signature: toBase64url(response.signature),
        userHandle: toBase64url(response.userHandle),
      },
    },
  });
}

/** Logs in with a key that the person picks. */
export const logInWithPasskey = (api: Client): Promise<void> => answer(api, '/auth/passkeys/login');

/** A challenge is good for five minutes; a form may stand open for longer. */
const CHALLENGE_MS = 4 * 60_000;

/**
 * Offers the person's keys in the form's field for names until one is picked or `stop` says so; true when one was. Each challenge is replaced before it is over.
 */
export async function fillPasskey(api: Client, stop: AbortSignal): Promise<boolean> {
  while (!stop.aborted) {
    const over = AbortSignal.timeout(CHALLENGE_MS);
    try {
      await answer(api, '/auth/passkeys/login', { mediation: 'conditional', signal: AbortSignal.any([stop, over]) });
      return true;
    } catch (error) {
      if (stop.aborted) return false;
      if (!over.aborted) throw error;
    }
  }
  return false;
}

/** Proves once more who is logged in. */
export const proveWithPasskey = (api: Client): Promise<void> => answer(api, '/auth/passkeys/sudo');

/** True when a person closed the browser's dialog, or it timed out: nothing to complain about. */
export const wasGivenUp = (error: unknown): boolean => error instanceof DOMException && ['NotAllowedError', 'AbortError'].includes(error.name);
