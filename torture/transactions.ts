// Transactions that live through the broker's deaths: begun, committed, rolled back, or left to the check. At the end
// every message that was begun and is to be committed is in its topic once, and none that was to be rolled back.
import { connect, RingmqError, type TransactionalProducer, type WsConnection } from '../src/client/node.ts';
import { OutcomeChecker } from './outcome-checker.ts';
import { lengthOf, pause, readThrough } from './topic-reader.ts';

const TOPIC = 'transactions';
const PRODUCERS = 4;
/** Transactions of one producer at once. */
const AT_ONCE = 4;
const KEYS = 16;
const PAUSE_MS = 5;
/** Longer than the broker is ever away. */
const TIMEOUT_MS = 60_000;
const QUIET_MAX_MS = 45_000;
/** Longer than the broker waits before it asks, and between two times: see SERVE_ARGS of run.ts. */
const STILL_MS = 2_000;
const LOOK_MS = 200;
/** What a call may fail with while the broker dies and comes back. */
const MAY_FAIL: ReadonlySet<string> = new Set(['closed']);

export class Transactions {
  readonly checker = new OutcomeChecker('transactions');
  readonly faults: string[] = [];
  private readonly url: string;
  private readonly connection: WsConnection;
  private readonly working: Promise<void>[] = [];
  private stopped = false;
  private resolved = 0;
  private checked = 0;

  constructor(url: string) {
    this.url = url;
    this.connection = connect(url, { requestTimeoutMs: TIMEOUT_MS, reconnect: { minMs: 20, maxMs: 200 } });
    this.connection.onError((error) => this.failed(error));
  }

  start(): void {
    for (let number = 0; number < PRODUCERS; number++) this.working.push(this.work(number));
  }

  /** For the report. */
  get text(): string {
    const { size, came } = this.checker;
    const ends = `${this.resolved} resolved by their producers, ${this.checked} checks`;
    return `transactions: ${size} begun, ${ends}, ${came} came`;
  }

  /** Begins no more; resolves when everything under way was answered or given up. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.working);
  }

  /** Waits until the checks have resolved what was left to them, reads the topic through and compares. */
  async audit(): Promise<void> {
    const deadline = Date.now() + QUIET_MAX_MS;
    while ((await lengthOf(this.connection, TOPIC)) < this.checker.promised && Date.now() < deadline) {
      await pause(LOOK_MS);
    }
    await pause(STILL_MS);
    await this.connection.close();
    await readThrough(this.url, TOPIC, (message) => this.checker.stored(message.text(), message.storedAt));
    this.checker.finish();
  }

  private async work(number: number): Promise<void> {
    const producer = this.connection.transactionalProducer<string>(TOPIC, {
      group: 'torture',
      check: (message) => {
        this.checked++;
        return isCommitted(message.text()) ? 'commit' : 'rollback';
      },
      onError: (error) => this.failed(error),
    });
    const lanes = Array.from({ length: AT_ONCE }, (_, lane) => this.transact(producer, `${number}-${lane}`));
    await Promise.all(lanes);
  }

  private async transact(producer: TransactionalProducer<string>, lane: string): Promise<void> {
    for (let sequence = 0; !this.stopped; sequence++) {
      const id = `transaction-${lane}-${sequence}`;
      this.checker.sending(id);
      if (!isCommitted(id)) this.checker.mustNotCome(id);
      try {
        const transaction = await producer.begin(id, { key: `key-${sequence % KEYS}` });
        if (isCommitted(id)) this.checker.mustCome(id);
        // Every seventh is left to the check.
        if (sequence % 7 === 6) continue;
        if (isCommitted(id)) await transaction.commit();
        else await transaction.rollback();
        this.resolved++;
      } catch (error) {
        this.failed(error);
      }
      await pause(PAUSE_MS);
    }
  }

  private failed(error: unknown): void {
    if (error instanceof RingmqError && (error.retryable || MAY_FAIL.has(error.code))) return;
    this.faults.push(
      `transactions: ${error instanceof RingmqError ? `${error.code} ${error.message}` : String(error)}`,
    );
  }
}

/** What is wanted for a message: its number says so. */
function isCommitted(id: string): boolean {
  return Number(id.slice(id.lastIndexOf('-') + 1)) % 3 !== 0;
}
