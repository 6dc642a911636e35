import { generate } from 'lean-qr';
import { describe, expect, it } from 'vitest';
import { qrPath } from './qr';

describe('qrPath', () => {
  it('draws every module of the code and no other', () => {
    const text = 'otpauth://totp/Nova:ada%40example.org?secret=JBSWY3DPEHPK3PXP&issuer=Nova';
    const { size, path } = qrPath(text);
    const dark = new Set<string>();
    for (const [, x, y, width] of path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)) {
      for (let i = 0; i < Number(width); i += 1) dark.add(`${Number(x) + i},${y}`);
    }
    const code = generate(text);
    expect(size).toBe(code.size + 8);
    for (let y = -4; y < code.size + 4; y += 1) {
      for (let x = -4; x < code.size + 4; x += 1) expect(dark.has(`${x + 4},${y + 4}`)).toBe(code.get(x, y));
    }
  });
});
