// The groups that this coordinator keeps: who reads what, and how far. Leases, retries and the push members' desk all
// read and change progress through it. Each change stands in the journal before it is seen here.
import { performance } from 'node:perf_hooks';
import { RingmqError } from '../base/codes.ts';
import { isTopicName } from '../base/units.ts';
import type { Applicant, Member, Terms } from '../group/membership.ts';
import { RANGES_MAX } from '../group/progress.ts';
import type { TopicRoute } from '../wire/commands.ts';
import {
  GROUP_DEFAULTS,
  type GroupFrom,
  type GroupSettings,
  isRetryTopic,
  type QueueProgress,
  retryTopic,
} from '../wire/services.ts';
import { GroupPlaces } from './group-places.ts';
import {
  type Group,
  type GroupQueue,
  type GroupRecord,
  GroupState,
  type GroupTopic,
  type PlacedQueue,
  queueKey,
  subscribedTopic,
} from './group-state.ts';
import type { Journal, JournalPart } from './journal.ts';
import type { TopicSource } from './topic-source.ts';

const PART = 'groups';
/** Most pairs of a group and a topic. */
const SUBSCRIPTIONS_MAX = 100_000;
const NOTHING: readonly number[] = [];

/** More of a queue is acknowledged, or has failed. */
export interface ProgressChange {
  readonly queue: GroupQueue;
  /** New ack floor; left out: as it was. */
  readonly offset?: number;
  /** Pairs [from, to). */
  readonly acked?: readonly number[];
  /** Pairs [offset, deliveries so far]. */
  readonly attempts?: readonly number[];
}

export interface GroupBookOptions {
  /** Milliseconds that only ever count up: sessions do not end because somebody sets the clock. */
  readonly monotonic?: () => number;
  readonly subscriptionsMax?: number;
}

export class GroupBook {
  readonly part: JournalPart;
  readonly places: GroupPlaces;
  /** Milliseconds that only ever count up. */
  readonly monotonic: () => number;
  private readonly state = new GroupState(retryTopic);
  private readonly topics: TopicSource;
  private readonly journal: Journal;
  private readonly warn: (text: string) => void;
  private readonly subscriptionsMax: number;
  private readonly listeners: ((topic: GroupTopic) => void)[] = [];
  private readonly forgetters: ((queues: readonly GroupQueue[]) => void)[] = [];
  /** By group: the end of what is under way. Queues come and go one step after the other. */
  private readonly turns = new Map<string, Promise<unknown>>();
  /** Groups that are being deleted. */
  private readonly ending = new Set<string>();

  constructor(topics: TopicSource, journal: Journal, warn: (text: string) => void, options: GroupBookOptions = {}) {
    this.topics = topics;
    this.places = new GroupPlaces(topics);
    this.journal = journal;
    this.warn = warn;
    this.monotonic = options.monotonic ?? (() => performance.now());
    this.subscriptionsMax = options.subscriptionsMax ?? SUBSCRIPTIONS_MAX;
    this.part = {
      name: PART,
      replay: (record) => this.state.apply(record as GroupRecord),
      snapshot: () => this.state.records(),
    };
    topics.onRoute((topic) => this.routeChanged(topic));
  }

  get groups(): Iterable<Group> {
    return this.state.groups.values();
  }

  group(name: string): Group | undefined {
    return this.state.groups.get(name);
  }

  /** Throws `unknown-group`. */
  known(name: string): Group {
    const group = this.state.groups.get(name);
    if (group === undefined) throw new RingmqError('unknown-group', `no group is named ${name}`);
    return group;
  }

  /** What the group does with messages that fail; the defaults for one that nobody has set. */
  settings(group: string): GroupSettings {
    return this.state.groups.get(group)?.settings ?? GROUP_DEFAULTS;
  }

  /** Throws `group-quota` for one group too many. */
  setSettings(group: string, settings: GroupSettings): void {
    if (!this.state.groups.has(group)) this.checkQuota();
    this.write({ type: 'settings', group, settings });
    for (const topic of this.known(group).topics.values()) this.changed(topic);
  }

