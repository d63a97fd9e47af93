// The commit log: segment files of blocks, one block for every write, runs of raw batches inside. See ADR 7.
//
// A segment is a file named after the log position of its first byte, 20 decimal digits and `.log`. Positions count the
// bytes of the log from its beginning and never come again. A block:
//
//   0               4               8               12
//   +---------------+-------+-------+---------------+---------------+
//   | magic         |version| flags | length        | runs          |   0
//   +---------------+-------+-------+---------------+---------------+
//   | position (int64)              | durable position (int64)      |  16
//   +---------------+---------------+---------------+---------------+
//   | written at, ms (int64)        | previous CRC  | generation    |  32
//   +---------------+---------------+---------------+---------------+
//   | CRC of runs   | 0             | 0             | CRC of header |  48
//   +---------------+---------------+---------------+---------------+
//   | runs ... `length` bytes, then zeros up to a multiple of 4096  |  64
//
// The header's CRC covers bytes 0 to 59; `CRC of runs` is the CRC over the runs' own CRC words in their order, so that
// the chain of headers (each names the one before) proves every byte of the log. A run: batches of one partition in the
// order of their offsets, behind a header:
//
//   +---------------+---------------+---------------+---------------+
//   | size          | magic         | topic id      | partition no. |   0
//   +---------------+---------------+---------------+---------------+
//   | base offset (int64)           | next offset (int64)           |  16
//   +---------------+---------------+---------------+---------------+
//   | epoch         | batches       | records       | flags         |  32
//   +---------------+---------------+---------------+---------------+
//   | first stored at, ms (int64)   | stored span ms| CRC           |  48
//   +---------------+---------------+---------------+---------------+
//   | batches ... as they stand in the ring                         |  64
//
// A run's CRC covers its header up to the CRC word and all its batches: what is read back is read by the run.
import { layoutAssert } from './layout.ts';

/** Blocks start and end on this boundary: what O_DIRECT needs, and no sector is ever written twice. */
export const LOG_ALIGN_BYTES = 4096;
/** Largest block, header and padding included, unless a single batch needs more. */
export const LOG_BLOCK_BYTES = 2 * 1024 * 1024;
export const LOG_VERSION = 1;

export const BLOCK_HEADER_BYTES = 64;
export const BLOCK_MAGIC_VALUE = 0x6b6c6271; // "qblk"
export const BLOCK_MAGIC = 0;
export const BLOCK_VERSION = 4;
export const BLOCK_FLAGS = 6;
/** Bytes of runs. */
export const BLOCK_LENGTH = 8;
export const BLOCK_RUNS = 12;
export const BLOCK_POSITION = 16;
/** Everything before this position was on the disk when the block was written. */
export const BLOCK_DURABLE = 24;
export const BLOCK_WRITTEN_AT = 32;
/** CRC word of the header of the block before; 0 for the first block of a log. */
export const BLOCK_PREVIOUS = 40;
/** Counts the starts of the broker: which of its lives wrote the block. */
export const BLOCK_GENERATION = 44;
export const BLOCK_RUNS_CRC = 48;
export const BLOCK_CRC = 60;

/** Flag: the last block of its segment, without runs. The log goes on at the next segment's base. */
export const BLOCK_SEAL = 1;

export const RUN_HEADER_BYTES = 64;
export const RUN_MAGIC_VALUE = 0x6e757271; // "qrun"
/** Bytes of the run, header included; a multiple of 8. */
export const RUN_SIZE = 0;
export const RUN_MAGIC = 4;
export const RUN_TOPIC = 8;
export const RUN_PARTITION = 12;
export const RUN_BASE_OFFSET = 16;
export const RUN_NEXT_OFFSET = 24;
export const RUN_EPOCH = 32;
export const RUN_BATCHES = 36;
export const RUN_RECORDS = 40;
export const RUN_FLAGS = 44;
export const RUN_STORED_FIRST = 48;
export const RUN_STORED_SPAN = 56;
export const RUN_CRC = 60;

/** Flag of a run: a record in it has a key. */
export const RUN_KEYS = 1;

/** The next block boundary at or after a position. */
export function alignBlock(position: number): number {
  return Math.ceil(position / LOG_ALIGN_BYTES) * LOG_ALIGN_BYTES;
}

layoutAssert(BLOCK_CRC + 4 === BLOCK_HEADER_BYTES, 'block header must be 64 bytes');
layoutAssert(RUN_CRC + 4 === RUN_HEADER_BYTES, 'run header must be 64 bytes');
