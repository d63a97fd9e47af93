// Walks the blocks of a segment and verifies every byte that means something: header, chain, CRC and structure of runs.
//
// Who reads: any thread, with a file and memory of its own. No length is trusted before a CRC has vouched for it, and
// none beyond the file's end then.
//   I1 A run that is handed out is, byte for byte, one that the store has written at this place of this log.
//   I2 A disk that cannot read is an error and never an end of the log: nothing is cut for it.
import zlib from 'node:zlib';
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_MAGIC_VALUE,
  BATCH_SIZE,
} from '../../native-layout/batch.ts';
import * as log from '../../native-layout/log.ts';
import { RingmqError } from '../base/codes.ts';
import { getInt64 } from '../record/int64.ts';
import { blockCrc, runCrc } from './block-builder.ts';
import type { Disk, DiskFile } from './disk.ts';
import { alignedBytes } from './disk-node.ts';
import { NO_RUN, type Run } from './run.ts';
import { segmentName } from './segment-files.ts';

const { BLOCK_HEADER_BYTES, LOG_ALIGN_BYTES, RUN_HEADER_BYTES } = log;
/** Bytes per read. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** Memory for one scan at a time in this thread; a second one at the same time gets some of its own. */
let pooled: Uint8Array<ArrayBuffer> | undefined;

/** What check() found out about a block. */
export interface Block {
  position: number;
  /** Bytes on the disk, padding included; 0 as long as nothing vouches for it. */
  lengthBytes: number;
  flags: number;
  runs: number;
  durable: number;
  writtenAt: number;
  previousCrc: number;
  generation: number;
  crc: number;
}

export class SegmentScanner {
  readonly base: number;
  /** Length of the segment's file. */
  readonly lengthBytes: number;
  /** The block that was checked last. Used again by the next check(). */
  readonly block: Block = newBlock();
  private readonly file: DiskFile;
  private readonly windowBytes: number;
  private memory: Uint8Array<ArrayBuffer>;
  private words: Int32Array;
  /** The window: bytes of the file that are in memory, as places in the file. */
  private from = 0;
  private to = 0;
  /** Byte index of the checked block in the memory. */
  private at = 0;

  /** `windowBytes`: how much is read at a time, if it is to be less than a scan of the whole segment wants. */
  constructor(disk: Disk, base: number, windowBytes: number = WINDOW_BYTES) {
    this.base = base;
    this.windowBytes = windowBytes;
    this.file = openForReading(disk, segmentName(base));
    this.lengthBytes = this.file.size();
    this.memory = pooled ?? alignedBytes(WINDOW_BYTES);
    pooled = undefined;
    this.words = wordsOf(this.memory);
  }

  close(): void {
    this.file.close();
    if (this.memory.length === WINDOW_BYTES) pooled = this.memory;
  }

  /**
   * Verifies the block at a log position. `previousCrc`: CRC word of the block before, undefined if any may stand
   * there. Undefined if all is well, else what is wrong, for people. Throws `data-unknown` at a block of another
   * version.
   */
  check(position: number, previousCrc: number | undefined): string | undefined {
    const wrong = this.checkHeader(position);
    if (wrong !== undefined) return wrong;
    const { block } = this;
    if (previousCrc !== undefined && block.previousCrc !== previousCrc) {
      block.lengthBytes = 0;
      return 'the block does not continue the one before it';
    }
    const at = this.load(position - this.base, block.lengthBytes);
    if (at < 0) return 'the file ends within the block';
    this.at = at;
    return this.checkRuns(at);
  }