  topic(group: string, topic: string): GroupTopic | undefined {
    return this.state.topic(group, topic);
  }

  /** A queue of a topic that the group reads, or of its retry topic. */
  queue(group: string, topic: string, partition: number): GroupQueue | undefined {
    return this.state.topic(group, subscribedTopic(topic))?.queues.get(queueKey(topic, partition));
  }

  /** Hears of new, reset and vanished queues, of a change of members, and of settings. */
  onChange(listener: (topic: GroupTopic) => void): void {
    this.listeners.push(listener);
  }

  /**
   * Hears of queues of one group that are about to be set to other places, or dropped: what was known of their messages
   * is void, also for a successor. It may throw what the journal refuses with, and nothing is done.
   */
  onForget(listener: (queues: readonly GroupQueue[]) => void): void {
    this.forgetters.push(listener);
  }

  changed(topic: GroupTopic): void {
    for (const listener of this.listeners) listener(topic);
  }

  /** Acknowledges a range: in the journal when it returns. For many at once use add(). */
  acked(queue: GroupQueue, from: number, to: number): void {
    this.add([{ queue, acked: [from, to] }]);
  }

  /** Adds to the progress of queues, one journal record for all of a topic. Queues that are gone are left out. */
  add(changes: readonly ProgressChange[]): void {
    const subscriptions = new Set(changes.map(({ queue }) => queue.subscription));
    for (const { group, topic, gone } of subscriptions) {
      const own = changes.filter(({ queue }) => !queue.gone && queue.subscription.topic === topic);
      const ofGroup = own.filter(({ queue }) => queue.subscription.group === group);
      if (gone || ofGroup.length === 0) continue;
      const queues = ofGroup.map(({ queue, offset = 0, acked = NOTHING, attempts = NOTHING }) => {
        return [isRetryTopic(queue.topic), queue.partition, offset, acked, attempts] as const;
      });
      this.write({ type: 'add', group: group.name, topic, queues });
    }
  }

  /** Sets queues of one topic to other places. Who has read ahead there hears of it by their version. */
  place(subscription: GroupTopic, queues: readonly PlacedQueue[]): void {
    const { group, topic } = subscription;
    this.forget(
      queues.flatMap(([retry, partition]) => {
        return this.queue(group.name, retry ? retryTopic(group.name, topic) : topic, partition) ?? [];
      }),
    );
    this.write({ type: 'place', group: group.name, topic, queues });
    this.changed(subscription);
  }

  /** What others were told of who reads what: a restart goes on counting from here. */
  nextGeneration(subscription: GroupTopic): void {
    const { group, topic, membership } = subscription;
    const generation = membership.generation + 1;
    const members = membership.pushIds.length;
    this.write({ type: 'generation', group: group.name, topic, generation, members });
  }

  /** A member that leases messages: call it at every sign of life. Throws `group-mismatch`. */
  attend(subscription: GroupTopic, applicant: Applicant, terms: Terms): Member {
    const { membership } = subscription;
    const before = membership.size;
    const member = membership.attend(applicant, terms, this.monotonic());
    if (membership.size !== before) this.changed(subscription);
    return member;
  }

  /**
   * The topic as the group reads it, with all its queues. New to the topic, the group begins at `from`, and that is in
   * the journal when this settles. Rejects with `unknown-topic`, `illegal-group`, `group-quota` or the like.
   */
  async open(group: string, topic: string, from: GroupFrom): Promise<GroupTopic> {
    const present = this.state.topic(group, topic);
    if (present?.isOpen && !this.ending.has(group)) return present;
    return this.inTurn(group, async () => {
      const before = this.state.topic(group, topic);
      if (before?.isOpen) return before;
      this.checkNames(group, topic, before !== undefined);
      return this.openNow(group, await this.topics.open(topic), from);
    });
  }

  /** The same for a topic that is there: no mistyped name becomes one. Rejects with `unknown-topic`. */
  async openPresent(group: string, topic: string): Promise<GroupTopic> {
    if (await this.topics.find(topic)) return this.open(group, topic, 'latest');
    throw new RingmqError('unknown-topic', `no topic ${topic}`);
  }

