// Clients that live through the broker's deaths: producers that send all the time, consumers that read everything from
// the beginning. All they see goes into the checker's books.
import { type Consumer, connect, type Producer, RingmqError, type WsConnection } from '../src/client/node.ts';
import type { Checker } from './checker.ts';
import { bodyOf, nameOf } from './message.ts';
import { pause } from './topic-reader.ts';

/** Acks that a producer asks for, in turn. */
const LEVELS = ['durable', 'written', 'durable', 'accepted'] as const;
const UNDER_WAY_MAX = 200;
/** Bursts, and pauses in between: the books hold every message, and 200 kills take a while. */
const BURST = 50;
const PAUSE_MS = 60;
const WAIT_MS = 5;
/** Longer than the broker is ever away. */
const TIMEOUT_MS = 60_000;
const KEYS = 16;
/** What a send may fail with while the broker dies and comes back: nothing is promised then. */
const MAY_FAIL = new Set(['timeout', 'connection-lost', 'closed', 'out-of-order', 'broker-unavailable']);

export interface LoadOptions {
  readonly url: string;
  readonly topics: readonly string[];
  readonly producersPerTopic: number;
}

/** Figures of a load. */
export interface LoadFigures {
  sent: number;
  acknowledged: number;
  kept: number;
  unknown: number;
  delivered: number;
}

export class Load {
  readonly figures: LoadFigures = { sent: 0, acknowledged: 0, kept: 0, unknown: 0, delivered: 0 };
  readonly faults: string[] = [];
  private readonly options: LoadOptions;
  private readonly checker: Checker;
  private readonly connections: WsConnection[] = [];
  private readonly consumers: Consumer[] = [];
  private readonly sending: Promise<void>[] = [];
  private producers = 0;
  private readonly underWay = new Set<PromiseLike<unknown>>();
  private stopped = false;

  constructor(options: LoadOptions, checker: Checker) {
    this.options = options;
    this.checker = checker;
  }

  start(): void {
    for (const topic of this.options.topics) this.addTopic(topic);
  }

  /** A consumer and some producers of one more topic. */
  addTopic(topic: string, producers = this.options.producersPerTopic): void {
    this.consume(topic);
    for (let n = 0; n < producers; n++) this.produce(topic);
  }

  /** Sends no more; resolves when everything under way was answered or given up. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.sending);
    await Promise.allSettled([...this.underWay]);
  }

  /** True when every consumer has been given everything below these offsets. */
  caughtUp(ends: ReadonlyMap<string, number>): boolean {
    return this.consumers.every((consumer) =>
      consumer.positions().every((one) => one.offset >= (ends.get(`${consumer.topic}/${one.partition}`) ?? 0)),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.connections.map((connection) => connection.close()));
  }

  private connect(): WsConnection {
    const connection = connect(this.options.url, {
      requestTimeoutMs: TIMEOUT_MS,
      reconnect: { minMs: 20, maxMs: 200 },
    });
    connection.onError((error) => this.fault('connection', error));
    this.connections.push(connection);
    return connection;
  }

  private consume(topic: string): void {
    const name = `consumer-${topic}`;
    const { checker, figures } = this;
    const place = (partition: number): string => `${topic}/${partition}`;
    const consumer = this.connect().consumer(topic, {
      from: 'earliest',
      group: name,
      mode: 'broadcasting',
      commitMs: 100,
      onMessage: (message) => {
        figures.delivered++;
        checker.delivered(name, place(message.partition), message.offset, nameOf(message.body));
      },
      onGap: (gap) => {
        if (gap.reason === 'epoch-changed') checker.takenBack(name, place(gap.partition), Math.min(gap.from, gap.to));
        else this.faults.push(`${name}: gap ${gap.from} to ${gap.to} (${gap.reason})`);
      },
      onError: (error) => this.fault(name, error),
    });
    this.consumers.push(consumer);
  }

  private produce(topic: string): void {
    const number = this.producers++;
    const ack = LEVELS[number % LEVELS.length];
    const producer = this.connect().producer(topic, {
      ack,
      timeoutMs: TIMEOUT_MS,
      attemptsMax: Number.POSITIVE_INFINITY,
    });
    this.sending.push(this.send(producer, number, ack));
  }

  private async send(producer: Producer, number: number, ack: string): Promise<void> {
    let waiting = 0;
    for (let sequence = 0; !this.stopped; ) {
      if (waiting >= UNDER_WAY_MAX) {
        await pause(WAIT_MS);
        continue;
      }
      const name = { producer: number, sequence };
      this.checker.sending(name);
      this.figures.sent++;
      waiting++;
      const key = sequence % 3 === 0 ? { key: `key-${sequence % KEYS}` } : undefined;
      const sent = producer.send(bodyOf(number, sequence), key).then(
        (receipt) => {
          waiting--;
          this.figures.acknowledged++;
          if (ack !== 'accepted') this.figures.kept++;
          this.checker.acknowledged(name, ack, `${receipt.topic}/${receipt.partition}`, receipt.offset);
        },
        (error: unknown) => {
          waiting--;
          this.figures.unknown++;
          if (!(error instanceof RingmqError) || !MAY_FAIL.has(error.code)) this.fault(`producer ${number}`, error);
        },
      );
      this.underWay.add(sent);
      void sent.then(() => this.underWay.delete(sent));
      if (++sequence % BURST === 0) await pause(PAUSE_MS);
    }
  }

  private fault(who: string, error: unknown): void {
    const text = error instanceof RingmqError ? `${error.code} ${error.message}` : String(error);
    if (!/connection-lost|closed|shutting-down/.test(text)) this.faults.push(`${who}: ${text}`);
  }
}
