// All in-process consumers of one thread: opens their rings, polls those with news, follows routes.

import { CODES, RingmqError } from '../base/codes.ts';
import type { RingReader } from '../memory/ring-reader.ts';
import { joinAt, openRequest, ringHas } from '../partition/join.ts';
import { logRefusal } from '../thread/history.ts';
import type { Participant } from '../thread/participant.ts';
import type { PartitionRoute, PartitionStart, StartFrom, TopicRoute } from '../wire/commands.ts';
import type { RingConsumer } from './consumer.ts';
import { ChunkPool, HistorySource } from './history-source.ts';
import { locateInLog, locateInRing } from './log-requests.ts';
import { assertReadable, RingSubscription } from './ring-source.ts';

export interface RingReadersHost {
  route(topic: string): Promise<TopicRoute>;
  /** Asks the owner to open the partition's ring. False if its lane is full. */
  openRing(route: PartitionRoute): boolean;
}

/** Who got no answer asks again so much later. */
const ASK_AGAIN_MS = 500;

/** A consumer and the rings it reads. */
interface Reading {
  readonly consumer: RingConsumer<unknown>;
  readonly subscriptions: Map<number, RingSubscription>;
  /** Partitions whose rings do not exist yet, and whether the owner was asked. */
  readonly missing: Map<number, { readonly route: PartitionRoute; asked: boolean }>;
  readonly starts: PartitionStart[];
  /** Where the log begins at the time to start from, by partition number. */
  readonly located: Map<number, number>;
  /** Of its topic, once the route is known. */
  durable: boolean;
  /** Asks for its route until there is an answer. */
  readonly insists: boolean;
  /** When it asks again, by the clock of housekeep(). */
  askAt: number;
  /** Its route is known, and every partition of it is open or missing. */
  routed: boolean;
  /** All its rings are open. */
  begun: boolean;
}

export class RingReaders {
  private readonly participant: Participant;
  private readonly host: RingReadersHost;
  private readonly readings = new Set<Reading>();
  /** Subscriptions by partition id: who is told of a notice. */
  private readonly byPartition = new Map<number, RingSubscription[]>();
  /** Subscriptions that may have something to read. */
  private readonly hot = new Set<RingSubscription>();
  /** Subscriptions whose direct partition was closed by its writer: they end when they have read the rest. */
  private readonly leaving = new Map<RingSubscription, Reading>();
  /** Direct partitions: their writers ring the bell but send no notices. */
  private readonly direct = new Set<RingSubscription>();
  private readonly chunks = new ChunkPool();
  /** A reader is being opened. */
  private opening = false;

  constructor(participant: Participant, host: RingReadersHost) {
    this.participant = participant;
    this.host = host;
  }

  /** Number of consumers. */
  get count(): number {
    return this.readings.size;
  }

  reads(topic: string): boolean {
    for (const reading of this.readings) if (reading.consumer.topic === topic) return true;
    return false;
  }

  /** True while a consumer gets what its rings do not have. */
  readsLog(consumer: object): boolean {
    for (const reading of this.readings) {
      if (reading.consumer !== consumer) continue;
      for (const { past } of reading.subscriptions.values()) if (past?.active) return true;
    }
    return false;
  }

  /**
   * Starts a consumer; it hears of its start, or of the refusal. With `insists` no answer is no refusal: it asks again,
   * as remote clients do.
   */
  start(consumer: RingConsumer<unknown>, insists: boolean): void {
    const reading: Reading = {
      consumer,
      subscriptions: new Map(),
      missing: new Map(),
      starts: [],
      located: new Map(),
      durable: false,
      insists,
      askAt: Number.POSITIVE_INFINITY,
      routed: false,
      begun: false,
    };
    this.readings.add(reading);
    consumer.source = { wanted: () => this.wanted(reading), close: async () => this.stop(reading) };
    this.ask(reading);
  }

  private ask(reading: Reading): void {
    reading.askAt = Number.POSITIVE_INFINITY;
    this.host
      .route(reading.consumer.topic)
      .then((route) => this.prepare(reading, route))
      .then(
        (route) => this.begin(reading, route),
        (error: unknown) => {
          const mayCome = reading.insists && error instanceof RingmqError && error.advice === 'retry';
          if (mayCome) reading.askAt = performance.now() + ASK_AGAIN_MS;
          else this.refuse(reading, error);
        },
      );
  }

  /** Asks what must be asked before the partitions can be joined: the group's positions, a place in time. */
  private async prepare(reading: Reading, route: TopicRoute): Promise<TopicRoute> {
    const { consumer } = reading;
    const { history } = this.participant;
    const { group } = consumer;
    const { from } = consumer.options;
    const time = typeof from === 'object' && 'time' in from && route.durable && history ? from.time : undefined;
    if (group === undefined && time === undefined) return route;
    if (group) consumer.asked = await group.fetch();
    if (time !== undefined && history) {
      const places = this.chosen(reading, route).map(async ({ number }) => {
        reading.located.set(number, await locateInLog(history, route.topicId, number, time));
      });
      await Promise.all(places);
    }
    // It may have changed meanwhile.
    return this.host.route(consumer.topic);
  }

