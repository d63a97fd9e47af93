// The applications of a simulated run: threads that send and read all the time, in the broker's process or over the
// network. What they are told goes into the books.
import { RingmqError } from '../../src/base/codes.ts';
import type { Connection, Consumer, ConsumerOptions, Producer } from '../../src/client/connection.ts';
import { InProcessConnection } from '../../src/client/in-process.ts';
import { WsConnection } from '../../src/client/ws-connection.ts';
import type { Participant } from '../../src/thread/participant.ts';
import type { PartitionPosition } from '../../src/wire/commands.ts';
import { bodyOf, nameOf } from '../../torture/message.ts';
import type { Books, ConsumerBook, Level } from './books.ts';
import type { BrokerProcess } from './broker-process.ts';
import type { Network } from './network.ts';
import type { Role } from './roles.ts';
import type { TraceBook } from './trace-book.ts';
import { EventLoop, type World } from './world.ts';

const LEVELS: readonly Level[] = ['durable', 'written', 'durable', 'accepted'];
const UNDER_WAY_MAX = 40;
const BURST_MAX = 6;
const KEYS = 8;
const BODY_MAX_BYTES = 3_000;
const SEND_TIMEOUT_MS = 20_000;
const COMMIT_MS = 100;
const SLOW_MS = 30;
/** What a send may fail with while everything around it fails: nothing is promised then. */
const MAY_FAIL = new Set([
  'timeout',
  'connection-lost',
  'closed',
  'out-of-order',
  'outcome-unknown',
  'broker-unavailable',
  'disk-full',
  'store-failed',
  'shutting-down',
  'busy',
  'route-stale',
  'buffer-full',
  'ring-full',
  'hello-timeout',
]);

const UNTRACED = 'trace records are not stored';

export interface ApplicationContext {
  readonly world: World;
  readonly books: Books;
  readonly topics: readonly string[];
  /** Producers never have the same number twice. */
  readonly nextProducer: () => number;
  /** Share of the messages that is traced. Default: none is looked at. */
  readonly trace?: number | undefined;
  /** Hears of what is to be traced. */
  readonly traced?: TraceBook | undefined;
}

interface Sender {
  readonly producer: Producer;
  readonly number: number;
  readonly level: Level;
  sequence: number;
  underWay: number;
}

/** What both kinds have in common: the load. */
export abstract class Application {
  readonly name: string;
  protected readonly context: ApplicationContext;
  protected readonly senders: Sender[] = [];
  /** What else it does. */
  readonly roles: Role[] = [];
  private isQuiet = false;

  constructor(name: string, context: ApplicationContext) {
    this.name = name;
    this.context = context;
  }

  /** True: it sends nothing new. */
  get quiet(): boolean {
    return this.isQuiet;
  }

  set quiet(isQuiet: boolean) {
    this.isQuiet = isQuiet;
    for (const one of this.roles) one.quiet = isQuiet;
  }

  /** Sends and calls whose outcome is not known. */
  get underWay(): number {
    const calls = this.roles.reduce((sum, one) => sum + one.underWay, 0);
    return this.senders.reduce((sum, one) => sum + one.underWay, calls);
  }

  /** Who of it waits for something; '': nobody. */
  get waitsFor(): string {
    if (this.underWay === 0) return '';
    const roles = this.roles.filter((one) => one.underWay > 0).map((one) => `${one.name} (${one.underWay})`);
    const senders = this.senders.filter((one) => one.underWay > 0).map((one) => `${one.number} (${one.underWay})`);
    return `${this.name} waits: ${[...senders, ...roles].join(', ')}`;
  }

  /** Something of what else it does. */
  protected play(): void {
    if (this.roles.length === 0) return;
    this.roles[this.context.world.random(this.roles.length)].turn();
  }

  protected addSenders(connection: Connection): void {
    for (const topic of this.context.topics) {
      const number = this.context.nextProducer();
      const level = LEVELS[number % LEVELS.length];
      const options = { ack: level, timeoutMs: SEND_TIMEOUT_MS, attemptsMax: Number.POSITIVE_INFINITY };
      const producer = connection.producer(topic, { ...options, createTopic: false });
      this.senders.push({ producer, number, level, sequence: 0, underWay: 0 });
    }
  }

