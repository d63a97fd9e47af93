// All buckets of timers: which are loaded, what is due, and the checkpoint that says in the journal how much of the
// timer topic is in files.
//
//   T4 A checkpoint's record is written after the files it tells of are on the disk, names included.
//   T5 A bucket's file is removed after the journal says so, and the journal says so only in a checkpoint that lies
//      behind all of its messages: none of them is read from the topic again.
//   T7 A broker that keeps nothing cannot read the topic again: its ring forgets. There every message is in a file (in
//      memory that outlives the thread), and the journal knows of the file and where reading goes on, before anybody is
//      told that it is stored.
import { RingmqError } from '../base/codes.ts';
import { BUCKET_MS, bucketOf } from '../delay/deliver-time.ts';
import { crashPoint } from '../log/crash-point.ts';
import type { Disk } from '../log/disk.ts';
import type { Journal } from './journal.ts';
import { bucketOfFile, type SafePart, TimerBucket } from './timer-bucket.ts';
import { TIMERS_PART, type TimerPosition, type TimerRecord } from './timer-records.ts';

/** A bucket is loaded so long before it begins. */
const AHEAD_MS = 60_000;
/** Most buckets of the past that are loaded at once, after the broker was away. */
const OVERDUE_MAX = 4;
const PREPARE_MS = 1_000;
/** Chunks loaded in one turn: at most some milliseconds. */
const LOAD_CHUNKS = 8;
/** Between two checkpoints, unless much was read: with timers for many days each has thousands of files to sync. */
export const CHECKPOINT_MS = 300_000;
/** What a start reads from the topic again, at most: about half a second. */
const READ_BYTES = 64 * 1024 * 1024;
/** While so much waits to be written, nothing more is read from the topic. */
const PENDING_BYTES_MAX = 256 * 1024 * 1024;
/** The journal hears after so many files how far they are. */
const FILES_EACH = 256;
/** A stop does not wait longer for the files: the next start reads the topic instead. */
const STOP_MS = 1_000;
/** Milliseconds that a checkpoint may take of one turn. */
const TURN_MS = 4;
const PAIRS_MAX = 4_096;
/** A megabyte each. */
const SEARCHED_MAX = 16;

export interface TimerBucketsHost {
  readonly disk: Disk;
  readonly journal: Journal;
  /** The topic can be read again; else T7. */
  readonly durable: boolean;
  readonly warn: (text: string) => void;
  readonly checkpointMs: number;
  /** Where the timer topic is read next. */
  position(): TimerPosition;
}

/** A checkpoint that is being made. */
interface Checkpoint {
  readonly position: TimerPosition;
  readonly dirty: readonly TimerBucket[];
  /** Of `dirty`. */
  next: number;
  /** On the disk; the journal does not say so yet. */
  readonly done: { readonly bucket: TimerBucket; readonly safe: SafePart }[];
}

export class TimerBuckets {
  /** Loaded or being loaded, by time. */
  ready: TimerBucket[] = [];
  private readonly host: TimerBucketsHost;
  private readonly all = new Map<number, TimerBucket>();
  /** Begin of ten minutes -> the bucket that gets the next message of them, or knows it already (after a restart). */
  private readonly filling = new Map<number, TimerBucket>();
  /** Begin of ten minutes -> largest id of a bucket of them. */
  private readonly lastIds = new Map<number, number>();
  /** What the last checkpoint said. */
  private saved: TimerPosition | undefined;
  private checkpoint: Checkpoint | undefined;
  /** Buckets that were looked into last, the newest first. */
  private readonly searched: TimerBucket[] = [];
  private checkpointAt = 0;
  private prepareAt = 0;
  private namesChanged = false;
  /** Read from the topic since the last checkpoint began. */
  private readBytes = 0;
  /** Files that belong to nothing any more. */
  private readonly leftovers: string[] = [];
  /** T7: got messages since the last save(). */
  private readonly unsaved: Set<TimerBucket> | undefined;

  constructor(host: TimerBucketsHost) {
    this.host = host;
    this.unsaved = host.durable ? undefined : new Set();
  }

  /** Messages that are neither fired nor recalled. */
  get pending(): number {
    let pending = 0;
    for (const { total, over } of this.all.values()) pending += Math.max(0, total - over.size);
    return pending;
  }