  /** A worker's notice: the partition has news. HOT */
  noticed(partition: number): void {
    const subscriptions = this.byPartition.get(partition);
    if (subscriptions === undefined) return;
    if (subscriptions.length > 1) subscriptions[0].reader.noticed();
    else if (!subscriptions[0].hear()) return;
    for (let i = 0; i < subscriptions.length; i++) {
      subscriptions[i].past?.rouse();
      this.hot.add(subscriptions[i]);
    }
  }

  /** Reads what is there, a bounded amount from each. Returns how much. HOT */
  work(): number {
    let did = 0;
    for (const subscription of this.direct) did += subscription.drain();
    for (const subscription of this.hot) {
      const taken = subscription.drain();
      did += taken;
      // What is left when nothing was taken waits for a notice, or for the consumer to want more.
      if (taken === 0) this.hot.delete(subscription);
    }
    for (const [subscription, reading] of this.leaving) {
      if (!subscription.reader.hasNews) this.finish(reading, subscription);
    }
    return did;
  }

  /** Rings may exist now that did not before. */
  retry(): void {
    // Opening hears of arenas, which comes here again: housekeeping sees to what else they bring.
    if (this.opening) return;
    for (const reading of this.readings) {
      this.guard(reading, () => {
        for (const [id, { route }] of [...reading.missing]) {
          if (this.open(reading, route)) reading.missing.delete(id);
        }
        this.maybeBegun(reading);
      });
    }
  }

  /** The owner of a partition has opened its ring, or says why not. */
  opened(partition: number, status: number): void {
    for (const reading of this.readings) {
      const waiting = reading.missing.get(partition);
      if (!waiting) continue;
      if (status === CODES['memory-quota'].number) this.refuse(reading, new RingmqError('memory-quota'));
      else waiting.asked = status === CODES.ok.number;
    }
    this.retry();
  }

  housekeep(nowMs: number): void {
    for (const reading of this.readings) {
      const { consumer } = reading;
      if (reading.begun) consumer.group?.tick(nowMs, () => consumer.progress());
      for (const { past } of reading.subscriptions.values()) past?.rouse();
      if (nowMs >= reading.askAt) this.ask(reading);
      if (reading.missing.size === 0) continue;
      for (const waiting of reading.missing.values())
        if (!waiting.asked) waiting.asked = this.host.openRing(waiting.route);
      this.retry();
    }
  }

  /** The route of a topic has changed; undefined: it was deleted. */
  routeIs(topic: string, route: TopicRoute | undefined): void {
    for (const reading of [...this.readings]) {
      if (reading.consumer.topic !== topic || !reading.routed) continue;
      if (route === undefined) this.refuse(reading, new RingmqError('unknown-topic', `topic ${topic} was deleted`));
      else this.guard(reading, () => this.follow(reading, route));
    }
  }

  private follow(reading: Reading, route: TopicRoute): void {
    const has = (known: PartitionRoute): boolean =>
      route.partitions.some((one) => one.id === known.id && one.epoch === known.epoch);
    for (const [id, waiting] of [...reading.missing]) if (!has(waiting.route)) reading.missing.delete(id);
    for (const subscription of [...reading.subscriptions.values()]) {
      if (has(subscription.route)) continue;
      if (this.direct.has(subscription)) this.leaving.set(subscription, reading);
      else this.finish(reading, subscription);
    }
    for (const one of this.chosen(reading, route)) {
      if (!reading.subscriptions.has(one.id) && !reading.missing.has(one.id)) this.add(reading, one);
    }
    this.maybeBegun(reading);
  }

  /** Closes the consumers that have a group, which commits where they are. */
  closeGroups(): Promise<void>[] {
    return [...this.readings].filter(({ consumer }) => consumer.group).map(({ consumer }) => consumer.close());
  }

  close(): void {
    for (const reading of [...this.readings]) {
      reading.consumer.ended();
      this.stop(reading);
    }
  }

  openRequest(route: PartitionRoute, request: number): Uint8Array {
    return openRequest(route, request);
  }

  private begin(reading: Reading, route: TopicRoute): void {
    if (reading.consumer.closed) return;
    this.guard(reading, () => {
      const chosen = this.chosen(reading, route);
      if (!route.direct) assertReadable(chosen, route.topic);
      reading.consumer.topicId = route.topicId;
      reading.durable = route.durable;
      for (const one of chosen) this.add(reading, one);
      reading.routed = true;
      this.maybeBegun(reading);
    });
  }

