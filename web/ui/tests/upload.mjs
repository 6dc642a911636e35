// Uploads a file with tus-js-client, which nobody here wrote, and goes on where it stopped.
//
//   node upload.mjs ENDPOINT TOKEN FILE TITLE STATE [stop-after BYTES]
//
// STATE is a file that remembers the upload's address, so that a second run resumes it. Prints the address when all is there.
import { createReadStream, readFileSync, existsSync, statSync, writeFileSync } from 'node:fs';
import * as tus from 'tus-js-client';

const [endpoint, token, file, title, state, , stopAfter] = process.argv.slice(2);
const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  uploadUrl: existsSync(state) ? new URL(new URL(readFileSync(state, 'utf8')).pathname, endpoint).href : null,
  chunkSize: 100_000,
  uploadSize: statSync(file).size,
  retryDelays: null,
  metadata: { title, filetype: 'video/mp4' },
  headers: { authorization: `Bearer ${token}` },
  onUploadUrlAvailable: () => writeFileSync(state, upload.url),
  onChunkComplete: (_size, accepted) => {
    if (stopAfter && accepted >= Number(stopAfter)) process.exit(0);
  },
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: () => console.log(upload.url),
});
upload.start();
