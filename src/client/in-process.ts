// The in-process connection: a thread of the embedding program takes a seat and talks to the broker through shared
// memory. Same interface as over the network, and what only shared memory can do: blocking loops, direct partitions.
import { threadId } from 'node:worker_threads';
import { RingmqError } from '../base/codes.ts';
import { nextOffset, readIdentity } from '../memory/partition-entry.ts';
import type { Attachment } from '../memory/regions.ts';
import { HEAVY_WORK, HOUSEKEEP_MS } from '../thread/agent.ts';
import type { Announcement } from '../thread/announcements.ts';
import { EventLoopDriver } from '../thread/loop.ts';
import { Participant } from '../thread/participant.ts';
import type { Command, CommandOf, PartitionRoute, TopicRoute } from '../wire/commands.ts';
import { BatchPool } from './batch-pool.ts';
import type { Connection, ConsumerOptions, ProducerOptions, PullRequest, PullResult } from './connection.ts';
import { RingConsumer } from './consumer.ts';
import { DirectProducer } from './direct-producer.ts';
import { diskRefusal, waitsForDisk } from './disk-gate.ts';
import { Expected } from './expected.ts';
import { FixedProducer } from './fixed-producer.ts';
import type { OpenPool } from './group-consumer.ts';
import { GroupOffsets } from './group-offsets.ts';
import { type AttachOptions, GroupingConnection } from './grouping-connection.ts';
import { HalfSender } from './half-sender.ts';
import { HostedProducers } from './hosted-producers.ts';
import { type LogQueries, logQueries } from './log-query.ts';
import { OpenBatches } from './open-batches.ts';
import type { Outlet } from './outlet.ts';
import { type HostedProducer, type ProducerHost, RingProducer } from './producer.ts';
import { pullOnce } from './pull.ts';
import { RingReaders } from './ring-readers.ts';

const CLOSE_WAIT_MS = 5_000;
const SEAT_WAIT_MS = 1_000;
const SEAT_POLL_MS = 2;

export class InProcessConnection extends GroupingConnection implements Connection {
  private readonly participant: Participant;
  private readonly driver: EventLoopDriver;
  private readonly readers: RingReaders;
  private readonly producers = new HostedProducers();
  private readonly openBatches = new OpenBatches();
  private readonly direct = new Set<DirectProducer>();
  /** Closed direct producers whose rings still have readers. */
  private readonly retiring = new Set<DirectProducer>();
  private readonly expected = new Expected();
  private readonly routes = new Map<string, TopicRoute>();
  private readonly outlet: Outlet;
  private readonly producerHost: ProducerHost;
  private readonly queries: LogQueries;
  /** Bytes taken or put since this thread last slept in wait(). */
  private did = 0;
  private housekeepAt = 0;
  private closing: Promise<void> | undefined;

  /** Use attach() or broker.connect(). Throws `seat-quota`. */
  constructor(attachment: Attachment, options: AttachOptions = {}) {
    super('connected', `thread ${threadId}`, openPool, options.trace);
    this.participant = new Participant(attachment, 'embedded', threadId, {
      completion: (request, status, _partition, baseOffset) => this.completed(request, status, baseOffset),
      notice: (partition) => this.readers.noticed(partition),
      room: () => this.producers.room(),
      announcement: (said) => this.heard(said),
    });
    this.participant.control.onNews = (command) => this.news(command);
    this.queries = logQueries(this.participant, attachment.keysFolder);
    this.outlet = this.makeOutlet();
    this.producerHost = {
      outlet: this.outlet,
      stalled: (producer) => this.producers.stalled(producer),
      closed: (producer) => this.producers.remove(producer),
      failed: (error) => this.emitError(error),
      trace: this.trace,
    };
    this.readers = new RingReaders(this.participant, {
      route: (topic) => this.fetchRoute(topic, true),
      openRing: (route) => this.openRing(route.owner, route),
    });
    this.driver = new EventLoopDriver(this.participant.doorbell, {
      work: () => this.work(),
      housekeep: () => this.housekeep(),
    });
  }

  ready(): Promise<void> {
    return this.closing ? Promise.reject(new RingmqError('closed')) : Promise.resolve();
  }

  producer<T = Uint8Array | string>(topic: string, options: ProducerOptions<T> = {}): RingProducer<T> {
    this.assertOpen();
    return this.host(new RingProducer<T>(this.producerHost, topic, options));
  }

  /** Publishes batches under identities that the caller chooses (see coordinator/mover.ts). */
  fixedProducer(topic: string): FixedProducer {
    this.assertOpen();
    return this.host(new FixedProducer(this.producerHost, topic));
  }

