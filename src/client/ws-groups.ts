// Consumers of groups over the network: where they start, and the timer that commits where they are.
import type { PartitionPosition, PartitionRoute, StartFrom, TopicRoute } from '../wire/commands.ts';
import type { RingConsumer } from './consumer.ts';
import type { GroupOffsets } from './group-offsets.ts';
import { asRefusal } from './sent.ts';

const TICK_MS = 100;
/** Until a question that could not be answered is asked again. */
const RETRY_MS = 500;

export interface GroupHost {
  /** The topic's route as it is now. */
  freshRoute(topic: string): Promise<TopicRoute>;
  /** Subscribes. */
  start(consumer: RingConsumer<unknown>): void;
}

export class WsGroups {
  private readonly host: GroupHost;
  private readonly consumers = new Set<RingConsumer<unknown>>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(host: GroupHost) {
    this.host = host;
  }

  /** Asks where the group is, and subscribes the consumer there. */
  start(consumer: RingConsumer<unknown>, group: GroupOffsets): void {
    this.consumers.add(consumer);
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
    this.locate(consumer, group);
  }

  /** Like a subscription, it waits for a broker as long as it takes. */
  private locate(consumer: RingConsumer<unknown>, group: GroupOffsets): void {
    if (consumer.closed) return;
    this.positions(consumer, group).then(
      (positions) => {
        consumer.asked = positions;
        if (!consumer.closed) this.host.start(consumer);
      },
      (error: unknown) => {
        const refusal = asRefusal(error);
        if (refusal.retryable) setTimeout(() => this.locate(consumer, group), RETRY_MS);
        else consumer.refuse(refusal);
      },
    );
  }

  /** Commits and closes all of them. */
  async close(): Promise<void> {
    await Promise.all([...this.consumers].map((one) => one.close()));
    this.stop();
  }

  /** Nothing can be committed any more. */
  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.consumers.clear();
  }

  private tick(): void {
    const now = performance.now();
    for (const consumer of this.consumers) {
      if (consumer.closed) this.consumers.delete(consumer);
      else if (consumer.hasBegun) consumer.group?.tick(now, () => consumer.progress());
    }
    if (this.consumers.size === 0) this.stop();
  }

  /**
   * A subscription has one place to start: where the group has positions for some of the partitions only, the others
   * get theirs from the route.
   */
  private async positions(consumer: RingConsumer<unknown>, group: GroupOffsets): Promise<readonly PartitionPosition[]> {
    const { partitions: wanted, from = 'latest' } = consumer.options;
    const all = await group.fetch();
    const kept = wanted === undefined ? all : all.filter((one) => wanted.includes(one.partition));
    if (kept.length === 0) return typeof from === 'object' && 'positions' in from ? from.positions : [];
    const route = await this.host.freshRoute(consumer.topic);
    const others = route.partitions
      .filter(({ number }) => !kept.some((one) => one.partition === number))
      .map((one) => positionIn(one, from))
      .filter((one) => one !== undefined);
    return [...kept, ...others];
  }
}

/** Where `from` is in a partition; undefined for its beginning, which is also what a time comes to here. */
function positionIn(route: PartitionRoute, from: StartFrom): PartitionPosition | undefined {
  const { number: partition, epoch, nextOffset, oldestOffset } = route;
  if (from === 'latest') return { partition, epoch, offset: nextOffset };
  if (from === 'earliest' || 'time' in from) return undefined;
  if ('positions' in from) return from.positions.find((one) => one.partition === partition);
  if ('last' in from) return { partition, epoch, offset: Math.max(nextOffset - from.last, oldestOffset) };
  return { partition, epoch, offset: from.offset };
}