  /** What goes wrong with one consumer ends that consumer. */
  private guard(reading: Reading, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.refuse(reading, error);
    }
  }

  private chosen(reading: Reading, route: TopicRoute): readonly PartitionRoute[] {
    const wanted = reading.consumer.options.partitions;
    return wanted === undefined ? route.partitions : route.partitions.filter((one) => wanted.includes(one.number));
  }

  private add(reading: Reading, route: PartitionRoute): void {
    if (this.open(reading, route)) return;
    reading.missing.set(route.id, { route, asked: this.host.openRing(route) });
  }

  private open(reading: Reading, route: PartitionRoute): boolean {
    const sharers = this.byPartition.get(route.id) ?? [];
    const noticed = sharers.length === 0;
    const reader = this.openReader(route, noticed);
    if (!reader) return false;
    const { consumer } = reading;
    let subscription: RingSubscription;
    try {
      const from = this.fromIn(reading, reader, route.number);
      const start = joinAt(this.participant.regions.table, reader, route, from);
      subscription = new RingSubscription(
        route,
        reader,
        consumer,
        this.past(reading, route, () => subscription),
      );
      if (from !== 'latest') subscription.startAt(start.offset);
      if (reading.begun) consumer.begin([start]);
      else reading.starts.push(start);
    } catch (error) {
      reader.close();
      throw error;
    }
    reading.subscriptions.set(route.id, subscription);
    for (const one of sharers) one.listen();
    this.byPartition.set(route.id, [...sharers, subscription]);
    if (this.participant.laneOf(route.owner) === undefined) this.direct.add(subscription);
    else this.hot.add(subscription);
    return true;
  }

  private openReader(route: PartitionRoute, noticed: boolean): RingReader | undefined {
    this.opening = true;
    try {
      return this.participant.tryOpenReader(route.id, { noticed, epoch: route.epoch });
    } finally {
      this.opening = false;
    }
  }

  private fromIn(reading: Reading, reader: RingReader, number: number): StartFrom {
    // A partition that appears later is read from its beginning.
    if (reading.begun) return 'earliest';
    const from = reading.consumer.fromIn(number);
    if (typeof from !== 'object' || !('time' in from)) return from;
    // The ring may have messages that the log has not yet: it knows better where the time begins, if it goes back that
    // far.
    const located = reading.located.get(number);
    if (located !== undefined && !ringHas(reader, located)) return { offset: located };
    return { offset: Math.max(located ?? 0, locateInRing(reader, from.time)) };
  }

  private past(reading: Reading, route: PartitionRoute, whose: () => RingSubscription): HistorySource | undefined {
    const { history } = this.participant;
    if (!reading.durable || !history) return undefined;
    const { consumer } = reading;
    return new HistorySource(history, this.chunks, consumer.topicId, route.number, {
      wake: () => this.hot.add(whose()),
      refused: (status, offset) => consumer.tell(logRefusal(status, consumer.topic, route.number, offset)),
    });
  }

  private maybeBegun(reading: Reading): void {
    if (reading.begun || !reading.routed || reading.missing.size > 0 || reading.consumer.closed) return;
    reading.begun = true;
    const { consumer } = reading;
    consumer.begin(reading.starts.filter((one) => reading.subscriptions.has(one.id)));
    this.wanted(reading);
  }

  private wanted(reading: Reading): void {
    for (const subscription of reading.subscriptions.values()) {
      subscription.listen();
      if (!this.direct.has(subscription)) this.hot.add(subscription);
    }
    this.participant.bells.ring(this.participant.seat);
  }

  private refuse(reading: Reading, error: unknown): void {
    const refusal = error instanceof RingmqError ? error : new RingmqError('internal', String(error));
    reading.consumer.refuse(refusal);
    this.stop(reading);
  }

  private stop(reading: Reading): void {
    if (!this.readings.delete(reading)) return;
    reading.missing.clear();
    for (const subscription of [...reading.subscriptions.values()]) this.finish(reading, subscription);
  }

  private finish(reading: Reading, subscription: RingSubscription): void {
    const { id } = subscription.route;
    reading.subscriptions.delete(id);
    reading.consumer.dropCursor(id);
    this.hot.delete(subscription);
    this.direct.delete(subscription);
    this.leaving.delete(subscription);
    const sharers = (this.byPartition.get(id) ?? []).filter((one) => one !== subscription);
    const wasNoticed = this.byPartition.get(id)?.[0] === subscription;
    if (sharers.length === 0) this.byPartition.delete(id);
    else this.byPartition.set(id, sharers);
    subscription.close();
    if (wasNoticed && sharers.length > 0) {
      sharers[0].reader.wantNotices();
      for (const one of sharers) this.hot.add(one);
    }
  }
}
