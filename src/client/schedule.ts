// Messages for later: schedule() and recall() of every kind of connection. What one turn schedules for a topic goes in
// one call.
import { type CodeName, RingmqError } from '../base/codes.ts';
import { type DeliverOptions, deliverTime } from '../delay/deliver-time.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { utf8 } from '../record/text.ts';
import type { Call } from '../wire/services.ts';
import type { MessageExtras } from './connection.ts';
import type { ScheduledReceipt } from './messaging.ts';

/** A call is closed at this many bytes; one message may be larger. */
const CALL_BYTES = 128 * 1024;
/** Largest message, header, key, tag and properties included: a call must fit the lanes to the coordinator. */
const MESSAGE_BYTES_MAX = 1024 * 1024 + 1_024;
/** Most messages of one call. */
const CALL_MESSAGES_MAX = 1_024;
/** Storing may have to wait for the disk. */
const TIMEOUT_MS = 30_000;
/** After these an answer may have been lost. */
const DOUBTFUL: ReadonlySet<CodeName> = new Set(['timeout', 'coordinator-unavailable', 'connection-lost']);
const SPARE_MAX = 4;

export type ScheduleOptions = MessageExtras & ({ readonly deliverAt: number } | { readonly delayMs: number });

interface Waiter {
  readonly resolve: (receipt: ScheduledReceipt) => void;
  readonly reject: (error: unknown) => void;
}

/** Messages of one topic that go in one call. */
interface Open {
  readonly builder: BatchBuilder;
  readonly deliverAt: number[];
  readonly waiters: Waiter[];
}

export class Schedules {
  private readonly call: Call;
  private readonly open = new Map<string, Open>();
  /** Builders of calls that were answered: fresh memory for every call would keep the collector busy. */
  private readonly spare: BatchBuilder[] = [];

  constructor(call: Call) {
    this.call = call;
  }

  /** See Messaging.schedule(). */
  async schedule(topic: string, body: Uint8Array | string, options: ScheduleOptions): Promise<ScheduledReceipt> {
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new RingmqError('illegal-argument', 'a message is a Uint8Array or a string');
    }
    const { deliverAt: at, delayMs, ...extras } = options as MessageExtras & DeliverOptions;
    const now = Date.now();
    const deliverAt = deliverTime({ deliverAt: at, delayMs }, now);
    const bytes = typeof body === 'string' ? utf8(body) : body;
    let open = this.openCall(topic);
    if (!open.builder.tryAdd(bytes, extras, now)) {
      this.flush(topic);
      open = this.openCall(topic);
      open.builder.tryAdd(bytes, extras, now);
    }
    const { builder } = open;
    if (builder.length > MESSAGE_BYTES_MAX) {
      this.open.delete(topic);
      const text = `a message of ${builder.length} bytes: one that is scheduled has at most ${MESSAGE_BYTES_MAX}`;
      throw new RingmqError('message-too-large', text);
    }
    const { deliverAt: times, waiters } = open;
    times.push(deliverAt);
    const receipt = new Promise<ScheduledReceipt>((resolve, reject) => waiters.push({ resolve, reject }));
    if (builder.count === CALL_MESSAGES_MAX) this.flush(topic);
    return receipt;
  }

  /** See Messaging.recall(). */
  async recall(handle: string): Promise<void> {
    if (typeof handle !== 'string')
      throw new RingmqError('illegal-argument', 'a handle is a text: that of the receipt');
    await this.call('recall', { handle });
  }

  private openCall(topic: string): Open {
    let open = this.open.get(topic);
    if (open === undefined) {
      open = { builder: this.spare.pop() ?? new BatchBuilder(CALL_BYTES), deliverAt: [], waiters: [] };
      this.open.set(topic, open);
      queueMicrotask(() => this.flush(topic));
    }
    return open;
  }

  private flush(topic: string): void {
    const open = this.open.get(topic);
    this.open.delete(topic);
    if (open !== undefined && open.builder.count > 0) void this.send(topic, open);
  }

  private async send(topic: string, { builder, deliverAt, waiters }: Open): Promise<void> {
    builder.closePayload(true);
    const payload = builder.bytes.subarray(0, builder.length);
    try {
      const { result } = await this.call('schedule', { topic, deliverAt }, { payload, timeoutMs: TIMEOUT_MS });
      for (const [i, { resolve }] of waiters.entries()) {
        resolve({ topic, deliverAt: deliverAt[i], handle: result.handles[i] });
      }
      builder.reset();
      if (this.spare.length < SPARE_MAX && builder.bytes.length === CALL_BYTES) this.spare.push(builder);
    } catch (error) {
      const told = withDoubt(error);
      for (const { reject } of waiters) reject(told);
    }
  }
}

/** Where nobody knows whether the messages were stored, the error says so, and what can be done about it. */
function withDoubt(error: unknown): unknown {
  if (!(error instanceof RingmqError && DOUBTFUL.has(error.code))) return error;
  const text =
    'the message may be stored all the same and then comes at its time; it cannot be recalled without its handle. ' +
    'Scheduled again it may come twice: give it a key or a property that its handler knows it by';
  return new RingmqError(error.code, `${error.message}; ${text}`);
}
