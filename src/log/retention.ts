// What the log no longer keeps: whole segments, oldest first, never the unsealed one. Rules of ADR 7, with RocketMQ's
// numbers. The decision is a pure function of numbers; doing it is the log reader thread's.
//
// I1  A segment is removed only after all older ones are, for good (sync of the folder in between): what is left after
//     a crash at any point is a log without a hole.
// I2  Before the last runs of a queue go, the place where its offsets go on is on the disk (expired-queues.ts).
import { crashPoint } from './crash-point.ts';
import type { Disk } from './disk.ts';
import { type ExpiredQueue, readExpired, writeExpired } from './expired-queues.ts';
import type { LogIndex, SealedSegment } from './log-index.ts';
import type { QueueEntry } from './queue-entry.ts';
import { queueKey } from './run.ts';
import { indexName } from './segment-directory.ts';
import { segmentName } from './segment-files.ts';
import { FORCE_ABOVE, removeIfThere, type SpareSegments } from './spare-segments.ts';

/** Part of the disk that is used: above it appends are refused ... */
export const FULL_ABOVE = 0.9;
/** ... until it is below this again. */
export const FULL_UNTIL = 0.88;
/** Segments that one pass removes at most: each costs the thread some milliseconds. */
export const REMOVED_PER_PASS = 8;

export interface RetentionLimits {
  /** How long messages are kept; 0: for ever. */
  readonly retentionMs: number;
  /** How large the log may be; 0: no limit. */
  readonly retentionBytes: number;
}

/** What the topic of a queue says; 0: as the broker does. */
export interface QueueLimits extends RetentionLimits {
  /** The topic is no more: nobody will read this. */
  readonly deleted: boolean;
}

export interface RetentionFacts {
  /** Sealed segments, oldest first: their lengths, and whether a queue wants what is in them. */
  readonly segments: readonly { readonly lengthBytes: number; readonly wanted: boolean }[];
  /** All segment files together. */
  readonly logBytes: number;
  readonly retentionBytes: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Of spare files, which go first. */
  readonly spareBytes: number;
  /** Appends are refused at present. */
  readonly full: boolean;
}

export interface RetentionDecision {
  /** How many of the oldest segments go. */
  readonly removeCount: number;
  /** Why the last of them goes. */
  readonly reason: 'none' | 'age' | 'size' | 'disk';
  /** There is room for spare segments. */
  readonly sparesAllowed: boolean;
  readonly full: boolean;
}

/** Which segments go, and whether appends are refused. */
export function decideRetention(facts: RetentionFacts): RetentionDecision {
  const used = facts.totalBytes > 0 ? 1 - facts.freeBytes / facts.totalBytes : 0;
  const sparesAllowed = used <= FORCE_ABOVE;
  // Bytes that must go for the disk to be below the watermark; the spares are the first of them.
  let tooMany = sparesAllowed ? 0 : (used - FORCE_ABOVE) * facts.totalBytes - facts.spareBytes;
  let logBytes = facts.logBytes;
  let removeCount = 0;
  let reason: RetentionDecision['reason'] = 'none';
  for (const { lengthBytes, wanted } of facts.segments) {
    if (removeCount === REMOVED_PER_PASS) break;
    if (tooMany > 0) reason = 'disk';
    else if (facts.retentionBytes > 0 && logBytes > facts.retentionBytes) reason = 'size';
    else if (!wanted) reason = 'age';
    else break;
    removeCount++;
    logBytes -= lengthBytes;
    tooMany -= lengthBytes;
  }
  return { removeCount, reason, sparesAllowed, full: facts.full ? used >= FULL_UNTIL : used > FULL_ABOVE };
}

/** True if a queue's messages in one of its segments (its place in the entry) are to be kept. */
export function isWanted(entry: QueueEntry, place: number, own: QueueLimits, broker: RetentionLimits, nowMs: number) {
  if (own.deleted) return false;
  const retentionMs = own.retentionMs || broker.retentionMs;
  if (retentionMs > 0 && entry.storedLasts[place] + retentionMs <= nowMs) return false;
  if (own.retentionBytes === 0) return true;
  let newer = entry.openBytes;
  for (let i = place + 1; i < entry.segmentCount; i++) newer += entry.bytes[i];
  return newer < own.retentionBytes;
}

/** The first offset that a topic with limits of its own still serves; 0 if it has none. */
export function floorOf(index: LogIndex, entry: QueueEntry, own: QueueLimits, broker: RetentionLimits, nowMs: number) {
  const { topicId, partition } = entry;
  let floor = 0;
  if (own.retentionMs > 0 && (broker.retentionMs === 0 || own.retentionMs < broker.retentionMs)) {
    const since = nowMs - own.retentionMs + 1;
    // Mostly there is something to keep in the newest segment alone: no index file is read for that.
    floor = entry.storedLast < since ? entry.end : (index.locate(topicId, partition, since)?.baseOffset ?? entry.end);
  }
  if (own.retentionBytes > 0 && entry.totalBytes > own.retentionBytes) {
    floor = Math.max(floor, index.keeping(topicId, partition, own.retentionBytes));
  }
  return floor;
}

