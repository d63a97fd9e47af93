// The staging area of the store: one block of the log in the making.
//
// Who writes, who reads: the store thread alone. HOT: copy() once per span of a ring, openRun() and closeRun() once per
// run, seal() once per commit. A run costs small views of the staging memory (for the CRC: one, and one for each batch
// that brings its own) and no other garbage.
//   I1 A run holds whole batches of one partition, offsets without a gap, and no padding.
//   I2 What is sealed stays as it is until begin(): a write that failed is tried again with the same bytes.
import zlib from 'node:zlib';
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_CRC,
  BATCH_FLAGS,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_MAGIC_VALUE,
  BATCH_SIZE,
  BATCH_STORED_AT,
  FLAG_KEYS,
  FLAG_PADDING,
  hasCrc,
  PADDING_MIN_BYTES,
} from '../../native-layout/batch.ts';
import * as log from '../../native-layout/log.ts';
import { assert } from '../base/fault.ts';
import { copyBytes } from '../memory/copy.ts';
import { crc32Joined, crc32OfWords } from '../record/crc.ts';
import { getInt64, putInt64 } from '../record/int64.ts';
import { alignedBytes } from './disk-node.ts';
import { NO_RUN, type Run } from './run.ts';

const { BLOCK_HEADER_BYTES, RUN_HEADER_BYTES } = log;
const INT32_MAX = 0x7fff_ffff;
/** A batch at least this long that has a CRC is not read again for the run's: a shorter one is read as fast. */
const JOINED_MIN_BYTES = 8 * 1024;
const FLAGS_SHIFT = (BATCH_FLAGS - BATCH_MAGIC) * 8;

/** A run of the block under construction; the object is used again for later blocks. */
type StagedRun = { -readonly [K in keyof Run]: Run[K] };

export class BlockBuilder {
  /** What is in the block, in the order of closing. Valid until begin(); positions are right after seal(). */
  readonly runs: StagedRun[] = [];
  /** The memory that is filled; a larger one while a single batch needs it. */
  bytes: Uint8Array<ArrayBuffer>;
  private words: Int32Array;
  private readonly usual: Uint8Array<ArrayBuffer>;
  /** Bytes so far, block header included. */
  private length = BLOCK_HEADER_BYTES;
  /** Byte index of the open run's header; 0 if none is open. */
  private runAt = 0;
  private run: StagedRun;
  private storedLast = 0;
  private readonly pool: StagedRun[] = [];
  private sealedBytes: Uint8Array<ArrayBuffer> | undefined;

  /** `memory`: from alignedBytes(), a multiple of 4,096 long. */
  constructor(memory: Uint8Array<ArrayBuffer> = alignedBytes(log.LOG_BLOCK_BYTES)) {
    this.usual = memory;
    this.bytes = memory;
    this.words = wordsOf(memory);
    this.run = newRun();
  }

  /** Another one with as much memory. */
  sibling(): BlockBuilder {
    return new BlockBuilder(alignedBytes(this.usual.length));
  }

  /** Empties it for the next block. */
  begin(): void {
    for (let i = 0; i < this.runs.length; i++) this.pool.push(this.runs[i]);
    this.runs.length = 0;
    this.length = BLOCK_HEADER_BYTES;
    this.runAt = 0;
    this.sealedBytes = undefined;
    if (this.bytes === this.usual) return;
    this.bytes = this.usual;
    this.words = wordsOf(this.usual);
  }

  get empty(): boolean {
    return this.runs.length === 0 && this.runAt === 0;
  }

  /** Bytes of a block, but for one that a single large batch needs. */
  get capacity(): number {
    return this.usual.length;
  }

  /** Bytes of batches that still go in: into the open run, or into a new one. 0 or less: none. */
  get room(): number {
    return this.usual.length - this.length - (this.runAt === 0 ? RUN_HEADER_BYTES : 0);
  }

  /** Bytes of the block as it will be written, header and zeros at the end included. */
  get blockBytes(): number {
    return log.alignBlock(this.length);
  }

  /** What seal() gave, until begin(). */
  get sealed(): Uint8Array<ArrayBuffer> | undefined {
    return this.sealedBytes;
  }

  /** Opens a run of a partition. HOT */
  openRun(topicId: number, partition: number, epoch: number): void {
    assert(this.runAt === 0 && this.sealedBytes === undefined, 'a run is opened in an open block, one at a time');
    if (this.length + RUN_HEADER_BYTES > this.bytes.length) this.grow(this.length + RUN_HEADER_BYTES);
    this.runAt = this.length;
    this.length += RUN_HEADER_BYTES;
    const run = this.pool.pop() ?? newRun();
    run.topicId = topicId;
    run.partition = partition;
    run.epoch = epoch;
    run.baseOffset = -1;
    run.nextOffset = -1;
    run.records = 0;
    run.flags = 0;
    this.run = run;
    this.words[(this.runAt + log.RUN_BATCHES) >> 2] = 0;
  }

