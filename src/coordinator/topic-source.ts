// What the coordinator asks the broker about topics, as its groups need it: routes, where reading would begin, where a
// partition ends. Over the coordinator's own connection.
import { RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import { limitOf } from '../partition/join.ts';
import type { EpochStart, PartitionPosition, PartitionRoute, StartFrom, TopicRoute } from '../wire/commands.ts';
import type { GroupFrom } from '../wire/services.ts';

export interface TopicSource {
  /** The route, also of a topic that is made on first use. Rejects with `unknown-topic` or `auto-create-off`. */
  open(topic: string): Promise<TopicRoute>;
  /** The route of a topic that is there. */
  find(topic: string): Promise<TopicRoute | undefined>;
  /** Where reading would begin, for each of these partitions. */
  starts(route: TopicRoute, from: GroupFrom, partitions: readonly number[]): Promise<readonly PartitionPosition[]>;
  /** Offset that the next message of the partition gets; -1: the route is out of date. */
  nextOffset(partition: PartitionRoute): number;
  delete(topic: string): Promise<void>;
  /** Names of all topics that begin with this. */
  named(prefix: string): Promise<readonly string[]>;
  /** Hears of topics whose route has changed, or that are gone. */
  onRoute(listener: (topic: string) => void): void;
}

/** What of a connection is used. */
type TopicConnection = Pick<
  InProcessConnection,
  'route' | 'consumer' | 'nextOffset' | 'deleteTopic' | 'topics' | 'onRoute'
>;

export class ConnectionTopics implements TopicSource {
  private readonly connection: TopicConnection;

  constructor(connection: TopicConnection) {
    this.connection = connection;
  }

  async open(topic: string): Promise<TopicRoute> {
    const found = await this.find(topic);
    if (found) return found;
    // Whoever reads a topic makes it, where the broker allows that.
    await this.begin(topic, 'latest', undefined);
    return this.connection.route(topic);
  }

  async find(topic: string): Promise<TopicRoute | undefined> {
    try {
      return await this.connection.route(topic);
    } catch (error) {
      if (error instanceof RingmqError && error.code === 'unknown-topic') return undefined;
      throw error;
    }
  }

  async starts(
    route: TopicRoute,
    from: GroupFrom,
    partitions: readonly number[],
  ): Promise<readonly PartitionPosition[]> {
    const wanted = route.partitions.filter((one) => partitions.includes(one.number));
    if (from === 'latest') return wanted.map((one) => positionIn(one, Math.max(this.nextOffset(one), one.nextOffset)));
    if (from === 'earliest' && route.durable) return wanted.map((one) => positionIn(one, one.oldestOffset));
    return wanted.length === 0 ? [] : this.begin(route.topic, from, partitions);
  }

  nextOffset(partition: PartitionRoute): number {
    return this.connection.nextOffset(partition);
  }

  delete(topic: string): Promise<void> {
    return this.connection.deleteTopic(topic);
  }

  async named(prefix: string): Promise<readonly string[]> {
    const routes = await this.connection.topics();
    return routes.map(({ topic }) => topic).filter((topic) => topic.startsWith(prefix));
  }

  onRoute(listener: (topic: string) => void): void {
    this.connection.onRoute((topic) => listener(topic));
  }

  /** Where a consumer would begin: only a reader of the ring knows what of a volatile topic is left. */
  private async begin(
    topic: string,
    from: StartFrom,
    partitions: readonly number[] | undefined,
  ): Promise<readonly PartitionPosition[]> {
    const consumer = this.connection.consumer(topic, {
      from,
      onBatch: () => {},
      onGap: () => {},
      onError: () => {},
      ...(partitions ? { partitions } : {}),
    });
    consumer.pause();
    try {
      return await consumer.ready();
    } finally {
      await consumer.close();
    }
  }
}

function positionIn({ number, epoch }: PartitionRoute, offset: number): PartitionPosition {
  return { partition: number, epoch, offset };
}

/** Offset up to which positions of an epoch are good; undefined for one that nobody knows any more. */
export function goodUntil(epoch: number, epochs: readonly EpochStart[]): number | undefined {
  return limitOf(epoch, epochs, Number.POSITIVE_INFINITY);
}
