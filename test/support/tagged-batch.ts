// Batches of messages with keys, tags and properties, stamped as an owner does.
import { BATCH_BASE_OFFSET, BATCH_EPOCH } from '../../native-layout/batch.ts';
import { BatchBuilder, type RecordExtras } from '../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../src/record/batch-view.ts';
import { putInt64 } from '../../src/record/int64.ts';

export interface BatchPlace {
  readonly baseOffset?: number;
  readonly partition?: number;
  readonly epoch?: number;
}

/** A batch whose bodies say their offsets. */
export function taggedBatch(
  messages: readonly RecordExtras[],
  { baseOffset = 0, partition = 0, epoch = 1 }: BatchPlace = {},
): Uint8Array<ArrayBuffer> {
  const builder = new BatchBuilder(1 << 16);
  messages.forEach((extras, i) => {
    if (!builder.tryAdd(new TextEncoder().encode(String(baseOffset + i)), extras, 1_000)) throw new Error('too much');
  });
  const stamp = { partition, epoch, request: 0, ack: 0, requestFlags: 0, producerId: 7, baseSequence: 0 };
  const length = builder.close({ ...stamp, checksum: true });
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, baseOffset);
  builder.words[BATCH_EPOCH >> 2] = epoch;
  return builder.bytes.slice(0, length) as Uint8Array<ArrayBuffer>;
}

/** A view of the first record of a batch. */
export function recordOf(extras: RecordExtras): RecordView {
  const bytes = taggedBatch([extras]);
  const batch = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
  batch.next();
  const record = new RecordView().open(batch);
  record.next();
  return record;
}
