// The index file of one segment: written once when the segment is sealed (and at an orderly stop for the unsealed one),
// loaded when somebody reads there. Bytes: native-layout/segment-index.ts.
//
// Who writes: the log reader thread, and recovery before it starts. Who reads: whoever opens the log.
// I1  A file appears under its name complete and on the disk: temporary name, sync, rename, sync of the folder.
// I2  What is loaded is what was written: every byte is under a CRC. Bad bytes are `undefined`, never an exception.
import { crc32 } from 'node:zlib';
import {
  INDEX_BASE,
  INDEX_CRC,
  INDEX_END,
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
  INDEX_MAGIC_VALUE,
  INDEX_QUEUES,
  INDEX_QUEUES_CRC,
  INDEX_RUNS,
  INDEX_RUNS_CRC,
  INDEX_STORED_FIRST,
  INDEX_STORED_LAST,
  INDEX_VERSION,
  INDEX_VERSION_VALUE,
  indexQueuesBytes,
  indexRunsBytes,
} from '../../native-layout/segment-index.ts';
import { assert } from '../base/fault.ts';
import { crashPoint } from './crash-point.ts';
import { type Disk, type DiskFile, isOutOfFiles } from './disk.ts';
import type { Run } from './run.ts';
import { RunColumns } from './run-columns.ts';
import { ColumnsOf, firstAtLeast, indexName, SegmentDirectory } from './segment-directory.ts';
import { replaceFile } from './segment-files.ts';

const SLACK_SHIFT = 4;

/** All runs of a segment. About 56 bytes a run and 52 a queue. */
export class SegmentIndex {
  readonly directory: SegmentDirectory;
  /** Memory that begins with the bytes of its file. */
  readonly buffer: ArrayBuffer;
  private readonly baseOffsets: Float64Array;
  private readonly nextOffsets: Float64Array;
  private readonly storedFirsts: Float64Array;
  private readonly storedLasts: Float64Array;
  private readonly positions: Uint32Array;
  private readonly sizes: Int32Array;
  private readonly storedSpans: Int32Array;
  private readonly epochs: Int32Array;
  private readonly flags: Int32Array;
  private readonly records: Int32Array;

  /** Over the bytes of an index file that were verified. */
  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.directory = new SegmentDirectory(new DataView(buffer), buffer, INDEX_HEADER_BYTES);
    const { queueCount, runCount } = this.directory;
    const columns = new ColumnsOf(buffer, INDEX_HEADER_BYTES + indexQueuesBytes(queueCount), runCount);
    this.baseOffsets = columns.floats();
    this.nextOffsets = columns.floats();
    this.storedFirsts = columns.floats();
    this.storedLasts = columns.floats();
    const positions = columns.ints();
    this.positions = new Uint32Array(positions.buffer, positions.byteOffset, runCount);
    this.sizes = columns.ints();
    this.storedSpans = columns.ints();
    this.epochs = columns.ints();
    this.flags = columns.ints();
    this.records = columns.ints();
  }

  get base(): number {
    return this.directory.base;
  }
  /** The bytes of its file. */
  get bytes(): Uint8Array<ArrayBuffer> {
    const { queueCount, runCount } = this.directory;
    return new Uint8Array(this.buffer, 0, indexBytes(queueCount, runCount));
  }
  /** Log position up to which runs are in it. */
  get end(): number {
    return this.directory.end;
  }

  /** The queue's run that contains the offset, or its first one after it; undefined if all are before it. */
  find(topicId: number, partition: number, offset: number): Run | undefined {
    return this.firstWhere(this.nextOffsets, topicId, partition, offset, 1);
  }

  /** The queue's first run with a batch that was stored at a time or later. */
  locate(topicId: number, partition: number, timeMs: number): Run | undefined {
    return this.firstWhere(this.storedLasts, topicId, partition, timeMs, 0);
  }

  /** All runs, by queue and offset. */
  *runs(): Generator<Run> {
    for (let queue = 0; queue < this.directory.queueCount; queue++) yield* this.runsOf(queue);
  }

  /** The runs of one queue (its place in the directory), by offset. */
  *runsOf(queue: number): Generator<Run> {
    const end = this.directory.endRun(queue);
    for (let i = this.directory.firstRun(queue); i < end; i++) yield this.run(queue, i);
  }

  /** The run with an index, of the queue at that place of the directory. */
  run(queue: number, i: number): Run {
    return {
      topicId: this.directory.topicIds[queue],
      partition: this.directory.partitions[queue],
      baseOffset: this.baseOffsets[i],
      nextOffset: this.nextOffsets[i],
      storedFirst: this.storedFirsts[i],
      storedSpan: this.storedSpans[i],
      epoch: this.epochs[i],
      flags: this.flags[i],
      records: this.records[i],
      position: this.base + this.positions[i],
      size: this.sizes[i],
    };
  }

  private firstWhere(column: Float64Array, topicId: number, partition: number, value: number, more: 0 | 1) {
    const queue = this.directory.find(topicId, partition);
    if (queue < 0) return undefined;
    const end = this.directory.endRun(queue);
    const i = firstAtLeast(column, this.directory.firstRun(queue), end, value, more === 1);
    return i < end ? this.run(queue, i) : undefined;
  }
}

