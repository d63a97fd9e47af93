// The front of a segment's index file: which queues have runs in the segment.
import {
  INDEX_BASE,
  INDEX_END,
  INDEX_QUEUES,
  INDEX_RUNS,
  INDEX_STORED_FIRST,
  INDEX_STORED_LAST,
} from '../../native-layout/segment-index.ts';

const NAME_DIGITS = 20;

/** Name of the index file of the segment that begins at a log position. */
export function indexName(base: number): string {
  return `${String(base).padStart(NAME_DIGITS, '0')}.idx`;
}

/** Which queues have runs in a segment, and what of each. Columns, sorted by topic id and partition number. */
export class SegmentDirectory {
  readonly base: number;
  /** Log position up to which runs are in the index. */
  readonly end: number;
  readonly queueCount: number;
  readonly runCount: number;
  /** Milliseconds since 1970 of the first and the last batch; 0 without runs. */
  readonly storedFirst: number;
  readonly storedLast: number;
  readonly firstOffsets: Float64Array;
  readonly nextOffsets: Float64Array;
  readonly storedFirsts: Float64Array;
  readonly storedLasts: Float64Array;
  readonly bytes: Float64Array;
  readonly topicIds: Int32Array;
  readonly partitions: Int32Array;
  private readonly firstRuns: Int32Array;

  /** Over bytes of an index file, header and directory, that were verified. */
  constructor(header: DataView, buffer: ArrayBuffer, at: number) {
    this.base = header.getFloat64(INDEX_BASE, true);
    this.end = header.getFloat64(INDEX_END, true);
    this.queueCount = header.getUint32(INDEX_QUEUES, true);
    this.runCount = header.getUint32(INDEX_RUNS, true);
    this.storedFirst = header.getFloat64(INDEX_STORED_FIRST, true);
    this.storedLast = header.getFloat64(INDEX_STORED_LAST, true);
    const columns = new ColumnsOf(buffer, at, this.queueCount);
    this.firstOffsets = columns.floats();
    this.nextOffsets = columns.floats();
    this.storedFirsts = columns.floats();
    this.storedLasts = columns.floats();
    this.bytes = columns.floats();
    this.topicIds = columns.ints();
    this.partitions = columns.ints();
    this.firstRuns = columns.ints();
  }

  /** Place of a queue in the columns; -1 if it has nothing here. */
  find(topicId: number, partition: number): number {
    let low = 0;
    let high = this.queueCount - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = this.topicIds[middle] - topicId || this.partitions[middle] - partition;
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Index of the queue's first run. */
  firstRun(queue: number): number {
    return this.firstRuns[queue];
  }

  /** Index behind its last run. */
  endRun(queue: number): number {
    return queue + 1 < this.queueCount ? this.firstRuns[queue + 1] : this.runCount;
  }
}

/** Index of the first value that is at least (or `above`: larger than) the wanted one in a part that never falls. */
export function firstAtLeast(column: Float64Array, from: number, end: number, value: number, above: boolean): number {
  let low = from;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (above ? column[middle] > value : column[middle] >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Takes columns of one length out of a buffer, one after the other. */
export class ColumnsOf {
  private readonly buffer: ArrayBuffer;
  private at: number;
  private readonly count: number;

  constructor(buffer: ArrayBuffer, at: number, count: number) {
    this.buffer = buffer;
    this.at = at;
    this.count = count;
  }

  floats(): Float64Array<ArrayBuffer> {
    const column = new Float64Array(this.buffer, this.at, this.count);
    this.at += column.byteLength;
    return column;
  }

  ints(): Int32Array<ArrayBuffer> {
    const column = new Int32Array(this.buffer, this.at, this.count);
    this.at += column.byteLength;
    return column;
  }
}
