// Where groups stand in the queues of the broker as it is now: where reading begins, what an epoch has left of older
// progress, how many messages wait.
import { RingmqError } from '../base/codes.ts';
import type { Progress } from '../group/progress.ts';
import type { PartitionPosition, PartitionRoute, TopicRoute } from '../wire/commands.ts';
import { type GroupFrom, isRetryTopic, type ResetTo } from '../wire/services.ts';
import type { GroupQueue, PlacedQueue } from './group-state.ts';
import { goodUntil, type TopicSource } from './topic-source.ts';

export interface QueueStart {
  readonly queue: GroupQueue;
  readonly position: PartitionPosition;
}

/** What a group has of a topic's partition. */
type QueueOf = (partition: number) => GroupQueue | undefined;

export class GroupPlaces {
  private readonly topics: TopicSource;

  constructor(topics: TopicSource) {
    this.topics = topics;
  }

  /** Messages that the group has not acknowledged. */
  lag(queue: GroupQueue): number {
    const end = this.nextOffset(queue);
    const oldest = queue.route?.oldestOffset ?? 0;
    const { progress } = queue;
    if (oldest <= progress.floor) return progress.lag(end);
    // What is not kept any more waits for nobody.
    const kept = progress.clone();
    kept.add(0, oldest);
    return kept.lag(end);
  }

  /** Offset that the next message of the queue gets; where the group's knowledge ends, if the queue cannot be asked. */
  nextOffset(queue: GroupQueue): number {
    const end = this.endOf(queue);
    return end >= 0 ? end : (queue.progress.acked.at(-1) ?? queue.progress.floor);
  }

  /** Offset that the next message of the queue gets; -1: look the topic up again. */
  endOf({ route }: GroupQueue): number {
    return route === undefined ? -1 : this.topics.nextOffset(route);
  }

  /** Where reading of queues of one topic would begin. Rejects with `offset-out-of-range` or `unknown-topic`. */
  async startsOf(queues: readonly GroupQueue[], to: ResetTo): Promise<readonly QueueStart[]> {
    if (typeof to === 'object' && 'offset' in to) return queues.map((queue) => this.startAt(queue, to.offset));
    const topic = queues[0]?.topic ?? '';
    const route = await this.topics.find(topic);
    if (route === undefined) throw new RingmqError('unknown-topic', `topic ${topic} was deleted`);
    const numbers = queues.map(({ partition }) => partition);
    const starts = await this.topics.starts(route, to, numbers);
    return queues.flatMap((queue) => {
      const position = starts.find(({ partition }) => partition === queue.partition);
      return position === undefined || queue.gone ? [] : [{ queue, position }];
    });
  }

  /** Places for new queues, and for those of a volatile topic that a restart has emptied: all there is new. */
  async fresh(route: TopicRoute, queueOf: QueueOf, from: GroupFrom): Promise<PlacedQueue[]> {
    const fresh: number[] = [];
    const emptied: number[] = [];
    for (const { number, epoch } of route.partitions) {
      const queue = queueOf(number);
      if (queue?.topicId !== route.topicId) fresh.push(number);
      else if (!route.durable && queue.progress.epoch !== epoch) emptied.push(number);
    }
    const starts = await this.topics.starts(route, from, fresh);
    const again = await this.topics.starts(route, 'earliest', emptied);
    return [...starts, ...again].map(({ partition, epoch, offset }) => {
      return [isRetryTopic(route.topic), partition, route.topicId, epoch, offset, [], []] as const;
    });
  }

  /** Places for queues of a durable topic that were opened in an older epoch. */
  restarted(route: TopicRoute, queueOf: QueueOf): PlacedQueue[] {
    const places: PlacedQueue[] = [];
    for (const one of route.durable ? route.partitions : []) {
      const queue = queueOf(one.number);
      if (queue?.topicId !== route.topicId || queue.progress.epoch === one.epoch) continue;
      places.push([isRetryTopic(route.topic), one.number, route.topicId, ...this.clipped(queue.progress, one)]);
    }
    return places;
  }

  private startAt(queue: GroupQueue, offset: number): QueueStart {
    const { topic, partition, progress, route } = queue;
    const oldest = route?.oldestOffset ?? 0;
    const end = this.nextOffset(queue);
    if (offset >= oldest && offset <= end) return { queue, position: { partition, epoch: progress.epoch, offset } };
    const text = `${topic}/${partition} has offsets from ${oldest} to ${end}, not ${offset}`;
    throw new RingmqError('offset-out-of-range', text);
  }

  /** Progress of an older epoch is good up to where a crash took messages back. */
  private clipped(progress: Progress, one: PartitionRoute) {
    const end = Math.max(this.topics.nextOffset(one), one.nextOffset);
    const good = progress.clone();
    good.clip(Math.min(goodUntil(progress.epoch, one.epochs) ?? end, end));
    const { offset, acked, attempts } = good.wire();
    return [one.epoch, offset, acked, attempts] as const;
  }
}
