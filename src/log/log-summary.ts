// What is in a log, for people: segments, queues, times, damage. Added up from the runs of its segments.
import { queueKey, type Run } from './run.ts';

/** One segment. Times are milliseconds since 1970, 0 where there is none. */
export interface SegmentInspection {
  readonly name: string;
  readonly base: number;
  readonly lengthBytes: number;
  /** Log position behind its last good block. */
  readonly end: number;
  readonly sealed: boolean;
  /** `none` is as it should be for the last one; the others get theirs back at the next start. */
  readonly index: 'good' | 'none' | 'damaged';
  /** Only if all blocks were read. */
  readonly blocks?: number;
  readonly runs: number;
  readonly records: number;
  readonly storedFirst: number;
  readonly storedLast: number;
}

/** What the log has of one partition of a topic. */
export interface QueueInspection {
  readonly topicId: number;
  readonly partition: number;
  readonly oldestOffset: number;
  readonly nextOffset: number;
  readonly records: number;
  readonly bytes: number;
  readonly storedFirst: number;
  readonly storedLast: number;
}

export type DamageKind =
  /** Bytes that are not what was written. */
  | 'block'
  /** A segment between two others is not there. */
  | 'segment'
  /** Offsets of a queue jump. */
  | 'offsets'
  /** An index file that is damaged or speaks of other runs: harmless, it is made again. */
  | 'index';

export interface LogDamage {
  readonly kind: DamageKind;
  readonly file: string;
  /** Log positions: from the first bad byte to the next good one. */
  readonly from: number;
  readonly to: number;
  /** In words. */
  readonly text: string;
  /** The broker knows of it: it was set aside at a start, and readers are told of the gap. */
  readonly known: boolean;
}

export interface LogInspection {
  readonly segments: readonly SegmentInspection[];
  readonly queues: readonly QueueInspection[];
  readonly damage: readonly LogDamage[];
  /** Log position behind the last good block. */
  readonly end: number;
  readonly lengthBytes: number;
  readonly spares: number;
}

interface LogRange {
  readonly from: number;
  readonly to: number;
}

type SegmentFacts = Omit<SegmentInspection, 'runs' | 'records' | 'storedFirst' | 'storedLast'>;

interface MutableQueue {
  topicId: number;
  partition: number;
  oldestOffset: number;
  nextOffset: number;
  records: number;
  bytes: number;
  storedFirst: number;
  storedLast: number;
  /** Log position behind its last run. */
  end: number;
}

/** Adds up what segments have, oldest first. */
export class LogSummary {
  readonly damage: LogDamage[] = [];
  private readonly segments: SegmentInspection[] = [];
  private readonly queues = new Map<number, MutableQueue>();
  private readonly known: readonly LogRange[];

  /** `known`: damage that was set aside at a start. */
  constructor(known: readonly LogRange[] = []) {
    this.known = known;
  }

  /** A segment with its runs in the order of their positions. */
  add(segment: SegmentFacts, runs: readonly Run[]): void {
    let records = 0;
    let storedFirst = runs.length === 0 ? 0 : Number.POSITIVE_INFINITY;
    let storedLast = 0;
    for (const run of runs) {
      records += run.records;
      storedFirst = Math.min(storedFirst, run.storedFirst);
      storedLast = Math.max(storedLast, run.storedFirst + run.storedSpan);
      this.addRun(segment.name, run);
    }
    this.segments.push({ ...segment, runs: runs.length, records, storedFirst, storedLast });
  }

  result(): Pick<LogInspection, 'segments' | 'queues' | 'damage'> {
    const queues = [...this.queues.values()].sort((a, b) => a.topicId - b.topicId || a.partition - b.partition);
    return { segments: this.segments, queues, damage: this.damage };
  }

  private addRun(file: string, run: Run): void {
    const { topicId, partition, baseOffset, nextOffset, storedFirst, storedSpan, position } = run;
    const key = queueKey(topicId, partition);
    let queue = this.queues.get(key);
    if (!queue) {
      const counts = { records: 0, bytes: 0, storedFirst, storedLast: storedFirst, end: position };
      queue = { topicId, partition, oldestOffset: baseOffset, nextOffset: baseOffset, ...counts };
      this.queues.set(key, queue);
    }
    if (baseOffset !== queue.nextOffset) {
      const text = `topic ${topicId}, partition ${partition}: offset ${queue.nextOffset} is followed by ${baseOffset}`;
      const { end } = queue;
      const known = this.known.some((range) => range.from >= end && range.to <= position);
      this.damage.push({ kind: 'offsets', file, from: position, to: position + run.size, text, known });
    }
    queue.nextOffset = Math.max(queue.nextOffset, nextOffset);
    queue.end = position + run.size;
    queue.records += run.records;
    queue.bytes += run.size;
    queue.storedFirst = Math.min(queue.storedFirst, storedFirst);
    queue.storedLast = Math.max(queue.storedLast, storedFirst + storedSpan);
  }
}