  /** The retry topic was made: its queue is read from now on. Settles when the group knows it. */
  retryTopicMade(group: string, topic: string): Promise<void> {
    return this.reopen(group, topic);
  }

  /** Looks the queues of a topic up that the group reads. One that was deleted is forgotten, and made by nobody. */
  async reopen(group: string, topic: string): Promise<void> {
    await this.inTurn(group, async () => {
      if (this.state.topic(group, topic) === undefined) return;
      const route = await this.topics.find(topic);
      const present = this.state.topic(group, topic);
      if (present && route && !isOther(present, route)) await this.openNow(group, route, 'earliest');
      else if (present) this.drop(present);
    });
  }

  /** Forgets the group and deletes its retry topics. `mayNot` throws if it is in use. */
  async delete(name: string, mayNot: (group: Group) => void): Promise<void> {
    for (const { topic } of [...this.known(name).topics.values()]) await this.reopen(name, topic);
    await this.inTurn(name, async () => {
      mayNot(this.known(name));
      // Who wants to join waits until it is over.
      this.ending.add(name);
      await this.deleteNow(name, mayNot).finally(() => this.ending.delete(name));
    });
  }

  private async deleteNow(name: string, mayNot: (group: Group) => void): Promise<void> {
    // Before the record: what a crash leaves is a group that can be deleted again.
    for (const topic of await this.topics.named(retryTopic(name, ''))) await this.deleteTopic(topic);
    const group = this.known(name);
    mayNot(group);
    const topics = [...group.topics.values()];
    this.forget(topics.flatMap(({ queues }) => [...queues.values()]));
    this.write({ type: 'drop-group', group: name });
    for (const topic of topics) this.changed(topic);
  }

  /** Offset that the next message of the queue gets, as far as it is known. */
  nextOffset(queue: GroupQueue): number {
    return this.places.nextOffset(queue);
  }

  private async openNow(group: string, route: TopicRoute, from: GroupFrom): Promise<GroupTopic> {
    const { topic } = route;
    const retry = await this.topics.find(retryTopic(group, topic));
    const before = this.state.topic(group, topic);
    // Deleted and made again while nobody looked: its progress went with it.
    if (before && isOther(before, route)) this.drop(before);
    const isKnown = this.state.topic(group, topic) !== undefined;
    const own = (partition: number) => this.queue(group, topic, partition);
    const retried = (partition: number) => this.queue(group, retryTopic(group, topic), partition);
    const places = await this.places.fresh(route, own, isKnown ? 'earliest' : from);
    if (retry) places.push(...(await this.places.fresh(retry, retried, 'earliest')));
    // Last, and in one turn with the record: what is acknowledged meanwhile must not get lost.
    places.push(...this.places.restarted(route, own), ...(retry ? this.places.restarted(retry, retried) : []));
    if (isKnown && places.some((one) => this.isInNewEpoch(group, route, one))) this.forgetMembers(group, topic);
    if (places.length > 0) this.write({ type: 'place', group, topic, queues: places });
    const subscription = this.state.topic(group, topic);
    if (subscription === undefined) throw new RingmqError('unknown-partition', `topic ${topic} has no partitions yet`);
    this.follow(subscription, route, retry);
    subscription.isOpen = true;
    this.changed(subscription);
    return subscription;
  }

  private follow(subscription: GroupTopic, route: TopicRoute, retry: TopicRoute | undefined): void {
    const left: [boolean, number][] = [];
    for (const queue of subscription.queues.values()) {
      const from = queue.topic === route.topic ? route : retry;
      queue.route = from?.partitions.find((one) => one.number === queue.partition);
      if (queue.route === undefined || from?.topicId !== queue.topicId) {
        left.push([isRetryTopic(queue.topic), queue.partition]);
      }
    }
    const { group, topic } = subscription;
    if (left.length > 0) this.write({ type: 'drop-queues', group: group.name, topic, queues: left });
  }

