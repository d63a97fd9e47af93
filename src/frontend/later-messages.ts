// Messages of readable sessions and of HTTP that are to be delivered later: the coordinator is given them to store.
import { RingmqError } from '../base/codes.ts';
import { deliverTime } from '../delay/deliver-time.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import type { JsonMessage } from '../wire/json.ts';
import type { JsonScheduled } from '../wire/json-replies.ts';
import { isReservedTopic, type ParamsOf, type ResultOf } from '../wire/services.ts';

/** Asks the coordinator. */
export type AskCoordinator = (command: CommandOf<'call'>, timeoutMs: number) => Promise<Command>;

const CALL_BYTES = 128 * 1024;
const CALL_MESSAGES_MAX = 1_024;
/** Storing may have to wait for the disk. */
const TIMEOUT_MS = 30_000;

/** What goes in one call. */
interface Later {
  readonly payload: Uint8Array;
  readonly deliverAt: readonly number[];
}

/** True if the messages are for later. Throws `illegal-argument` if only some of them are. */
export function areForLater(messages: readonly JsonMessage[]): boolean {
  const later = messages.filter(({ deliverAt, delayMs }) => deliverAt !== undefined || delayMs !== undefined);
  if (later.length === 0) return false;
  if (later.length === messages.length) return true;
  throw new RingmqError('illegal-argument', 'deliverAt or delayMs: give it to all messages of a publish, or to none');
}

export class LaterMessages {
  private readonly ask: AskCoordinator;
  private readonly clock: () => number;

  constructor(ask: AskCoordinator, clock: () => number) {
    this.ask = ask;
    this.clock = clock;
  }

  /** Resolves when all are stored as safely as the broker can. Rejects with a RingmqError for the first refusal. */
  async schedule(topic: string, messages: readonly JsonMessage[]): Promise<JsonScheduled[]> {
    if (isReservedTopic(topic)) {
      throw new RingmqError('no-write-permission', `${topic} is the broker's own: only it publishes there`);
    }
    const receipts: JsonScheduled[] = [];
    // All are looked at before the first one is stored.
    for (const { payload, deliverAt } of [...this.callsFor(messages)]) {
      const params = JSON.stringify({ topic, deliverAt } satisfies ParamsOf<'schedule'>);
      const reply = await this.ask({ type: 'call', method: 'schedule', params, payload }, TIMEOUT_MS);
      if (reply.type !== 'call-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
      const { handles } = JSON.parse(reply.result) as ResultOf<'schedule'>;
      receipts.push(...handles.map((handle, i) => ({ deliverAt: deliverAt[i], handle })));
    }
    return receipts;
  }

  private *callsFor(messages: readonly JsonMessage[]): Iterable<Later> {
    const now = this.clock();
    const builder = new BatchBuilder(CALL_BYTES);
    let deliverAt: number[] = [];
    const finish = (): Later => {
      builder.closePayload(true);
      const later = { payload: builder.bytes.slice(0, builder.length), deliverAt };
      builder.reset();
      deliverAt = [];
      return later;
    };
    for (const message of messages) {
      const { body, key, tag, properties, flags } = message;
      const extras = {
        key: key === '' ? undefined : key,
        tag: tag === '' ? undefined : tag,
        properties: Object.keys(properties).length === 0 ? undefined : properties,
        flags,
      };
      const time = deliverTime(message, now);
      if (builder.count === CALL_MESSAGES_MAX || !builder.tryAdd(body, extras, now)) {
        yield finish();
        builder.tryAdd(body, extras, now);
      }
      deliverAt.push(time);
    }
    yield finish();
  }
}
