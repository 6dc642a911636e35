import { expect, test } from 'vitest';
import { fromBase64url, toBase64url } from './passkeys';

test('bytes travel as base64url without padding', () => {
  const bytes = new Uint8Array([0, 251, 255, 254, 62, 63]);
  const text = toBase64url(bytes.buffer);
  expect(text).toBe('APv__j4_');
  expect(fromBase64url('APv__j4_')).toEqual(bytes);
  expect(toBase64url(null)).toBeNull();
});
