// A connection to a broker over WebSocket: the same interface as in process. Node and browsers share this file; what
// differs between them comes in as a Platform.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { AckEntry, Command, TopicRoute } from '../wire/commands.ts';
import type { Connection, ConsumerOptions, ProducerOptions, PullRequest, PullResult } from './connection.ts';
import { RingConsumer } from './consumer.ts';
import { GroupOffsets } from './group-offsets.ts';
import { GroupingConnection } from './grouping-connection.ts';
import { HostedProducers } from './hosted-producers.ts';
import type { TraceOptions } from './messaging.ts';
import { type HostedProducer, RingProducer } from './producer.ts';
import type { ReconnectOptions } from './ws-backoff.ts';
import { WsGroups } from './ws-groups.ts';
import { LinkPool } from './ws-links.ts';
import { WsOutlet } from './ws-outlet.ts';
import type { Platform } from './ws-platform.ts';
import { pullOverWire } from './ws-pull.ts';
import { brokerUrls } from './ws-urls.ts';

export interface ConnectOptions {
  /** Names this client in the broker's log. */
  readonly name?: string;
  /** Handed to the broker in hello. */
  readonly token?: string;
  /** How to come back after a lost connection; `false`: not at all. */
  readonly reconnect?: ReconnectOptions | false;
  /** Milliseconds from opening a socket to the broker's welcome. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds for one request, waiting for a connection included. Default 5,000. */
  readonly requestTimeoutMs?: number;
  /** Most delivered bytes that wait in this client, for each session. Default 4 MiB. */
  readonly windowBytes?: number;
  /** Verify the CRC of delivered batches. Default true in Node (native, about 5 GB/s), false in browsers. */
  readonly verifyChecksums?: boolean;
  /** Closes the connection at once. */
  readonly signal?: AbortSignal;
  /** Message trace. Default: off. */
  readonly trace?: TraceOptions;
}

const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 5_000;
const WINDOW_BYTES = 4 * 1024 * 1024;
const WINDOW_MIN_BYTES = 64 * 1024;
const HOUSEKEEP_MS = 50;
/** A refused batch is sent again after 5 ms at the earliest. */
const HURRY_MS = 10;
/** Status numbers below this are successes. */
const REFUSED_FROM = 100;
const CLOSE_WAIT_MS = 5_000;
const REFETCH_MS = 100;

export class WsConnection extends GroupingConnection implements Connection {
  private readonly links: LinkPool;
  private readonly outlet: WsOutlet;
  private readonly positions: WsGroups;
  private readonly producers = new HostedProducers();
  private readonly routes = new Map<string, TopicRoute>();
  private readonly fetching = new Map<string, Promise<TopicRoute>>();
  private readonly forgetSignal: () => void;
  private keeper: ReturnType<typeof setInterval> | undefined;
  private hurrying: ReturnType<typeof setTimeout> | undefined;
  private closing: Promise<void> | undefined;

  /** Use connect(). Throws `illegal-argument`. */
  constructor(platform: Platform, urls: string | URL | readonly (string | URL)[], options: ConnectOptions = {}) {
    super('connecting', options.name ?? platform.name, platform.openPool, options.trace);
    const { windowBytes = WINDOW_BYTES, verifyChecksums = platform.verifyChecksums } = options;
    if (!(windowBytes >= WINDOW_MIN_BYTES && windowBytes <= 0x7fff_ffff)) {
      throw new RingmqError('illegal-argument', `windowBytes is ${windowBytes}: at least ${WINDOW_MIN_BYTES}`);
    }
    const link = {
      urls: brokerUrls(urls),
      name: options.name ?? '',
      token: options.token ?? '',
      connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      requestTimeoutMs: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    };
    const reconnect = options.reconnect ?? {};
    this.links = new LinkPool(
      platform,
      { link, reconnect, windowBytes, verifyChecksums },
      {
        up: (welcome) => {
          this.outlet.up(welcome);
          // What was lost with the last session need not wait for the next look.
          this.housekeep();
        },
        lost: () => this.sessionLost(),
        command: (command) => this.heard(command),
        drained: () => this.outlet.drained(),
        publishes: () => this.producers.size > 0,
        changed: (to, code, reason, retryInMs) => this.linkChanged(to, code, reason, retryInMs),
        failed: (error) => this.emitError(error),
      },
    );
    this.outlet = new WsOutlet(this.links.link, {
      route: (topic, create) => this.fetchRoute(topic, create),
      soon: (task) => platform.soon(task),
      room: () => this.producers.room(),
    });
    this.positions = new WsGroups({
      freshRoute: (topic) => this.route(topic),
      start: (consumer) => this.links.start(consumer),
    });
    const { signal } = options;
    this.forgetSignal = () => signal?.removeEventListener('abort', this.abort);
    signal?.addEventListener('abort', this.abort, { once: true });
    if (signal?.aborted) this.abort();
  }

  ready(): Promise<void> {
    return this.links.link.ready();
  }

  producer<T = Uint8Array | string>(topic: string, options: ProducerOptions<T> = {}): RingProducer<T> {
    this.assertOpen();
    const host = {
      outlet: this.outlet,
      stalled: (one: HostedProducer) => this.producers.stalled(one),
      closed: this.forget,
      failed: (error: Error) => this.emitError(error),
      trace: this.trace,
    };
    const producer = new RingProducer<T>(host, topic, options);
    this.producers.add(producer);
    this.keeper ??= setInterval(() => this.housekeep(), HOUSEKEEP_MS);
    return producer;
  }

