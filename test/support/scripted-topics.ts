// Topics that a test makes, fills and deletes by word, for what asks about topics and reads none: a TopicSource.
import { RingmqError } from '../../src/base/codes.ts';
import type { TopicSource } from '../../src/coordinator/topic-source.ts';
import type { EpochStart, PartitionPosition, PartitionRoute, TopicRoute } from '../../src/wire/commands.ts';
import type { GroupFrom } from '../../src/wire/services.ts';

interface ScriptedPartition {
  epoch: number;
  next: number;
  oldest: number;
  epochs: EpochStart[];
}

interface ScriptedTopic {
  readonly topicId: number;
  readonly durable: boolean;
  readonly partitions: ScriptedPartition[];
}

export class ScriptedTopics implements TopicSource {
  readonly deleted: string[] = [];
  /** Time of a message is its offset. */
  private readonly topics = new Map<string, ScriptedTopic>();
  private readonly listeners: ((topic: string) => void)[] = [];
  private ids = 0;
  private epoch = 100;

  make(topic: string, partitions: number, durable = true): this {
    const made = { topicId: ++this.ids, durable, partitions: [] };
    this.topics.set(topic, made);
    this.grow(topic, partitions);
    return this;
  }

  /** Adds partitions. */
  grow(topic: string, count: number): void {
    const { partitions, durable } = this.at(topic);
    for (let i = 0; i < count; i++) {
      const epoch = ++this.epoch;
      partitions.push({ epoch, next: 0, oldest: 0, epochs: durable ? [{ epoch, offset: 0 }] : [] });
    }
    this.tell(topic);
  }

  publish(topic: string, partition: number, count: number): void {
    this.at(topic).partitions[partition].next += count;
  }

  expire(topic: string, partition: number, oldest: number): void {
    this.at(topic).partitions[partition].oldest = oldest;
  }

  /** The broker was started again; a durable partition lost what stood behind `next`, a volatile one everything. */
  restart(topic: string, nexts: readonly number[]): void {
    const { partitions, durable } = this.at(topic);
    for (const [i, one] of partitions.entries()) {
      one.epoch = ++this.epoch;
      one.next = durable ? nexts[i] : 0;
      if (durable) one.epochs.push({ epoch: one.epoch, offset: one.next });
    }
  }

  async open(topic: string): Promise<TopicRoute> {
    const route = await this.find(topic);
    if (route) return route;
    throw new RingmqError('unknown-topic', `no topic ${topic}`);
  }

  async find(topic: string): Promise<TopicRoute | undefined> {
    await undefined;
    const found = this.topics.get(topic);
    if (found === undefined) return undefined;
    const { topicId, durable } = found;
    const partitions = found.partitions.map((one, number): PartitionRoute => {
      const rest = { owner: 2, permission: 6, available: true, epochs: [...one.epochs] };
      const oldestOffset = durable ? one.oldest : 0;
      return { id: topicId * 1_000 + number, number, epoch: one.epoch, nextOffset: one.next, oldestOffset, ...rest };
    });
    const rest = { version: 1, overflow: 'block', ringBytes: 65_536, messageMaxBytes: 16_000, direct: false } as const;
    return { topic, topicId, ...rest, durable, retentionMs: 0, retentionBytes: 0, partitions };
  }

  async starts(route: TopicRoute, from: GroupFrom, numbers: readonly number[]): Promise<readonly PartitionPosition[]> {
    await undefined;
    const { partitions } = this.at(route.topic);
    return numbers.map((partition) => {
      const { epoch, next, oldest } = partitions[partition];
      if (from === 'latest') return { partition, epoch, offset: next };
      const offset = from === 'earliest' ? oldest : Math.min(Math.max(from.time, oldest), next);
      return { partition, epoch, offset };
    });
  }

  nextOffset({ id, epoch }: PartitionRoute): number {
    for (const { topicId, partitions } of this.topics.values()) {
      const one = partitions[id - topicId * 1_000];
      if (topicId === Math.floor(id / 1_000) && one?.epoch === epoch) return one.next;
    }
    return -1;
  }

  async delete(topic: string): Promise<void> {
    if (!this.topics.delete(topic)) throw new RingmqError('unknown-topic', `no topic ${topic}`);
    this.deleted.push(topic);
    this.tell(topic);
  }

  async named(prefix: string): Promise<readonly string[]> {
    return [...this.topics.keys()].filter((topic) => topic.startsWith(prefix));
  }

  onRoute(listener: (topic: string) => void): void {
    this.listeners.push(listener);
  }

  private tell(topic: string): void {
    for (const listener of this.listeners) listener(topic);
  }

  private at(topic: string): ScriptedTopic {
    const found = this.topics.get(topic);
    if (found === undefined) throw new Error(`the test has made no topic ${topic}`);
    return found;
  }
}