  /** The bucket that has (or had) the message with this time and this offset in the timer topic. */
  find(deliverAt: number, offset: number): TimerBucket | undefined {
    const found = this.sameMinutes(bucketOf(deliverAt)).find((bucket) => offset <= bucket.lastOffset);
    if (found !== undefined && this.searched[0] !== found) this.noteSearched(found);
    return found;
  }

  /** What is recalled from lies together in time: the offsets of a few buckets are kept in memory. */
  private noteSearched(bucket: TimerBucket): void {
    const { searched } = this;
    const at = searched.indexOf(bucket);
    if (at >= 0) searched.splice(at, 1);
    searched.unshift(bucket);
    if (searched.length > SEARCHED_MAX) searched.pop()?.forgetOffsets();
  }

  /** The bucket; made if need be. */
  at(id: number): TimerBucket {
    let bucket = this.all.get(id);
    if (bucket === undefined) {
      bucket = new TimerBucket(this.host.disk, id, this.host.warn);
      this.all.set(id, bucket);
      this.lastIds.set(bucket.start, Math.max(id, this.lastIds.get(bucket.start) ?? id));
      this.prepareAt = 0;
    }
    return bucket;
  }

  /** The next message of the timer topic. HOT */
  add(deliverAt: number, offset: number, source: Uint8Array, at: number, length: number): void {
    this.readBytes += length;
    const start = bucketOf(deliverAt);
    let bucket = this.filling.get(start) ?? this.begun(start);
    while (bucket.isFull && offset > bucket.lastOffset) {
      bucket = this.at(bucket.id + 1);
      this.filling.set(start, bucket);
    }
    if (this.unsaved !== undefined) this.noteUnsaved(bucket);
    bucket.add(deliverAt, offset, source, at, length);
  }

  /** T7. HOT */
  private noteUnsaved(bucket: TimerBucket): void {
    if (bucket.total === 0) this.beginFile(bucket);
    this.unsaved?.add(bucket);
  }

  /** T7: what the journal does not know of is a leftover to a successor, and what it knows of is taken as it is. */
  private beginFile(bucket: TimerBucket): void {
    bucket.begin();
    this.host.journal.append(TIMERS_PART, { files: [bucket.id, 0, 0, -1] } satisfies TimerRecord);
  }

  /** T7: what was read since the last time is in files, and is not read again. */
  save(): void {
    const { unsaved } = this;
    if (unsaved === undefined) return;
    for (const bucket of unsaved) bucket.write();
    unsaved.clear();
    const at = this.host.position();
    this.host.journal.append(TIMERS_PART, { at } satisfies TimerRecord);
    this.saved = at;
  }

  /** The first bucket of these ten minutes that is there. */
  private begun(start: number): TimerBucket {
    const bucket = this.sameMinutes(start)[0] ?? this.at(start);
    this.filling.set(start, bucket);
    return bucket;
  }

  /** Buckets of these ten minutes, in order. */
  private sameMinutes(start: number): TimerBucket[] {
    const buckets: TimerBucket[] = [];
    const last = this.lastIds.get(start) ?? -1;
    for (let id = start; id <= last; id++) {
      const bucket = this.all.get(id);
      if (bucket !== undefined) buckets.push(bucket);
    }
    return buckets;
  }

  /** True while too much waits to be written. */
  get isFull(): boolean {
    if (this.readBytes < PENDING_BYTES_MAX) return false;
    let bytes = 0;
    for (const bucket of this.all.values()) bytes += bucket.pendingBytes;
    return bytes > PENDING_BYTES_MAX;
  }

  /** True while a checkpoint is due for the amount that was read: it should not wait for housekeeping. */
  get isPressed(): boolean {
    return this.readBytes > READ_BYTES;
  }

  /** Where the journal says that the topic is to be read on. */
  get start(): TimerPosition | undefined {
    return this.saved;
  }