  protected addConsumer(
    connection: Connection,
    topic: string,
    book: ConsumerBook,
    options: ConsumerOptions,
    slow: boolean,
    moved: () => void = () => {},
  ): Consumer {
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    return connection.consumer(topic, {
      ...options,
      onMessage: (message) => {
        book.delivered(`${topic}/${message.partition}`, message.offset, nameOf(message.body));
        moved();
        return slow ? pause() : undefined;
      },
      onGap: (gap) => {
        book.gap(gap);
        moved();
      },
      onError: (error) => this.heard(error),
    });
  }

  /** One of the producers sends a few. */
  protected burst(): void {
    const { world, books } = this.context;
    if (this.quiet || this.senders.length === 0) return;
    const sender = this.senders[world.random(this.senders.length)];
    if (sender.underWay >= UNDER_WAY_MAX) return;
    const count = world.between(1, BURST_MAX);
    for (let i = 0; i < count; i++) this.send(sender, books);
  }

  private send(sender: Sender, books: Books): void {
    let body = bodyOf(sender.number, sender.sequence);
    while (body.length > BODY_MAX_BYTES) body = bodyOf(sender.number, ++sender.sequence);
    const name = { producer: sender.number, sequence: sender.sequence++ };
    const extras = name.sequence % 3 === 0 ? { key: `key-${name.sequence % KEYS}` } : undefined;
    books.sending(name);
    sender.underWay++;
    sender.producer.send(body, extras).then(
      ({ topic, partition, offset }) => {
        sender.underWay--;
        books.acknowledged(name, sender.level, `${topic}/${partition}`, offset);
      },
      (error: unknown) => {
        sender.underWay--;
        const code = error instanceof RingmqError ? error.code : 'no RingmqError';
        books.refused.set(code, (books.refused.get(code) ?? 0) + 1);
        this.context.world.trace.add(`refused ${name.producer}:${name.sequence} ${code}`);
        if (!MAY_FAIL.has(code)) books.fault(`${this.name}: a send failed with ${String(error)}`);
      },
    );
  }

  protected heard(error: Error): void {
    const code = error instanceof RingmqError ? error.code : '';
    this.context.world.trace.add(`${this.name} hears ${code} ${error.message}`);
    // Tracing fails nobody, and is told.
    if (!MAY_FAIL.has(code) && !error.message.startsWith(UNTRACED)) {
      this.context.books.fault(`${this.name}: ${String(error)}`);
    }
  }
}

/** How an application in the broker's process keeps where its consumers were. */
type Keeping = 'positions' | 'group';

/** What an application remembers of a consumer, wherever it does. */
interface Kept {
  readonly book: ConsumerBook;
  readonly topic: string;
  positions: readonly PartitionPosition[];
}

/** A thread of the broker's process: it dies with it, and is started again with it. */
export class EmbeddedApplication extends Application {
  loop: EventLoop | undefined;
  connection: InProcessConnection | undefined;
  private readonly keeping: Keeping;
  private readonly slow: boolean;
  private readonly kept: Kept[] = [];
  private lives = 0;
  closed = false;

  constructor(name: string, context: ApplicationContext, keeping: Keeping, slow: boolean) {
    super(name, context);
    this.keeping = keeping;
    this.slow = slow;
  }

  get seat(): number {
    return participantOf(this.connection).seat;
  }

  /** A thread of this process takes part. */
  async start(broker: BrokerProcess): Promise<void> {
    const { world, topics, trace } = this.context;
    if (this.connection) throw new Error(`${this.name} runs already`);
    this.lives++;
    this.closed = false;
    this.senders.length = 0;
    const loop = new EventLoop(`${this.name}.${this.lives}`);
    this.loop = loop;
    await world.turn(loop, () => {
      const connection = new InProcessConnection(broker.attachment, trace ? { trace: { sample: trace } } : {});
      connection.onError((error) => this.heard(error));
      this.connection = connection;
      if (!this.quiet) this.addSenders(connection);
      if (this.kept.length === 0) {
        for (const topic of topics) this.kept.push({ book: this.bookOf(topic), topic, positions: [] });
      }
      for (const one of this.kept) this.consume(connection, one);
      for (const one of this.roles) one.begin(connection);
    });
  }

