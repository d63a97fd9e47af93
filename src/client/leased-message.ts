// A message that a simple consumer received: it knows the lease that settles it.
import type { BatchView, RecordView } from '../record/batch-view.ts';
import type { QueueRef } from '../wire/services.ts';
import type { Codec } from './codec.ts';
import { Message, type TopicIdentity } from './message.ts';

/** A queue, and what its messages say of their topic. */
export interface LeasedQueue extends QueueRef, TopicIdentity {}

/** What a message is settled by. */
export interface Lease {
  readonly queue: LeasedQueue;
  readonly offset: number;
  readonly token: number;
}

/** Leases of messages that were too large for a reply: they are pulled, as messages like any other. */
const pulled = new WeakMap<object, Lease>();

export class LeasedMessage<T> extends Message<T> {
  readonly #lease: Lease;

  constructor(lease: Lease, batch: BatchView, record: RecordView, codec: Codec<T> | undefined) {
    super(lease.queue.topic, lease.queue.partition, batch, record, lease.queue, codec);
    this.#lease = lease;
  }

  static leaseOf(message: object): Lease | undefined {
    return #lease in message ? (message as LeasedMessage<unknown>).#lease : pulled.get(message);
  }
}

/** The lease of a message; undefined if nobody leased it. */
export function leaseOf(message: object): Lease | undefined {
  return LeasedMessage.leaseOf(message);
}

/** Says what settles a message that was pulled. */
export function leasePulled(message: object, lease: Lease): void {
  pulled.set(message, lease);
}
