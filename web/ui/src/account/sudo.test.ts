import { expect, test } from 'vitest';
import { ticketIn } from './sudo';

test('a ticket is read from the fragment and from nothing else', () => {
  expect(ticketIn('#sudo=nova_ln_x')).toBe('nova_ln_x');
  expect(ticketIn('#ticket=nova_ln_x&to=/')).toBe('');
  expect(ticketIn('')).toBe('');
});
