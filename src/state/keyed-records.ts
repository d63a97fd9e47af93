// The records with a key in batches of the log: what the key index is made of.
import { BATCH_FLAGS, BATCH_MAGIC, FLAG_KEYS } from '../../native-layout/batch.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import type { KeyEntry } from './key-index.ts';

const FLAGS_SHIFT = (BATCH_FLAGS - BATCH_MAGIC) * 8;

/**
 * Keyed records of whole, verified batches (a run without its header): `length` bytes from byte `at` of `bytes`, on a
 * multiple of four in its memory.
 */
export function* keysOf(
  topicId: number,
  partition: number,
  bytes: Uint8Array,
  at: number,
  length: number,
): Generator<KeyEntry> {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, length >> 2);
  const batch = new BatchView().span(bytes.subarray(at, at + length), words, 0, length);
  const record = new RecordView();
  while (batch.next()) {
    if (((words[(batch.at + BATCH_MAGIC) >> 2] >>> FLAGS_SHIFT) & FLAG_KEYS) === 0) continue;
    const { storedAt, epoch } = batch;
    record.open(batch);
    while (record.next()) {
      const { key } = record;
      if (key !== undefined) yield { topicId, partition, offset: record.offset, storedAt, epoch, key };
    }
  }
}
