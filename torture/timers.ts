// Delayed messages that live through the broker's deaths: some hundred milliseconds to some seconds ahead, some of them
// recalled, at once or when it is nearly too late.
import { connect, RingmqError, type WsConnection } from '../src/client/node.ts';
import { OutcomeChecker } from './outcome-checker.ts';
import { lengthOf, pause, readThrough } from './topic-reader.ts';

const TOPIC = 'timers';
const KEYS = 16;
const DELAY_MIN_MS = 100;
const DELAY_SPAN_MS = 4_000;
/** Messages scheduled in one turn. */
const BURST = 8;
const PAUSE_MS = 40;
/** Calls that wait for a broker. */
const UNDER_WAY_MAX = 64;
/** A recall comes this long before the time at the earliest, if it is to be a close one. */
const CLOSE_MS = 60;
const TIMEOUT_MS = 60_000;
const QUIET_MAX_MS = 45_000;
const STILL_MS = 500;
/** What a call may fail with while the broker dies and comes back: nothing is known then. */
const MAY_FAIL: ReadonlySet<string> = new Set(['closed']);

export class Timers {
  readonly checker = new OutcomeChecker('timers');
  readonly faults: string[] = [];
  private readonly url: string;
  private readonly connection: WsConnection;
  private readonly working = new Set<Promise<void>>();
  private sending: Promise<void> = Promise.resolve();
  private stopped = false;
  private lastAt = 0;
  private recalled = 0;
  private tooLate = 0;

  constructor(url: string) {
    this.url = url;
    this.connection = connect(url, { requestTimeoutMs: TIMEOUT_MS, reconnect: { minMs: 20, maxMs: 200 } });
    this.connection.onError((error) => this.failed(error));
  }

  start(): void {
    this.sending = this.send();
  }

  /** Schedules no more; resolves when everything under way was answered or given up. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.sending;
    await Promise.all(this.working);
  }

  /** Waits for the last one, reads the topic through and compares. */
  async audit(): Promise<void> {
    await pause(Math.max(0, this.lastAt - Date.now()) + STILL_MS);
    const deadline = Date.now() + QUIET_MAX_MS;
    while ((await lengthOf(this.connection, TOPIC)) < this.checker.promised && Date.now() < deadline) {
      await pause(STILL_MS);
    }
    await pause(STILL_MS);
    await this.connection.close();
    // Born: when the coordinator took it out. Brokers stamp what they store with the time at which their turn began.
    await readThrough(this.url, TOPIC, (message) => this.checker.stored(message.text(), message.bornAt));
    this.checker.finish();
  }

  get text(): string {
    const { size, came, lateMs } = this.checker;
    const recalls = `${this.recalled} recalled, ${this.tooLate} too late to be`;
    return `timers: ${size} scheduled, ${came} came, at most ${lateMs} ms late, ${recalls}`;
  }

  private async send(): Promise<void> {
    for (let number = 0; !this.stopped; number++) {
      while (this.working.size >= UNDER_WAY_MAX && !this.stopped) await pause(PAUSE_MS);
      const work = this.one(number).catch((error: unknown) => this.failed(error));
      this.working.add(work);
      void work.then(() => this.working.delete(work));
      if (number % BURST === 0) await pause(PAUSE_MS);
    }
  }

  private async one(number: number): Promise<void> {
    const id = `timer-${number}`;
    const deliverAt = Date.now() + DELAY_MIN_MS + Math.floor(Math.random() * DELAY_SPAN_MS);
    this.lastAt = Math.max(this.lastAt, deliverAt);
    this.checker.sending(id, deliverAt);
    const { handle } = await this.connection.schedule(TOPIC, id, { deliverAt, key: `key-${number % KEYS}` });
    this.checker.mustCome(id);
    if (number % 4 === 1) await this.recall(id, handle);
    if (number % 16 === 3) void this.recallLate(id, handle, deliverAt);
  }

  /** It does not hold up others. */
  private async recallLate(id: string, handle: string, deliverAt: number): Promise<void> {
    await pause(Math.max(0, deliverAt - Date.now() - Math.random() * CLOSE_MS));
    if (!this.stopped) await this.recall(id, handle).catch((error: unknown) => this.failed(error));
  }

  private async recall(id: string, handle: string): Promise<void> {
    this.checker.mayCome(id);
    try {
      await this.connection.recall(handle);
      this.checker.mustNotCome(id);
      this.recalled++;
    } catch (error) {
      if (!(error instanceof RingmqError) || error.code !== 'too-late') throw error;
      // Asked once: so it was delivered, or is about to be.
      this.checker.mustCome(id);
      this.tooLate++;
    }
  }

  private failed(error: unknown): void {
    if (error instanceof RingmqError && (error.retryable || MAY_FAIL.has(error.code))) return;
    this.faults.push(`timers: ${error instanceof RingmqError ? `${error.code} ${error.message}` : String(error)}`);
  }
}
