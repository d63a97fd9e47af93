// The index file of a segment, `<base>.idx`: where the runs of every queue stand in it, and what they hold.
//
//   0               4               8               12
//   +---------------+---------------+---------------+---------------+
//   | magic         | version       | queues        | runs          |   0
//   +---------------+---------------+---------------+---------------+
//   | base (float64)                | end (float64)                 |  16
//   +---------------+---------------+---------------+---------------+
//   | first stored at, ms (float64) | last stored at, ms (float64)  |  32
//   +---------------+---------------+---------------+---------------+
//   | CRC of queues | CRC of runs   | 0             | CRC of header |  48
//   +---------------+---------------+---------------+---------------+
//   | directory of queues, a column after the other                 |  64
//   +---------------+---------------+---------------+---------------+
//   | runs, a column after the other                                |
//   +---------------+---------------+---------------+---------------+
//
// `end` is the log position up to which runs are in it: base + length of the file where the segment is complete. Queues
// are sorted by topic id and partition number, runs by queue and offset. Wide numbers are float64 (exact up to 2^53):
// a column is read as it lies. Columns of the directory, `queues` values each:
//
//   float64  first offset | next offset | first stored at | last stored at | bytes of its runs
//   int32    topic id | partition number | index of its first run           (then padded to 8)
//
// Columns of the runs, `runs` values each; "last stored at" is that of the run or of one before it, whichever is later,
// so that it never falls:
//
//   float64  base offset | next offset | first stored at | last stored at
//   int32    position behind base (unsigned) | size | stored span, ms | epoch | flags | records
import { align8, layoutAssert } from './layout.ts';

export const INDEX_MAGIC_VALUE = 0x78646971; // "qidx"
export const INDEX_VERSION_VALUE = 1;
export const INDEX_MAGIC = 0;
export const INDEX_VERSION = 4;
export const INDEX_QUEUES = 8;
export const INDEX_RUNS = 12;
export const INDEX_BASE = 16;
export const INDEX_END = 24;
export const INDEX_STORED_FIRST = 32;
export const INDEX_STORED_LAST = 40;
export const INDEX_QUEUES_CRC = 48;
export const INDEX_RUNS_CRC = 52;
export const INDEX_CRC = 60;
export const INDEX_HEADER_BYTES = 64;

export const INDEX_QUEUE_WIDE_COLUMNS = 5;
export const INDEX_QUEUE_COLUMNS = 3;
export const INDEX_RUN_WIDE_COLUMNS = 4;
export const INDEX_RUN_COLUMNS = 6;

/** Bytes of the directory. */
export function indexQueuesBytes(queues: number): number {
  return align8(queues * (INDEX_QUEUE_WIDE_COLUMNS * 8 + INDEX_QUEUE_COLUMNS * 4));
}

/** Bytes of the runs. */
export function indexRunsBytes(runs: number): number {
  return runs * (INDEX_RUN_WIDE_COLUMNS * 8 + INDEX_RUN_COLUMNS * 4);
}

layoutAssert(INDEX_CRC + 4 === INDEX_HEADER_BYTES, 'index header must be 64 bytes');
layoutAssert(INDEX_BASE % 8 === 0 && INDEX_STORED_LAST % 8 === 0, 'float64 fields must be aligned');
