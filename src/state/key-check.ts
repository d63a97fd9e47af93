// Tries a key index out in a process of its own. lmdb maps its file and believes what is in it: a damaged page can end
// the process that touches it, and that shall not be the broker.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

/** An index that is too large to be read in this time is believed. */
const TIME_MAX_MS = 3_000;

/**
 * Reads everything there is and writes the first entry once more as it is, which takes free pages and frees others;
 * ends with 0 if that went well or there is nothing.
 */
const SCRIPT = `
const [, library, folder] = process.argv;
const { crc32 } = require('node:zlib');
if (!require('node:fs').existsSync(require('node:path').join(folder, 'data.mdb'))) process.exit(0);
const database = require(library).open({
  path: folder, noSubdir: false, encoding: 'binary', keyEncoding: 'binary', cache: false, overlappingSync: false,
});
let first;
let previous;
for (const { key, value } of database.getRange({})) {
  if (previous && Buffer.compare(previous, key) >= 0) process.exit(1);
  previous = Buffer.from(key);
  first ??= [previous, Buffer.from(value)];
  // The first entry is the position that was applied; the others have a CRC over key and value.
  const crc = crc32(value.subarray(4), previous.length === 5 ? 0 : crc32(previous));
  if (previous.length > 100 || value.length > 1100 || value.readUInt32BE(0) !== crc) process.exit(1);
  // Looked for as well as come upon: both kinds of pages are believed by who looks.
  if (!database.get(previous)?.equals(value)) process.exit(1);
}
for (let i = 0; first && i < 3; i++) database.transactionSync(() => database.putSync(first[0], first[1]));
process.exit(0);
`;

/**
 * True if all entries of the index in a folder can be read in their order, and new ones be written. Waits, about 0.1 s
 * for a small index.
 */
export function canReadKeys(folder: string): boolean {
  const library = createRequire(import.meta.url).resolve('lmdb');
  const { status, error } = spawnSync(process.execPath, ['-e', SCRIPT, library, folder], {
    stdio: 'ignore',
    timeout: TIME_MAX_MS,
    killSignal: 'SIGKILL',
    env: {},
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') return true;
  return status === 0;
}
