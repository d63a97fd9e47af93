// What the log index keeps in memory of one queue: in which segments it has runs and how far each of them goes, and the
// indexes of its runs in the unsealed segment. One owner: the log reader thread.
import { grownFloats, grownInts } from './run-columns.ts';
import { firstAtLeast } from './segment-directory.ts';

const FIRST_SEGMENTS = 4;
const FIRST_RUNS = 4;

export class QueueEntry {
  readonly topicId: number;
  readonly partition: number;
  /** Offset behind the newest run. */
  end: number;
  /** First offset of the oldest run that is still there; `end` if there is none. */
  first: number;
  /** Nothing before this offset is served: the topic keeps less than the log does. */
  floor = 0;
  /** Sealed segments with runs of this queue, oldest first. */
  segmentCount = 0;
  ordinals = new Int32Array(FIRST_SEGMENTS);
  /** Offset behind the queue's last run in the segment. */
  nextOffsets = new Float64Array(FIRST_SEGMENTS);
  /** When its last batch there was stored, or one before it, whichever is later: never falls. */
  storedLasts = new Float64Array(FIRST_SEGMENTS);
  /** Bytes of its runs there. */
  bytes = new Float64Array(FIRST_SEGMENTS);
  /** Runs in the unsealed segment: their indexes in its columns, in the order of their offsets. */
  openCount = 0;
  openRuns = new Int32Array(FIRST_RUNS);
  openBytes = 0;
  /** When the newest batch was stored, as above. */
  storedLast = 0;

  constructor(topicId: number, partition: number, firstOffset: number) {
    this.topicId = topicId;
    this.partition = partition;
    this.end = firstOffset;
    this.first = firstOffset;
  }

  /** Oldest offset that is served. */
  get oldest(): number {
    return Math.min(this.end, Math.max(this.first, this.floor));
  }

  /** Bytes of all its runs. */
  get totalBytes(): number {
    let sum = this.openBytes;
    for (let i = 0; i < this.segmentCount; i++) sum += this.bytes[i];
    return sum;
  }

  addSegment(ordinal: number, nextOffset: number, storedLast: number, bytes: number): void {
    const i = this.segmentCount++;
    if (i === this.ordinals.length) {
      this.ordinals = grownInts(this.ordinals);
      this.nextOffsets = grownFloats(this.nextOffsets);
      this.storedLasts = grownFloats(this.storedLasts);
      this.bytes = grownFloats(this.bytes);
    }
    this.ordinals[i] = ordinal;
    this.nextOffsets[i] = nextOffset;
    this.storedLast = Math.max(this.storedLast, storedLast);
    this.storedLasts[i] = this.storedLast;
    this.bytes[i] = bytes;
    this.end = Math.max(this.end, nextOffset);
  }

  /** HOT */
  addOpen(index: number, nextOffset: number, storedLast: number, bytes: number): void {
    if (this.openCount === this.openRuns.length) this.openRuns = grownInts(this.openRuns);
    this.openRuns[this.openCount++] = index;
    this.openBytes += bytes;
    this.end = nextOffset;
    this.storedLast = storedLast;
  }

  /** Its runs of the unsealed segment are in a sealed one from now on. */
  sealOpen(ordinal: number): void {
    if (this.openCount === 0) return;
    this.addSegment(ordinal, this.end, this.storedLast, this.openBytes);
    this.openCount = 0;
    this.openBytes = 0;
    // A queue that was busy once need not stay large.
    if (this.openRuns.length > 64) this.openRuns = new Int32Array(FIRST_RUNS);
  }

  /** Its oldest segment is gone. */
  dropFirst(): void {
    this.first = this.nextOffsets[0];
    this.segmentCount--;
    for (const column of [this.ordinals, this.nextOffsets, this.storedLasts, this.bytes]) column.copyWithin(0, 1);
  }

  /** Place of the first segment with offsets behind `offset`; segmentCount if there is none. */
  segmentBehind(offset: number): number {
    return firstAtLeast(this.nextOffsets, 0, this.segmentCount, offset, true);
  }

  /** Place of the first segment with a batch stored at a time or later; segmentCount if there is none. */
  segmentSince(timeMs: number): number {
    return firstAtLeast(this.storedLasts, 0, this.segmentCount, timeMs, false);
  }
}
