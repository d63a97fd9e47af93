// What a durable partition's ring starts with: the newest batches that the log has of it. So repeats are recognised
// after a restart, and consumers near the end need no disk.
import { BATCH_PARTITION } from '../../native-layout/batch.ts';
import { BatchView } from '../record/batch-view.ts';

/** What a ring may be filled with. */
export interface PreloadLimits {
  /** Id of the partition. */
  readonly id: number;
  /** Offset at which the batches must end: the one that the next record will get. */
  readonly nextOffset: number;
  readonly lengthMaxBytes: number;
  readonly batchMaxBytes: number;
}

/**
 * The newest of some whole batches that follow each other without a hole and fit, as a copy; empty if the last one does
 * not end where the partition goes on. `tail` comes from the log, verified.
 */
export function preloadOf(tail: Uint8Array, limits: PreloadLimits): Uint8Array {
  const bytes = new Uint8Array(tail);
  const words = new Int32Array(bytes.buffer, 0, bytes.length >> 2);
  const view = new BatchView().span(bytes, words, 0, bytes.length);
  let from = 0;
  let expected = -1;
  while (view.next()) {
    words[(view.at + BATCH_PARTITION) >> 2] = limits.id;
    if (view.size > limits.batchMaxBytes) from = view.end;
    else if (view.baseOffset !== expected) from = view.at;
    expected = view.baseOffset + view.count;
  }
  if (expected !== limits.nextOffset) return new Uint8Array(0);
  view.span(bytes, words, from, bytes.length - from);
  while (bytes.length - from > limits.lengthMaxBytes && view.next()) from = view.end;
  return bytes.subarray(from);
}
