// Receipts. All messages of a batch share one answer, so a send costs one small object, and promises exist only for
// those that are awaited.
import { RingmqError } from '../base/codes.ts';
import { messageId } from '../record/message-id.ts';
import type { SendReceipt } from './connection.ts';

type Settle = () => void;

/** The answer to one batch, shared by its messages. */
export class BatchOutcome {
  readonly topic: string;
  /** Number of the partition in its topic; -1 until it is chosen. */
  partition: number;
  topicId: number;
  /** Offset of the first message once acknowledged; -1 if unknown. */
  baseOffset = -1;
  settled = false;
  error: Error | undefined;
  private waiting: Settle[] | undefined;

  constructor(topic: string, partition: number, topicId: number) {
    this.topic = topic;
    this.partition = partition;
    this.topicId = topicId;
  }

  /** True if somebody has asked for this answer. */
  awaited = false;

  /** Calls back once settled. */
  whenSettled(settle: Settle): void {
    this.awaited = true;
    if (this.settled) settle();
    else if (this.waiting) this.waiting.push(settle);
    else this.waiting = [settle];
  }

  /** Resolves once acknowledged, rejects once failed. */
  done(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.whenSettled(() => (this.error ? reject(this.error) : resolve()));
    });
  }

  settle(baseOffset: number, error: Error | undefined): void {
    this.settled = true;
    this.baseOffset = baseOffset;
    this.error = error;
    const waiting = this.waiting;
    if (waiting) for (const settle of waiting) settle();
  }
}

/** The promise of one message's receipt. */
export class Sent implements PromiseLike<SendReceipt> {
  /** The answer that this message shares with its batch. */
  readonly outcome: BatchOutcome;
  private readonly index: number;

  constructor(outcome: BatchOutcome, index: number) {
    this.outcome = outcome;
    this.index = index;
  }

  /** A send that failed before it went anywhere. */
  static refused(topic: string, error: RingmqError): Sent {
    const outcome = new BatchOutcome(topic, -1, 0);
    outcome.settle(-1, error);
    return new Sent(outcome, 0);
  }

  // biome-ignore lint/suspicious/noThenProperty: this is a promise on purpose, made only when awaited
  then<A = SendReceipt, B = never>(
    onFulfilled?: ((receipt: SendReceipt) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const promise = new Promise<SendReceipt>((resolve, reject) => {
      this.outcome.whenSettled(() => {
        if (this.outcome.error) reject(this.outcome.error);
        else resolve(this.receipt());
      });
    });
    return promise.then(onFulfilled, onRejected);
  }

  /** The receipt; only once settled without error. */
  receipt(): SendReceipt {
    const { baseOffset } = this.outcome;
    return new Receipt(this.outcome, baseOffset < 0 ? -1 : baseOffset + this.index);
  }
}

/** The id is made when it is asked for: most receipts are only waited for. */
class Receipt implements SendReceipt {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly #topicId: number;

  constructor({ topic, partition, topicId }: BatchOutcome, offset: number) {
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.#topicId = topicId;
  }

  get id(): string {
    return this.offset < 0 ? '' : messageId(this.#topicId, this.partition, this.offset);
  }
}

/** Failures that perhaps nobody waits for. Who waits does so within a turn; then the rest is told, each text once. */
export class Unheard {
  private readonly turns: { soon(task: () => void): void };
  private readonly host: { failed(error: Error): void };
  private failures: { readonly outcome: BatchOutcome; readonly error: Error }[] = [];

  constructor(turns: { soon(task: () => void): void }, host: { failed(error: Error): void }) {
    this.turns = turns;
    this.host = host;
  }

  add(outcome: BatchOutcome, error: Error): void {
    this.failures.push({ outcome, error });
    if (this.failures.length === 1) this.turns.soon(this.report);
  }

  private readonly report = (): void => {
    const unheard = this.failures.filter((one) => !one.outcome.awaited);
    this.failures = [];
    const byText = new Map(unheard.map(({ error }) => [error.message, error]));
    for (const error of byText.values()) this.host.failed(error);
  };
}

/** What a codec made of a value, if it can be sent. */
export function checkBody(body: Uint8Array | string): Uint8Array | string {
  if (typeof body === 'string' || body instanceof Uint8Array) return body;
  throw new RingmqError('illegal-argument', 'a message is a Uint8Array or a string; give a codec for other values');
}

/** Refuses a message of `length` bytes. */
export function tooLarge(topic: string, max: number, length: number): RingmqError {
  return new RingmqError('message-too-large', `a message of ${length} bytes; ${topic} takes ${max}`);
}

/** Whatever was thrown, as what a send rejects with. */
export function asRefusal(error: unknown): RingmqError {
  if (error instanceof RingmqError) return error;
  return new RingmqError('internal', error instanceof Error ? error.message : String(error));
}
