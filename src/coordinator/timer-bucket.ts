// Ten minutes of timers, or some of them: their file, the index of it while it is loaded, and which of them are over.
//
//   T1 Messages have numbers (ordinals) in the order of the timer topic. Read again from there they get the same ones.
//   T2 A file grows by whole chunks. After a restart what lies behind its safe length is written over: it comes from
//      the topic again.
//      In memory (a broker that keeps nothing) all of the file is safe: see takeOver().
//   T3 `over` says who has fired or was recalled, by number; it is kept until the file is removed.
import { RingmqError } from '../base/codes.ts';
import { bucketOf } from '../delay/deliver-time.ts';
import { OffsetIndex } from '../delay/offset-index.ts';
import { OrdinalSet } from '../delay/ordinal-set.ts';
import { TimerWheel } from '../delay/wheel.ts';
import { crashPoint } from '../log/crash-point.ts';
import type { Disk, DiskFile } from '../log/disk.ts';
import { CHUNK_HEADER_BYTES, ChunkIndex, PendingChunk } from './timer-chunk.ts';

const PREFIX = 'timers-';
const SUFFIX = '.log';
const NAME = /^timers-(\d{1,16})\.log$/;
/** Bytes read at once while a bucket is loaded. */
const WINDOW_BYTES = 64 * 1024;
/** A pending chunk is written from here on. */
const CHUNK_BYTES = 1024 * 1024;
/** A loaded bucket is synced whenever so much was written to it. */
const SYNC_BYTES = 8 * 1024 * 1024;
/** Two bodies that are no further apart are read with one call. */
const NEAR_BYTES = 16 * 1024;

/**
 * When so many messages of ten minutes have come, the next ones go into a bucket of their own (its id is one more): so
 * the file of those that have fired can go before the ten minutes are over.
 */
export const BUCKET_MESSAGES = 262_144;

