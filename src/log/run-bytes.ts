// Memory between the disk and the readers of the log: aligned chunks of segments, and large runs as a whole. One owner:
// the log reader thread.
import { alignBlock, LOG_ALIGN_BYTES, LOG_BLOCK_BYTES } from '../../native-layout/log.ts';
import type { LogIndex } from './log-index.ts';
import { queueKey, type Run } from './run.ts';
import type { SegmentReaders } from './segment-readers.ts';

const MIB = 1024 * 1024;
const CACHE_BYTES = 96 * MIB;
/** Part of it for chunks: thirty queues that are read side by side, 1 MiB an answer, share what they read. */
const CHUNK_SHARE = 2 / 3;
const CHUNK_BYTES = MIB;
/** Chunks that are remembered because a run in them was read alone. */
const TOUCHED_MAX = 512;
/** Bytes of chunks that may be read before they must have been of use; beyond many times that the past is forgotten. */
const CREDIT_BYTES = 8 * MIB;

export interface ReadOptions {
  /** How files are opened: past the page cache or through it. Default `buffered`. */
  readonly mode?: 'direct' | 'buffered';
  /** Memory for reads; two thirds for chunks, the rest for large runs. Default 96 MiB. */
  readonly cacheBytes?: number;
  /** Where memory comes from; direct reads need alignedBytes() (disk-node.ts). */
  readonly allocate?: (lengthBytes: number) => Uint8Array;
}

function plainBytes(lengthBytes: number): Uint8Array {
  return new Uint8Array(lengthBytes);
}

/** Chunks of segments, 1 MiB each. */
export class ChunkCache {
  private readonly files: SegmentReaders;
  private readonly index: LogIndex;
  private readonly memory: Uint8Array;
  /** Log position of a chunk -> its slot; the one that was used longest ago first. */
  private readonly slots = new Map<number, number>();
  private readonly free: number[] = [];
  /** Bytes of a slot's chunk that are good. */
  private readonly valid: Int32Array;
  /** Chunk out of which a run was read alone -> the run's queue; oldest first. */
  private readonly touched = new Map<number, number>();
  /** Log position behind the run that was asked about last. */
  private lastEnd = -1;
  /** Bytes of chunks read for the sake of runs that could be read alone, and bytes of such runs that came from them. */
  private spentBytes = 0;
  private gainedBytes = 0;

  constructor(files: SegmentReaders, index: LogIndex, options: ReadOptions) {
    this.files = files;
    this.index = index;
    const count = Math.max(2, Math.floor(((options.cacheBytes ?? CACHE_BYTES) * CHUNK_SHARE) / CHUNK_BYTES));
    this.memory = (options.allocate ?? plainBytes)(count * CHUNK_BYTES);
    this.valid = new Int32Array(count);
    for (let slot = 0; slot < count; slot++) this.free.push(slot);
  }

  /** Copies bytes of the log into `into`. False if the disk does not give them all. */
  copy(base: number, position: number, into: Uint8Array): boolean {
    for (let done = 0; done < into.length; ) {
      const behind = position + done - base;
      const chunk = base + behind - (behind % CHUNK_BYTES);
      const from = position + done - chunk;
      const count = Math.min(into.length - done, CHUNK_BYTES - from);
      const slot = this.slot(base, chunk, from + count);
      if (slot < 0) return false;
      const at = slot * CHUNK_BYTES + from;
      into.set(this.memory.subarray(at, at + count), done);
      done += count;
    }
    return true;
  }

  /**
   * True if a run that is large enough to be read alone had better be copied out of chunks: they are in memory, or
   * another queue that is read beside this one wanted a run in them a moment ago, or the run follows the last one that
   * was asked about; and such chunks were of use.
   */
  isWorth(base: number, run: Run): boolean {
    const { position, size } = run;
    const queue = queueKey(run.topicId, run.partition);
    const first = position - ((position - base) % CHUNK_BYTES);
    const end = position + size;
    const follows = position >= this.lastEnd && position - this.lastEnd <= 2 * LOG_ALIGN_BYTES;
    this.lastEnd = end;
    let missing = 0;
    let untouched = 0;
    for (let chunk = first; chunk < end; chunk += CHUNK_BYTES) {
      const slot = this.slots.get(chunk);
      if (slot !== undefined && this.valid[slot] >= Math.min(CHUNK_BYTES, end - chunk)) continue;
      missing++;
      const by = this.touched.get(chunk);
      if (slot === undefined && (follows || (by !== undefined && by !== queue))) continue;
      untouched++;
      this.touch(chunk, queue);
    }
    if (untouched > 0) return false;
    if (missing > 0 && this.spentBytes > CREDIT_BYTES + 2 * this.gainedBytes) {
      // Now and then it is tried again: who reads what may have changed.
      this.gainedBytes += size / 16;
      return false;
    }
    this.spentBytes += missing * CHUNK_BYTES;
    this.gainedBytes += size;
    if (this.spentBytes + this.gainedBytes > 16 * CREDIT_BYTES) {
      this.spentBytes /= 2;
      this.gainedBytes /= 2;
    }
    return true;
  }

