// The data folder of a broker: what lies where, and which version of ringmq wrote it.
//
//   LOCK/          claims of brokers that use it (disk-lock.ts)
//   ringmq.json    version of the format
//   log/           segments, their index files, spares, checkpoint (native-layout/log.ts)
//   state/meta     topics, groups' offsets (a journal of changes)
//   state/keys     key index (lmdb)
//   coordinator/   groups, leases, transactions (a journal of changes), timers (src/coordinator)
import fs from 'node:fs';
import path from 'node:path';
import { RingmqError } from '../base/codes.ts';
import { LOCK_NAME } from './disk-lock.ts';

/** Version of the layout of the folder and of everything in it. */
export const DATA_FORMAT = 1;
const VERSION_NAME = 'ringmq.json';
/** May lie in a folder that is about to become a data folder. */
const HARMLESS = new Set([LOCK_NAME, `${VERSION_NAME}.tmp`, 'lost+found']);

/** Absolute paths of the parts of a data folder. */
export interface DataFolders {
  readonly data: string;
  readonly log: string;
  readonly meta: string;
  readonly keys: string;
  readonly coordinator: string;
}

export function dataFolders(data: string): DataFolders {
  const folder = path.resolve(data);
  return {
    data: folder,
    log: path.join(folder, 'log'),
    meta: path.join(folder, 'state', 'meta'),
    keys: path.join(folder, 'state', 'keys'),
    coordinator: path.join(folder, 'coordinator'),
  };
}

/**
 * Makes the folder if it is not there. Throws `data-unknown` unless it is empty or of a format that we know,
 * `illegal-argument` if it cannot be made or written.
 */
export function prepareData(data: string): void {
  const { R_OK, W_OK, X_OK } = fs.constants;
  let verb = 'made';
  try {
    makeFolder(data);
    verb = 'written';
    fs.accessSync(data, R_OK | W_OK | X_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      throw new RingmqError('illegal-argument', `data: ${data} is a file and not a folder: name a folder`);
    }
    const advice = 'name another folder, or give this one to the user that runs ringmq';
    throw new RingmqError('illegal-argument', `data: the folder ${data} cannot be ${verb} (${message}): ${advice}`);
  }
  checkFormat(data);
}

/** With the folders above it, if need be; alone first, because then the error is the right one. */
function makeFolder(data: string): void {
  if (fs.statSync(data, { throwIfNoEntry: false })?.isDirectory()) return;
  try {
    fs.mkdirSync(data);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    fs.mkdirSync(data, { recursive: true });
  }
}

/** Says in the folder which format it has. The caller holds its lock. */
export function markFormat(data: string): void {
  checkFormat(data);
  const file = path.join(data, VERSION_NAME);
  if (fs.existsSync(file)) return;
  const temporary = `${file}.tmp`;
  fs.writeFileSync(temporary, `${JSON.stringify({ format: DATA_FORMAT })}\n`, { flush: true });
  fs.renameSync(temporary, file);
  syncFolder(data);
}

/** Throws `data-unknown` for a folder that is not there or holds no data. */
export function assertData(data: string): void {
  if (!fs.existsSync(path.join(data, VERSION_NAME))) {
    throw new RingmqError('data-unknown', `there is no ringmq data in ${data}: name the folder with --data`);
  }
  checkFormat(data);
}

function checkFormat(data: string): void {
  const file = path.join(data, VERSION_NAME);
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const strangers = fs.readdirSync(data).filter((name) => !HARMLESS.has(name) && !name.startsWith('.'));
    if (strangers.length === 0) return;
    const what = `${data} has no ${VERSION_NAME} but other files (${strangers.slice(0, 3).join(', ')})`;
    throw new RingmqError('data-unknown', `${what}: name an empty folder, or one that ringmq wrote`);
  }
  const format = formatOf(text);
  if (format === DATA_FORMAT) return;
  const what = format === undefined ? 'cannot be read' : `says format ${format}`;
  const advice = `this version of ringmq knows format ${DATA_FORMAT}: use the version that wrote it`;
  throw new RingmqError('data-unknown', `${file} ${what}; ${advice}`);
}

function formatOf(text: string): number | undefined {
  try {
    const { format } = JSON.parse(text) as { format?: unknown };
    return typeof format === 'number' ? format : undefined;
  } catch {
    return undefined;
  }
}

function syncFolder(folder: string): void {
  const handle = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}