  async turn(): Promise<void> {
    const { loop, connection } = this;
    if (!loop || !connection) return;
    const { world } = this.context;
    await world.turnLoop(loop);
    await world.turn(loop, () => {
      if (connection.state === 'closed') return;
      if (world.chance(30)) this.burst();
      this.play();
      connection.poll();
    });
  }

  /** In order. */
  async close(): Promise<void> {
    const { loop, connection } = this;
    if (!loop || !connection) return;
    await this.context.world.turn(loop, () => {
      connection.close().then(() => {
        this.closed = true;
      });
    });
  }

  /** The thread dies. Returns what must be let go of when the process has ended. */
  die(): Participant | undefined {
    const { connection } = this;
    if (!connection) return undefined;
    this.loop?.end();
    this.loop = undefined;
    this.connection = undefined;
    this.senders.length = 0;
    for (const one of this.roles) one.died();
    return participantOf(connection);
  }

  protected bookOf(topic: string): ConsumerBook {
    return this.context.books.consumer(this.name, topic);
  }

  /** Reads on where it was: by what it kept itself, or by what the broker keeps for its group. */
  private consume(connection: InProcessConnection, kept: Kept): void {
    const { book, topic, positions } = kept;
    const isGroup = this.keeping === 'group';
    const group = isGroup ? { group: `${this.name}-group`, mode: 'broadcasting' as const, commitMs: COMMIT_MS } : {};
    const from = isGroup || positions.length === 0 ? 'earliest' : { positions };
    if (isGroup) book.restarts();
    const moved = (): void => {
      kept.positions = consumer.positions();
    };
    const consumer = this.addConsumer(connection, topic, book, { from, ...group }, this.slow, moved);
  }
}

/** Reads the whole log in the end. */
export class Auditor extends EmbeddedApplication {
  constructor(name: string, context: ApplicationContext) {
    super(name, context, 'positions', false);
    this.quiet = true;
  }

  protected override bookOf(): ConsumerBook {
    return this.context.books.audit;
  }
}

/** A process of its own, which lives through the broker's deaths. */
export class RemoteApplication extends Application {
  readonly loop: EventLoop;
  started = false;
  private connection: WsConnection | undefined;
  private readonly network: Network;
  private readonly slow: boolean;

  constructor(name: string, context: ApplicationContext, network: Network, slow: boolean) {
    super(name, context);
    this.loop = new EventLoop(name);
    this.network = network;
    this.slow = slow;
  }

  async start(): Promise<void> {
    const { world, books, topics, trace } = this.context;
    this.started = true;
    await world.turn(this.loop, () => {
      const connection = new WsConnection(this.network.platformOf(this.loop), 'ws://sim:1', {
        reconnect: { minMs: 20, maxMs: 200 },
        requestTimeoutMs: SEND_TIMEOUT_MS,
        ...(trace && { trace: { sample: trace } }),
      });
      connection.onError((error) => this.heard(error));
      this.connection = connection;
      this.addSenders(connection);
      for (const topic of topics) {
        this.addConsumer(connection, topic, books.consumer(this.name, topic), { from: 'earliest' }, this.slow);
      }
      for (const one of this.roles) one.begin(connection);
    });
  }

  async turn(): Promise<void> {
    const { world } = this.context;
    await world.turnLoop(this.loop);
    if (world.chance(30)) await world.turn(this.loop, () => this.burst());
    if (this.roles.length > 0) await world.turn(this.loop, () => this.play());
  }

  async close(): Promise<void> {
    await this.context.world.turn(this.loop, () => void this.connection?.close());
  }
}

/** Only a test looks so deep: a thread that dies does not close what it holds. */
function participantOf(connection: InProcessConnection | undefined): Participant {
  return (connection as unknown as { readonly participant: Participant }).participant;
}