/** Id of the bucket that a file belongs to; undefined for other files. */
export function bucketOfFile(name: string): number | undefined {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** How far a file is on the disk for good. */
export interface SafePart {
  readonly length: number;
  readonly count: number;
  /** In the timer topic, of the last of these messages. */
  readonly offset: number;
}
const NOTHING: SafePart = { length: 0, count: 0, offset: -1 };

/** Bodies that were read: where each one is. */
export interface Bodies {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Int32Array<ArrayBuffer>;
  /** Of each message asked for, its place in `bytes`; -1: the file ends before it. */
  readonly places: Int32Array;
}

export class TimerBucket {
  /** Begin of the ten minutes, and the number of the bucket among those of the same minutes. */
  readonly id: number;
  /** Begin of the ten minutes. */
  readonly start: number;
  readonly name: string;
  /** Bytes and messages of the file. */
  length = 0;
  count = 0;
  /** In the timer topic, of the newest message; -1 besides: its messages are of a topic that is no more. */
  lastOffset = -1;
  /** What of the file is on the disk for good, as the journal has it. */
  safe: SafePart = NOTHING;
  readonly over = new OrdinalSet();
  /** Moves that are not done: they may want the bodies again. */
  moving = 0;
  /** Messages that are handed to the mover, which has not written so yet. */
  readonly firing = new Set<readonly number[]>();
  /** The index, from load() on. */
  wheel: TimerWheel | undefined;
  private pending: PendingChunk | undefined;
  private readonly disk: Disk;
  private readonly warn: (text: string) => void;
  private file: DiskFile | undefined;
  private loadedTo = 0;
  private offsets: OffsetIndex | undefined;
  private unsyncedBytes = 0;
  private readonly index = new ChunkIndex();

  constructor(disk: Disk, id: number, warn: (text: string) => void) {
    this.disk = disk;
    this.id = id;
    this.start = bucketOf(id);
    this.name = `${PREFIX}${id}${SUFFIX}`;
    this.warn = warn;
  }

  /** Messages, those that are not in the file yet included. */
  get total(): number {
    return this.count + (this.pending?.count ?? 0);
  }

  /** Memory of messages that are not in the file yet. */
  get pendingBytes(): number {
    return this.pending?.heldBytes ?? 0;
  }

  /** It gets no more messages. */
  get isFull(): boolean {
    return this.total >= BUCKET_MESSAGES || (this.total > 0 && this.lastOffset < 0);
  }

  get isDirty(): boolean {
    return this.pending !== undefined || this.length !== this.safe.length;
  }

  /** Everything that it knows of is over, and nobody needs the bodies. */
  get isOver(): boolean {
    return this.over.size >= this.total && this.moving === 0 && this.firing.size === 0;
  }

  /** True if it is too late to take this one back, although it is not over yet. */
  isFiring(ordinal: number): boolean {
    for (const ordinals of this.firing) if (ordinals.includes(ordinal)) return true;
    return false;
  }

  /** True when the index has all of the file. */
  get isLoaded(): boolean {
    return this.wheel !== undefined && this.loadedTo >= this.length;
  }

  /** The next message; one that it has already is left out (T1). HOT */
  add(deliverAt: number, offset: number, source: Uint8Array, at: number, length: number): void {
    if (offset <= this.lastOffset) return;
    this.lastOffset = offset;
    this.pending ??= new PendingChunk();
    this.pending.add(deliverAt - this.start, offset, source, at, length);
    if (this.pending.bodyBytes >= CHUNK_BYTES) this.write();
  }

  /** Writes what is pending. Throws what the disk throws, and then still has it. */
  write(): void {
    const { pending } = this;
    if (pending === undefined) return;
    const wasLoaded = this.isLoaded;
    const chunk = pending.encode(this.count);
    this.open().write(chunk, this.length);
    crashPoint('timer.bucket-written');
    this.pending = undefined;
    const at = this.length;
    this.length += chunk.length;
    this.count += pending.count;
    this.unsyncedBytes += chunk.length;
    if (!wasLoaded) this.closeUnlessLoading();
    else this.take(chunk.subarray(0, ChunkIndex.bytesOf(chunk)), at);
  }

  /** Writes and syncs. Returns what is safe then, apart from the name: see Disk.syncFolder(). */
  sync(): SafePart {
    this.write();
    if (this.unsyncedBytes > 0) this.syncFile();
    this.unsyncedBytes = 0;
    this.closeUnlessLoading();
    return { length: this.length, count: this.count, offset: this.lastOffset };
  }

  /** Writes; syncs too when much is not on the disk, so that a later sync has little to do. */
  writeOn(): void {
    this.write();
    if (this.unsyncedBytes >= SYNC_BYTES) this.sync();
  }

  /** Loads some of the index. True when there is no more. Throws what the disk throws. */
  load(chunksMax: number): boolean {
    this.wheel ??= new TimerWheel();
    const window = new Window(this.length === 0 ? undefined : this.open());
    for (let i = 0; i < chunksMax && !this.isLoaded; i++) {
      const index = window.index(this.loadedTo);
      if (index === undefined || !this.take(index, this.loadedTo)) this.isDamaged(this.wheel);
    }
    return this.isLoaded;
  }

  /** The index is not needed for now. */
  unload(): void {
    this.wheel = undefined;
    this.loadedTo = 0;
    this.closeUnlessLoading();
  }

  /** Number of the message with this offset in the timer topic; -1: there is none. Throws what the disk throws. */
  find(offset: number): number {
    const pending = this.pending?.find(offset) ?? -1;
    if (pending >= 0) return this.count + pending;
    if (this.wheel !== undefined && this.isLoaded) return this.wheel.ordinalAt(offset);
    if (this.length === 0) return -1;
    return this.readOffsets().ordinalAt(offset);
  }

  /** No more is looked for here for now: gives the memory for it back. */
  forgetOffsets(): void {
    this.offsets = undefined;
  }

  /** Reads what the file has got since the last time. */
  private readOffsets(): OffsetIndex {
    this.offsets ??= new OffsetIndex();
    const { offsets, index } = this;
    if (offsets.readTo >= this.length) return offsets;
    const window = new Window(this.open());
    while (offsets.readTo < this.length) {
      const bytes = window.index(offsets.readTo);
      if (bytes === undefined || !index.open(bytes) || index.ordinal !== offsets.count) break;
      for (let i = 0; i < index.count; i++) offsets.add(index.offset(i));
      offsets.readTo += index.length;
    }
    this.closeUnlessLoading();
    return offsets;
  }

  /** Reads the envelopes of some messages of the loaded index; neighbours together. Throws what the disk throws. */
  read(ordinals: ArrayLike<number>): Bodies {
    const wheel = this.wheel as TimerWheel;
    const places = new Int32Array(ordinals.length).fill(-1);
    const order = inOrderOfPlace(ordinals, wheel);
    const runs: number[] = [];
    let total = 0;
    for (let i = 0; i < order.length; ) {
      const from = wheel.place(ordinals[order[i]]);
      let to = from;
      for (; i < order.length; i++) {
        const ordinal = ordinals[order[i]];
        const place = wheel.place(ordinal);
        if (place > to + NEAR_BYTES) break;
        places[order[i]] = total + place - from;
        to = Math.max(to, place + wheel.length(ordinal));
      }
      runs.push(from, total, to - from);
      total += to - from;
    }
    const bytes = new Uint8Array(total);
    for (let i = 0; i < runs.length; i += 3) {
      this.open().read(bytes.subarray(runs[i + 1], runs[i + 1] + runs[i + 2]), runs[i]);
    }
    return { bytes, words: new Int32Array(bytes.buffer), places };
  }

  /** After a restart: goes on where the file is safe (T2). False if less of it is there. */
  reopen(isThere: boolean): boolean {
    const { length, count, offset } = this.safe;
    this.length = length;
    this.count = count;
    this.lastOffset = offset;
    return isThere ? this.lengthThere() >= length : length === 0;
  }

  /**
   * After a restart, where what the last thread wrote is there and does not come again: takes what the file has behind
   * its safe length too. `near`: an offset in the timer topic less than 2^31 from those messages.
   */
  takeOver(near: number): void {
    const { index } = this;
    const window = new Window(this.open());
    for (;;) {
      const bytes = window.index(this.length);
      if (bytes === undefined || !index.open(bytes) || index.ordinal !== this.count) break;
      this.length += index.length;
      this.count += index.count;
      this.lastOffset = near + ((index.offset(index.count - 1) - near) | 0);
    }
    this.close();
  }

  /** Makes an empty file of it, whatever was there under its name. */
  begin(): void {
    this.open().truncate(0);
    this.closeUnlessLoading();
  }

  /** Gives the file back. */
  close(): void {
    this.file?.close();
    this.file = undefined;
  }

  private take(indexBytes: Uint8Array, at: number): boolean {
    const { index } = this;
    const wheel = this.wheel as TimerWheel;
    if (!index.open(indexBytes) || index.ordinal !== wheel.count) return false;
    for (let i = 0; i < index.count; i++) {
      const isOver = this.over.has(index.ordinal + i);
      wheel.add(index.slot(i), at + index.place(i), index.bodyLength(i), index.offset(i), isOver);
    }
    this.loadedTo = at + index.length;
    return true;
  }

  /** What the file has behind this place cannot be found: it counts as over. */
  private isDamaged(wheel: TimerWheel): void {
    const lost = this.count - wheel.count;
    const at = this.loadedTo;
    while (wheel.count < this.count) this.over.add(wheel.add(0, 0, 0, this.lastOffset, true));
    this.loadedTo = this.length;
    this.warn(
      `${this.disk.folder}/${this.name} is damaged at byte ${at}: ${lost} of its scheduled messages are not ` +
        'delivered; the newer ones can still be read in the timer topic',
    );
  }

  /** A disk that could not sync may have lost what it was given: nothing of it may be tried again. */
  private syncFile(): void {
    try {
      this.open().sync();
    } catch (error) {
      throw new RingmqError('store-failed', `${this.disk.folder}/${this.name} cannot be synced: ${String(error)}`);
    }
  }

  private lengthThere(): number {
    const known = this.disk.lengthOf?.(this.name);
    if (known !== undefined) return known;
    const found = this.open().size();
    this.close();
    return found;
  }

  private open(): DiskFile {
    this.file ??= this.disk.open(this.name, 'write');
    return this.file;
  }

  /** There may be fifty thousand buckets. */
  private closeUnlessLoading(): void {
    if (this.wheel === undefined) this.close();
  }
}

/** Positions in `ordinals`, in the order of the places of the messages. */
function inOrderOfPlace(ordinals: ArrayLike<number>, wheel: TimerWheel): ArrayLike<number> {
  const order = Uint32Array.from({ length: ordinals.length }, (_, i) => i);
  let sorted = true;
  for (let i = 1; i < ordinals.length && sorted; i++) sorted = ordinals[i] > ordinals[i - 1];
  return sorted ? order : order.sort((a, b) => wheel.place(ordinals[a]) - wheel.place(ordinals[b]));
}

/** Reads indexes of chunks; small ones that lie together with one call. */
class Window {
  private readonly file: DiskFile | undefined;
  private bytes = new Uint8Array(0);
  private from = 0;

  constructor(file: DiskFile | undefined) {
    this.file = file;
  }

  /** The index of the chunk at a place; undefined if there is none. */
  index(at: number): Uint8Array | undefined {
    const length = ChunkIndex.bytesOf(this.get(at, CHUNK_HEADER_BYTES));
    return length === 0 ? undefined : this.get(at, length);
  }

  private get(at: number, length: number): Uint8Array {
    if (at < this.from || at + length > this.from + this.bytes.length) {
      const bytes = new Uint8Array(Math.max(WINDOW_BYTES, length));
      this.bytes = bytes.subarray(0, this.file?.read(bytes, at) ?? 0);
      this.from = at;
    }
    return this.bytes.subarray(at - this.from, at - this.from + length);
  }
}
