// A topic, a producer that fills it, and a group that reads it: what push members and simple consumers have in common.
// All of it lives through the broker's deaths; what is seen and answered goes into the group's books.
import { connect, type Producer, RingmqError, type WsConnection } from '../src/client/node.ts';
import { GroupChecker } from './group-checker.ts';
import { type Plan, planOf, SETTINGS } from './handling-plan.ts';
import { pause, readThrough } from './topic-reader.ts';

const BURST = 20;
const PAUSE_MS = 40;
const KEYS = 60;
/** Messages that are stored and not dealt with, from which on the producer waits: the end should not take long. */
const OPEN_MAX = 600;
/** Longer than the broker is ever away. */
const TIMEOUT_MS = 60_000;
const AGAIN_MS = 200;
const QUIET_MAX_MS = 45_000;
/** So long nothing came at the end: longer than a retry is put off, and than a lease. */
const STILL_MS = 1_500;
/** What a call may fail with while the broker dies and comes back. */
const MAY_FAIL: ReadonlySet<string> = new Set(['closed', 'stale-lease', 'unknown-group', 'offset-out-of-range']);

export abstract class GroupLoad {
  readonly checker: GroupChecker;
  readonly faults: string[] = [];
  protected readonly url: string;
  protected readonly topic: string;
  protected readonly group: string;
  protected stopped = false;
  /** No more is sent; members go on. */
  private full = false;
  private readonly working: Promise<void>[] = [];
  private readonly connections: WsConnection[] = [];
  private cameAt = 0;

  constructor(url: string, name: string) {
    this.url = url;
    this.topic = `group-${name}`;
    this.group = `torture-${name}`;
    this.checker = new GroupChecker(this.group);
  }

  /** Begins as soon as there is a broker. */
  start(): void {
    const connection = this.connect();
    this.run(async () => {
      await this.insist(() => connection.setGroup(this.group, SETTINGS));
      this.join();
      const options = { ack: 'durable', timeoutMs: TIMEOUT_MS, attemptsMax: Number.POSITIVE_INFINITY } as const;
      await this.send(connection.producer(this.topic, options));
    });
  }

  /** Sends no more. */
  async stop(): Promise<void> {
    this.full = true;
    await Promise.all(this.working.slice(0, 1));
  }

  /** Waits until nothing comes any more, ends the members and looks at the dead letters. */
  async audit(): Promise<void> {
    const deadline = Date.now() + QUIET_MAX_MS;
    const [connection] = this.connections;
    while (Date.now() < deadline) {
      const { deadLetters } = await connection.describeGroup(this.group);
      if (this.checker.waiting <= deadLetters && Date.now() - this.cameAt > STILL_MS) break;
      await pause(AGAIN_MS);
    }
    this.stopped = true;
    await Promise.all(this.working);
    await Promise.all(this.connections.map((one) => one.close()));
    await readThrough(this.url, `%DLQ%${this.group}`, (message) => this.checker.isDead(message.text()));
    this.checker.finish();
  }

  get text(): string {
    const { deliveries, acks, dead } = this.checker;
    return `${this.group}: ${deliveries} deliveries, ${acks} acknowledged, ${dead} dead letters`;
  }

  /** The members. */
  protected abstract join(): void;

  protected connect(): WsConnection {
    const connection = connect(this.url, { requestTimeoutMs: TIMEOUT_MS, reconnect: { minMs: 20, maxMs: 200 } });
    connection.onError((error) => this.failed(error));
    this.connections.push(connection);
    return connection;
  }

  /** Goes on until stop() or for as long as it likes. */
  protected run(work: () => Promise<void>): void {
    this.working.push(work().catch((error: unknown) => this.failed(error)));
  }

  /** A handler gets a message: says what is to become of it. */
  protected takes(id: string, place: string, attempts: number): Plan {
    this.cameAt = Date.now();
    this.checker.delivered(id, place);
    const plan = planOf(id, attempts);
    if (plan !== 'done' && attempts >= SETTINGS.attemptsMax) this.checker.gaveUp(id);
    return plan;
  }

  protected failed(error: unknown): void {
    if (this.stopped || (error as Error).name === 'PlannedFailure') return;
    if (error instanceof RingmqError && (error.retryable || MAY_FAIL.has(error.code))) return;
    const text = error instanceof RingmqError ? `${error.code} ${error.message}` : String(error);
    this.faults.push(`${this.group}: ${text}`);
  }

  /** Asks until there is an answer. */
  private async insist<T>(ask: () => Promise<T>): Promise<T | undefined> {
    while (!this.full) {
      try {
        return await ask();
      } catch (error) {
        this.failed(error);
        await pause(AGAIN_MS);
      }
    }
    return undefined;
  }

  private async send(producer: Producer): Promise<void> {
    const underWay = new Set<PromiseLike<unknown>>();
    for (let number = 0; !this.full; ) {
      if (this.checker.open + underWay.size >= OPEN_MAX) {
        await pause(PAUSE_MS);
        continue;
      }
      const id = `${this.group}-${number}`;
      const key = number % 4 === 0 ? undefined : `key-${number % KEYS}`;
      this.checker.sending(id, key);
      const sent = producer.send(id, key === undefined ? {} : { key }).then(
        () => this.checker.kept(id),
        (error: unknown) => this.failed(error),
      );
      underWay.add(sent);
      void sent.then(() => underWay.delete(sent));
      if (++number % BURST === 0) await pause(PAUSE_MS);
    }
    await Promise.all(underWay);
  }
}
