// Memory between the disk and the readers of the log: aligned chunks of segments, and large runs as a whole. One owner:
// the log reader thread.
import { alignBlock, LOG_ALIGN_BYTES, LOG_BLOCK_BYTES } from '../../native-layout/log.ts';
import type { LogIndex } from './log-index.ts';
import type { Run } from './run.ts';
import type { SegmentReaders } from './segment-readers.ts';

const MIB = 1024 * 1024;
const CACHE_BYTES = 32 * MIB;
const CHUNK_BYTES = MIB;

export interface ReadOptions {
  /** How files are opened: past the page cache or through it. Default `buffered`. */
  readonly mode?: 'direct' | 'buffered';
  /** Memory for reads; half for chunks, half for large runs. Default 32 MiB. */
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

  constructor(files: SegmentReaders, index: LogIndex, options: ReadOptions) {
    this.files = files;
    this.index = index;
    const count = Math.max(2, Math.floor((options.cacheBytes ?? CACHE_BYTES) / 2 / CHUNK_BYTES));
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

  /** Forgets what there is between two log positions. */
  forget(from: number, to: number): void {
    for (const [chunk, slot] of this.slots) {
      if (chunk + CHUNK_BYTES <= from || chunk >= to) continue;
      this.slots.delete(chunk);
      this.free.push(slot);
    }
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
    this.countMax = Math.max(1, Math.floor((options.cacheBytes ?? CACHE_BYTES) / 2 / SLOT_BYTES));
  }

  /** Bytes of a run that was kept. */
  kept(position: number): Uint8Array | undefined {
    const run = this.runs.get(position);
    if (!run) return undefined;
    this.runs.delete(position);
    this.runs.set(position, run);
    return run.bytes;
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
