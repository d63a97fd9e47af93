// What `ringmq doctor` finds out about the disk: how the store would write there, how long a write takes to be on the
// disk, how much room there is; and the packages that only a broker with data loads.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { dataFolders } from '../log/disk-folder.ts';
import { alignedBytes, NodeDisk, probeDisk } from '../log/disk-node.ts';
import { segmentsToVerify } from '../log/recovery.ts';
import { segmentBases } from '../log/segment-files.ts';
import type { Finding } from './doctor.ts';
import { size } from './figures.ts';

const BLOCK_BYTES = 4_096;
const WRITES = 31;
/** A disk that takes longer for every commit makes single messages slow; batches make up for it. */
const SLOW_MS = 20;
const FULL_SHARE = 0.85;
const PROBE_FOLDER = '.ringmq-doctor-';

/** About the folder that a broker would use, or the nearest one above it that exists. Leaves nothing behind. */
export function diskFindings(data: string): readonly Finding[] {
  const folder = existing(path.resolve(data));
  let probe: string;
  try {
    probe = fs.mkdtempSync(path.join(folder, PROBE_FOLDER));
  } catch (error) {
    const advice = 'name another folder with --data, or run with --volatile';
    const text = `cannot write in ${folder}: ${(error as Error).message}; ${advice}`;
    return [{ what: 'disk', verdict: 'bad', text }, room(folder)];
  }
  try {
    return [writing(probe, folder), speed(probe), room(folder)];
  } finally {
    fs.rmSync(probe, { recursive: true, force: true });
  }
}

function existing(folder: string): string {
  return fs.existsSync(folder) || path.dirname(folder) === folder ? folder : existing(path.dirname(folder));
}

function writing(probe: string, folder: string): Finding {
  const { mode, reason } = probeDisk(probe);
  return { what: 'disk', verdict: mode === 'direct' ? 'ok' : 'note', text: `${folder}: ${mode}; ${reason}` };
}

/** Time until 4 KiB are on the disk: what a single message with ack `durable` waits at least. */
function speed(probe: string): Finding {
  const what = 'fsync';
  const file = new NodeDisk(probe).open('fsync.tmp', 'write');
  const block = alignedBytes(BLOCK_BYTES).fill(1);
  const took: number[] = [];
  try {
    for (let i = 0; i < WRITES; i++) {
      const before = performance.now();
      file.write(block, i * BLOCK_BYTES);
      file.sync();
      took.push(performance.now() - before);
    }
  } catch (error) {
    return { what, verdict: 'bad', text: `4 KiB cannot be written: ${(error as Error).message}` };
  } finally {
    file.close();
  }
  took.sort((a, b) => a - b);
  const median = took[WRITES >> 1];
  const spread = `median of ${WRITES}; longest ${took[WRITES - 1].toFixed(2)} ms`;
  const text = `4 KiB are on the disk after ${median.toFixed(2)} ms (${spread})`;
  if (median <= SLOW_MS) return { what, verdict: 'ok', text };
  return { what, verdict: 'note', text: `${text}; slow: send in batches, or with ack written` };
}

function room(folder: string): Finding {
  const { freeBytes, totalBytes } = new NodeDisk(folder).space();
  const used = totalBytes === 0 ? 0 : 1 - freeBytes / totalBytes;
  const text = `${size(freeBytes)} free of ${size(totalBytes)} (${(used * 100).toFixed(0)} % used)`;
  if (used < FULL_SHARE) return { what: 'disk space', verdict: 'ok', text };
  return {
    what: 'disk space',
    verdict: 'note',
    text: `${text}; above 85 % the oldest messages go, above 90 % no new ones`,
  };
}

/** What the next start would read of the log that is there, and what it would believe. */
export function logFindings(data: string): readonly Finding[] {
  const what = 'log';
  const { log } = dataFolders(data);
  if (!fs.existsSync(log)) return [];
  try {
    const disk = new NodeDisk(log);
    const all = segmentBases(disk).length;
    const read = segmentsToVerify(disk).length;
    const believed = `index files vouch for ${all - read}: damage there is found when it is read`;
    const text = `${all} segments; a start verifies ${read}, ${believed}, or with \`ringmq log verify\``;
    return [{ what, verdict: 'ok', text }];
  } catch (error) {
    return [{ what, verdict: 'bad', text: `${log} cannot be read: ${(error as Error).message}` }];
  }
}

/** Packages with native code or threads of their own that the store needs. */
export function packageFindings(): readonly Finding[] {
  return ['lmdb', 'piscina'].map((what) => {
    try {
      const require = createRequire(import.meta.url);
      require(what);
      return { what, verdict: 'ok', text: `loads (${versionOf(require, what)})` };
    } catch (error) {
      const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
      return { what, verdict: 'bad', text: `does not load: ${reason}; without it a broker runs with --volatile only` };
    }
  });
}

function versionOf(require: NodeJS.Require, name: string): string {
  for (let folder = path.dirname(require.resolve(name)); ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (fs.existsSync(file)) {
      const about = JSON.parse(fs.readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (about.name === name) return about.version ?? 'unknown version';
    }
    if (path.dirname(folder) === folder) return 'unknown version';
  }
}