  /**
   * Copies whole batches out of a ring into the open run; more than once if the span wraps. Padding is left out. What
   * is larger than the block makes the block larger. HOT
   */
  copy(source: Uint8Array, at: number, lengthBytes: number): void {
    assert(this.runAt !== 0, 'batches are copied into an open run');
    const start = this.length;
    const end = start + lengthBytes;
    if (end > this.bytes.length) this.grow(end);
    copyBytes(this.bytes, start, source, at, lengthBytes);
    this.length = this.readBatches(start, end);
  }

  /** Completes the run: header and CRC. A run without batches leaves no trace. HOT */
  closeRun(): void {
    const { runAt, run, words } = this;
    assert(runAt !== 0, 'closeRun() without openRun()');
    this.runAt = 0;
    const size = this.length - runAt;
    if (size === RUN_HEADER_BYTES) {
      this.length = runAt;
      this.pool.push(run);
      return;
    }
    run.size = size;
    run.storedSpan = Math.min(this.storedLast - run.storedFirst, INT32_MAX);
    words[(runAt + log.RUN_SIZE) >> 2] = size;
    words[(runAt + log.RUN_MAGIC) >> 2] = log.RUN_MAGIC_VALUE;
    words[(runAt + log.RUN_TOPIC) >> 2] = run.topicId;
    words[(runAt + log.RUN_PARTITION) >> 2] = run.partition;
    putInt64(words, (runAt + log.RUN_BASE_OFFSET) >> 2, run.baseOffset);
    putInt64(words, (runAt + log.RUN_NEXT_OFFSET) >> 2, run.nextOffset);
    words[(runAt + log.RUN_EPOCH) >> 2] = run.epoch;
    words[(runAt + log.RUN_RECORDS) >> 2] = run.records;
    words[(runAt + log.RUN_FLAGS) >> 2] = run.flags;
    putInt64(words, (runAt + log.RUN_STORED_FIRST) >> 2, run.storedFirst);
    words[(runAt + log.RUN_STORED_SPAN) >> 2] = run.storedSpan;
    words[(runAt + log.RUN_CRC) >> 2] = stagedCrc(this.bytes, words, runAt, size);
    // An offset in the block for now; seal() knows the block's position.
    run.position = runAt;
    this.runs.push(run);
  }

  /**
   * Completes the block: header and zeros up to a multiple of 4,096. Returns the bytes to write, which begin where the
   * staging memory does.
   */
  seal(
    position: number,
    durable: number,
    previousCrc: number,
    generation: number,
    nowMs: number,
  ): Uint8Array<ArrayBuffer> {
    assert(this.runAt === 0 && this.runs.length > 0, 'a block is sealed with all its runs closed, and not without any');
    assert(this.sealedBytes === undefined, 'a block is sealed once');
    const end = this.blockBytes;
    if (end > this.bytes.length) this.grow(end);
    this.bytes.fill(0, this.length, end);
    const crcs = new Int32Array(this.runs.length);
    for (let i = 0; i < this.runs.length; i++) {
      crcs[i] = this.words[(this.runs[i].position + log.RUN_CRC) >> 2];
      this.runs[i].position += position;
    }
    const length = this.length - BLOCK_HEADER_BYTES;
    putBlockHeader(this.bytes, {
      flags: 0,
      length,
      runs: crcs.length,
      runsCrc: zlib.crc32(new Uint8Array(crcs.buffer)) | 0,
      position,
      durable,
      previousCrc,
      generation,
      nowMs,
    });
    this.sealedBytes = this.bytes.subarray(0, end);
    return this.sealedBytes;
  }

