// Where every run of every queue stands in the log. Who reads and writes: the log reader thread.
//
// The unsealed segment's runs are in growing typed arrays; those of a sealed segment in its index file, which is read
// when somebody wants something there and kept as long as there is room. Memory:
//
//   for every queue                            about 700 bytes
//   for every segment that a queue has runs in 24 bytes (up to 48 after growth): 10,000 queues in each of a thousand
//                                              segments (256 GiB of log) 240 to 480 MB, one queue there 24 to 48 KB
//   for every segment                          about 200 bytes
//   for every run in the unsealed segment      76 bytes (up to twice after growth)
//   index files                                `cacheBytes` (64 MiB; one at least)
//
// I1  Runs of a queue are added in the order of their offsets; what was added before is recognised and left out.
// I2  A sealed segment whose index file could not be written keeps its index in memory until it could.
import { assert } from '../base/fault.ts';
import type { Disk } from './disk.ts';
import { QueueEntry } from './queue-entry.ts';
import { queueKey, type Run, type SegmentFile } from './run.ts';
import { RunColumns } from './run-columns.ts';
import type { SegmentDirectory } from './segment-directory.ts';
import { fileLength, segmentName } from './segment-files.ts';
import { encodeIndex, loadSegmentIndex, type SegmentIndex, writeIndex } from './segment-index.ts';

const MIB = 1024 * 1024;
const CACHE_BYTES = 64 * MIB;

export interface LogIndexOptions {
  /** Most bytes of index files in memory. Default 64 MiB. */
  readonly cacheBytes?: number;
  /** Makes the index of a sealed segment whose file is missing or damaged; undefined if it cannot. */
  readonly rebuild?: (base: number) => SegmentIndex | undefined;
}

/** What became of a run. `gap`, `overlap`, `misplaced` are damage to report; the first two are served all the same. */
export type Added = 'added' | 'duplicate' | 'gap' | 'overlap' | 'misplaced';

/** A sealed segment, as retention looks at it. */
export interface SealedSegment {
  readonly ordinal: number;
  readonly base: number;
  readonly lengthBytes: number;
  /** When its last batch was stored; 0 without runs. */
  readonly storedLast: number;
}

export class LogIndex {
  /** Runs that are in an index file which can neither be read nor made again. */
  lostSegments = 0;
  /** Bytes of segment files, the unsealed one included. */
  lengthBytes = 0;
  private readonly disk: Disk;
  private readonly cacheBytes: number;
  private readonly rebuild: ((base: number) => SegmentIndex | undefined) | undefined;
  private readonly entries = new Map<number, QueueEntry>();
  private readonly sealedSegments: SealedSegment[] = [];
  private nextOrdinal = 0;
  /** Index files in memory, the one that was used longest ago first. */
  private readonly loaded = new Map<number, SegmentIndex>();
  private loadedBytes = 0;
  /** Memory of an index that was given up, for the next one. */
  private recycled: ArrayBuffer | undefined;
  private readonly unwritten = new Map<number, SegmentIndex>();
  private readonly lost = new Set<number>();
  private readonly columns = new RunColumns();
  /** The queues by key, as order() needs them; undefined: one came or went. */
  private sorted: QueueEntry[] | undefined;
  private openBase = 0;
  private openEnd = -1;
  /** Behind the last byte of the newest run. */
  private wholeEnd = 0;

  constructor(disk: Disk, options: LogIndexOptions = {}) {
    this.disk = disk;
    this.cacheBytes = options.cacheBytes ?? CACHE_BYTES;
    this.rebuild = options.rebuild;
  }

  /** A sealed segment whose index file is good. Oldest first, before anything else. */
  addSegment(directory: SegmentDirectory, lengthBytes: number): void {
    const segment = this.newSegment(directory.base, lengthBytes, directory.storedLast);
    for (let i = 0; i < directory.queueCount; i++) {
      const entry = this.entryOf(directory.topicIds[i], directory.partitions[i], directory.firstOffsets[i]);
      entry.addSegment(segment.ordinal, directory.nextOffsets[i], directory.storedLasts[i], directory.bytes[i]);
    }
    this.lengthBytes += lengthBytes;
    this.wholeEnd = directory.end;
    // Where the next segment will begin: a broker may have died between sealing one and making the next.
    this.openBase = directory.base + lengthBytes;
  }