export interface RetentionOptions extends RetentionLimits {
  /** Hears that a segment's files are about to go: RunReader.forget(). */
  readonly forget: (base: number, lengthBytes: number) => void;
}

export interface RetentionOutcome extends RetentionDecision {
  readonly removed: readonly SealedSegment[];
}

export class Retention {
  private readonly disk: Disk;
  private readonly index: LogIndex;
  private readonly spares: SpareSegments;
  private readonly options: RetentionOptions;
  private full = false;
  /** A segment was removed, perhaps not for good yet (I1). */
  private unsynced = false;

  constructor(disk: Disk, index: LogIndex, spares: SpareSegments, options: RetentionOptions) {
    this.disk = disk;
    this.index = index;
    this.spares = spares;
    this.options = options;
  }

  /**
   * One pass: decides, removes, moves the oldest offsets of queues (LogIndex.oldest() has them). Throws the disk's
   * error; what was not removed is tried again by the next pass.
   */
  pass(nowMs: number, limitsOf: (topicId: number, partition: number) => QueueLimits): RetentionOutcome {
    if (this.unsynced) this.sync();
    const decision = decideRetention({
      segments: this.facts(nowMs, limitsOf),
      logBytes: this.index.lengthBytes,
      retentionBytes: this.options.retentionBytes,
      ...this.disk.space(),
      spareBytes: this.spares.lengthBytes,
      full: this.full,
    });
    this.full = decision.full;
    const removed = this.index.segments.slice(0, decision.removeCount);
    if (!decision.sparesAllowed) this.spares.removeAll();
    this.noteExpired(removed, limitsOf);
    for (const segment of removed) this.remove(segment, decision.sparesAllowed);
    for (const entry of this.index.queues()) {
      const own = limitsOf(entry.topicId, entry.partition);
      const floor = own.deleted ? 0 : floorOf(this.index, entry, own, this.options, nowMs);
      if (floor > entry.floor) this.index.setFloor(entry.topicId, entry.partition, floor);
    }
    return { ...decision, removed };
  }

  /** The oldest segments, as far as one pass may go, and who wants them. */
  private facts(nowMs: number, limitsOf: (topicId: number, partition: number) => QueueLimits) {
    const candidates = this.index.segments.slice(0, REMOVED_PER_PASS);
    const wanted = candidates.map(() => false);
    for (const entry of this.index.queues()) {
      const own = limitsOf(entry.topicId, entry.partition);
      for (let place = 0; place < entry.segmentCount; place++) {
        const which = entry.ordinals[place] - candidates[0].ordinal;
        if (which >= candidates.length) break;
        wanted[which] ||= isWanted(entry, place, own, this.options, nowMs);
      }
    }
    // What is in a segment that cannot be read is older than what is in the next one: it goes with it, never before.
    for (let i = candidates.length - 1; i >= 0; i--) {
      if (this.index.isLost(candidates[i].base)) wanted[i] = wanted[i + 1] ?? true;
    }
    return candidates.map(({ lengthBytes }, i) => ({ lengthBytes, wanted: wanted[i] }));
  }

  /** Puts the next offsets of queues that lose their last runs on the disk (I2). */
  private noteExpired(
    removed: readonly SealedSegment[],
    limitsOf: (topicId: number, partition: number) => QueueLimits,
  ): void {
    const last = removed.at(-1);
    if (!last) return;
    const known = new Map<number, ExpiredQueue>();
    for (const queue of readExpired(this.disk)) known.set(queueKey(queue.topicId, queue.partition), queue);
    const before = JSON.stringify([...known.values()]);
    for (const entry of this.index.queues()) {
      const { topicId, partition, end, openCount, segmentCount, ordinals } = entry;
      const key = queueKey(topicId, partition);
      const isGone = openCount === 0 && (segmentCount === 0 || ordinals[segmentCount - 1] <= last.ordinal);
      if (!isGone) known.delete(key);
      else if (limitsOf(topicId, partition).deleted) known.delete(key);
      else known.set(key, { topicId, partition, nextOffset: end });
    }
    if (JSON.stringify([...known.values()]) !== before) writeExpired(this.disk, [...known.values()]);
  }

  private sync(): void {
    this.disk.syncFolder();
    this.unsynced = false;
  }

  private remove(segment: SealedSegment, asSpare: boolean): void {
    const name = segmentName(segment.base);
    this.options.forget(segment.base, segment.lengthBytes);
    // An earlier pass may have failed behind this.
    if (asSpare && this.disk.exists(name)) this.spares.recycle(name);
    else removeIfThere(this.disk, name);
    // Nobody may look for it there any more, whatever fails behind this.
    this.index.dropSegment(segment.base);
    this.unsynced = true;
    crashPoint('log.retained');
    removeIfThere(this.disk, indexName(segment.base));
    this.sync();
  }
}