  reader<T = Uint8Array>(topic: string, options: ConsumerOptions<T> = {}): RingConsumer<T> {
    this.assertOpen();
    const consumer = new RingConsumer<T>(topic, options, (error) => this.emitError(error));
    consumer.filteredByBroker();
    const hosted = consumer as unknown as RingConsumer<unknown>;
    consumer.replier = this.requests;
    consumer.group = GroupOffsets.of(consumer, (command) => this.ask(command));
    if (consumer.group) this.positions.start(hosted, consumer.group);
    else this.links.start(hosted);
    return consumer;
  }

  async pull(request: PullRequest): Promise<PullResult> {
    const route = await this.fetchRoute(request.topic, false);
    const identity = { topicId: route.topicId, replier: this.requests };
    return pullOverWire((command, options) => this.ask(command, options.timeoutMs), identity, request);
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async shutDown(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_WAIT_MS);
    });
    const flushed = Promise.allSettled([
      this.closeMembers(),
      this.positions.close(),
      ...[...this.producers].map((one) => one.close()),
    ]);
    await Promise.race([flushed, late]);
    clearTimeout(timer);
    this.end('closed', 'the connection was closed');
  }

  /** Nothing goes on after this. */
  private end(code: CodeName, reason: string): void {
    this.closing ??= Promise.resolve();
    clearInterval(this.keeper);
    clearTimeout(this.hurrying);
    this.forgetSignal();
    for (const producer of [...this.producers]) {
      producer.abort(new RingmqError(code, reason));
      this.producers.remove(producer);
    }
    this.positions.stop();
    this.endMembers(code === 'closed' ? undefined : new RingmqError(code, reason));
    this.links.close(code, reason);
  }

  protected override ask(command: Command, timeoutMs?: number): Promise<Command> {
    if (this.state === 'closed') return Promise.reject(new RingmqError('closed', 'the connection is closed'));
    return this.links.link.requests.ask(command, timeoutMs === undefined ? {} : { timeoutMs });
  }

  protected override routeOrMake(topic: string): Promise<TopicRoute> {
    return this.fetchRoute(topic, true);
  }

  private fetchRoute(topic: string, create: boolean): Promise<TopicRoute> {
    const known = this.routes.get(topic);
    if (known) return Promise.resolve(known);
    const key = `${create} ${topic}`;
    let fetching = this.fetching.get(key);
    if (!fetching) {
      fetching = this.ask({ type: 'route-request', topic, create })
        .then((reply) => this.learn(reply))
        .finally(() => this.fetching.delete(key));
      this.fetching.set(key, fetching);
    }
    return fetching;
  }

  protected override learn(reply: Command): TopicRoute {
    if (reply.type !== 'route-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    this.routes.set(reply.route.topic, reply.route);
    return reply.route;
  }

  private heard(command: Command): void {
    if (command.type === 'ack') this.acknowledged(command.entries);
    else if (command.type === 'route-changed') this.routeChanged(command.topic, command.version, command.deleted);
    else if (command.type === 'refused') this.emitError(new RingmqError(command.code, command.text || undefined));
  }

  private acknowledged(entries: readonly AckEntry[]): void {
    this.outlet.acknowledged(entries);
    if (entries.every(({ status }) => status < REFUSED_FROM)) return;
    // Somebody has to send again, in some milliseconds: sooner than the next look.
    this.hurrying ??= setTimeout(() => {
      this.hurrying = undefined;
      this.housekeep();
    }, HURRY_MS);
  }

  private routeChanged(topic: string, version: number, deleted: boolean): void {
    this.routes.delete(topic);
    this.emitRoute(topic, version, deleted);
    if (deleted) {
      this.routeIs(topic, undefined);
      this.links.deleted(topic);
    } else if (this.publishes(topic)) this.refetch(topic);
  }

  private refetch(topic: string): void {
    this.fetchRoute(topic, false).then(
      (route) => this.routeIs(topic, route),
      (error: unknown) => {
        if (error instanceof RingmqError && error.code === 'unknown-topic') this.routeIs(topic, undefined);
        else if (!this.closing) setTimeout(() => this.refetch(topic), REFETCH_MS);
      },
    );
  }

  private publishes(topic: string): boolean {
    return [...this.producers].some((producer) => producer.topic === topic);
  }

  private routeIs(topic: string, route: TopicRoute | undefined): void {
    for (const producer of this.producers) if (producer.topic === topic) producer.updateRoute(route);
  }

  /** Routes may have changed while nobody told us. */
  private sessionLost(): void {
    this.routes.clear();
    this.outlet.lost();
    for (const topic of new Set([...this.producers].map((producer) => producer.topic))) this.refetch(topic);
  }

  private linkChanged(to: Connection['state'], code: CodeName, reason: string, retryInMs?: number): void {
    if (to === 'closed') this.end(code, reason);
    this.changeState(to, code, reason, retryInMs);
  }

  private housekeep(): void {
    const now = performance.now();
    for (const producer of this.producers) producer.housekeep(now);
  }

  private readonly abort = (): void => this.end('closed', 'the connection was aborted');

  private readonly forget = (producer: HostedProducer): void => {
    this.producers.remove(producer);
    if (this.producers.size > 0) return;
    clearInterval(this.keeper);
    this.keeper = undefined;
  };

  protected override assertOpen(): void {
    if (this.closing) throw new RingmqError('closed', 'the connection is closed');
  }
}
