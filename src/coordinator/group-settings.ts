// What people do to groups: settings, where a group goes on, and its end.
import { RingmqError } from '../base/codes.ts';
import type { PartitionPosition } from '../wire/commands.ts';
import {
  type Answered,
  type AssignedQueue,
  DELAY_MAX_MS,
  type GroupSettings,
  isRetryTopic,
  type ParamsOf,
} from '../wire/services.ts';
import type { GroupBook } from './group-book.ts';
import { type GroupQueue, type GroupTopic, type PlacedQueue, subscribedTopic } from './group-state.ts';

const DELAYS_MAX = 64;
const ATTEMPTS_MAX = 1_000;

export class GroupSettingsDesk {
  private readonly book: GroupBook;

  constructor(book: GroupBook) {
    this.book = book;
  }

  /** Changes what is named. A group that does not exist begins with it. */
  async set({ group, settings }: ParamsOf<'group-settings'>): Promise<Answered<'group-settings'>> {
    const { retryDelaysMs, attemptsMax } = { ...this.book.settings(group), ...settings };
    checkSettings({ retryDelaysMs, attemptsMax });
    this.book.setSettings(group, { retryDelaysMs: [...retryDelaysMs], attemptsMax });
    return { result: this.book.settings(group) };
  }

  async reset({ group, topic, partition, to }: ParamsOf<'group-reset'>): Promise<Answered<'group-reset'>> {
    this.book.known(group);
    const subscription = await this.book.openPresent(group, subscribedTopic(topic));
    assertNoMembers(subscription);
    const queues = chosen(subscription, topic, partition);
    const places = await this.book.places.startsOf(queues, to);
    // Somebody may have joined meanwhile.
    assertNoMembers(subscription);
    this.book.place(
      subscription,
      places.map(({ queue, position }) => placeAt(queue, position)),
    );
    return { result: { queues: queues.map(assigned) } };
  }

  async delete(group: string): Promise<Answered<'group-delete'>> {
    await this.book.delete(group, (one) => {
      for (const topic of one.topics.values()) assertNoMembers(topic);
    });
    return { result: {} };
  }
}

function placeAt({ topic, topicId, partition }: GroupQueue, { epoch, offset }: PartitionPosition): PlacedQueue {
  return [isRetryTopic(topic), partition, topicId, epoch, offset, [], []];
}

function assigned({ topic, partition, progress }: GroupQueue): AssignedQueue {
  return { topic, partition, ...progress.wire() };
}

/** Queues of a topic that the group reads; the retry topic's only if it is named itself. */
function chosen(subscription: GroupTopic, topic: string, partition: number): readonly GroupQueue[] {
  const queues = [...subscription.queues.values()].filter((one) => {
    return one.topic === topic && (partition < 0 || one.partition === partition);
  });
  if (queues.length > 0) return queues;
  if (partition >= 0) throw new RingmqError('unknown-partition', `topic ${topic} has no partition ${partition}`);
  throw new RingmqError('unknown-topic', `group ${subscription.group.name} reads no topic ${topic}`);
}

function assertNoMembers({ group, topic, membership }: GroupTopic): void {
  const count = membership.size + membership.awaited;
  if (count === 0) return;
  const text = `group ${group.name} has ${count} live members on topic ${topic}`;
  throw new RingmqError('group-in-use', `${text} (${membership.ids.slice(0, 3).join(', ')}): stop its consumers first`);
}

function checkSettings({ retryDelaysMs, attemptsMax }: GroupSettings): void {
  const isDelay = (value: number): boolean => Number.isSafeInteger(value) && value >= 0 && value <= DELAY_MAX_MS;
  if (retryDelaysMs.length < 1 || retryDelaysMs.length > DELAYS_MAX || !retryDelaysMs.every(isDelay)) {
    const text = `retryDelaysMs: 1 to ${DELAYS_MAX} delays of 0 to ${DELAY_MAX_MS} milliseconds (366 days)`;
    throw new RingmqError('illegal-argument', `${text}; the last one counts for all later attempts`);
  }
  if (Number.isSafeInteger(attemptsMax) && attemptsMax >= 1 && attemptsMax <= ATTEMPTS_MAX) return;
  throw new RingmqError('illegal-argument', `attemptsMax is ${attemptsMax}: 1 to ${ATTEMPTS_MAX} deliveries`);
}
