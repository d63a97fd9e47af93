// Memory of the batches of a connection: what one producer has emptied, the next one fills. A program that publishes to
// ten thousand topics needs as much as is under way and no more, and what was used last is still in the cache.
import { align8 } from '../../native-layout/layout.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { PendingBatch } from './pending-batch.ts';

/** Most bytes of emptied batches that are kept. */
const KEPT_BYTES_MAX = 8 * 1024 * 1024;
const KEPT_PENDING_MAX = 4_096;

export class BatchPool {
  private readonly builders = new Map<number, BatchBuilder[]>();
  private readonly pending: PendingBatch[] = [];
  private keptBytes = 0;

  /** An empty builder for batches of `capacityBytes`. HOT */
  takeBuilder(capacityBytes: number): BatchBuilder {
    const builder = this.builders.get(align8(capacityBytes))?.pop();
    if (builder === undefined) return new BatchBuilder(capacityBytes);
    this.keptBytes -= builder.bytes.length;
    return builder;
  }

  /** The batch is not needed any more: nobody may hold a view of its bytes. HOT */
  giveBuilder(builder: BatchBuilder): void {
    // One that has grown for a large message is kept as it is: the next message is often as large.
    if (this.keptBytes + builder.bytes.length > KEPT_BYTES_MAX) return;
    builder.reset();
    this.keptBytes += builder.bytes.length;
    const kept = this.builders.get(builder.capacity);
    if (kept === undefined) this.builders.set(builder.capacity, [builder]);
    else kept.push(builder);
  }

  /** HOT */
  takePending(): PendingBatch {
    return this.pending.pop() ?? new PendingBatch();
  }

  /** The batch was answered, and its request is known to nobody any more. HOT */
  givePending(batch: PendingBatch): void {
    if (this.pending.length < KEPT_PENDING_MAX) this.pending.push(batch);
  }
}
