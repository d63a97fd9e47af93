// Groups as a service: members join, live and leave, queues go from one to the other, and what they have acknowledged
// is written down. Rules: group/membership.ts and group/assignment.ts. State: group-book.ts.
import { RingmqError } from '../base/codes.ts';
import { filterText } from '../filter/filter.ts';
import type { Member } from '../group/membership.ts';
import { checkProgress } from '../group/progress.ts';
import {
  type Answered,
  type AssignedQueue,
  type GroupCommit,
  type GroupSync,
  isRetryTopic,
  SESSION_MS,
} from '../wire/services.ts';
import { checkRoom, type GroupBook, type ProgressChange } from './group-book.ts';
import { GroupReports, type GroupSources } from './group-reports.ts';
import { GroupSettingsDesk } from './group-settings.ts';
import { type GroupQueue, type GroupTopic, type PlacedQueue, queueKey } from './group-state.ts';
import { GroupSyncs } from './group-syncs.ts';
import type { JournalPart } from './journal.ts';
import type { Caller, Handlers, Service } from './service.ts';

const DONE = { result: {} } as const;
/** Time for members of before a restart of the coordinator to be heard of. They sync every few seconds. */
const AWAIT_MS = SESSION_MS / 2;

export class GroupDesk implements Service {
  readonly handlers: Handlers;
  readonly part: JournalPart;
  private readonly book: GroupBook;
  private readonly syncs = new GroupSyncs();
  /** Topics that have members. */
  private readonly active = new Set<GroupTopic>();
  /** Changed, and the journal has not taken that yet. */
  private readonly owed = new Set<GroupTopic>();
  /** Until when members of before a restart are awaited. */
  private awaitUntilMs = 0;
  private stopped = false;

  constructor(book: GroupBook, sources: GroupSources) {
    this.book = book;
    this.part = book.part;
    const reports = new GroupReports(book, sources);
    const settings = new GroupSettingsDesk(book);
    this.handlers = {
      'group-sync': (params, _payload, caller) => this.sync(params, caller),
      'group-leave': ({ group, topic, member }) => this.leave(group, topic, member),
      'group-commit': (params) => this.commit(params),
      'group-list': (params) => reports.list(params),
      'group-describe': (params) => reports.describe(params),
      'group-settings': (params) => settings.set(params),
      'group-reset': (params) => settings.reset(params),
      'group-delete': ({ group }) => settings.delete(group),
    };
    book.onChange((subscription) => this.changed(subscription));
  }

  start(): void {
    this.awaitUntilMs = this.book.monotonic() + AWAIT_MS;
    for (const { topics } of this.book.groups) {
      for (const subscription of topics.values()) {
        subscription.membership.awaitMembers();
        if (subscription.membership.awaited > 0) this.active.add(subscription);
      }
    }
  }

  /** Takes members out that have not been heard of, and answers calls whose time is up. */
  housekeep(): void {
    const now = this.book.monotonic();
    this.membersLeft((subscription) => subscription.membership.expire(now));
    for (const subscription of [...this.owed]) this.changed(subscription);
    if (this.awaitUntilMs > 0 && now >= this.awaitUntilMs) this.awaitNobody();
    this.syncs.expire(now);
  }

  seatLeft(seat: number): void {
    this.membersLeft((subscription) => subscription.membership.seatLeft(seat));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.syncs.refuseAll(new RingmqError('shutting-down'));
  }

  private async sync(asked: GroupSync, caller: Caller): Promise<Answered<'group-sync'>> {
    // Before there is a group: an illegal filter makes none. One that is spelled in two ways is one.
    const params = { ...asked, filter: filterText(asked.filter) };
    const { group, topic, generation } = params;
    const subscription = await this.book.open(group, topic, params.from);
    if (this.stopped) throw new RingmqError('shutting-down');
    if (subscription.gone) throw wasDeleted(subscription);
    const now = this.book.monotonic();
    const member =
      generation === 0 ? this.join(subscription, params, caller) : this.renew(subscription, params, caller);
    // Who joins holds nothing, whatever it says.
    const owned = generation === 0 ? [] : params.owned.map((one) => queueKey(one.topic, one.partition));
    const isFree = subscription.assignment.synced(member.id, new Set(owned));
    const answer = this.syncs.hold(subscription, member, params, new Set(owned), now);
    // What it has given up may be what another one waits for.
    this.syncs.wake(subscription, now, isFree ? undefined : member.id);
    return answer;
  }

