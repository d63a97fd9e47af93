// What the coordinator knows of groups, and the records that make it: settings, the topics that a group reads, progress
// of every queue. State changes only by apply(record), live as in replay, so a journal read again makes the same state.
import { Assignment } from '../group/assignment.ts';
import { Membership } from '../group/membership.ts';
import { Progress } from '../group/progress.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import { GROUP_DEFAULTS, type GroupSettings, isRetryTopic } from '../wire/services.ts';

/** A queue as records name it: true for the one of the retry topic, and the number of the partition. */
type QueueName = readonly [retry: boolean, partition: number];

/** Sets a queue's progress, whatever it was: topic id, epoch, ack floor, ranges, attempts. */
export type PlacedQueue = readonly [
  ...QueueName,
  topicId: number,
  epoch: number,
  offset: number,
  acked: readonly number[],
  attempts: readonly number[],
];

/** Adds to a queue's progress: ack floor, ranges, attempts. */
type AddedProgress = readonly [...QueueName, offset: number, acked: readonly number[], attempts: readonly number[]];

export type GroupRecord =
  | { readonly type: 'settings'; readonly group: string; readonly settings: GroupSettings }
  | { readonly type: 'place'; readonly group: string; readonly topic: string; readonly queues: readonly PlacedQueue[] }
  | { readonly type: 'add'; readonly group: string; readonly topic: string; readonly queues: readonly AddedProgress[] }
  | {
      readonly type: 'generation';
      readonly group: string;
      readonly topic: string;
      readonly generation: number;
      readonly members: number;
    }
  | {
      readonly type: 'drop-queues';
      readonly group: string;
      readonly topic: string;
      readonly queues: readonly QueueName[];
    }
  | { readonly type: 'drop-topic'; readonly group: string; readonly topic: string }
  | { readonly type: 'drop-group'; readonly group: string };

/** Where a group stands in one queue: of the topic that it reads, or of its retry topic. */
export interface GroupQueue {
  readonly subscription: GroupTopic;
  /** Name of the topic that has the partition: the retry topic for retried messages. */
  readonly topic: string;
  readonly topicId: number;
  readonly partition: number;
  /** Stays the same object; changed by GroupBook alone. */
  readonly progress: Progress;
  /** Counts up when the progress was set anew (reset, or a crash took messages back): what was read ahead is void. */
  version: number;
  /** The partition, its topic or the group is no more. */
  gone: boolean;
  /** Of the partition at present; undefined until the group was opened. */
  route: PartitionRoute | undefined;
}

/** A topic that a group reads. */
export interface GroupTopic {
  readonly group: Group;
  readonly topic: string;
  readonly membership: Membership;
  readonly assignment: Assignment;
  /** By queueKey(). */
  readonly queues: Map<string, GroupQueue>;
  /** Queues and routes are what the broker has now. */
  isOpen: boolean;
  /** Dropped: the topic was deleted, or the group. */
  gone: boolean;
}

export interface Group {
  readonly name: string;
  settings: GroupSettings;
  readonly topics: Map<string, GroupTopic>;
}