  /** Forgets what there is between two log positions. */
  forget(from: number, to: number): void {
    for (const [chunk, slot] of this.slots) {
      if (chunk + CHUNK_BYTES <= from || chunk >= to) continue;
      this.slots.delete(chunk);
      this.free.push(slot);
    }
  }

  private touch(chunk: number, queue: number): void {
    this.touched.set(chunk, queue);
    if (this.touched.size <= TOUCHED_MAX) return;
    const [oldest] = this.touched.keys();
    this.touched.delete(oldest);
  }

  private slot(base: number, chunk: number, needed: number): number {
    const known = this.slots.get(chunk);
    if (known !== undefined) {
      this.slots.delete(chunk);
      this.slots.set(chunk, known);
      if (this.valid[known] >= needed) return known;
    }
    const slot = known ?? this.free.pop() ?? this.evict();
    this.slots.set(chunk, slot);
    this.load(base, chunk, slot);
    return this.valid[slot] >= needed ? slot : -1;
  }

  private load(base: number, chunk: number, slot: number): void {
    // What is behind the newest known run may be half written: it is read, but not believed.
    const whole = this.index.whole - chunk;
    const length = Math.min(CHUNK_BYTES, alignBlock(Math.max(0, whole)));
    const at = slot * CHUNK_BYTES;
    const came = this.files.read(base, this.memory.subarray(at, at + length), chunk - base);
    this.valid[slot] = Math.min(came, whole);
  }

  private evict(): number {
    const [oldest] = this.slots;
    this.slots.delete(oldest[0]);
    return oldest[1];
  }
}

const SLOT_BYTES = LOG_BLOCK_BYTES + 2 * LOG_ALIGN_BYTES;

/** Large runs, each by one disk read into memory of its own. */
export class LargeRuns {
  private readonly files: SegmentReaders;
  private readonly allocate: (lengthBytes: number) => Uint8Array;
  private readonly free: Uint8Array[] = [];
  private readonly countMax: number;
  private count = 0;
  /** Position of a verified run -> its bytes and the memory that they are in; used longest ago first. */
  private readonly runs = new Map<number, { readonly bytes: Uint8Array; readonly memory: Uint8Array }>();

  constructor(files: SegmentReaders, options: ReadOptions) {
    this.files = files;
    this.allocate = options.allocate ?? plainBytes;
    this.countMax = Math.max(1, Math.floor(((options.cacheBytes ?? CACHE_BYTES) * (1 - CHUNK_SHARE)) / SLOT_BYTES));
  }

  /** Bytes of a run that was kept. */
  kept(position: number): Uint8Array | undefined {
    const run = this.runs.get(position);
    if (!run) return undefined;
    this.runs.delete(position);
    this.runs.set(position, run);
    return run.bytes;
  }

  has(position: number): boolean {
    return this.runs.has(position);
  }

  /** Header and batches of a run as the disk has them, kept from now on; undefined if it does not give them all. */
  read(base: number, run: Run): Uint8Array | undefined {
    const skip = (run.position - base) % LOG_ALIGN_BYTES;
    const length = alignBlock(skip + run.size);
    const memory = this.take(length);
    const came = this.files.read(base, memory.subarray(0, length), run.position - base - skip);
    if (came < skip + run.size) {
      this.giveBack(memory);
      return undefined;
    }
    const bytes = memory.subarray(skip, skip + run.size);
    this.runs.set(run.position, { bytes, memory });
    return bytes;
  }

  drop(position: number): void {
    const run = this.runs.get(position);
    if (!run) return;
    this.runs.delete(position);
    this.giveBack(run.memory);
  }

  /** Forgets the runs between two log positions. */
  forget(from: number, to: number): void {
    for (const position of [...this.runs.keys()]) if (position >= from && position < to) this.drop(position);
  }

  private take(lengthBytes: number): Uint8Array {
    // A batch larger than a block has memory of its own, which goes as soon as another run needs room.
    const giant = lengthBytes > SLOT_BYTES;
    while (this.free.length === 0 && this.count >= this.countMax) {
      const [oldest] = this.runs.keys();
      this.drop(oldest);
    }
    if (giant || this.free.length === 0) {
      this.count++;
      return this.allocate(giant ? lengthBytes : SLOT_BYTES);
    }
    return this.free.pop()!;
  }

  private giveBack(memory: Uint8Array): void {
    if (memory.length === SLOT_BYTES) this.free.push(memory);
    else this.count--;
  }
}