/** Writes the index of a segment. Runs come in any order, those of a queue in the order of their offsets. */
export function writeSegmentIndex(disk: Disk, base: number, runs: Iterable<Run>, endPosition: number): SegmentIndex {
  const index = segmentIndexOf(base, runs, endPosition);
  writeIndex(disk, index);
  return index;
}

/** The index of the runs of a segment, which come in the order of the log. */
export function segmentIndexOf(base: number, runs: Iterable<Run>, endPosition: number): SegmentIndex {
  const columns = new RunColumns();
  for (const run of runs) columns.add(run, run.storedFirst + run.storedSpan);
  const order = Int32Array.from({ length: columns.count }, (_, i) => i);
  order.sort(
    (a, b) =>
      columns.topicId[a] - columns.topicId[b] ||
      columns.partition[a] - columns.partition[b] ||
      columns.nextOffset[a] - columns.nextOffset[b],
  );
  return encodeIndex(base, columns, order, endPosition);
}

/** Puts an index on the disk. */
export function writeIndex(disk: Disk, index: SegmentIndex): void {
  replaceFile(disk, indexName(index.base), index.bytes);
  crashPoint('log.index-written');
}

/**
 * The index of the runs of a segment, from columns and the order of the runs by queue and offset. In `memory` that
 * nobody uses any more, if it is large enough and not much too large: fresh memory costs more than what is done in it.
 */
export function encodeIndex(
  base: number,
  columns: RunColumns,
  order: Int32Array,
  end: number,
  memory?: ArrayBuffer,
): SegmentIndex {
  const starts = queueStarts(columns, order);
  const runsAt = INDEX_HEADER_BYTES + indexQueuesBytes(starts.length);
  const lengthBytes = indexBytes(starts.length, order.length);
  const isFit = memory !== undefined && memory.byteLength >= lengthBytes && memory.byteLength <= 2 * lengthBytes;
  // Some more than it needs, so that the next one fits too.
  const buffer = isFit ? memory : new ArrayBuffer(lengthBytes + (lengthBytes >> SLACK_SHIFT));
  const bytes = new Uint8Array(buffer, 0, lengthBytes);
  bytes.fill(0, 0, runsAt);
  const times = encodeRuns(new ColumnsOf(buffer, runsAt, order.length), base, columns, order, starts);
  encodeQueues(new ColumnsOf(buffer, INDEX_HEADER_BYTES, starts.length), columns, order, starts);
  const header = new DataView(buffer);
  header.setUint32(INDEX_MAGIC, INDEX_MAGIC_VALUE, true);
  header.setUint32(INDEX_VERSION, INDEX_VERSION_VALUE, true);
  header.setUint32(INDEX_QUEUES, starts.length, true);
  header.setUint32(INDEX_RUNS, order.length, true);
  header.setFloat64(INDEX_BASE, base, true);
  header.setFloat64(INDEX_END, end, true);
  header.setFloat64(INDEX_STORED_FIRST, times.first, true);
  header.setFloat64(INDEX_STORED_LAST, times.last, true);
  header.setUint32(INDEX_QUEUES_CRC, crc32(bytes.subarray(INDEX_HEADER_BYTES, runsAt)), true);
  header.setUint32(INDEX_RUNS_CRC, crc32(bytes.subarray(runsAt)), true);
  header.setUint32(INDEX_CRC, crc32(bytes.subarray(0, INDEX_CRC)), true);
  return new SegmentIndex(buffer);
}

function indexBytes(queues: number, runs: number): number {
  return INDEX_HEADER_BYTES + indexQueuesBytes(queues) + indexRunsBytes(runs);
}

/** Places in `order` where a queue begins. */
function queueStarts(columns: RunColumns, order: Int32Array): Int32Array {
  const starts: number[] = [];
  for (let i = 0; i < order.length; i++) {
    const previous = order[i - 1];
    const same =
      i > 0 &&
      columns.topicId[order[i]] === columns.topicId[previous] &&
      columns.partition[order[i]] === columns.partition[previous];
    if (!same) starts.push(i);
  }
  return Int32Array.from(starts);
}