  /** For the journal: a record of it. */
  replay(record: TimerRecord): void {
    const { at, files = [], removed = [], over, pairs = [], cut = [] } = record;
    if (at) this.saved = at;
    for (let i = 0; i + 3 < files.length; i += 4) {
      this.at(files[i]).safe = { length: files[i + 1], count: files[i + 2], offset: files[i + 3] };
    }
    for (const id of removed) this.all.delete(id);
    if (over !== undefined) this.at(over).over.addPairs(pairs);
    for (let i = 0; i + 1 < cut.length; i += 2) this.at(cut[i]).over.truncate(cut[i + 1]);
  }

  /** For the journal: all that it must know. */
  *snapshot(): Iterable<TimerRecord> {
    const files = [...this.all.values()].flatMap(({ id, safe }) => [id, safe.length, safe.count, safe.offset]);
    if (this.saved) yield { at: this.saved, files };
    for (const { id, over } of this.all.values()) {
      for (const pairs of over.pairs(PAIRS_MAX)) yield { over: id, pairs };
    }
  }

  /** After the journal was read. Looks at lengths of files and reads nothing. */
  open(): void {
    const { disk, warn } = this.host;
    const names = new Set(disk.list());
    for (const name of names) {
      const id = bucketOfFile(name);
      if (id !== undefined && !this.all.has(id)) this.leftovers.push(name);
    }
    for (const bucket of this.all.values()) {
      const isWhole = bucket.reopen(names.has(bucket.name));
      if (!this.host.durable && isWhole) bucket.takeOver(this.saved?.offset ?? 0);
      if (isWhole) continue;
      warn(`${disk.folder}/${bucket.name} is shorter than it was: some of its scheduled messages are lost`);
    }
  }

  /** The timer topic was made anew: its offsets mean other messages. */
  forgetOffsets(): void {
    this.saved = undefined;
    this.forgetUnread();
    const files: number[] = [];
    for (const bucket of this.all.values()) {
      if (this.unsaved !== undefined) bucket.safe = bucket.sync();
      bucket.lastOffset = -1;
      bucket.safe = { ...bucket.safe, offset: -1 };
      files.push(bucket.id, bucket.safe.length, bucket.safe.count, -1);
    }
    this.host.journal.append(TIMERS_PART, { files } satisfies TimerRecord);
  }

  /** Messages will not be read again that were: what follows gets numbers that others had (T1 does not hold). */
  forgetUnread(): void {
    const cut: number[] = [];
    for (const { id, over, total } of this.all.values()) if (over.truncate(total)) cut.push(id, total);
    // Otherwise a successor takes those that get their numbers for over.
    if (cut.length > 0) this.host.journal.append(TIMERS_PART, { cut } satisfies TimerRecord);
  }

  /** What loaded buckets were given is written, so that it can be read. Throws what the disk throws. */
  write(): void {
    for (const bucket of this.ready) bucket.writeOn();
  }

  /** Decides which buckets are loaded. */
  prepare(nowMs: number): void {
    if (nowMs < this.prepareAt && nowMs > this.prepareAt - 2 * PREPARE_MS) return;
    this.prepareAt = nowMs + PREPARE_MS;
    const soon = [...this.all.values()].filter(({ start }) => start <= nowMs + AHEAD_MS).sort(byId);
    const past = soon.filter((one) => one.start + BUCKET_MS <= nowMs && !one.isOver).slice(0, OVERDUE_MAX);
    const wanted = [...past, ...soon.filter((one) => one.start + BUCKET_MS > nowMs && !(one.isFull && one.isOver))];
    for (const bucket of this.ready) if (!wanted.includes(bucket) && bucket.isOver) bucket.unload();
    // One with messages under way or put aside stays, also when the clock was set back.
    const kept = this.ready.filter((one) => one.wheel !== undefined && !wanted.includes(one));
    this.ready = [...kept, ...wanted].sort(byId);
  }

  /** Loads some more of what shall be loaded. True if there is more to load. Throws what the disk throws. */
  load(): boolean {
    const next = this.ready.find((one) => !one.isLoaded);
    if (next === undefined) return false;
    next.write();
    next.load(LOAD_CHUNKS);
    return true;
  }

