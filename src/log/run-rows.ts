// Runs as rows of numbers: many of them without an object each, and cheap to send between threads.
import { queueKey, type Run } from './run.ts';

/** What a segment has of one queue. */
export interface QueueSpan {
  readonly topicId: number;
  readonly partition: number;
  readonly firstOffset: number;
  readonly nextOffset: number;
}

/** Numbers per run. */
const COLUMNS = 11;
const FIRST_ROWS = 256;

/** A growing table of runs, a row for each. */
export class RunRows {
  private rows = new Float64Array(COLUMNS * FIRST_ROWS);
  private used = 0;

  add(run: Run): void {
    if (this.used === this.rows.length) {
      const larger = new Float64Array(this.rows.length * 2);
      larger.set(this.rows);
      this.rows = larger;
    }
    const { rows, used } = this;
    rows[used] = run.topicId;
    rows[used + 1] = run.partition;
    rows[used + 2] = run.baseOffset;
    rows[used + 3] = run.nextOffset;
    rows[used + 4] = run.storedFirst;
    rows[used + 5] = run.storedSpan;
    rows[used + 6] = run.epoch;
    rows[used + 7] = run.flags;
    rows[used + 8] = run.records;
    rows[used + 9] = run.position;
    rows[used + 10] = run.size;
    this.used += COLUMNS;
  }

  /** All of them in memory of their own, as long as need be. */
  toArray(): Float64Array<ArrayBuffer> {
    return this.rows.slice(0, this.used);
  }
}

/** How many runs an array of toArray() holds. */
export function runCount(rows: Float64Array): number {
  return rows.length / COLUMNS;
}

/** One run of an array of toArray(). */
export function runAt(rows: Float64Array, index: number): Run {
  const at = index * COLUMNS;
  return {
    topicId: rows[at],
    partition: rows[at + 1],
    baseOffset: rows[at + 2],
    nextOffset: rows[at + 3],
    storedFirst: rows[at + 4],
    storedSpan: rows[at + 5],
    epoch: rows[at + 6],
    flags: rows[at + 7],
    records: rows[at + 8],
    position: rows[at + 9],
    size: rows[at + 10],
  };
}

/** The runs of an array of toArray(), one after the other. */
export function* runsOf(rows: Float64Array, order: 'oldest-first' | 'newest-first' = 'oldest-first'): Generator<Run> {
  const count = runCount(rows);
  for (let index = 0; index < count; index++) yield runAt(rows, order === 'oldest-first' ? index : count - 1 - index);
}

/** First and next offset of every queue in an array of toArray(). */
export function spansOf(rows: Float64Array): Iterable<QueueSpan> {
  const spans = new Map<number, { -readonly [K in keyof QueueSpan]: QueueSpan[K] }>();
  for (let at = 0; at < rows.length; at += COLUMNS) {
    const key = queueKey(rows[at], rows[at + 1]);
    const span = spans.get(key);
    if (span !== undefined) span.nextOffset = Math.max(span.nextOffset, rows[at + 3]);
    else {
      const [topicId, partition, firstOffset, nextOffset] = rows.subarray(at, at + 4);
      spans.set(key, { topicId, partition, firstOffset, nextOffset });
    }
  }
  return spans.values();
}
