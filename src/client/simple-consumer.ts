// RocketMQ's simple consumer (pop): the broker leases messages one by one. The same over every transport, and in
// browsers. Nothing is fetched ahead: what was received is the application's.
import { RingmqError } from '../base/codes.ts';
import {
  CALL_WAIT_MAX_MS,
  type Call,
  DELAY_MAX_MS,
  INVISIBLE_DEFAULT_MS,
  INVISIBLE_MAX_MS,
  type Receive,
} from '../wire/services.ts';
import { groupSetup } from './group-options.ts';
import { leaseOf } from './leased-message.ts';
import type { Message, Replier } from './message.ts';
import type { SimpleConsumer, SimpleConsumerOptions } from './messaging.ts';
import { type Pull, receivedMessages } from './received.ts';
import { ACK, EXTENSION, NACK, Settlements, type Verdict } from './settlements.ts';
import { type Trace, traced } from './trace.ts';

/** RocketMQ's pop takes 32 and waits 15 s. */
const MAX = 32;
const MAX_MOST = 1_024;
const WAIT_MS = 15_000;
const AGAIN_MS = 100;

export interface SimpleConsumerHost {
  readonly call: Call;
  readonly pull: Pull;
  /** Of the connection, for Message.reply(). */
  readonly replier: Replier;
  /** Undefined: nothing is traced. */
  readonly trace?: Trace | undefined;
  closed(consumer: object): void;
}

export class LeasingConsumer<T> implements SimpleConsumer<T> {
  readonly group: string;
  readonly topic: string;
  private readonly host: SimpleConsumerHost;
  private readonly options: SimpleConsumerOptions<T>;
  /** What every receive says. */
  private readonly terms: Omit<Receive, 'maxMessages' | 'invisibleMs' | 'waitMs'>;
  private readonly invisibleMs: number;
  private readonly settlements: Settlements;
  private readonly step: ReturnType<typeof traced> | undefined;
  private closing: Promise<void> | undefined;

  /** Throws `illegal-group` or `illegal-argument`. */
  constructor(topic: string, options: SimpleConsumerOptions<T>, host: SimpleConsumerHost) {
    const { group, invisibleMs = INVISIBLE_DEFAULT_MS } = options;
    const { member, from, order, priority, filter } = groupSetup({ ...setupOf(options), group });
    this.group = group;
    this.topic = topic;
    this.host = host;
    this.options = options;
    this.terms = { group, topic, member, from, order, priority, filter };
    this.invisibleMs = checkedMs('invisibleMs', invisibleMs, 1, INVISIBLE_MAX_MS);
    this.settlements = new Settlements(host.call, group, topic);
    this.step = host.trace && traced(host.trace, { group, member });
  }

  async receive(
    options: { readonly max?: number; readonly waitMs?: number; readonly invisibleMs?: number } = {},
  ): Promise<readonly Message<T>[]> {
    const { max = MAX, waitMs = WAIT_MS } = options;
    const invisibleMs = checkedMs('invisibleMs', options.invisibleMs ?? this.invisibleMs, 1, INVISIBLE_MAX_MS);
    if (!(Number.isSafeInteger(max) && max >= 1 && max <= MAX_MOST)) {
      throw new RingmqError('illegal-argument', `receive: max is ${max}: 1 to ${MAX_MOST} messages`);
    }
    if (!(waitMs >= 0)) throw new RingmqError('illegal-argument', `receive: waitMs is ${waitMs}: 0 or more`);
    const deadline = performance.now() + waitMs;
    for (;;) {
      if (this.closing) throw new RingmqError('closed', 'the simple consumer is closed');
      const left = Math.min(Math.max(0, deadline - performance.now()), CALL_WAIT_MAX_MS);
      const messages = await this.ask(
        { ...this.terms, maxMessages: max, invisibleMs, waitMs: Math.round(left) },
        deadline,
      );
      if (messages.length > 0 || performance.now() >= deadline || this.closing) return messages;
    }
  }

  ack(message: Message<T>): Promise<void> {
    return this.say(message, ACK, () => 0);
  }

  nack(message: Message<T>, delayMs?: number): Promise<void> {
    return this.say(message, NACK, () => (delayMs === undefined ? -1 : checkedMs('delayMs', delayMs, 0, DELAY_MAX_MS)));
  }

  changeInvisible(message: Message<T>, invisibleMs: number): Promise<void> {
    return this.say(message, EXTENSION, () => checkedMs('invisibleMs', invisibleMs, 0, INVISIBLE_MAX_MS));
  }

  /** What was said is answered first. Messages that were not settled are delivered again when their leases run out. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async shutDown(): Promise<void> {
    await this.settlements.drained();
    const { group, topic, member } = this.terms;
    await this.host.call('group-leave', { group, topic, member }).catch((error: unknown) => {
      // Without a coordinator nobody is left who would miss this member.
      if (!(error instanceof RingmqError)) throw error;
    });
    this.host.closed(this);
  }

  /** With onError nobody needs to wait for the promise. */
  private say(message: Message<T>, verdict: Verdict, delayMs: () => number): Promise<void> {
    try {
      const lease = leaseOf(message);
      if (lease === undefined) {
        throw new RingmqError('illegal-argument', 'only messages that a simple consumer received can be settled');
      }
      const settled = this.settlements.add(lease, verdict, delayMs());
      if (this.options.onError) settled.catch(this.options.onError);
      const { step } = this;
      if (step && verdict !== EXTENSION) {
        settled.then(
          () => step(verdict === ACK ? 'acknowledged' : 'failed', message),
          () => {},
        );
      }
      return settled;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** None if the coordinator is away just now, or the consumer was closed meanwhile. */
  private async ask(params: Receive, deadline: number): Promise<readonly Message<T>[]> {
    try {
      const { result, payload } = await this.host.call('receive', params);
      const { replier } = this.host;
      const queues = result.queues.map((one) => ({ ...one, replier }));
      const messages = await receivedMessages({ ...result, queues }, payload, this.options.codec, this.host.pull);
      if (this.step) for (const message of messages) this.step('delivered', message);
      return messages;
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      if (this.closing && error.code === 'closed') return [];
      const isAway = error.code === 'coordinator-unavailable' || error.code === 'connection-lost';
      if (!isAway || performance.now() >= deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      return [];
    }
  }
}

/** What it has in common with other members of groups. */
function setupOf<T>({ from, order, priority, member, filter }: SimpleConsumerOptions<T>) {
  return {
    ...(from === undefined ? {} : { from }),
    ...(order === undefined ? {} : { order }),
    ...(priority === undefined ? {} : { priority }),
    ...(member === undefined ? {} : { member }),
    ...(filter === undefined ? {} : { filter }),
  };
}

function checkedMs(name: string, value: number, least: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new RingmqError('illegal-argument', `${name} is ${value}: ${least} to ${most} milliseconds`);
}
