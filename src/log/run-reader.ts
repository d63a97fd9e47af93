// Reads batches of one queue out of the log. Who reads: the log reader thread, synchronously.
//
// Small runs come through a cache of aligned chunks: queues that are read at the same time lie in the same blocks.
// Larger ones are read by one disk read each, unless several queues are read side by side there, and kept for a while,
// because an answer may take less than a run.
//
// I1  Nothing is handed out but batches of runs whose header names the queue, epoch and offsets that the index says and
//     whose CRC is right. A file that was recycled or removed meanwhile, a stale cache, a disk that lies: `damaged`.
// I2  Bytes of the log that were written after a chunk was read are never taken from that chunk.
import { BATCH_BASE_OFFSET, BATCH_COUNT, BATCH_SIZE, BATCH_STORED_AT } from '../../native-layout/batch.ts';
import { RUN_HEADER_BYTES } from '../../native-layout/log.ts';
import { getInt64 } from '../record/int64.ts';
import { type Disk, isOutOfFiles } from './disk.ts';
import type { LogIndex } from './log-index.ts';
import type { Run } from './run.ts';
import { ChunkCache, LargeRuns, type ReadOptions } from './run-bytes.ts';
import { checkRun } from './run-check.ts';
import { SegmentReaders } from './segment-readers.ts';

/**
 * `ok` without bytes: nothing there yet. `out-of-range`: older than everything that is left. `later`: the process may
 * open no more files, ask again.
 */
export type ReadStatus = 'ok' | 'out-of-range' | 'damaged' | 'later';

/** What a read found. One object for every RunReader, valid until its next read. */
export interface ReadResult {
  readonly status: ReadStatus;
  /** Offset of the first batch: at or before the one that was asked for. */
  readonly baseOffset: number;
  /** Offset to read from next. If `damaged`: everything before it is lost. */
  readonly nextOffset: number;
  /** Oldest offset that the log serves of the queue. */
  readonly oldestOffset: number;
  /** Whole batches: `length` bytes from byte `at`, a multiple of 8. */
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly length: number;
}

/** Hears once of every run that is damaged: where it stands and what is wrong. */
export type DamageListener = (run: Run, reason: string) => void;