  /** As check(), but of the block's header alone. */
  checkHeader(position: number): string | undefined {
    const { block } = this;
    block.position = position;
    block.lengthBytes = 0;
    const at = this.load(position - this.base, BLOCK_HEADER_BYTES);
    if (at < 0) return 'the file ends';
    const { words } = this;
    if (words[at >> 2] !== log.BLOCK_MAGIC_VALUE) return 'no block begins here';
    block.crc = words[(at + log.BLOCK_CRC) >> 2];
    if (blockCrc(this.memory, at) !== block.crc) return 'the header of the block is damaged';
    if (getInt64(words, (at + log.BLOCK_POSITION) >> 2) !== position) return 'a block of another place stands here';
    const version = words[(at + log.BLOCK_VERSION) >> 2];
    if ((version & 0xffff) !== log.LOG_VERSION) throw unknownVersion(this.file.name, position, version & 0xffff);
    const length = words[(at + log.BLOCK_LENGTH) >> 2];
    block.flags = version >>> 16;
    block.runs = words[(at + log.BLOCK_RUNS) >> 2];
    const sealed = block.flags === log.BLOCK_SEAL && length === 0 && block.runs === 0;
    if (!sealed && (block.flags !== 0 || length <= 0 || block.runs <= 0)) return 'the header of the block is wrong';
    block.durable = getInt64(words, (at + log.BLOCK_DURABLE) >> 2);
    block.writtenAt = getInt64(words, (at + log.BLOCK_WRITTEN_AT) >> 2);
    block.previousCrc = words[(at + log.BLOCK_PREVIOUS) >> 2];
    block.generation = words[(at + log.BLOCK_GENERATION) >> 2];
    const lengthBytes = log.alignBlock(BLOCK_HEADER_BYTES + length);
    if (position - this.base + lengthBytes > this.lengthBytes) return 'the file ends within the block';
    block.lengthBytes = lengthBytes;
    return undefined;
  }

  /** What was read is read again when it is wanted: somebody may have written there. */
  forget(): void {
    this.from = 0;
    this.to = 0;
  }

  /** True if a block may begin here; false is certain and cheap. */
  mayBegin(position: number): boolean {
    const at = this.load(position - this.base, BLOCK_HEADER_BYTES);
    return at >= 0 && this.words[at >> 2] === log.BLOCK_MAGIC_VALUE;
  }

  /** The runs of the block that check() found good, in their order. The object is used again for each. */
  eachRun(visit: (run: Run) => void): void {
    const { words, block, at } = this;
    const run = { ...NO_RUN };
    const end = at + BLOCK_HEADER_BYTES + words[(at + log.BLOCK_LENGTH) >> 2];
    for (let runAt = at + BLOCK_HEADER_BYTES; runAt < end; runAt += run.size) {
      readRunHeader(words, runAt, run);
      run.position = block.position + (runAt - at);
      visit(run);
    }
  }

  private checkRuns(at: number): string | undefined {
    const { words, block } = this;
    const end = at + BLOCK_HEADER_BYTES + words[(at + log.BLOCK_LENGTH) >> 2];
    const crcs = new Int32Array(block.runs);
    let runAt = at + BLOCK_HEADER_BYTES;
    for (let index = 0; index < block.runs; index++) {
      const wrong = checkRun(this.memory, words, runAt, end);
      if (wrong !== undefined) return `${wrong} (run ${index + 1} of the block)`;
      crcs[index] = words[(runAt + log.RUN_CRC) >> 2];
      runAt += words[(runAt + log.RUN_SIZE) >> 2];
    }
    if (runAt !== end) return 'the block has bytes behind its last run';
    const crc = zlib.crc32(new Uint8Array(crcs.buffer)) | 0;
    return crc === words[(at + log.BLOCK_RUNS_CRC) >> 2] ? undefined : 'the runs are not those of the block';
  }

  /** Makes bytes of the file present; returns their byte index in the memory, -1 if the file is not so long. */
  private load(place: number, lengthBytes: number): number {
    if (place >= this.from && place + lengthBytes <= this.to) return place - this.from;
    if (place < 0 || place + lengthBytes > this.lengthBytes) return -1;
    const start = place - (place % LOG_ALIGN_BYTES);
    const span = log.alignBlock(place + lengthBytes) - start;
    let kept = start >= this.from && start < this.to ? this.to - start : 0;
    kept -= kept % LOG_ALIGN_BYTES;
    const old = this.memory;
    if (span > old.length) {
      this.memory = alignedBytes(span);
      this.words = wordsOf(this.memory);
    }
    if (kept > 0) this.memory.set(old.subarray(start - this.from, start - this.from + kept));
    this.from = start;
    const into = this.memory.subarray(kept, Math.max(span, this.windowBytes));
    this.to = start + kept + this.file.read(into, start + kept);
    return place + lengthBytes <= this.to ? place - start : -1;
  }
}