function encodeRuns(into: ColumnsOf, base: number, columns: RunColumns, order: Int32Array, starts: Int32Array) {
  const wide = [into.floats(), into.floats(), into.floats(), into.floats()];
  const narrow = Array.from({ length: 6 }, () => into.ints());
  let nextStart = 0;
  let queueLast = 0;
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (let i = 0; i < order.length; i++) {
    const from = order[i];
    if (i === starts[nextStart]) {
      nextStart++;
      queueLast = 0;
    }
    const behind = columns.position[from] - base;
    assert(behind >= 0 && behind < 2 ** 32, 'a run is not in its segment');
    queueLast = Math.max(queueLast, columns.storedFirst[from] + columns.storedSpan[from]);
    first = Math.min(first, columns.storedFirst[from]);
    last = Math.max(last, queueLast);
    wide[0][i] = columns.baseOffset[from];
    wide[1][i] = columns.nextOffset[from];
    wide[2][i] = columns.storedFirst[from];
    wide[3][i] = queueLast;
    narrow[0][i] = behind;
    narrow[1][i] = columns.size[from];
    narrow[2][i] = columns.storedSpan[from];
    narrow[3][i] = columns.epoch[from];
    narrow[4][i] = columns.flags[from];
    narrow[5][i] = columns.records[from];
  }
  return { first: order.length === 0 ? 0 : first, last };
}

function encodeQueues(into: ColumnsOf, columns: RunColumns, order: Int32Array, starts: Int32Array): void {
  const wide = Array.from({ length: 5 }, () => into.floats());
  const narrow = [into.ints(), into.ints(), into.ints()];
  for (let queue = 0; queue < starts.length; queue++) {
    const start = starts[queue];
    const end = starts[queue + 1] ?? order.length;
    let stored = Number.POSITIVE_INFINITY;
    let last = 0;
    let bytes = 0;
    for (let i = start; i < end; i++) {
      stored = Math.min(stored, columns.storedFirst[order[i]]);
      last = Math.max(last, columns.storedFirst[order[i]] + columns.storedSpan[order[i]]);
      bytes += columns.size[order[i]];
    }
    wide[0][queue] = columns.baseOffset[order[start]];
    wide[1][queue] = columns.nextOffset[order[end - 1]];
    wide[2][queue] = stored;
    wide[3][queue] = last;
    wide[4][queue] = bytes;
    narrow[0][queue] = columns.topicId[order[start]];
    narrow[1][queue] = columns.partition[order[start]];
    narrow[2][queue] = start;
  }
}

/** The index of a segment; undefined if the file is missing, damaged or of another version. Throws: isOutOfFiles(). */
export function loadSegmentIndex(disk: Disk, base: number): SegmentIndex | undefined {
  return withIndex(disk, base, (file, header) => {
    const buffer = new ArrayBuffer(file.size());
    const bytes = new Uint8Array(buffer);
    if (file.read(bytes, 0) !== bytes.length || !headerAgrees(bytes, base)) return undefined;
    const runsAt = INDEX_HEADER_BYTES + indexQueuesBytes(header.getUint32(INDEX_QUEUES, true));
    const view = new DataView(buffer);
    if (crc32(bytes.subarray(INDEX_HEADER_BYTES, runsAt)) !== view.getUint32(INDEX_QUEUES_CRC, true)) return undefined;
    if (crc32(bytes.subarray(runsAt)) !== view.getUint32(INDEX_RUNS_CRC, true)) return undefined;
    return new SegmentIndex(buffer);
  });
}

/** Only its directory of queues: a small read. Undefined as above. */
export function loadSegmentDirectory(disk: Disk, base: number): SegmentDirectory | undefined {
  return withIndex(disk, base, (file, header) => {
    const buffer = new ArrayBuffer(indexQueuesBytes(header.getUint32(INDEX_QUEUES, true)));
    const bytes = new Uint8Array(buffer);
    if (file.read(bytes, INDEX_HEADER_BYTES) !== bytes.length) return undefined;
    if (crc32(bytes) !== header.getUint32(INDEX_QUEUES_CRC, true)) return undefined;
    return new SegmentDirectory(header, buffer, 0);
  });
}

/** Opens an index file and checks its header and length first: no size in it is believed before. */
function withIndex<T>(disk: Disk, base: number, use: (file: DiskFile, header: DataView) => T): T | undefined {
  let file: DiskFile | undefined;
  try {
    file = disk.open(indexName(base), 'read');
    const bytes = new Uint8Array(INDEX_HEADER_BYTES);
    if (file.read(bytes, 0) !== bytes.length || !headerAgrees(bytes, base)) return undefined;
    const header = new DataView(bytes.buffer);
    const queues = header.getUint32(INDEX_QUEUES, true);
    const runs = header.getUint32(INDEX_RUNS, true);
    if (file.size() !== indexBytes(queues, runs)) return undefined;
    return use(file, header);
  } catch (error) {
    if (isOutOfFiles(error)) throw error;
    // Missing, or the disk cannot read it: the segment itself says the same.
    return undefined;
  } finally {
    file?.close();
  }
}

function headerAgrees(bytes: Uint8Array, base: number): boolean {
  const header = new DataView(bytes.buffer, bytes.byteOffset, INDEX_HEADER_BYTES);
  return (
    header.getUint32(INDEX_MAGIC, true) === INDEX_MAGIC_VALUE &&
    header.getUint32(INDEX_VERSION, true) === INDEX_VERSION_VALUE &&
    header.getFloat64(INDEX_BASE, true) === base &&
    header.getUint32(INDEX_CRC, true) === crc32(bytes.subarray(0, INDEX_CRC))
  );
}
