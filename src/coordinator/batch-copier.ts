// Takes the records that are wanted out of a batch in a ring, with what a lease window must know of each.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { RECORD_KEY_LENGTH, RECORD_PRIORITY_SHIFT, RECORD_SIZE } from '../../native-layout/record.ts';
import type { RecordView } from '../record/batch-view.ts';
import type { GroupOrder } from '../wire/services.ts';
import { type LeaseChunks, NOT_KEPT, RECORD_MAX_BYTES } from './lease-chunks.ts';

const RECORDS_MIN = 1_024;
/** The key of all messages where the whole partition is in order. */
const ONE_KEY = 1;

/** One a desk, used again for every batch. */
export class BatchCopier {
  count = 0;
  offsets = new Float64Array(RECORDS_MIN);
  /** Byte place in the batch (NOT_KEPT: too large), then in the chunk. */
  places = new Int32Array(RECORDS_MIN);
  keys = new Int32Array(RECORDS_MIN);
  priorities = new Uint8Array(RECORDS_MIN);
  /** How often each message failed before it was stored here. */
  failures = new Uint16Array(RECORDS_MIN);
  private kept = BATCH_HEADER_BYTES;

  reset(): void {
    this.count = 0;
    this.kept = BATCH_HEADER_BYTES;
  }

  /** `failures`: how often it failed before it was stored here. HOT */
  add(record: RecordView, order: GroupOrder, failures: number): void {
    if (this.count === this.places.length) this.grow();
    const i = this.count++;
    const size = record.words[(record.at + RECORD_SIZE) >> 2];
    const kept = size <= RECORD_MAX_BYTES;
    if (kept) this.kept += size;
    this.places[i] = kept ? record.at : NOT_KEPT;
    this.offsets[i] = record.offset;
    this.keys[i] = order === 'none' ? 0 : order === 'partition' ? ONE_KEY : keyHash(record);
    this.priorities[i] = record.flags >>> RECORD_PRIORITY_SHIFT;
    this.failures[i] = failures;
  }

  /** Copies what was added into a chunk, and says where each record went. Returns its number. */
  copy(bytes: Uint8Array, words: Int32Array, batchAt: number, chunks: LeaseChunks): number {
    const id = chunks.add(this.kept, this.count);
    const target = chunks.of(id);
    target.bytes.set(bytes.subarray(batchAt, batchAt + BATCH_HEADER_BYTES));
    let to = BATCH_HEADER_BYTES;
    // Records that lie next to each other are copied at once.
    let runAt = 0;
    let runEnd = 0;
    for (let i = 0; i < this.count; i++) {
      const at = this.places[i];
      if (at === NOT_KEPT) continue;
      if (at !== runEnd) {
        if (runEnd > runAt) target.bytes.set(bytes.subarray(runAt, runEnd), to - (runEnd - runAt));
        runAt = at;
        runEnd = at;
      }
      const size = words[(at + RECORD_SIZE) >> 2];
      this.places[i] = to;
      runEnd += size;
      to += size;
    }
    if (runEnd > runAt) target.bytes.set(bytes.subarray(runAt, runEnd), to - (runEnd - runAt));
    return id;
  }

  private grow(): void {
    const length = this.places.length * 2;
    this.offsets = larger(this.offsets, new Float64Array(length));
    this.places = larger(this.places, new Int32Array(length));
    this.keys = larger(this.keys, new Int32Array(length));
    this.priorities = larger(this.priorities, new Uint8Array(length));
    this.failures = larger(this.failures, new Uint16Array(length));
  }
}

function larger<A extends Float64Array | Int32Array | Uint16Array | Uint8Array>(old: A, target: A): A {
  target.set(old);
  return target;
}

/** FNV-1a over the key's bytes; 0: no key. Keys with one hash wait for each other, which does no harm. HOT */
function keyHash(record: RecordView): number {
  const length = record.words[(record.at + RECORD_KEY_LENGTH) >> 2] & 0xffff;
  if (length === 0) return 0;
  const start = record.bodyAt + record.bodyLength;
  let hash = 0x811c9dc5;
  for (let i = start; i < start + length; i++) hash = Math.imul(hash ^ record.bytes[i], 0x01000193);
  return hash | 0 || 1;
}