/** It is a good block, and must not be taken for a torn one and written over. */
function unknownVersion(name: string, position: number, version: number): RingmqError {
  const place = `${name}: the block at log position ${position}`;
  return new RingmqError('data-unknown', `${place} was written by another version of ringmq (log version ${version})`);
}

/** What is wrong with the run at byte `at` of a block whose runs end at `end`; undefined if nothing is. */
export function checkRun(bytes: Uint8Array, words: Int32Array, at: number, end: number): string | undefined {
  if (at + RUN_HEADER_BYTES + BATCH_HEADER_BYTES > end) return 'the block ends before its last run';
  const size = words[(at + log.RUN_SIZE) >> 2];
  if (words[(at + log.RUN_MAGIC) >> 2] !== log.RUN_MAGIC_VALUE) return 'no run begins here';
  if (size < RUN_HEADER_BYTES + BATCH_HEADER_BYTES || (size & 7) !== 0 || size > end - at) {
    return 'the size of the run is wrong';
  }
  if (runCrc(bytes, at, size) !== words[(at + log.RUN_CRC) >> 2]) return 'the bytes of the run are damaged';
  return checkBatches(words, at, at + size);
}

/** The CRC has vouched for the bytes; this finds what was never right. */
function checkBatches(words: Int32Array, at: number, end: number): string | undefined {
  const base = getInt64(words, (at + log.RUN_BASE_OFFSET) >> 2);
  let offset = base;
  let batches = 0;
  let batchAt = at + RUN_HEADER_BYTES;
  while (batchAt < end) {
    const size = words[(batchAt + BATCH_SIZE) >> 2];
    const count = words[(batchAt + BATCH_COUNT) >> 2];
    const sound = size >= BATCH_HEADER_BYTES && (size & 7) === 0 && size <= end - batchAt && count > 0;
    if (!sound || (words[(batchAt + BATCH_MAGIC) >> 2] & 0xffff) !== BATCH_MAGIC_VALUE) return 'a batch is malformed';
    if (getInt64(words, (batchAt + BATCH_BASE_OFFSET) >> 2) !== offset) return 'the offsets of the run have a gap';
    offset += count;
    batches++;
    batchAt += size;
  }
  const next = getInt64(words, (at + log.RUN_NEXT_OFFSET) >> 2);
  const counted =
    base >= 0 &&
    Number.isSafeInteger(next) &&
    next === offset &&
    words[(at + log.RUN_BATCHES) >> 2] === batches &&
    words[(at + log.RUN_RECORDS) >> 2] === offset - base;
  return counted ? undefined : 'the header of the run contradicts its batches';
}

/** Reads a run's header into an object, all but the position. */
export function readRunHeader(words: Int32Array, at: number, run: { -readonly [K in keyof Run]: Run[K] }): void {
  run.topicId = words[(at + log.RUN_TOPIC) >> 2];
  run.partition = words[(at + log.RUN_PARTITION) >> 2];
  run.baseOffset = getInt64(words, (at + log.RUN_BASE_OFFSET) >> 2);
  run.nextOffset = getInt64(words, (at + log.RUN_NEXT_OFFSET) >> 2);
  run.storedFirst = getInt64(words, (at + log.RUN_STORED_FIRST) >> 2);
  run.storedSpan = words[(at + log.RUN_STORED_SPAN) >> 2];
  run.epoch = words[(at + log.RUN_EPOCH) >> 2];
  run.flags = words[(at + log.RUN_FLAGS) >> 2];
  run.records = words[(at + log.RUN_RECORDS) >> 2];
  run.size = words[(at + log.RUN_SIZE) >> 2];
}

/** Past the page cache where the file system can do that: what is read once shall not push out what is read often. */
function openForReading(disk: Disk, name: string): DiskFile {
  try {
    return disk.open(name, 'read-direct');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    return disk.open(name, 'read');
  }
}

function wordsOf(bytes: Uint8Array<ArrayBuffer>): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
}

function newBlock(): Block {
  return {
    position: 0,
    lengthBytes: 0,
    flags: 0,
    runs: 0,
    durable: 0,
    writtenAt: 0,
    previousCrc: 0,
    generation: 0,
    crc: 0,
  };
}
