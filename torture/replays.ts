// Dead letters and their replay, through the broker's deaths: every second message of a topic becomes a dead letter,
// and somebody sends the dead letters back all the time, some or all. What comes back is done. At the end every dead
// letter stands in the topic once more, no more than that, and has come to the group.
import {
  connect,
  DeadLetter,
  type Message,
  type Producer,
  RingmqError,
  type WsConnection,
} from '../src/client/node.ts';
import type { Anomaly } from './findings.ts';
import { GroupChecker } from './group-checker.ts';
import { OutcomeChecker } from './outcome-checker.ts';
import { pause, readThrough } from './topic-reader.ts';

const TOPIC = 'replays';
const GROUP = 'torture-replays';
const CONCURRENCY = 16;
const BURST = 10;
const PAUSE_MS = 50;
const KEYS = 16;
/** Messages that are stored and not dealt with, from which on the producer waits. */
const OPEN_MAX = 300;
/** Between two replays, at most. */
const REPLAY_PAUSE_MS = 300;
/** A replay sends so many at most, or all there are. */
const REPLAY_MAX = 40;
/** Longer than the broker is ever away. */
const TIMEOUT_MS = 60_000;
const LOOK_MS = 5;
const AGAIN_MS = 200;
const QUIET_MAX_MS = 45_000;
const STILL_MS = 1_500;
/** What a call may fail with while the broker dies and comes back. */
const MAY_FAIL: ReadonlySet<string> = new Set(['closed', 'stale-lease', 'unknown-group', 'offset-out-of-range']);

export class Replays {
  readonly faults: string[] = [];
  /** Of what stands in the topic besides what was sent: replays. */
  private readonly copies = new OutcomeChecker('replays');
  private readonly group = new GroupChecker(GROUP);
  private readonly connection: WsConnection;
  private readonly url: string;
  /** Where what was sent stands, as its receipt said; '': nobody was told. */
  private readonly places = new Map<string, string>();
  private readonly working: Promise<void>[] = [];
  private full = false;
  private stopped = false;
  private cameAt = 0;
  private answered = 0;
  private calls = 0;

  constructor(url: string) {
    this.url = url;
    this.connection = connect(url, { requestTimeoutMs: TIMEOUT_MS, reconnect: { minMs: 20, maxMs: 200 } });
    this.connection.onError((error) => this.failed(error));
  }

  /** Both judges. */
  get checker(): { readonly anomalies: readonly Anomaly[] } {
    return { anomalies: [...this.copies.anomalies, ...this.group.anomalies] };
  }

  get text(): string {
    const { came } = this.copies;
    const calls = `${this.answered} of them by ${this.calls} calls that were answered`;
    return `replays: ${this.group.dead} dead letters, ${came} came back, ${calls}`;
  }

  start(): void {
    this.connection.consumer(TOPIC, {
      group: GROUP,
      from: 'earliest',
      concurrency: CONCURRENCY,
      onMessage: (message) => this.handle(message),
      onGap: () => {},
      onError: (error) => this.failed(error),
    });
    const options = { ack: 'durable', timeoutMs: TIMEOUT_MS, attemptsMax: Number.POSITIVE_INFINITY } as const;
    this.run(this.send(this.connection.producer(TOPIC, options)));
    this.run(this.replay());
  }

  /** Sends no more; resolves when everything under way was answered or given up. */
  async stop(): Promise<void> {
    this.full = true;
    await Promise.all(this.working);
  }

