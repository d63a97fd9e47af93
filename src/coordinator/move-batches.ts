// Cuts the records of a move into the batches that are published: one partition each, no larger than the topic takes.
// The same records and the same plan give the same batches again, after a restart too: that is why a plan is written
// down with the intent.
import {
  BATCH_BORN_FIRST,
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_SIZE,
  isBatchMagic,
  isSparse,
  MAGIC_KEYS,
  MAGIC_WORD,
} from '../../native-layout/batch.ts';
import {
  BATCH_RECORDS_MAX,
  RECORD_BODY_LENGTH,
  RECORD_HEADER_BYTES,
  RECORD_KEY_LENGTH,
  RECORD_OFFSET_DELTA,
  RECORD_SIZE,
} from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';
import { hashUtf8 } from '../record/text.ts';

/** Decides which record goes where. */
export interface MovePlan {
  /** Partitions of the topic when the move began: keys are spread over so many. 0: all records go to `partition`. */
  readonly spread: number;
  /** Number of the partition for records without a key. */
  readonly partition: number;
  /** Most bytes of a batch of two or more records. */
  readonly batchBytes: number;
}

/** A batch of a move: header complete but for what its publisher stamps. */
export interface PlannedBatch {
  readonly partition: number;
  readonly count: number;
  readonly bytes: Uint8Array;
  /** Which records of the move these are. */
  readonly ordinals: readonly number[];
}

/** A batch that is being filled: which records, and how long they are together. */
interface Filling {
  readonly partition: number;
  /** Byte index and length of each record, in turn. */
  readonly pieces: number[];
  readonly ordinals: number[];
  length: number;
  keyed: boolean;
}

/**
 * The batches of some records; `payload` holds whole batches (their headers say nothing but sizes). Throws
 * `message-too-large` for a record that needs a batch of more than `batchMaxBytes`, `malformed-batch` for no records.
 */
export function planBatches(payload: Uint8Array, plan: MovePlan, batchMaxBytes: number): PlannedBatch[] {
  const bytes = payload.byteOffset % 4 === 0 ? payload : payload.slice();
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const all: Filling[] = [];
  const open = new Map<number, Filling>();
  let ordinal = 0;
  for (let batch = 0; batch < bytes.length; batch += words[batch >> 2]) {
    const size = words[batch >> 2];
    if (!isWhole(words, batch, bytes.length)) throw new RingmqError('malformed-batch', 'a move of what is no batch');
    for (let at = batch + BATCH_HEADER_BYTES; at < batch + size; at += words[(at + RECORD_SIZE) >> 2]) {
      const length = words[(at + RECORD_SIZE) >> 2];
      if (length < RECORD_HEADER_BYTES || length > batch + size - at) throw new RingmqError('malformed-batch');
      if (BATCH_HEADER_BYTES + length > batchMaxBytes) {
        throw new RingmqError('message-too-large', `a message of ${length} bytes; its topic takes ${batchMaxBytes}`);
      }
      add(all, open, plan, bytes, words, at, length, ordinal++);
    }
  }
  if (all.length === 0) throw new RingmqError('malformed-batch', 'a move without records');
  return all.map((one) => build(one, bytes));
}

function isWhole(words: Int32Array, at: number, end: number): boolean {
  const size = words[at >> 2];
  if (end - at < BATCH_HEADER_BYTES || size < BATCH_HEADER_BYTES || size > end - at || (size & 7) !== 0) return false;
  const magic = words[(at + BATCH_MAGIC) >> 2];
  return isBatchMagic(magic) || isSparse(magic);
}

function add(
  all: Filling[],
  open: Map<number, Filling>,
  plan: MovePlan,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
  length: number,
  ordinal: number,
): void {
  const keyLength = words[(at + RECORD_KEY_LENGTH) >> 2] & 0xffff;
  let { partition } = plan;
  if (plan.spread > 0 && keyLength > 0) {
    const keyAt = at + RECORD_HEADER_BYTES + words[(at + RECORD_BODY_LENGTH) >> 2];
    partition = (hashUtf8(bytes, keyAt, keyAt + keyLength) >>> 0) % plan.spread;
  }
  let filling = open.get(partition);
  const isFull =
    filling !== undefined &&
    (filling.length + length > plan.batchBytes || filling.pieces.length >= 2 * BATCH_RECORDS_MAX);
  if (filling === undefined || isFull) {
    filling = { partition, pieces: [], ordinals: [], length: BATCH_HEADER_BYTES, keyed: false };
    open.set(partition, filling);
    all.push(filling);
  }
  filling.pieces.push(at, length);
  filling.ordinals.push(ordinal);
  filling.length += length;
  if (keyLength > 0) filling.keyed = true;
}

function build({ partition, pieces, ordinals, length, keyed }: Filling, source: Uint8Array): PlannedBatch {
  const bytes = new Uint8Array(length);
  const words = new Int32Array(bytes.buffer);
  const count = pieces.length >> 1;
  words[BATCH_SIZE >> 2] = length;
  words[BATCH_MAGIC >> 2] = MAGIC_WORD | (keyed ? MAGIC_KEYS : 0);
  words[BATCH_COUNT >> 2] = count;
  // Of the first record. How much later others were born is not kept (producers do not say it either).
  bytes.set(source.subarray(BATCH_BORN_FIRST, BATCH_BORN_FIRST + 8), BATCH_BORN_FIRST);
  let to = BATCH_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const at = pieces[2 * i];
    const size = pieces[2 * i + 1];
    bytes.set(source.subarray(at, at + size), to);
    words[(to + RECORD_OFFSET_DELTA) >> 2] = i;
    to += size;
  }
  return { partition, count, bytes, ordinals };
}
