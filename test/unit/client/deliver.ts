// Batches for consumers that have no source.
import { BATCH_BASE_OFFSET } from '../../../native-layout/batch.ts';
import type { RingConsumer } from '../../../src/client/consumer.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import { putInt64 } from '../../../src/record/int64.ts';
import { batchOf } from '../../support/engine-table.ts';

/** Delivers a batch of `count` messages, named by their offsets, of the partition with the id 5. */
export function deliverTo(consumer: RingConsumer<Uint8Array>, base: number, count: number, epoch = 1): number {
  const cursor = consumer.cursor(5);
  if (!cursor) throw new Error('no cursor');
  const builder = batchOf(
    5,
    Array.from({ length: count }, (_, i) => `${base + i}`),
    { epoch },
  );
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, base);
  const view = new BatchView().span(builder.bytes, builder.words, 0, builder.length);
  view.next();
  return consumer.deliver(view, cursor);
}
