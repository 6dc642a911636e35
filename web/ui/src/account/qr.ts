import { generate } from 'lean-qr';

/** A QR code of `text` as the path of an SVG, a unit a module, with the quiet zone of four that ISO/IEC 18004 asks for. */
export function qrPath(text: string): { size: number; path: string } {
  const code = generate(text);
  let path = '';
  for (let y = 0; y < code.size; y += 1) {
    for (let x = 0; x < code.size; x += 1) {
      if (!code.get(x, y)) continue;
      let end = x + 1;
      while (code.get(end, y)) end += 1;
      path += `M${x + 4} ${y + 4}h${end - x}v1h-${end - x}z`;
      x = end;
    }
  }
  return { size: code.size + 8, path };
}