  /** Steps over the batches in [start, end) of the staging memory; returns where the last real one ends. HOT */
  private readBatches(start: number, end: number): number {
    const { words, run } = this;
    let at = start;
    while (at < end) {
      const size = words[(at + BATCH_SIZE) >> 2];
      const magic = words[(at + BATCH_MAGIC) >> 2];
      assert((magic & 0xffff) === BATCH_MAGIC_VALUE, 'what a ring holds is not a batch');
      if (((magic >>> FLAGS_SHIFT) & FLAG_PADDING) !== 0) {
        // Padding stands before the wrap of a ring: the last thing of a span.
        assert(size >= PADDING_MIN_BYTES && at + size === end, 'padding in the middle of a span');
        return at;
      }
      const count = words[(at + BATCH_COUNT) >> 2];
      assert(size >= BATCH_HEADER_BYTES && (size & 7) === 0 && at + size <= end, 'a batch reaches beyond its span');
      const base = getInt64(words, (at + BATCH_BASE_OFFSET) >> 2);
      const storedAt = getInt64(words, (at + BATCH_STORED_AT) >> 2);
      assert(count > 0, 'a batch without records');
      if (run.nextOffset < 0) {
        run.baseOffset = base;
        run.storedFirst = storedAt;
        this.storedLast = storedAt;
      } else {
        assert(base === run.nextOffset, 'batches of a run follow one another without a gap in offsets');
        if (storedAt < run.storedFirst) run.storedFirst = storedAt;
        if (storedAt > this.storedLast) this.storedLast = storedAt;
      }
      run.nextOffset = base + count;
      run.records += count;
      if (((magic >>> FLAGS_SHIFT) & FLAG_KEYS) !== 0) run.flags |= log.RUN_KEYS;
      words[(this.runAt + log.RUN_BATCHES) >> 2]++;
      at += size;
    }
    return at;
  }

  private grow(lengthBytes: number): void {
    const larger = alignedBytes(log.alignBlock(lengthBytes));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
    this.words = wordsOf(larger);
  }
}

export interface BlockHeader {
  readonly flags: number;
  /** Bytes of runs. */
  readonly length: number;
  readonly runs: number;
  readonly runsCrc: number;
  readonly position: number;
  readonly durable: number;
  readonly previousCrc: number;
  readonly generation: number;
  readonly nowMs: number;
}

/** Fills the block header at the beginning of `bytes`, CRC included. */
export function putBlockHeader(bytes: Uint8Array, header: BlockHeader): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, BLOCK_HEADER_BYTES / 4);
  words.fill(0);
  words[log.BLOCK_MAGIC >> 2] = log.BLOCK_MAGIC_VALUE;
  words[log.BLOCK_VERSION >> 2] = log.LOG_VERSION | (header.flags << 16);
  words[log.BLOCK_LENGTH >> 2] = header.length;
  words[log.BLOCK_RUNS >> 2] = header.runs;
  putInt64(words, log.BLOCK_POSITION >> 2, header.position);
  putInt64(words, log.BLOCK_DURABLE >> 2, header.durable);
  putInt64(words, log.BLOCK_WRITTEN_AT >> 2, header.nowMs);
  words[log.BLOCK_PREVIOUS >> 2] = header.previousCrc;
  words[log.BLOCK_GENERATION >> 2] = header.generation;
  words[log.BLOCK_RUNS_CRC >> 2] = header.runsCrc;
  words[log.BLOCK_CRC >> 2] = blockCrc(bytes, 0);
}

/** CRC word of the block header at byte `at`. */
export function blockCrc(bytes: Uint8Array, at: number): number {
  return zlib.crc32(bytes.subarray(at, at + log.BLOCK_CRC)) | 0;
}

/** CRC word of the run of `size` bytes at byte `at`: its header without the word, and its batches. HOT */
export function runCrc(bytes: Uint8Array, at: number, size: number): number {
  const header = zlib.crc32(bytes.subarray(at, at + log.RUN_CRC));
  return zlib.crc32(bytes.subarray(at + RUN_HEADER_BYTES, at + size), header) | 0;
}

/**
 * The same, out of the CRCs that large batches bring with them. A front end has compared each with its bytes; where one
 * does not fit its batch any more, neither does the run's, and whoever reads it back finds out. HOT
 */
function stagedCrc(bytes: Uint8Array, words: Int32Array, runAt: number, size: number): number {
  const end = runAt + size;
  let crc = crc32OfWords(words, runAt >> 2, log.RUN_CRC >> 2) >>> 0;
  let from = runAt + RUN_HEADER_BYTES;
  for (let at = from, next = 0; at < end; at = next) {
    next = at + words[(at + BATCH_SIZE) >> 2];
    if (next - at < JOINED_MIN_BYTES || !hasCrc(words[(at + BATCH_MAGIC) >> 2])) continue;
    const records = at + BATCH_HEADER_BYTES;
    const before = zlib.crc32(bytes.subarray(from, records), crc);
    crc = crc32Joined(before, words[(at + BATCH_CRC) >> 2], next - records) >>> 0;
    from = next;
  }
  return (from < end ? zlib.crc32(bytes.subarray(from, end), crc) : crc) | 0;
}

function wordsOf(bytes: Uint8Array<ArrayBuffer>): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
}

function newRun(): StagedRun {
  return { ...NO_RUN };
}
