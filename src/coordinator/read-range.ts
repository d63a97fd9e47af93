// Reads one partition from an offset up to another, at a start.
import { RingmqError } from '../base/codes.ts';
import type { Gap } from '../client/connection.ts';
import type { RingConsumer } from '../client/consumer.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Batch } from '../client/message.ts';

export interface RangeListener {
  /** The offsets of its messages begin before `end`. */
  batch(batch: Batch): void;
  /** There is nothing (any more) at these offsets, all of them before `end`. */
  none(from: number, to: number, reason: Gap['reason']): void;
  error(error: Error): void;
}

/** Settles when everything before `end` was read. Rejects if the topic is gone, or the connection closed. */
export async function readRange(
  connection: Pick<InProcessConnection, 'consumer'>,
  topic: string,
  partition: number,
  from: number,
  end: number,
  listener: RangeListener,
): Promise<void> {
  if (from >= end) return;
  let consumer: RingConsumer<Uint8Array> | undefined;
  const done = new Promise<void>((resolve, reject) => {
    consumer = connection.consumer<Uint8Array>(topic, {
      partitions: [partition],
      from: { offset: from },
      onBatch: (batch) => {
        const { endOffset } = batch;
        listener.batch(batch);
        if (endOffset >= end) resolve();
      },
      onGap: (gap) => {
        const to = Math.min(gap.to, end);
        if (to > gap.from) listener.none(gap.from, to, gap.reason);
        if (gap.to >= end || gap.reason === 'ahead') resolve();
      },
      onError: (error) => listener.error(error),
    });
    consumer.onOver = (error) => reject(error ?? new RingmqError('closed'));
  });
  try {
    await done;
  } finally {
    await consumer?.close();
  }
}
