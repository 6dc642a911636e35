// Writes NAME.gz beside every compressible file of dist/, so that the server answers `Accept-Encoding: gzip` from memory
// and never compresses at run time. A file that gzip does not make smaller gets no twin.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const COMPRESSIBLE = new Set(['.html', '.js', '.css', '.svg', '.json', '.txt', '.webmanifest']);
const dist = fileURLToPath(new URL('../dist/', import.meta.url));

for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !COMPRESSIBLE.has(extname(entry.name))) continue;
  // Node 18.20 has only `path`; newer ones call it `parentPath`.
  const file = join(entry.parentPath ?? entry.path, entry.name);
  const plain = await readFile(file);
  const packed = gzipSync(plain, { level: 9 });
  if (packed.length < plain.length) await writeFile(`${file}.gz`, packed);
}