  private checkNames(group: string, topic: string, isKnown: boolean): void {
    const retry = retryTopic(group, topic);
    if (group.includes('|') || !isTopicName(retry)) {
      const text = 'names have no | and, together with the topic, at most 119 characters of A-Z a-z 0-9 % . _ -';
      throw new RingmqError('illegal-group', `group ${group} on topic ${topic}: ${text}`);
    }
    if (isRetryTopic(topic)) {
      throw new RingmqError(
        'illegal-argument',
        `${topic} is read by its group beside the topic: read the topic itself`,
      );
    }
    if (!isKnown) this.checkQuota();
  }

  private checkQuota(): void {
    let count = 0;
    // A group that reads nothing yet counts as well.
    for (const { topics } of this.groups) count += Math.max(topics.size, 1);
    if (count < this.subscriptionsMax) return;
    throw new RingmqError('group-quota', `the broker keeps its ${this.subscriptionsMax} groups and topics already`);
  }

  private routeChanged(name: string): void {
    const topic = subscribedTopic(name);
    for (const { name: group, topics } of this.groups) {
      const subscription = topics.get(topic);
      if (subscription === undefined || (isRetryTopic(name) && name !== retryTopic(group, topic))) continue;
      subscription.isOpen = false;
      this.reopen(group, topic).catch((error: unknown) => {
        this.warn(`group ${group} cannot look topic ${topic} up: ${String(error)}`);
      });
    }
  }

  private isInNewEpoch(group: string, route: TopicRoute, [retry, partition]: PlacedQueue): boolean {
    return !retry && this.queue(group, route.topic, partition) !== undefined;
  }

  /** The broker itself was started again: what members of before hold may be messages that are no more. */
  private forgetMembers(group: string, topic: string): void {
    const subscription = this.state.topic(group, topic);
    if (subscription === undefined || subscription.membership.awaited === 0) return;
    subscription.membership.awaited = 0;
    this.nextGeneration(subscription);
  }

  private forget(queues: readonly GroupQueue[]): void {
    for (const listener of this.forgetters) listener(queues);
  }

  private drop(subscription: GroupTopic): void {
    this.forget([...subscription.queues.values()]);
    this.write({ type: 'drop-topic', group: subscription.group.name, topic: subscription.topic });
    this.changed(subscription);
  }

  private async deleteTopic(topic: string): Promise<void> {
    await this.topics.delete(topic).catch((error: unknown) => {
      if (!(error instanceof RingmqError && error.code === 'unknown-topic')) throw error;
    });
  }

  private write(record: GroupRecord): void {
    this.journal.append(PART, record);
    this.state.apply(record);
  }

  private inTurn<T>(group: string, step: () => Promise<T>): Promise<T> {
    const before = this.turns.get(group) ?? Promise.resolve();
    const mine = before.then(step, step);
    const settled = mine.catch(() => {});
    this.turns.set(group, settled);
    void settled.then(() => {
      if (this.turns.get(group) === settled) this.turns.delete(group);
    });
    return mine;
  }
}

/** The topic was deleted, and made again under its name. */
function isOther({ topic, queues }: GroupTopic, route: TopicRoute): boolean {
  for (const queue of queues.values()) if (queue.topic === topic && queue.topicId !== route.topicId) return true;
  return false;
}

/** Throws `lease-quota` if a queue would have more ranges above its floor, or more failed messages, than it may. */
export function checkRoom({ progress, topic, partition }: GroupQueue, more: QueueProgress): void {
  const ranges = progress.rangeCount + more.acked.length / 2;
  const failures = progress.failureCount + more.attempts.length / 2;
  if (ranges <= RANGES_MAX && failures <= RANGES_MAX) return;
  const next = progress.clone();
  next.merge(more);
  if (next.rangeCount <= RANGES_MAX && next.failureCount <= RANGES_MAX) return;
  const what = `${RANGES_MAX} acknowledged ranges, or as many failed messages, above its floor ${progress.floor}`;
  throw new RingmqError('lease-quota', `${topic}/${partition} has ${what}: acknowledge the oldest messages first`);
}
