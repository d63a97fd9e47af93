// Messages as people write them (JSON, HTTP) into record batches: which partition, how many to a batch. Everything is
// built before anything is sent, so that a message that cannot be taken refuses the whole call and not the second half
// of it.
import { PERMISSION_WRITE } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { ACK_LEVELS, type AckLevel } from '../base/units.ts';
import { BatchBuilder, MESSAGE_OVERHEAD_BYTES } from '../record/batch-builder.ts';
import { PartitionSelector } from '../routing/selector.ts';
import type { PartitionRoute, TopicRoute } from '../wire/commands.ts';
import type { JsonMessage } from '../wire/json.ts';
import { HALF_TOPIC, isReservedTopic, isRetryTopic, TIMER_TOPIC } from '../wire/services.ts';
import type { Owners } from './frame-publisher.ts';
import type { PublishDesk, Publisher } from './publish-desk.ts';

/** A closed batch in memory of its own. */
export interface BuiltBatch {
  readonly partition: PartitionRoute;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** The publisher's number for it. */
  readonly request: number;
  /** Places of its messages in what was given. */
  readonly indexes: readonly number[];
}

export interface BatchesOptions {
  readonly ack: AckLevel;
  /** Request number of a batch; asked for each. */
  readonly request: () => number;
  /** Number of the partition that all go to. Default: by key, else round robin, a call at a time. */
  readonly partition?: number | undefined;
}

const BATCH_BYTES = 64 * 1024;
const SELECTORS_MAX = 10_000;

export class MessageBatches {
  private readonly owners: Owners;
  private readonly clock: () => number;
  private readonly builders = new Map<number, BatchBuilder>();
  private readonly selectors = new Map<string, { route: TopicRoute; readonly selector: PartitionSelector }>();

  constructor(owners: Owners, clock: () => number) {
    this.owners = owners;
    this.clock = clock;
  }

  /** Throws a RingmqError for the first message that the topic cannot take. */
  build(route: TopicRoute, messages: readonly JsonMessage[], options: BatchesOptions): BuiltBatch[] {
    checkAck(route, options.ack);
    if (isReservedTopic(route.topic)) {
      throw new RingmqError(
        'no-write-permission',
        `the broker alone publishes to ${route.topic}: ${wayTo(route.topic)}`,
      );
    }
    const groups = this.group(route, messages, options.partition);
    return [...groups].flatMap(([partition, indexes]) => this.buildGroup(route, partition, messages, indexes, options));
  }

  private group(
    route: TopicRoute,
    messages: readonly JsonMessage[],
    number: number | undefined,
  ): Map<PartitionRoute, number[]> {
    const selector = this.selectorOf(route);
    const groups = new Map<PartitionRoute, number[]>();
    let others: PartitionRoute | undefined;
    messages.forEach((message, index) => {
      let partition: PartitionRoute | undefined;
      if (number !== undefined) partition = selector.byNumber(number);
      else if (message.key !== '') partition = selector.byKey(message.key);
      else {
        others ??= selector.next(this.clock());
        partition = others;
      }
      this.check(route, partition, number);
      const group = groups.get(partition);
      if (group) group.push(index);
      else groups.set(partition, [index]);
    });
    return groups;
  }

  private check(
    route: TopicRoute,
    partition: PartitionRoute | undefined,
    number: number | undefined,
  ): asserts partition is PartitionRoute {
    if (route.direct) throw new RingmqError('direct-only');
    if (!partition && number !== undefined) {
      throw new RingmqError('unknown-partition', `topic ${route.topic} has no partition ${number}`);
    }
    if (!partition || (partition.permission & PERMISSION_WRITE) === 0) throw new RingmqError('no-write-permission');
    if (this.owners.laneOf(partition.owner) === undefined) throw new RingmqError('direct-only');
  }

