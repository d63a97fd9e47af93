// Reads the newest runs of one partition back from the log, for a ring that starts with them. Who reads: the broker
// worker that owns the partition, synchronously, when it opens the ring.
import { RUN_HEADER_BYTES } from '../../native-layout/log.ts';
import type { Disk } from './disk.ts';
import type { Run } from './run.ts';
import { checkRun } from './run-check.ts';
import { segmentBases } from './segment-files.ts';
import { SegmentReaders } from './segment-readers.ts';

/**
 * The batches of `runs` (oldest first). Ends before the first one, from the newest on, that is gone or damaged: what is
 * left has no hole. Undefined if nothing is.
 */
export function readTail(disk: Disk, runs: readonly Run[]): Uint8Array | undefined {
  if (runs.length === 0) return undefined;
  const bases = segmentBases(disk);
  const files = new SegmentReaders(disk, 'buffered');
  // Newest first.
  const found: Uint8Array[] = [];
  let have = 0;
  try {
    for (let i = runs.length - 1; i >= 0; i--) {
      const batches = readRun(files, bases, runs[i]);
      if (batches === undefined) break;
      found.push(batches);
      have += batches.length;
    }
  } finally {
    files.close();
  }
  if (found.length === 0) return undefined;
  const tail = new Uint8Array(have);
  for (const batches of found) {
    have -= batches.length;
    tail.set(batches, have);
  }
  return tail;
}

/** The batches of one run, verified; undefined if they are not there as they were written. */
function readRun(files: SegmentReaders, bases: readonly number[], run: Run): Uint8Array | undefined {
  const base = bases.findLast((one) => one <= run.position);
  if (base === undefined || run.size <= RUN_HEADER_BYTES) return undefined;
  const bytes = new Uint8Array(run.size);
  if (files.read(base, bytes, run.position - base) !== run.size) return undefined;
  const batches = bytes.subarray(RUN_HEADER_BYTES);
  return checkRun(run, bytes.subarray(0, RUN_HEADER_BYTES), batches) === undefined ? batches : undefined;
}
