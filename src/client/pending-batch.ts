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
import { isRepeat, markRepeat, unmarkRepeat } from '../record/repeat.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import type { Expecting } from './outlet.ts';
import type { BatchOutcome } from './sent.ts';

/** The pipe that a batch is on its way in. */
export interface PendingOwner {
  answered(batch: PendingBatch, status: number, baseOffset: number): void;
  lost(batch: PendingBatch): void;
}

/** Filled by its pipe, which hears the answer through it. In process the object is used again for later batches. */
export class PendingBatch implements Expecting {
  /** Undefined while it is not in use. */
  pipe: PendingOwner | undefined;
  /** The batch behind it in its pipe. */
  next: PendingBatch | undefined;
  /** Undefined if nobody has asked for a receipt. */
  outcome: BatchOutcome | undefined;
  partition: PartitionRoute | undefined;
  count = 0;
  length = 0;
  closedAt = 0;
  baseSequence = 0;
  request = 0;
  attempts = 0;
  /** Handed to the transport and not answered yet. */
  out = false;
  /** It was out when a connection was lost: it may be stored already. */
  repeats = false;
  /** If it is stored already, then at this offset or behind it. */
  floor = 0;
  /** Why it is not out: more than time would say when it runs out. */
  waitsFor: RingmqError | undefined;
  /** Kept bytes for sending again; undefined in process. */
  bytes: Uint8Array | undefined;
  /** Whose memory the kept bytes are. */
  builder: BatchBuilder | undefined;

  answered(status: number, baseOffset: number): void {
    this.pipe?.answered(this, status, baseOffset);
  }

  lost(): void {
    this.pipe?.lost(this);
  }

  /** Writes what changes between two attempts into the kept bytes. */
  restamp(producerId: number): void {
    if (!this.bytes || !this.partition) return;
    const words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 2);
    words[BATCH_PARTITION >> 2] = this.partition.id;
    words[BATCH_EPOCH >> 2] = this.partition.epoch;
    words[REQUEST_ID >> 2] = this.request;
    putInt64(words, BATCH_PRODUCER_ID >> 2, producerId);
    words[BATCH_BASE_SEQUENCE >> 2] = this.baseSequence;
    if (this.repeats) markRepeat(words, 0, this.floor);
    else if (isRepeat(words, 0)) unmarkRepeat(words, 0);
  }
}