/** Runs of this size and more are an answer of their own, without another copy. */
const LARGE_BYTES = 256 * 1024;
/** Runs of this size and more are read by a disk read of their own, unless others read the chunk around them too. */
const ALONE_BYTES = 16 * 1024;
/** Damaged runs that are remembered, so that each is told of once. */
const DAMAGED_MAX = 10_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class RunReader {
  private readonly index: LogIndex;
  private readonly files: SegmentReaders;
  private readonly chunks: ChunkCache;
  private readonly large: LargeRuns;
  private readonly onDamage: DamageListener;
  private readonly damagedPositions = new Set<number>();
  private readonly header = new Uint8Array(RUN_HEADER_BYTES);
  private staging = new Uint8Array(0);
  private stagingWords = new Int32Array(0);
  /** Why the run that was looked at last is damaged. */
  private reason = '';
  private readonly result: Mutable<ReadResult> = {
    status: 'ok',
    baseOffset: 0,
    nextOffset: 0,
    oldestOffset: 0,
    bytes: this.staging,
    at: 0,
    length: 0,
  };

  constructor(disk: Disk, index: LogIndex, options: ReadOptions & { readonly onDamage?: DamageListener } = {}) {
    this.index = index;
    this.files = new SegmentReaders(disk, options.mode ?? 'buffered');
    this.chunks = new ChunkCache(this.files, index, options);
    this.large = new LargeRuns(this.files, options);
    this.onDamage = options.onDamage ?? (() => {});
  }

  /** Batches from an offset on: as many as fit `maxBytes`, at least one if there is one. */
  read(topicId: number, partition: number, offset: number, maxBytes: number): ReadResult {
    return (
      this.withFiles(() => this.tryRead(topicId, partition, offset, maxBytes)) ??
      this.answer('later', offset, offset, 0)
    );
  }

  private tryRead(topicId: number, partition: number, offset: number, maxBytes: number): ReadResult {
    const oldest = this.index.oldest(topicId, partition);
    const end = this.index.end(topicId, partition);
    if (offset < oldest) return this.answer('out-of-range', offset, oldest, oldest);
    const run = this.index.find(topicId, partition, offset);
    // Offsets that no run has any more, although they were neither removed nor are they still to come.
    if (!run) return this.answer(offset < end ? 'damaged' : 'ok', offset, Math.max(offset, end), oldest);
    if (run.baseOffset > offset) return this.answer('damaged', offset, run.baseOffset, oldest);
    if (run.size >= LARGE_BYTES) return this.readLarge(run, offset, maxBytes, oldest);
    return this.readSmall(run, offset, maxBytes, oldest);
  }

  /**
   * Offset of the first batch that was stored at a time or later; the next offset if there is none. A run that cannot
   * be read is answered with its first offset. Undefined: the process may open no more files, ask again.
   */
  locate(topicId: number, partition: number, timeMs: number): number | undefined {
    return this.withFiles(() => this.tryLocate(topicId, partition, timeMs));
  }

  private tryLocate(topicId: number, partition: number, timeMs: number): number {
    const oldest = this.index.oldest(topicId, partition);
    const run = this.index.locate(topicId, partition, timeMs);
    if (!run) return this.index.end(topicId, partition);
    if (run.storedFirst >= timeMs || run.nextOffset <= oldest) return Math.max(oldest, run.baseOffset);
    const bytes = this.bytesOf(run);
    if (!bytes) return Math.max(oldest, run.baseOffset);
    const words = wordsOf(bytes);
    for (let at = RUN_HEADER_BYTES; at < run.size; at += words[(at + BATCH_SIZE) >> 2]) {
      const stored = getInt64(words, (at + BATCH_STORED_AT) >> 2);
      if (stored >= timeMs) return Math.max(oldest, getInt64(words, (at + BATCH_BASE_OFFSET) >> 2));
    }
    return run.nextOffset;
  }

  /**
   * Header and batches of one run, verified; undefined if they are damaged or gone. Valid until the next call. For the
   * key index and for tests: answers are given by read().
   */
  runBytes(run: Run): Uint8Array | undefined {
    return this.withFiles(() => this.bytesOf(run));
  }

  private bytesOf(run: Run): Uint8Array | undefined {
    if (run.size >= LARGE_BYTES) return this.largeRun(run);
    this.reserve(run.size);
    return this.smallRun(run, 0) ? this.staging.subarray(0, run.size) : undefined;
  }

  /** What an action gives; undefined if it finds no file left to open, even without those that are open here. */
  private withFiles<T>(action: () => T): T | undefined {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        return action();
      } catch (error) {
        if (!isOutOfFiles(error)) throw error;
        this.files.close();
      }
    }
    return undefined;
  }

  /** The files of a segment are about to be removed or recycled. */
  forget(base: number, lengthBytes: number): void {
    this.files.forget(base);
    this.chunks.forget(base, base + lengthBytes);
    this.large.forget(base, base + lengthBytes);
  }

  close(): void {
    this.files.close();
  }

  private readLarge(run: Run, offset: number, maxBytes: number, oldest: number): ReadResult {
    const bytes = this.largeRun(run);
    if (!bytes) return this.damaged(run, offset, oldest);
    this.answer('ok', run.baseOffset, run.nextOffset, oldest);
    this.result.bytes = bytes;
    this.result.at = RUN_HEADER_BYTES;
    this.result.length = run.size - RUN_HEADER_BYTES;
    this.cut(wordsOf(bytes), offset, maxBytes);
    return this.result;
  }

  private readSmall(first: Run, offset: number, maxBytes: number, oldest: number): ReadResult {
    let length = 0;
    let nextOffset = offset;
    let run: Run | undefined = first;
    // The first run may have batches in front that nobody asked for.
    const most = maxBytes + first.size;
    while (run && run.size < LARGE_BYTES && (length === 0 || length + run.size - RUN_HEADER_BYTES <= most)) {
      if (length > 0 && run.baseOffset > nextOffset) break;
      this.reserve(RUN_HEADER_BYTES + length + run.size);
      if (!this.smallRun(run, length)) {
        if (length === 0) return this.damaged(run, offset, oldest);
        break;
      }
      length += run.size - RUN_HEADER_BYTES;
      nextOffset = run.nextOffset;
      run = length < most ? this.index.next(run) : undefined;
    }
    this.answer('ok', first.baseOffset, nextOffset, oldest);
    this.result.bytes = this.staging;
    this.result.at = RUN_HEADER_BYTES;
    this.result.length = length;
    this.cut(this.stagingWords, offset, maxBytes);
    return this.result;
  }

  /** Leaves out the batches in front that end before the offset, and those behind that are too many. */
  private cut(words: Int32Array, offset: number, maxBytes: number): void {
    const { result } = this;
    const end = result.at + result.length;
    let at = result.at;
    while (at < end && lastOffset(words, at) < offset) at += words[(at + BATCH_SIZE) >> 2];
    let to = at;
    let next = result.nextOffset;
    while (to < end && (to === at || to + words[(to + BATCH_SIZE) >> 2] - at <= maxBytes)) {
      next = lastOffset(words, to) + 1;
      to += words[(to + BATCH_SIZE) >> 2];
    }
    if (at < end) result.baseOffset = getInt64(words, (at + BATCH_BASE_OFFSET) >> 2);
    result.nextOffset = next;
    result.at = at;
    result.length = to - at;
  }

  private largeRun(run: Run): Uint8Array | undefined {
    const known = this.large.kept(run.position);
    if (known) return known;
    for (let attempt = 0; attempt < 2; attempt++) {
      const base = this.index.segmentOf(run.position);
      const bytes = base === undefined ? undefined : this.large.read(base, run);
      if (!bytes) {
        this.reason = 'the disk does not give it';
        continue;
      }
      const wrong = checkRun(run, bytes, bytes.subarray(RUN_HEADER_BYTES));
      if (wrong === undefined) return bytes;
      this.reason = wrong;
      this.large.drop(run.position);
    }
    this.tell(run);
    return undefined;
  }

  /** Reads a run so that its batches follow `length` bytes of batches in the staging memory. */
  private smallRun(run: Run, length: number): boolean {
    const base = this.index.segmentOf(run.position);
    if (run.size >= ALONE_BYTES && !this.isShared(base, run)) {
      const bytes = this.largeRun(run);
      if (bytes && length === 0) this.staging.set(bytes);
      else if (bytes) this.staging.set(bytes.subarray(RUN_HEADER_BYTES), RUN_HEADER_BYTES + length);
      return bytes !== undefined;
    }
    const batches = this.staging.subarray(RUN_HEADER_BYTES + length, length + run.size);
    // Twice: what a cached chunk has wrong the disk may have right.
    for (let attempt = 0; attempt < 2 && base !== undefined; attempt++) {
      const header = length === 0 ? this.staging.subarray(0, RUN_HEADER_BYTES) : this.header;
      const came =
        this.chunks.copy(base, run.position, header) &&
        this.chunks.copy(base, run.position + RUN_HEADER_BYTES, batches);
      this.reason = came ? (checkRun(run, header, batches) ?? '') : 'the disk does not give it';
      if (this.reason === '') return true;
      this.chunks.forget(run.position, run.position + run.size);
    }
    if (base === undefined) this.reason = 'its segment is gone';
    this.tell(run);
    return false;
  }

  private isShared(base: number | undefined, run: Run): boolean {
    return base !== undefined && !this.large.has(run.position) && this.chunks.isWorth(base, run);
  }

  private damaged(run: Run, offset: number, oldest: number): ReadResult {
    return this.answer('damaged', offset, run.nextOffset, oldest);
  }

  private tell(run: Run): void {
    if (this.damagedPositions.has(run.position) || this.damagedPositions.size >= DAMAGED_MAX) return;
    this.damagedPositions.add(run.position);
    this.onDamage(run, this.reason);
  }

  private answer(status: ReadStatus, baseOffset: number, nextOffset: number, oldestOffset: number): ReadResult {
    const { result } = this;
    result.status = status;
    result.baseOffset = baseOffset;
    result.nextOffset = nextOffset;
    result.oldestOffset = oldestOffset;
    result.at = 0;
    result.length = 0;
    return result;
  }

  private reserve(lengthBytes: number): void {
    if (lengthBytes <= this.staging.length) return;
    const larger = new Uint8Array(Math.max(lengthBytes, this.staging.length * 2, LARGE_BYTES));
    larger.set(this.staging);
    this.staging = larger;
    this.stagingWords = new Int32Array(larger.buffer, 0, larger.length >> 2);
  }
}

/** Offset of the last record of the batch at a byte index. */
function lastOffset(words: Int32Array, at: number): number {
  return getInt64(words, (at + BATCH_BASE_OFFSET) >> 2) + words[(at + BATCH_COUNT) >> 2] - 1;
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}