  private join(subscription: GroupTopic, params: GroupSync, { seat }: Caller): Member {
    const { membership, assignment } = subscription;
    const { member: id, client } = params;
    const { member, replaced } = membership.join({ member: id, client, seat }, termsOf(params), this.book.monotonic());
    // Its life before holds nothing any more.
    if (replaced) this.gone(subscription, id);
    this.active.add(subscription);
    assignment.rebalance(sortedKeys(subscription), membership.pushIds);
    try {
      this.book.nextGeneration(subscription);
    } catch (error) {
      membership.leave(id);
      assignment.rebalance(sortedKeys(subscription), membership.pushIds);
      throw error;
    }
    this.book.changed(subscription);
    return member;
  }

  private renew(subscription: GroupTopic, params: GroupSync, { seat }: Caller): Member {
    const { membership } = subscription;
    const { member: id, client, generation } = params;
    const now = this.book.monotonic();
    const applicant = { member: id, client, seat };
    if (membership.adopt(applicant, generation, termsOf(params), now)) this.adopted(subscription, params);
    return membership.renew(applicant, generation, termsOf(params), now);
  }

  /** It goes on with what it holds. */
  private adopted(subscription: GroupTopic, { member, owned }: GroupSync): void {
    const keys = owned.map(({ topic, partition }) => queueKey(topic, partition));
    const there = keys.filter((key) => subscription.queues.has(key));
    // Two that say they hold one queue are not what they say: join anew.
    if (!subscription.assignment.tryClaim(member, there)) subscription.membership.leave(member);
    this.book.changed(subscription);
  }

  private awaitNobody(): void {
    for (const subscription of [...this.active]) {
      if (subscription.membership.awaited === 0) continue;
      // Those that did not come in time have lost what they held.
      this.book.nextGeneration(subscription);
      subscription.membership.awaited = 0;
      this.book.changed(subscription);
    }
    this.awaitUntilMs = 0;
  }

  private leave(group: string, topic: string, id: string): Answered<'group-leave'> {
    const subscription = this.book.topic(group, topic);
    if (subscription?.membership.leave(id)) {
      this.gone(subscription, id);
      this.book.changed(subscription);
    }
    return DONE;
  }

  private async commit(params: GroupCommit): Promise<Answered<'group-commit'>> {
    for (const one of params.queues) checkProgress(one, `${one.topic}/${one.partition}`);
    const changes = this.changesOf(params) ?? (await this.changesAfresh(params));
    const subscription = changes[0]?.queue.subscription;
    if (params.anew && subscription) this.book.place(subscription, changes.map(placeOf));
    else this.book.add(changes);
    return DONE;
  }

  private async changesAfresh(params: GroupCommit): Promise<readonly ProgressChange[]> {
    await this.book.reopen(params.group, params.topic);
    const changes = this.changesOf(params);
    if (changes) return changes;
    throw new RingmqError('route-stale', `the broker is making topic ${params.topic} ready: commit again`);
  }

  /** What is new in a commit; undefined if the routes are out of date. Throws what is wrong with it. */
  private changesOf(params: GroupCommit): readonly ProgressChange[] | undefined {
    const { group, topic, member, generation } = params;
    const subscription = this.book.topic(group, topic);
    this.book.known(group);
    if (subscription === undefined)
      throw new RingmqError('unknown-group', `group ${group} does not read topic ${topic}`);
    subscription.membership.current(member, generation).seenMs = this.book.monotonic();
    const changes: ProgressChange[] = [];
    for (const one of params.queues) {
      const queue = this.heldBy(subscription, member, one);
      const end = this.book.places.endOf(queue);
      if (end < 0 || isUnheard(queue, one.epoch)) return undefined;
      checkEpoch(queue, one.epoch);
      checkEnd(one, end);
      if (!params.anew) checkRoom(queue, one);
      const news = params.anew ? one : queue.progress.newsIn(one);
      if (news) changes.push({ queue, ...news });
    }
    return changes;
  }

  private heldBy(subscription: GroupTopic, member: string, one: AssignedQueue): GroupQueue {
    const key = queueKey(one.topic, one.partition);
    const queue = subscription.queues.get(key);
    if (queue === undefined)
      throw new RingmqError('unknown-partition', `topic ${subscription.topic} has no queue ${key}`);
    const holder = subscription.assignment.holderOf(key);
    if (holder === member) return queue;
    const whose = holder === '' ? 'nobody holds it' : `'${holder}' holds it`;
    throw new RingmqError('stale-generation', `'${member}' does not hold ${key} (any more): ${whose}; sync again`);
  }