  /** A sealed segment that can neither be read nor indexed: it has its place among the others, and no runs. */
  addLost({ base, lengthBytes }: SegmentFile): void {
    this.lostSegments++;
    this.lost.add(base);
    this.newSegment(base, lengthBytes, 0);
    this.lengthBytes += lengthBytes;
    this.wholeEnd = base + lengthBytes;
    this.openBase = base + lengthBytes;
  }

  /** True if nobody knows what is in a segment. */
  isLost(base: number): boolean {
    return this.lost.has(base);
  }

  /** From here on runs go into the unsealed segment that begins at this log position. */
  openSegment(base: number): void {
    assert(this.columns.count === 0, 'the segment before is not sealed');
    this.openBase = base;
    this.openEnd = base + fileLength(this.disk, segmentName(base));
    this.lengthBytes += this.openEnd - base;
    this.wholeEnd = base;
  }

  /** A queue without runs whose offsets go on there: everything of it has expired. */
  addExpired(topicId: number, partition: number, nextOffset: number): void {
    const entry = this.entryOf(topicId, partition, nextOffset);
    if (entry.end < nextOffset) {
      assert(entry.segmentCount === 0 && entry.openCount === 0, 'expired queues come before their runs');
      entry.end = nextOffset;
      entry.first = nextOffset;
    }
  }

  /** A run that the log has, in the order of the log. The first one of another segment seals the one before. HOT */
  add(run: Run): Added {
    if (run.position >= this.openEnd) this.roll(run.position);
    const known = this.entries.get(queueKey(run.topicId, run.partition));
    if (known && run.nextOffset <= known.end) return 'duplicate';
    if (run.position < this.openBase) return 'misplaced';
    const entry = known ?? this.entryOf(run.topicId, run.partition, run.baseOffset);
    const follows = entry.end - run.baseOffset;
    const first = entry.segmentCount === 0 && entry.openCount === 0;
    if (first) entry.first = run.baseOffset;
    const storedLast = Math.max(entry.storedLast, run.storedFirst + run.storedSpan);
    const index = this.columns.add(run, storedLast);
    entry.addOpen(index, run.nextOffset, storedLast, run.size);
    this.wholeEnd = Math.max(this.wholeEnd, run.position + run.size);
    if (follows === 0) return 'added';
    return follows > 0 ? 'overlap' : 'gap';
  }

  /** The unsealed segment is sealed; the next one begins at `end`, which is its base and the length of its file. */
  sealed(base: number, end: number): void {
    assert(base === this.openBase, `segment ${base} is not the unsealed one`);
    const index = encodeIndex(base, this.columns, this.order(), end, this.recycled);
    this.recycled = undefined;
    const segment = this.newSegment(base, end - base, index.directory.storedLast);
    for (const entry of this.entries.values()) entry.sealOpen(segment.ordinal);
    this.columns.clear();
    this.lengthBytes -= this.openEnd - base - (end - base);
    this.unwritten.set(base, index);
    this.keep(index);
    this.tryWrite();
    this.openSegment(end);
  }

  /** Writes index files that could not be written yet. True if there are none left. */
  tryWrite(): boolean {
    for (const [base, index] of this.unwritten) {
      try {
        writeIndex(this.disk, index);
      } catch {
        return false; // No room, or a disk that fails: the index stays in memory (I2).
      }
      this.unwritten.delete(base);
    }
    return true;
  }

  /** Orderly stop: an index file for the unsealed segment too, up to the log's end. */
  writeOpen(end: number): void {
    this.tryWrite();
    writeIndex(this.disk, encodeIndex(this.openBase, this.columns, this.order(), end));
  }

