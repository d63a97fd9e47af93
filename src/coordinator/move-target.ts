// A topic that the mover publishes to: its publisher, and under which identities its partitions are published to.
import type { FixedAnswer, FixedBatch } from '../client/fixed-producer.ts';
import { MESSAGE_OVERHEAD_BYTES } from '../record/batch-builder.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { MovePlan } from './move-batches.ts';
import type { MovePart } from './open-move.ts';

/** A way to publish to one topic under given identities: FixedProducer. */
export interface MovePublisher {
  /** Rejects with `unknown-topic`. */
  route(): Promise<TopicRoute>;
  publish(batch: FixedBatch, answer: FixedAnswer): void;
  readonly idle: boolean;
  close(): Promise<void>;
}

/** Most bytes of a batch, as producers have it by default. */
const BATCH_BYTES = 64 * 1024;

/** Most bytes of a batch with one message. */
export function batchMaxBytes({ messageMaxBytes }: TopicRoute): number {
  return messageMaxBytes + MESSAGE_OVERHEAD_BYTES;
}

export class MoveTarget {
  readonly publisher: MovePublisher;
  usedAt = Date.now();
  /** Under way to it. */
  bytes = 0;
  /** Partition -> who publishes there, and the sequence of what comes next. */
  private readonly identities = new Map<number, { readonly producer: number; next: number }>();
  private turn = 0;

  constructor(publisher: MovePublisher) {
    this.publisher = publisher;
  }

  /** Without a partition: by key, and messages without one to a partition in turn. */
  plan(route: TopicRoute, partition: number | undefined): MovePlan {
    const { partitions } = route;
    const batchBytes = Math.min(BATCH_BYTES, batchMaxBytes(route));
    if (partition !== undefined) return { spread: 0, partition, batchBytes };
    const available = partitions.filter((one) => one.available);
    const choice = available.length > 0 ? available : partitions;
    return { spread: partitions.length, partition: choice[this.turn++ % choice.length].number, batchBytes };
  }

  /** The identity of the next batch of a partition. */
  identify(partition: number, count: number): MovePart {
    let identity = this.identities.get(partition);
    if (identity === undefined) {
      identity = { producer: newProducerId(), next: 0 };
      this.identities.set(partition, identity);
    }
    const sequence = identity.next;
    identity.next = (sequence + count) | 0;
    return { partition, producer: identity.producer, sequence, count };
  }

  /** The broker misses a sequence of this identity, or will: the next batch begins another one. */
  leave(partition: number, producer: number): void {
    if (this.identities.get(partition)?.producer === producer) this.identities.delete(partition);
  }

  leaveAll(): void {
    this.identities.clear();
  }
}

/** 53 random bits, never 0: 0 asks for no deduplication. */
function newProducerId(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0xfffff) * 4_294_967_296 + low || 1;
}