  /** When the next message of a loaded bucket is due; Infinity: there is none. */
  nextDue(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { start, wheel } of this.ready) {
      const slot = wheel?.nextSlot() ?? -1;
      if (slot >= 0) next = Math.min(next, start + slot);
    }
    return next;
  }

  /** Begins a checkpoint when it is time, and does some of one that is under way. Throws what the disk throws. */
  keep(nowMs: number): void {
    const until = performance.now() + TURN_MS;
    while (this.leftovers.length > 0 && performance.now() < until) this.removeLeftover();
    if (this.checkpoint === undefined) {
      const waited = Math.abs(nowMs - this.checkpointAt) >= this.host.checkpointMs;
      if (!(this.isPressed || (waited && this.hasNews(nowMs)))) return;
      this.checkpointAt = nowMs;
      this.begin();
    }
    while (performance.now() < until) if (this.step(nowMs)) return;
  }

  /** A checkpoint before a stop, as far as a second goes. */
  keepAll(nowMs: number): void {
    if (this.checkpoint === undefined) this.begin();
    const until = performance.now() + STOP_MS;
    while (performance.now() < until) if (this.step(nowMs)) return;
    this.noteFiles();
  }

  close(): void {
    for (const bucket of this.all.values()) bucket.close();
  }

  private hasNews(nowMs: number): boolean {
    if (this.host.position().offset !== (this.saved?.offset ?? 0)) return true;
    for (const bucket of this.all.values()) if (this.isRemovable(bucket, nowMs)) return true;
    return false;
  }

  private begin(): void {
    this.readBytes = 0;
    const dirty = [...this.all.values()].filter((bucket) => bucket.isDirty);
    this.checkpoint = { position: this.host.position(), dirty, next: 0, done: [] };
  }

  /** One file, or the end. True when it is done. */
  private step(nowMs: number): boolean {
    const checkpoint = this.checkpoint as Checkpoint;
    const bucket = checkpoint.dirty[checkpoint.next];
    if (bucket !== undefined) {
      if (bucket.safe.length === 0) this.namesChanged = true;
      checkpoint.done.push({ bucket, safe: bucket.sync() });
      checkpoint.next++;
      if (checkpoint.done.length === FILES_EACH) this.noteFiles();
      return false;
    }
    // T7: all that was read is in files.
    const position = this.unsaved === undefined ? checkpoint.position : this.host.position();
    const old = [...this.all.values()].filter(
      (one) => this.isRemovable(one, nowMs) && one.lastOffset < position.offset && !this.ready.includes(one),
    );
    this.noteFiles({ at: position, removed: old.map(({ id }) => id) });
    this.saved = position;
    this.checkpoint = undefined;
    for (const one of old) {
      this.all.delete(one.id);
      if (this.sameMinutes(one.start).length === 0) this.lastIds.delete(one.start);
      if (this.filling.get(one.start) === one) this.filling.delete(one.start);
      one.close();
      this.leftovers.push(one.name);
    }
    return true;
  }

  /** T4: tells the journal how far files are on the disk. `more`: what else the record says. */
  private noteFiles(more: TimerRecord = {}): void {
    const { disk, journal } = this.host;
    const { done } = this.checkpoint as Checkpoint;
    if (this.namesChanged) syncNames(disk);
    this.namesChanged = false;
    crashPoint('timer.bucket-synced');
    const files = done.flatMap(({ bucket, safe }) => [bucket.id, safe.length, safe.count, safe.offset]);
    journal.append(TIMERS_PART, { ...more, files } satisfies TimerRecord);
    journal.sync();
    crashPoint('timer.checkpointed');
    for (const { bucket, safe } of done.splice(0)) bucket.safe = safe;
  }

  /** Unless it belongs to a bucket again. */
  private removeLeftover(): void {
    const name = this.leftovers.pop() as string;
    const id = bucketOfFile(name);
    if (id !== undefined && !this.all.has(id)) this.host.disk.remove(name);
  }

  private isRemovable(bucket: TimerBucket, nowMs: number): boolean {
    return bucket.isOver && (bucket.isFull || bucket.start + BUCKET_MS <= nowMs || bucket.wheel === undefined);
  }
}

function syncNames(disk: Disk): void {
  try {
    disk.syncFolder();
  } catch (error) {
    throw new RingmqError('store-failed', `${disk.folder} cannot be synced: ${String(error)}`);
  }
}

function byId(a: TimerBucket, b: TimerBucket): number {
  return a.id - b.id;
}