  /** The run that contains the offset, or the first one after it; undefined if there is none. */
  find(topicId: number, partition: number, offset: number): Run | undefined {
    const entry = this.entries.get(queueKey(topicId, partition));
    if (!entry) return undefined;
    for (let i = entry.segmentBehind(offset); i < entry.segmentCount; i++) {
      const found = this.load(entry.ordinals[i])?.find(topicId, partition, offset);
      if (found) return found;
    }
    return this.openRun(entry, this.columns.nextOffset, offset, true);
  }

  /** The queue's run after this one. */
  next(run: Run): Run | undefined {
    return this.find(run.topicId, run.partition, run.nextOffset);
  }

  /** The first run with a batch that was stored at a time or later. */
  locate(topicId: number, partition: number, timeMs: number): Run | undefined {
    const entry = this.entries.get(queueKey(topicId, partition));
    if (!entry) return undefined;
    for (let i = entry.segmentSince(timeMs); i < entry.segmentCount; i++) {
      const found = this.load(entry.ordinals[i])?.locate(topicId, partition, timeMs);
      if (found) return found;
    }
    return this.openRun(entry, this.columns.storedLast, timeMs, false);
  }

  /** Oldest offset that is served of a queue; its next one if nothing is left; 0 if the log never heard of it. */
  oldest(topicId: number, partition: number): number {
    return this.entries.get(queueKey(topicId, partition))?.oldest ?? 0;
  }

  /** Offset behind a queue's newest run; 0 if the log never heard of it. */
  end(topicId: number, partition: number): number {
    return this.entries.get(queueKey(topicId, partition))?.end ?? 0;
  }

  /** First offset of a queue's newest runs that have no more than so many bytes together; at least the last one. */
  keeping(topicId: number, partition: number, lengthBytes: number): number {
    const entry = this.entries.get(queueKey(topicId, partition));
    if (!entry) return 0;
    let offset = entry.end;
    let sum = 0;
    const fits = (run: Run): boolean => {
      sum += run.size;
      if (sum > lengthBytes && offset < entry.end) return false;
      offset = run.baseOffset;
      return true;
    };
    for (let i = entry.openCount - 1; i >= 0; i--) if (!fits(this.columns.run(entry.openRuns[i]))) return offset;
    for (let i = entry.segmentCount - 1; i >= 0; i--) {
      const index = this.load(entry.ordinals[i]);
      const queue = index?.directory.find(topicId, partition) ?? -1;
      if (!index || queue < 0) continue;
      for (let run = index.directory.endRun(queue) - 1; run >= index.directory.firstRun(queue); run--) {
        if (!fits(index.run(queue, run))) return offset;
      }
    }
    return offset;
  }

  /** Nothing of a queue before this offset is served from now on. */
  setFloor(topicId: number, partition: number, offset: number): void {
    const entry = this.entries.get(queueKey(topicId, partition));
    if (entry) entry.floor = Math.max(entry.floor, offset);
  }

  /** Forgets the oldest segment. Its files are the caller's. */
  dropSegment(base: number): void {
    const [oldest] = this.sealedSegments;
    assert(oldest?.base === base, `segment ${base} is not the oldest sealed one`);
    for (const entry of this.entries.values()) {
      if (entry.segmentCount > 0 && entry.ordinals[0] === oldest.ordinal) entry.dropFirst();
    }
    this.sealedSegments.shift();
    this.lengthBytes -= oldest.lengthBytes;
    this.unload(base);
    this.unwritten.delete(base);
    this.lost.delete(base);
  }

  /** Forgets a queue of a deleted topic that has no runs any more. */
  forget(topicId: number, partition: number): void {
    const key = queueKey(topicId, partition);
    const entry = this.entries.get(key);
    if (entry && entry.segmentCount === 0 && entry.openCount === 0) {
      this.entries.delete(key);
      this.sorted = undefined;
    }
  }

  /** All queues, for retention and figures. */
  queues(): Iterable<QueueEntry> {
    return this.entries.values();
  }