  private buildGroup(
    route: TopicRoute,
    partition: PartitionRoute,
    messages: readonly JsonMessage[],
    indexes: readonly number[],
    options: BatchesOptions,
  ): BuiltBatch[] {
    const builder = this.builderFor(route);
    const built: BuiltBatch[] = [];
    let taken: number[] = [];
    const finish = (): void => {
      built.push(closeBatch(builder, partition, taken, options));
      taken = [];
    };
    const now = this.clock();
    builder.reset();
    for (const index of indexes) {
      const { body, key, tag, properties, flags } = messages[index];
      const extras = {
        key: key === '' ? undefined : key,
        tag: tag === '' ? undefined : tag,
        properties: Object.keys(properties).length === 0 ? undefined : properties,
        flags,
      };
      if (body.length > route.messageMaxBytes) throw tooLarge(body.length, route);
      if (!builder.tryAdd(body, extras, now)) {
        finish();
        if (!builder.tryAdd(body, extras, now)) throw new RingmqError('internal', 'a record does not fit a new batch');
      }
      taken.push(index);
    }
    finish();
    const largest = Math.max(...built.map((batch) => batch.bytes.length));
    if (largest > route.messageMaxBytes + MESSAGE_OVERHEAD_BYTES) throw tooLarge(largest, route);
    return built;
  }

  /** Small rings and lanes take small batches. */
  private builderFor(route: TopicRoute): BatchBuilder {
    const capacity = Math.min(BATCH_BYTES, route.messageMaxBytes + MESSAGE_OVERHEAD_BYTES);
    let builder = this.builders.get(capacity);
    // One that had to grow for a large record is not kept at that size.
    if (!builder || builder.bytes.length > capacity) {
      builder = new BatchBuilder(capacity);
      this.builders.set(capacity, builder);
    }
    return builder;
  }

  private selectorOf(route: TopicRoute): PartitionSelector {
    const known = this.selectors.get(route.topic);
    if (known) {
      if (known.route !== route) known.selector.update(route);
      known.route = route;
      return known.selector;
    }
    if (this.selectors.size >= SELECTORS_MAX) this.selectors.clear();
    const selector = new PartitionSelector(route, Math.floor(Math.random() * 1_024));
    this.selectors.set(route.topic, { route, selector });
    return selector;
  }
}

/** The call with which clients get there what they may. */
function wayTo(topic: string): string {
  if (topic === TIMER_TOPIC) return 'call schedule';
  if (topic === HALF_TOPIC) return 'call transaction-prepare';
  return isRetryTopic(topic) ? 'call send-back' : 'messages come there by send-back, or by themselves';
}

/** What a publisher waits for that does not say: whatever the topic can promise. */
export function defaultAck(route: TopicRoute): AckLevel {
  return route.durable ? 'durable' : 'accepted';
}

/** Throws `ack-unsupported` if the topic cannot promise that much. */
function checkAck({ topic, durable }: TopicRoute, ack: AckLevel): void {
  if (ack === 'none' || ack === 'accepted') return;
  if (durable && ack !== 'replicated') return;
  const levels = durable ? 'none, accepted, written and durable' : 'none and accepted: it is volatile';
  throw new RingmqError('ack-unsupported', `topic ${topic} acknowledges ${levels}`);
}

/** Hands batches to the desk, in order. */
export function submitAll(desk: PublishDesk, publisher: Publisher, batches: readonly BuiltBatch[]): void {
  for (const { partition, bytes, words } of batches) desk.submit(publisher, partition.owner, bytes, words, 0);
  desk.push();
}

function closeBatch(
  builder: BatchBuilder,
  partition: PartitionRoute,
  indexes: readonly number[],
  options: BatchesOptions,
): BuiltBatch {
  const request = options.request();
  const length = builder.close({
    partition: partition.id,
    epoch: partition.epoch,
    request,
    ack: ACK_LEVELS[options.ack],
    requestFlags: 0,
    // No identity: who publishes like this sends again as it likes, and a refused batch must not stop the next ones.
    producerId: 0,
    baseSequence: 0,
    checksum: true,
  });
  const bytes = builder.bytes.slice(0, length);
  builder.reset();
  return { partition, bytes, words: new Int32Array(bytes.buffer), request, indexes };
}

function tooLarge(length: number, route: TopicRoute): RingmqError {
  return new RingmqError('message-too-large', `${length} bytes; ${route.topic} takes ${route.messageMaxBytes}`);
}