export function queueKey(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/** The topic whose failed messages wait in a retry topic of the group; any other topic itself. */
export function subscribedTopic(topic: string): string {
  // Groups have no `|` in their names, topics may.
  return isRetryTopic(topic) ? topic.slice(topic.indexOf('|') + 1) : topic;
}

export class GroupState {
  readonly groups = new Map<string, Group>();
  private readonly retryTopicOf: (group: string, topic: string) => string;

  constructor(retryTopicOf: (group: string, topic: string) => string) {
    this.retryTopicOf = retryTopicOf;
  }

  topic(group: string, topic: string): GroupTopic | undefined {
    return this.groups.get(group)?.topics.get(topic);
  }

  apply(record: GroupRecord): void {
    const { type, group } = record;
    if (type === 'drop-group') this.dropGroup(group);
    else if (type === 'settings') this.group(group).settings = record.settings;
    else if (type === 'place') this.place(this.subscription(group, record.topic), record.queues);
    else if (type === 'generation') this.begin(this.subscription(group, record.topic), record);
    else if (type === 'add') this.add(this.subscription(group, record.topic), record.queues);
    else if (type === 'drop-topic') this.dropTopic(group, record.topic);
    else this.dropQueues(this.subscription(group, record.topic), record.queues);
  }

  /** Records that make this state out of none. */
  *records(): Iterable<GroupRecord> {
    for (const { name: group, settings, topics } of this.groups.values()) {
      yield { type: 'settings', group, settings };
      for (const { topic, queues, membership } of topics.values()) {
        yield { type: 'place', group, topic, queues: [...queues.values()].map(placedQueue) };
        const { generation, sizeThen: members } = membership;
        yield { type: 'generation', group, topic, generation, members };
      }
    }
  }

  private group(name: string): Group {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = { name, settings: GROUP_DEFAULTS, topics: new Map() };
      this.groups.set(name, group);
    }
    return group;
  }

  private subscription(groupName: string, topic: string): GroupTopic {
    const group = this.group(groupName);
    let subscription = group.topics.get(topic);
    if (subscription === undefined) {
      const membership = new Membership(`group ${groupName} on topic ${topic}`);
      const rest = { queues: new Map<string, GroupQueue>(), isOpen: false, gone: false };
      subscription = { group, topic, membership, assignment: new Assignment(), ...rest };
      group.topics.set(topic, subscription);
    }
    return subscription;
  }

  private begin({ membership }: GroupTopic, { generation, members }: { generation: number; members: number }): void {
    membership.generation = generation;
    membership.sizeThen = members;
  }

  private place(subscription: GroupTopic, queues: readonly PlacedQueue[]): void {
    for (const [retry, partition, topicId, epoch, offset, acked, attempts] of queues) {
      const topic = this.topicOf(subscription, retry);
      const key = queueKey(topic, partition);
      const present = subscription.queues.get(key);
      if (present?.topicId === topicId) {
        present.progress.reset(epoch, offset);
        present.progress.merge({ epoch, offset, acked, attempts });
        present.version++;
        continue;
      }
      if (present) present.gone = true;
      const progress = Progress.of({ epoch, offset, acked, attempts });
      const rest = { version: 0, gone: false, route: undefined };
      subscription.queues.set(key, { subscription, topic, topicId, partition, progress, ...rest });
    }
  }

  private add(subscription: GroupTopic, queues: readonly AddedProgress[]): void {
    for (const [retry, partition, offset, acked, attempts] of queues) {
      const queue = subscription.queues.get(queueKey(this.topicOf(subscription, retry), partition));
      queue?.progress.merge({ epoch: queue.progress.epoch, offset, acked, attempts });
    }
  }

  private dropQueues(subscription: GroupTopic, queues: readonly QueueName[]): void {
    for (const [retry, partition] of queues) {
      const key = queueKey(this.topicOf(subscription, retry), partition);
      const queue = subscription.queues.get(key);
      if (queue) queue.gone = true;
      subscription.queues.delete(key);
    }
  }

  private dropTopic(groupName: string, topic: string): void {
    const group = this.groups.get(groupName);
    const subscription = group?.topics.get(topic);
    if (subscription === undefined) return;
    subscription.gone = true;
    for (const queue of subscription.queues.values()) queue.gone = true;
    group?.topics.delete(topic);
  }

  private dropGroup(name: string): void {
    const group = this.groups.get(name);
    for (const topic of [...(group?.topics.keys() ?? [])]) this.dropTopic(name, topic);
    this.groups.delete(name);
  }

  private topicOf({ group, topic }: GroupTopic, retry: boolean): string {
    return retry ? this.retryTopicOf(group.name, topic) : topic;
  }
}

/** The record that makes a queue what it is. */
export function placedQueue(queue: GroupQueue): PlacedQueue {
  const { topic, partition, topicId, progress } = queue;
  const { epoch, offset, acked, attempts } = progress.wire();
  return [isRetryTopic(topic), partition, topicId, epoch, offset, acked, attempts];
}