  /** Sealed segments, oldest first. */
  get segments(): readonly SealedSegment[] {
    return this.sealedSegments;
  }

  /** Base of the unsealed segment. */
  get unsealedBase(): number {
    return this.openBase;
  }

  /** Every byte of the log before this position that belongs to a known run is in its file. */
  get whole(): number {
    return this.wholeEnd;
  }

  /** Base of the segment that a log position lies in; undefined if that segment is gone. */
  segmentOf(position: number): number | undefined {
    if (position >= this.openBase) return this.openBase;
    let low = 0;
    let high = this.sealedSegments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.sealedSegments[middle].base <= position) low = middle + 1;
      else high = middle;
    }
    return this.sealedSegments[low - 1]?.base;
  }

  private entryOf(topicId: number, partition: number, firstOffset: number): QueueEntry {
    const key = queueKey(topicId, partition);
    let entry = this.entries.get(key);
    if (!entry) {
      entry = new QueueEntry(topicId, partition, firstOffset);
      this.entries.set(key, entry);
      this.sorted = undefined;
    }
    return entry;
  }

  private newSegment(base: number, lengthBytes: number, storedLast: number): SealedSegment {
    const segment = { ordinal: this.nextOrdinal++, base, lengthBytes, storedLast };
    this.sealedSegments.push(segment);
    return segment;
  }

  private openRun(entry: QueueEntry, column: Float64Array, value: number, above: boolean): Run | undefined {
    let low = 0;
    let high = entry.openCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = column[entry.openRuns[middle]];
      if (above ? there > value : there >= value) high = middle;
      else low = middle + 1;
    }
    return low < entry.openCount ? this.columns.run(entry.openRuns[low]) : undefined;
  }

  /** The indexes of the unsealed segment's runs, by queue and offset. */
  private order(): Int32Array {
    const order = new Int32Array(this.columns.count);
    let at = 0;
    this.sorted ??= [...this.entries.keys()].sort((a, b) => a - b).map((key) => this.entries.get(key)!);
    for (const { openRuns, openCount } of this.sorted) {
      order.set(openRuns.subarray(0, openCount), at);
      at += openCount;
    }
    return order;
  }

  /** The log has gone on in another segment, or the unsealed one has grown for a batch larger than a block. */
  private roll(position: number): void {
    while (position >= this.openEnd) {
      const end = this.openBase + fileLength(this.disk, segmentName(this.openBase));
      if (end > this.openEnd) {
        this.lengthBytes += end - this.openEnd;
        this.openEnd = end;
      } else {
        assert(this.disk.exists(segmentName(end)), `no segment of the log holds position ${position}`);
        this.sealed(this.openBase, end);
      }
    }
  }

  private load(ordinal: number): SegmentIndex | undefined {
    const { base } = this.sealedSegments[ordinal - this.sealedSegments[0].ordinal];
    const known = this.loaded.get(base) ?? this.unwritten.get(base);
    if (known) {
      // To the end of the row: it was used last.
      if (this.loaded.delete(base)) this.loaded.set(base, known);
      return known;
    }
    if (this.lost.has(base)) return undefined;
    const index = loadSegmentIndex(this.disk, base) ?? this.rebuild?.(base);
    if (!index) {
      this.lost.add(base);
      this.lostSegments++;
      return undefined;
    }
    this.keep(index);
    return index;
  }

  private keep(index: SegmentIndex): void {
    this.loaded.set(index.base, index);
    this.loadedBytes += index.buffer.byteLength;
    for (const base of this.loaded.keys()) {
      if (this.loadedBytes <= this.cacheBytes || base === index.base) break;
      this.unload(base);
    }
  }

  private unload(base: number): void {
    const index = this.loaded.get(base);
    if (!index) return;
    this.loaded.delete(base);
    this.loadedBytes -= index.buffer.byteLength;
    // One that could not be written is needed still (I2).
    if (!this.unwritten.has(base)) this.recycled = index.buffer;
  }
}
