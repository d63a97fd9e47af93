// What a filter leaves of the batches that a pull answers with.
import { BATCH_HEADER_BYTES, BATCH_MAGIC, BATCH_SIZE, FLAG_CRC, MAGIC_SPARSE } from '../../native-layout/batch.ts';
import type { RecordFilter } from '../filter/filter.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';

const NO_CRC = ~(FLAG_CRC << 24);

/**
 * The batches with only the records that are wanted, in memory of their own; those without any are left out, for an
 * answer says by itself how far it reaches.
 */
export function wantedOf(source: Uint8Array, filter: RecordFilter): Uint8Array {
  const bytes = source.byteOffset % 4 === 0 ? source : source.slice();
  const view = new BatchView().span(bytes, wordsOf(bytes), 0, bytes.length);
  const record = new RecordView();
  const target = new Uint8Array(bytes.length);
  const words = wordsOf(target);
  let end = 0;
  while (view.next()) {
    let at = end + BATCH_HEADER_BYTES;
    let count = 0;
    record.open(view);
    while (record.next()) {
      if (!filter.matches(record)) continue;
      target.set(bytes.subarray(record.at, record.at + record.size), at);
      at += record.size;
      count++;
    }
    if (count === 0) continue;
    target.set(bytes.subarray(view.at, view.at + BATCH_HEADER_BYTES), end);
    words[(end + BATCH_SIZE) >> 2] = at - end;
    // The CRC is over all records: it is good only where all are left.
    if (count < view.count) words[(end + BATCH_MAGIC) >> 2] = (view.magic & NO_CRC) | MAGIC_SPARSE;
    end = at;
  }
  return target.subarray(0, end);
}

function wordsOf({ buffer, byteOffset, length }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length >> 2);
}
