// What a durable partition starts with after a restart: the newest batches that the log has of it. From all of them
// it knows its producers again; as many as fit go into the ring, so that consumers near the end need no disk.
import { BATCH_PARTITION } from '../../native-layout/batch.ts';
import { BatchView } from '../record/batch-view.ts';

/**
 * The newest of some whole batches that follow each other without a hole, as a copy that carries the partition's id;
 * undefined if the last one does not end at `nextOffset`, where the partition goes on. `tail` comes from the log,
 * verified.
 */
export function tailFor(tail: Uint8Array, id: number, nextOffset: number): Uint8Array | undefined {
  const bytes = new Uint8Array(tail);
  const words = new Int32Array(bytes.buffer, 0, bytes.length >> 2);
  const view = new BatchView().span(bytes, words, 0, bytes.length);
  let from = 0;
  let expected = -1;
  while (view.next()) {
    words[(view.at + BATCH_PARTITION) >> 2] = id;
    if (view.baseOffset !== expected) from = view.at;
    expected = view.baseOffset + view.count;
  }
  return expected === nextOffset ? bytes.slice(from) : undefined;
}

/** The newest batches of a tail that a ring takes: `lengthMaxBytes` together, `batchMaxBytes` each. */
export function preloadOf(tail: Uint8Array, lengthMaxBytes: number, batchMaxBytes: number): Uint8Array {
  const words = new Int32Array(tail.buffer, tail.byteOffset, tail.length >> 2);
  const view = new BatchView().span(tail, words, 0, tail.length);
  let from = 0;
  while (view.next()) {
    const isTooLarge = view.size > batchMaxBytes;
    if (isTooLarge || tail.length - from > lengthMaxBytes) from = view.end;
  }
  return tail.subarray(from);
}