  /** Sends the last dead letters back, waits until nothing comes any more, and compares. */
  async audit(): Promise<void> {
    const deadline = Date.now() + QUIET_MAX_MS;
    let left = 1;
    while ((left > 0 || this.group.open > 0 || Date.now() - this.cameAt < STILL_MS) && Date.now() < deadline) {
      left = await this.replayed(Number.POSITIVE_INFINITY);
      await pause(AGAIN_MS);
    }
    this.stopped = true;
    await this.connection.close();
    await readThrough(this.url, `%DLQ%${GROUP}`, (message) => this.isDead(message.text()));
    const seen = new Set<string>();
    await readThrough(this.url, TOPIC, (message) => {
      const id = message.text();
      const place = this.places.get(id) || undefined;
      const isSent = place === undefined ? !seen.has(id) : place === placeOf(message);
      seen.add(id);
      if (!isSent) this.copies.stored(id, message.storedAt);
    });
    this.copies.finish();
    this.group.finish();
    if (this.answered > this.copies.came) {
      this.faults.push(`replays: ${this.answered} were answered, and ${this.copies.came} came back`);
    }
  }

  private isDead(id: string): void {
    this.group.isDead(id);
    this.copies.mustCome(id);
    this.group.kept(again(id));
  }

  private async send(producer: Producer): Promise<void> {
    const underWay = new Set<PromiseLike<unknown>>();
    for (let number = 0; !this.full; ) {
      if (this.group.open + underWay.size >= OPEN_MAX) {
        await pause(PAUSE_MS);
        continue;
      }
      const id = `${GROUP}-${number}`;
      this.group.sending(id, undefined);
      this.group.sending(again(id), undefined);
      this.copies.sending(id);
      if (!isBad(id)) this.copies.mustNotCome(id);
      const sent = producer.send(id, number % 3 === 0 ? {} : { key: `key-${number % KEYS}` }).then(
        ({ partition, offset }) => {
          // A duplicate that the broker has forgotten has no offset.
          this.places.set(id, offset < 0 ? '' : `${partition}@${offset}`);
          if (offset >= 0) this.group.kept(id);
        },
        (error: unknown) => {
          this.places.set(id, '');
          this.failed(error);
        },
      );
      underWay.add(sent);
      void sent.then(() => underWay.delete(sent));
      if (++number % BURST === 0) await pause(PAUSE_MS);
    }
    await Promise.all(underWay);
  }

  private async handle(message: Message): Promise<void> {
    const id = message.text();
    this.cameAt = Date.now();
    // What the broker has not acknowledged a crash may take back, and it comes again from another place.
    while (!this.places.has(id) && !this.stopped) await pause(LOOK_MS);
    const place = placeOf(message);
    const isReplay = this.places.get(id) !== place;
    const name = isReplay ? again(id) : id;
    this.group.delivered(name, place);
    if (isBad(id) && !isReplay) {
      this.group.gaveUp(name);
      throw new DeadLetter('a dead letter by plan');
    }
    this.group.handled(name);
  }

  /** Some now and then, or all. */
  private async replay(): Promise<void> {
    while (!this.full) {
      await pause(Math.random() * REPLAY_PAUSE_MS);
      const isAll = Math.random() < 0.2;
      await this.replayed(isAll ? Number.POSITIVE_INFINITY : 1 + Math.floor(Math.random() * REPLAY_MAX));
    }
  }

  /** How many are left; unknown counts as one. */
  private async replayed(max: number): Promise<number> {
    try {
      const { replayed, left } = await this.connection.replayDeadLetters(GROUP, max);
      this.calls++;
      this.answered += replayed;
      return left;
    } catch (error) {
      this.failed(error);
      return 1;
    }
  }

  private run(work: Promise<void>): void {
    this.working.push(work.catch((error: unknown) => this.failed(error)));
  }

  private failed(error: unknown): void {
    if (this.stopped || error instanceof DeadLetter) return;
    if (error instanceof RingmqError && (error.retryable || MAY_FAIL.has(error.code))) return;
    const text = error instanceof RingmqError ? `${error.code} ${error.message}` : String(error);
    this.faults.push(`${GROUP}: ${text}`);
  }
}

/** The name under which its replay is in the books. */
function again(id: string): string {
  return `${id}/again`;
}

function placeOf({ partition, offset }: Message): string {
  return `${partition}@${offset}`;
}

/** What is to become of a message: its number says so. */
function isBad(id: string): boolean {
  return Number(id.slice(id.lastIndexOf('-') + 1)) % 2 === 0;
}
