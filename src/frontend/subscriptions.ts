// Begins, follows and ends subscriptions: routes and rings first, then all partitions at once, then the answer, and
// only after it the first delivery.
import { PERMISSION_READ } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { CommandOf, PartitionRoute, PartitionStart, StartFrom, TopicRoute } from '../wire/commands.ts';
import { SUBSCRIPTIONS_MAX } from './config.ts';
import type { Feeds } from './feeds.ts';
import type { FrameFilter } from './frame-filters.ts';
import type { LogQuestions } from './log-questions.ts';
import { refusalOf } from './refusal.ts';
import type { Rings } from './rings.ts';
import type { RouteBook } from './routes.ts';
import type { Session } from './session.ts';
import type { Subscription } from './subscription.ts';

/** Milliseconds until a route that could not be fetched is asked for again. */
const REFETCH_MS = 100;
/** The same for a partition that could not be opened. */
const RETRY_MS = 1_000;

export class Subscriptions {
  private readonly feeds: Feeds;
  private readonly rings: Rings;
  private readonly routes: RouteBook;
  private readonly log: LogQuestions | undefined;
  private readonly clock: () => number;
  private readonly byTopic = new Map<string, Set<Subscription>>();
  private readonly refetching = new Set<string>();
  private closed = false;

  /** `log`: undefined if the broker keeps no data. */
  constructor(feeds: Feeds, rings: Rings, routes: RouteBook, log: LogQuestions | undefined, clock: () => number) {
    this.feeds = feeds;
    this.rings = rings;
    this.routes = routes;
    this.log = log;
    this.clock = clock;
  }

  /** What a canonical text of a filter means here. Throws `illegal-filter`. */
  filterOf(text: string): FrameFilter | undefined {
    return this.feeds.filters.filter(text);
  }

  /** Subscribes; the session hears where it starts, or why not. Throws what is wrong with the request itself. */
  begin(session: Session, correlation: number, subscription: Subscription): void {
    const { topic } = subscription;
    if (session.subscriptions.has(topic)) {
      throw new RingmqError('illegal-argument', `this session is subscribed to ${topic} already`);
    }
    if (session.subscriptions.size >= SUBSCRIPTIONS_MAX) throw new RingmqError('subscription-quota');
    session.subscriptions.set(topic, subscription);
    const all = this.byTopic.get(topic);
    if (all) all.add(subscription);
    else this.byTopic.set(topic, new Set([subscription]));
    this.routes.watch(session, topic);
    this.start(correlation, subscription).catch((error: unknown) => {
      const { code, message } = refusalOf(error);
      this.drop(subscription);
      session.refuse(correlation, code, message);
    });
  }

  /** Ends a subscription. */
  drop(subscription: Subscription): void {
    if (subscription.dropped) return;
    subscription.dropped = true;
    const { session, topic } = subscription;
    if (session.subscriptions.get(topic) === subscription) session.subscriptions.delete(topic);
    const all = this.byTopic.get(topic);
    all?.delete(subscription);
    if (all?.size === 0) this.byTopic.delete(topic);
    for (const cursor of subscription.cursors.values()) this.feeds.leave(cursor);
    subscription.cursors.clear();
  }

  dropAll(session: Session): void {
    for (const subscription of [...session.subscriptions.values()]) this.drop(subscription);
  }

  /** The route of a topic has changed: its subscriptions follow. */
  routeChanged(news: CommandOf<'route-changed'>): void {
    const { topic, deleted } = news;
    const all = this.byTopic.get(topic);
    if (!all) return;
    if (deleted) for (const subscription of [...all]) this.drop(subscription);
    else void this.follow(topic);
  }

  close(): void {
    this.closed = true;
  }

