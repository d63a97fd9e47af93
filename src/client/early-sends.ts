// Messages that were sent before the route of their topic was known.
import type { RingmqError } from '../base/codes.ts';
import type { RecordExtras } from '../record/batch-builder.ts';
import { asRefusal, BatchOutcome, Sent } from './sent.ts';

/** One of them, with an answer of its own: which batch it will be in is not known yet. */
interface EarlySend {
  readonly body: Uint8Array | string;
  readonly extras: RecordExtras | undefined;
  readonly outcome: BatchOutcome;
}

/** Puts a message into a batch. Returns the batch's answer and the message's place in it. */
type Place = (body: Uint8Array | string, extras: RecordExtras | undefined) => { outcome: BatchOutcome; index: number };
type Failed = (outcome: BatchOutcome, error: RingmqError) => void;

export class EarlySends {
  /** Bytes that wait. */
  bytes = 0;
  private waiting: EarlySend[] = [];

  get count(): number {
    return this.waiting.length;
  }

  /** Keeps a message; its bytes are copied. */
  add(topic: string, body: Uint8Array | string, extras: RecordExtras | undefined): Sent {
    const outcome = new BatchOutcome(topic, -1, 0);
    const owned = typeof body === 'string' ? body : body.slice();
    this.waiting.push({ body: owned, extras, outcome });
    this.bytes += owned.length;
    return new Sent(outcome, 0);
  }

  /** The route is known: they go, in order. */
  go(place: Place, failed: Failed): void {
    for (const { body, extras, outcome } of this.take()) {
      try {
        const { outcome: shared, index } = place(body, extras);
        outcome.partition = shared.partition;
        outcome.topicId = shared.topicId;
        shared.whenSettled(() => {
          if (shared.error) failed(outcome, asRefusal(shared.error));
          outcome.settle(shared.baseOffset < 0 ? -1 : shared.baseOffset + index, shared.error);
        });
      } catch (error) {
        fail(outcome, asRefusal(error), failed);
      }
    }
  }

  /** The route cannot be had. */
  failAll(error: RingmqError, failed: Failed): void {
    for (const { outcome } of this.take()) fail(outcome, error, failed);
  }

  private take(): readonly EarlySend[] {
    const taken = this.waiting;
    this.waiting = [];
    this.bytes = 0;
    return taken;
  }
}

function fail(outcome: BatchOutcome, error: RingmqError, failed: Failed): void {
  failed(outcome, error);
  outcome.settle(-1, error);
}
