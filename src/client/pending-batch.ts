// A closed batch on its way: what is known of it until it is acknowledged.
import {
  BATCH_BASE_SEQUENCE,
  BATCH_EPOCH,
  BATCH_PARTITION,
  BATCH_PRODUCER_ID,
  REQUEST_ID,
} from '../../native-layout/batch.ts';
import type { RingmqError } from '../base/codes.ts';
import type { BatchBuilder } from '../record/batch-builder.ts';
import { putInt64 } from '../record/int64.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import type { BatchOutcome } from './sent.ts';

export class PendingBatch {
  readonly outcome: BatchOutcome;
  readonly count: number;
  readonly length: number;
  readonly closedAt: number;
  partition: PartitionRoute;
  baseSequence: number;
  request = 0;
  attempts = 0;
  /** Handed to the transport and not answered yet. */
  out = false;
  /** Why it is not out: more than time would say when it runs out. */
  waitsFor: RingmqError | undefined;
  /** Kept bytes for sending again; undefined in process. */
  bytes: Uint8Array | undefined;
  /** Whose memory the kept bytes are. */
  builder: BatchBuilder | undefined;

  constructor(
    outcome: BatchOutcome,
    partition: PartitionRoute,
    count: number,
    length: number,
    baseSequence: number,
    closedAt: number,
  ) {
    this.outcome = outcome;
    this.partition = partition;
    this.count = count;
    this.length = length;
    this.baseSequence = baseSequence;
    this.closedAt = closedAt;
  }

  /** Writes what changes between two attempts into the kept bytes. */
  restamp(producerId: number): void {
    if (!this.bytes) return;
    const words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 2);
    words[BATCH_PARTITION >> 2] = this.partition.id;
    words[BATCH_EPOCH >> 2] = this.partition.epoch;
    words[REQUEST_ID >> 2] = this.request;
    putInt64(words, BATCH_PRODUCER_ID >> 2, producerId);
    words[BATCH_BASE_SEQUENCE >> 2] = this.baseSequence;
  }
}