  /**
   * A partition of a direct topic that this thread alone writes, without the hop through a broker worker: the fastest
   * way out of a thread. Order holds per thread. Makes the topic if it is not there.
   */
  async directProducer(topic: string): Promise<DirectProducer> {
    this.assertOpen();
    const reply = await this.ask({ type: 'open-direct', topic });
    if (reply.type !== 'route-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    const producer = DirectProducer.open(this.participant, reply.route, {
      closed: (one) => {
        this.direct.delete(one);
        if (!one.tryRetire()) this.retiring.add(one);
      },
      hold: () => this.driver.hold(true),
      failed: (error) => this.emitError(error),
    });
    this.direct.add(producer);
    return producer;
  }

  reader<T = Uint8Array>(topic: string, options: ConsumerOptions<T> = {}, insists = true): RingConsumer<T> {
    this.assertOpen();
    const consumer = new RingConsumer<T>(topic, options, (error) => this.emitError(error));
    consumer.replier = this.requests;
    consumer.group = GroupOffsets.of(consumer, (command) => this.askLast(command));
    this.readers.start(consumer as unknown as RingConsumer<unknown>, insists);
    this.driver.hold(true);
    return consumer;
  }

  pull(request: PullRequest): Promise<PullResult> {
    return pullOnce(
      {
        open: (topic, options) => this.reader(topic, options, false),
        takeNow: () => void this.readers.work(),
        readsLog: (consumer) => this.readers.readsLog(consumer),
      },
      request,
    );
  }

  /** Offset that the next message of a partition gets, without a question; -1 if the route is out of date. */
  nextOffset({ id, epoch }: PartitionRoute): number {
    const { table } = this.participant.regions;
    return readIdentity(table, id)?.epoch === epoch ? nextOffset(table, id) : -1;
  }

  /** Takes what has come and sends what is open, without waiting: for loops that own their thread. Returns how much. */
  poll(): number {
    this.assertLives();
    this.flushOpen();
    const did = this.work();
    this.housekeepInLoop();
    return did;
  }

  /** Blocks the thread until something comes or room is made, at most `timeoutMs`. Not where others are served. */
  wait(timeoutMs: number): void {
    this.assertLives();
    this.flushOpen();
    const { doorbell } = this.participant;
    if (this.did >= HEAVY_WORK) {
      this.did = 0;
      doorbell.nap();
      this.work();
      this.housekeepInLoop();
      return;
    }
    this.did = 0;
    doorbell.park();
    // News that came before park() rang no bell: look once more.
    if (this.work() > 0) doorbell.unpark();
    else doorbell.wait(timeoutMs);
    this.work();
    this.housekeepInLoop();
  }

  /** `waitMs`: for what is under way; handlers that take longer count as not done. */
  close(waitMs = CLOSE_WAIT_MS): Promise<void> {
    this.closing ??= this.shutDown(waitMs);
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override halvesOf(topic: string, producerGroup: string): HalfSender {
    return new HalfSender(this, topic, producerGroup);
  }

  private host<P extends HostedProducer>(producer: P): P {
    this.producers.add(producer);
    this.driver.hold(true);
    return producer;
  }

  private async shutDown(waitMs: number): Promise<void> {
    this.driver.hold(true);
    const late = new Promise<void>((resolve) => setTimeout(resolve, waitMs).unref());
    const producers = [...this.producers, ...this.direct].map((producer) => producer.close());
    const flushed = Promise.allSettled([...producers, ...this.readers.closeGroups(), this.closeMembers()]);
    await Promise.race([flushed, late]);
    this.end(new RingmqError('closed', 'the connection was closed'));
    // Other threads clear the seat. Who opens and closes connections quickly must not run out of seats.
    const deadline = performance.now() + SEAT_WAIT_MS;
    while (!this.participant.seatGiven && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, SEAT_POLL_MS));
    }
  }

  private end(error: RingmqError): void {
    if (this.state === 'closed') return;
    for (const producer of this.producers) producer.abort(error);
    for (const producer of [...this.direct]) producer.abort(error);
    this.endMembers(error);
    this.readers.close();
    this.queries.close();
    this.driver.stop();
    this.participant.control.close();
    this.participant.close();
    this.changeState('closed', error.code, error.message);
  }

  /** Takes what has come: answers, room, messages. Open batches stay open. Returns how much. */
  work(): number {
    for (const producer of this.direct) producer.onRoom();
    const did = this.participant.work() + this.readers.work();
    this.did += did;
    return did;
  }

  /** In a loop that owns its thread no timer runs, and no announcement is heard by itself. */
  private housekeepInLoop(): void {
    const now = performance.now();
    if (now < this.housekeepAt) return;
    this.housekeepAt = now + HOUSEKEEP_MS;
    this.participant.announcements.poll();
    if (this.state !== 'closed') this.housekeep();
  }

  private flushOpen(): void {
    this.openBatches.flushAll();
    for (const producer of this.direct) producer.flushNow();
  }

  private housekeep(): void {
    const now = performance.now();
    this.participant.housekeep();
    for (const producer of this.producers) producer.housekeep(now);
    this.readers.housekeep(now);
    for (const producer of this.retiring) if (producer.tryRetire()) this.retiring.delete(producer);
    this.driver.hold(!this.idle);
  }

  /** Nothing is under way, so the process may end if it has nothing else to do. */
  private get idle(): boolean {
    const { control, coordinator, history } = this.participant;
    if (this.readers.count > 0 || control.pending > 0 || coordinator.pending > 0) return false;
    if ((history?.pending ?? 0) > 0) return false;
    for (const producer of this.producers) if (!producer.idle) return false;
    for (const producer of this.direct) if (!producer.idle) return false;
    return true;
  }

  protected override ask(command: Command): Promise<Command> {
    this.assertOpen();
    return this.askLast(command);
  }

  /** Also while the connection closes. */
  private askLast(command: Command): Promise<Command> {
    this.assertLives();
    this.driver.hold(true);
    return this.participant.control.request(command, performance.now());
  }

  protected override async askCoordinator(command: CommandOf<'call'>, timeoutMs: number): Promise<Command> {
    this.assertLives();
    this.driver.hold(true);
    return this.participant.coordinator.request(command, performance.now(), timeoutMs);
  }

  protected override async find(query: CommandOf<'query'>): Promise<Command> {
    const route = await this.route(query.topic);
    this.driver.hold(true);
    return this.queries.find(route, query);
  }

  protected override routeOrMake(topic: string): Promise<TopicRoute> {
    return this.fetchRoute(topic, true);
  }

  private async fetchRoute(topic: string, create: boolean): Promise<TopicRoute> {
    const known = this.routes.get(topic);
    return known ?? this.learn(await this.ask({ type: 'route-request', topic, create }));
  }

  protected override learn(reply: Command): TopicRoute {
    if (reply.type !== 'route-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    this.routes.set(reply.route.topic, reply.route);
    return reply.route;
  }

  private news(command: Command): void {
    if (command.type !== 'route-changed') return;
    const { topic, version, deleted } = command;
    this.routes.delete(topic);
    this.emitRoute(topic, version, deleted);
    if (deleted) this.routeIs(topic, undefined);
    else if (this.uses(topic)) this.refetch(topic);
  }

  private refetch(topic: string): void {
    this.fetchRoute(topic, false).then(
      (route) => this.routeIs(topic, route),
      (error: unknown) => {
        if (error instanceof RingmqError && error.code === 'unknown-topic') this.routeIs(topic, undefined);
        else if (!this.closing) setTimeout(() => this.refetch(topic), 100).unref();
      },
    );
  }

  private uses(topic: string): boolean {
    return this.readers.reads(topic) || [...this.producers, ...this.direct].some((one) => one.topic === topic);
  }

  private routeIs(topic: string, route: TopicRoute | undefined): void {
    for (const producer of this.producers) if (producer.topic === topic) producer.updateRoute(route);
    for (const producer of [...this.direct]) {
      if (producer.topic !== topic) continue;
      if (route) producer.refresh();
      else producer.abort(new RingmqError('unknown-topic', `topic ${topic} was deleted`));
    }
    this.readers.routeIs(topic, route);
  }

  private completed(request: number, status: number, baseOffset: number): void {
    this.expected.take(request)?.answered(status, baseOffset);
  }

  private openRing(owner: number, route: Parameters<RingReaders['openRequest']>[0]): boolean {
    // The writer of a direct partition makes the ring by itself.
    if (this.participant.laneOf(owner) === undefined) return true;
    const answered = (status: number): void => this.readers.opened(route.id, status);
    const request = this.outlet.expect({ answered, lost: () => {} });
    if (this.participant.tryOpenRing(owner, this.readers.openRequest(route, request))) return true;
    this.outlet.forget(request);
    return false;
  }

  private makeOutlet(): Outlet {
    return {
      pool: new BatchPool(),
      waits: true,
      leavesMemory: false,
      // Who must not create it may hold a route that is out of date.
      route: (topic, create) => (create ? this.fetchRoute(topic, true) : this.route(topic)),
      expect: (expecting) => this.expected.add(expecting),
      forget: (request) => void this.expected.take(request),
      waitsFor: (partition) => diskRefusal(this.participant.regions, partition),
      tryPut: (owner, bytes, lengthBytes) => {
        if (waitsForDisk(this.participant.regions, bytes)) return false;
        if (!this.participant.tryPut(owner, bytes, lengthBytes)) return false;
        this.did += lengthBytes;
        return true;
      },
      hasRoom: (owner, lengthBytes) => this.participant.hasRoom(owner, lengthBytes),
      push: (owner) => this.participant.push(owner),
      soon: (flush) => {
        this.driver.hold(true);
        this.openBatches.add(flush);
      },
      now: () => performance.now(),
    };
  }

  private heard(said: Announcement): void {
    if (said.type === 'arena') this.readers.retry();
    if (said.type !== 'stopped' || this.closing) return;
    this.closing = Promise.resolve();
    this.end(new RingmqError('shutting-down', 'the broker was stopped'));
  }

  private assertLives(): void {
    if (this.state === 'closed') throw new RingmqError('closed', 'the connection is closed');
  }

  protected override assertOpen(): void {
    if (this.closing) throw new RingmqError('closed', 'the connection is closed');
  }
}

/**
 * Joins a broker of this process from another thread: pass `broker.attachment` in the worker's `workerData`.
 * Throws `seat-quota` when 64 threads take part already.
 */
export function attach(attachment: Attachment, options: AttachOptions = {}): InProcessConnection {
  return new InProcessConnection(attachment, options);
}

const openPool: OpenPool = async (file, options) => (await import('./handler-pool.ts')).openHandlerPool(file, options);
