import { expect, test } from 'vitest';
import { readArrival } from './oauth';

test('a ticket comes with a page of this app', () => {
  expect(readArrival('#ticket=nova_ln_x&to=/account/streams')).toEqual({ ticket: 'nova_ln_x', to: '/account/streams', refused: '' });
  expect(readArrival('#ticket=nova_ln_x&to=%2Fwatch%2Fv%2F1%3Ft%3D3%26a%3D1')?.to).toBe('/watch/v/1?t=3&a=1');
  expect(readArrival('#ticket=nova_ln_x&to=https://evil.example')?.to).toBe('/account');
});

test('a refusal is told in words, and other fragments are none', () => {
  expect(readArrival('#oauth=login_first')?.refused).toMatch(/Log in to it/);
  expect(readArrival('#oauth=whatever')?.refused).toMatch(/did not work out/);
  expect(readArrival('')).toBeNull();
  expect(readArrival('#key')).toBeNull();
});