  /** Queues, members or settings are others than before. */
  private changed(subscription: GroupTopic): void {
    const { membership } = subscription;
    if (subscription.gone) {
      this.active.delete(subscription);
      this.owed.delete(subscription);
      this.syncs.refuse(subscription, undefined, wasDeleted(subscription));
      return;
    }
    if (membership.size + membership.awaited > 0) this.active.add(subscription);
    else this.active.delete(subscription);
    if (membership.awaited === 0 && !this.tryRebalance(subscription)) return;
    this.syncs.wake(subscription, this.book.monotonic());
  }

  /** False: the journal does not take it now, and it is tried again with the next housekeeping. */
  private tryRebalance(subscription: GroupTopic): boolean {
    try {
      this.rebalance(subscription);
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      this.owed.add(subscription);
      return false;
    }
    this.owed.delete(subscription);
    return true;
  }

  /** Who is awaited after a restart holds queues that nobody else may have: not then. */
  private rebalance(subscription: GroupTopic): void {
    const { membership, assignment } = subscription;
    const { pushIds, sizeThen } = membership;
    // First the journal: with a generation that counts no more nobody who is gone can come back. Also for one that had
    // nothing to read.
    const isCounted = pushIds.length !== sizeThen;
    if (isCounted) this.book.nextGeneration(subscription);
    const isOther = assignment.rebalance(sortedKeys(subscription), pushIds);
    if (isOther && !isCounted) this.book.nextGeneration(subscription);
  }

  private membersLeft(leaving: (subscription: GroupTopic) => readonly string[]): void {
    for (const subscription of [...this.active]) {
      const ids = leaving(subscription);
      for (const id of ids) this.gone(subscription, id);
      if (ids.length > 0) this.book.changed(subscription);
    }
  }

  private gone(subscription: GroupTopic, id: string): void {
    const text = `'${id}' is no more a member: silent for ${SESSION_MS / 1_000} s, or it left; join again`;
    this.syncs.refuse(subscription, id, new RingmqError('stale-generation', text));
    subscription.assignment.left(id);
  }
}

function termsOf({ order, filter }: GroupSync) {
  return { kind: 'push', order, filter } as const;
}

/** By partition, the retry topic's queue last: the same for everybody. */
function sortedKeys({ queues }: GroupTopic): string[] {
  const rank = (queue: GroupQueue): number => (isRetryTopic(queue.topic) ? 1 : 0);
  return [...queues].sort(([, a], [, b]) => rank(a) - rank(b) || a.partition - b.partition).map(([key]) => key);
}

function wasDeleted({ group, topic }: GroupTopic): RingmqError {
  return new RingmqError('unknown-topic', `topic ${topic} was deleted, or group ${group.name} was`);
}

/** The partition began anew, and the member heard of it first. */
function isUnheard(queue: GroupQueue, epoch: number): boolean {
  return epoch > queue.progress.epoch && !isKnownEpoch(queue, epoch);
}

/** A member names the epoch of what it read, which may be older than that of its queue. */
function isKnownEpoch({ progress, route }: GroupQueue, epoch: number): boolean {
  return epoch === progress.epoch || (route?.epochs.some((one) => one.epoch === epoch) ?? false);
}

/** Offsets of an epoch that nobody knows may be other messages. */
function checkEpoch(queue: GroupQueue, epoch: number): void {
  if (isKnownEpoch(queue, epoch)) return;
  const text = `epoch ${epoch} is over, it is ${queue.progress.epoch}: give the queue up and join again`;
  throw new RingmqError('offset-out-of-range', `${queue.topic}/${queue.partition}: ${text}`);
}

/** The change is all that there is. Offsets count in the present epoch. */
function placeOf({ queue, offset = 0, acked = [], attempts = [] }: ProgressChange): PlacedQueue {
  const { topic, partition, topicId, progress } = queue;
  return [isRetryTopic(topic), partition, topicId, progress.epoch, offset, acked, attempts];
}

/** Nobody can be further than the partition. */
function checkEnd({ topic, partition, offset, acked, attempts }: AssignedQueue, end: number): void {
  const last = Math.max(offset, acked.at(-1) ?? 0, (attempts.at(-2) ?? -1) + 1);
  if (last <= end) return;
  // A place to go on at is named as it was asked for, else the message that is not there.
  const named = offset > end ? offset : last - 1;
  const text = `offset ${named} of ${topic}/${partition}: its next message gets ${end}, nobody can be further`;
  throw new RingmqError('offset-out-of-range', text);
}