  private async start(correlation: number, subscription: Subscription): Promise<void> {
    const route = await this.routes.fetch(subscription.topic, true);
    const chosen = route.partitions.filter((one) => subscription.wants(one.number));
    if (!chosen.every(isReadable)) throw new RingmqError('no-read-permission');
    if (chosen.length === 0 && !route.direct) {
      throw new RingmqError('unknown-partition', `topic ${route.topic} has none of the partitions asked for`);
    }
    await Promise.all(chosen.map((one) => this.rings.ready(one, this.clock())));
    const from = await this.withoutTime(route, chosen, subscription.from);
    if (subscription.dropped) {
      throw new RingmqError('unknown-subscription', `the subscription to ${route.topic} was ended before it began`);
    }
    subscription.topicId = route.topicId;
    const starts = this.attach(subscription, chosen, from);
    subscription.begun = true;
    subscription.session.saySubscribed(correlation, subscription, starts);
    // Whatever has changed since the route was asked for: nobody followed it for this subscription yet.
    if (this.routes.known(subscription.topic) === undefined) void this.follow(subscription.topic);
  }

  /** A time as the offsets that it has: in the log, or in the rings of a volatile topic. */
  private async withoutTime(
    { topic, topicId, durable }: TopicRoute,
    partitions: readonly PartitionRoute[],
    from: StartFrom,
  ): Promise<StartFrom> {
    if (typeof from === 'string' || !('time' in from)) return from;
    const queues = partitions.map(({ number }) => ({ topicId, number }));
    const offsets =
      durable && this.log
        ? await this.log.locateAll(queues, from.time)
        : partitions.map((one) => this.feeds.offsetAt(topic, one, from.time));
    const positions = partitions.map(({ number, epoch }, i) => ({ partition: number, epoch, offset: offsets[i] }));
    return { positions };
  }

  private attach(
    subscription: Subscription,
    partitions: readonly PartitionRoute[],
    from: StartFrom,
  ): readonly PartitionStart[] {
    return partitions.map((one) => {
      const feed = this.feeds.obtain(subscription.topic, one);
      try {
        const { start, cursor } = this.feeds.join(feed, subscription.session, from, subscription.filter);
        subscription.cursors.set(one.id, cursor);
        return start;
      } finally {
        this.feeds.settle(feed);
      }
    });
  }

  private async follow(topic: string): Promise<void> {
    if (this.refetching.has(topic) || this.closed) return;
    this.refetching.add(topic);
    try {
      const route = await this.routes.fetch(topic, false);
      for (const subscription of this.byTopic.get(topic) ?? []) {
        if (subscription.begun) this.followOne(subscription, route);
      }
    } catch (error) {
      if (refusalOf(error).code === 'unknown-topic')
        for (const subscription of [...(this.byTopic.get(topic) ?? [])]) this.drop(subscription);
      else setTimeout(() => void this.follow(topic), REFETCH_MS).unref();
      // Not at once: what refuses at once (a full lane, a broker that stops) would keep this thread busy for ever.
      return;
    } finally {
      this.refetching.delete(topic);
    }
    // Changed again meanwhile.
    if (this.byTopic.has(topic) && this.routes.known(topic) === undefined) void this.follow(topic);
  }

  private followOne(subscription: Subscription, route: TopicRoute): void {
    const { cursors, pending } = subscription;
    for (const [id, cursor] of [...cursors]) {
      if (route.partitions.some((one) => one.id === id && one.epoch === cursor.feed.route.epoch)) continue;
      // What is there already still goes out to those who keep up.
      cursor.feed.deliver();
      cursors.delete(id);
      this.feeds.leave(cursor);
    }
    for (const one of route.partitions) {
      if (!subscription.wants(one.number) || !isReadable(one)) continue;
      if (cursors.has(one.id) || pending.has(one.id)) continue;
      pending.add(one.id);
      this.rings
        .ready(one, this.clock())
        .then(() => {
          if (subscription.dropped) return;
          // A partition that appears later is read from its beginning.
          const starts = this.attach(subscription, [one], 'earliest');
          subscription.session.saySubscribed(0, subscription, starts);
        })
        .catch((error: unknown) => {
          refusalOf(error);
          this.routes.forget(subscription.topic);
          setTimeout(() => void this.follow(subscription.topic), RETRY_MS).unref();
        })
        .finally(() => pending.delete(one.id));
    }
  }
}

function isReadable(partition: PartitionRoute): boolean {
  return (partition.permission & PERMISSION_READ) !== 0;
}
