// A lease desk on a real broker, beside its coordinator: with a journal that the test can read again, a clock that the
// test can set ahead, and retries that go to the retry topic at once.
import { afterEach } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import type { Message } from '../../../src/client/message.ts';
import type { SimpleConsumerOptions } from '../../../src/client/messaging.ts';
import { LeasingConsumer } from '../../../src/client/simple-consumer.ts';
import { GroupBook } from '../../../src/coordinator/group-book.ts';
import type { Journal } from '../../../src/coordinator/journal.ts';
import { LeaseDesk } from '../../../src/coordinator/lease-desk.ts';
import { ConnectionTopics } from '../../../src/coordinator/topic-source.ts';
import type { RecordView } from '../../../src/record/batch-view.ts';
import type { Broker } from '../../../src/server/broker.ts';
import { type Call, isRetryTopic, PROPERTY, retryTopic, type SendBack } from '../../../src/wire/services.ts';
import { startConnected } from '../../support/engine.ts';

const HOUSEKEEP_MS = 20;
const SEAT = 9;

const houses: LeaseHouse[] = [];

afterEach(async () => {
  for (const house of houses.splice(0)) await house.close();
});

/** What survives a restart of the coordinator. */
export class TestJournal implements Journal {
  readonly records: [string, string][] = [];
  /** The next appends fail. */
  broken: Error | undefined;

  append(part: string, record: unknown): void {
    if (this.broken) throw this.broken;
    this.records.push([part, JSON.stringify(record)]);
  }

  sync(): void {}
}

export class LeaseHouse {
  readonly connection: InProcessConnection;
  readonly warnings: string[] = [];
  readonly sentBack: SendBack[] = [];
  /** What the next one is refused with. */
  refusal: Error | undefined;
  book!: GroupBook;
  desk!: LeaseDesk;
  /** Milliseconds that the clock of leases is ahead. */
  ahead = 0;
  /** Milliseconds that the clock of sessions is ahead. */
  monotonicAhead = 0;
  filter: ((record: RecordView) => boolean) | undefined;
  private readonly journal: TestJournal;
  private readonly timer: NodeJS.Timeout;

  constructor(broker: Broker, journal = new TestJournal()) {
    this.journal = journal;
    this.connection = broker.connect();
    this.begin();
    this.timer = setInterval(() => this.desk.housekeep(this.now()), HOUSEKEEP_MS);
    houses.push(this);
  }

  readonly call: Call = async (method, params, options = {}) => {
    const sent = JSON.parse(JSON.stringify(params));
    const caller = { seat: SEAT };
    if (method === 'group-leave') {
      const { group, topic, member } = sent;
      const subscription = this.book.topic(group, topic);
      if (subscription?.membership.leave(member)) this.book.changed(subscription);
      return { result: {} as never, payload: new Uint8Array(0) };
    }
    const handler = this.desk.handlers[method as 'receive'];
    const { result, payload = new Uint8Array(0) } = await handler!(sent, options.payload ?? new Uint8Array(0), caller);
    return { result: JSON.parse(JSON.stringify(result)), payload };
  };

  /** The coordinator dies and is started again: it knows what its journal says, or a snapshot of it. */
  async restart(how: 'killed' | 'compacted' = 'killed'): Promise<void> {
    if (how === 'compacted') {
      const records = [this.book.part, this.desk.part].flatMap(({ name, snapshot }) => {
        return [...snapshot()].map((record): [string, string] => [name, JSON.stringify(record)]);
      });
      this.journal.records.splice(0, this.journal.records.length, ...records);
    }
    await this.desk.stop();
    this.begin();
  }

  consumer(topic: string, options: SimpleConsumerOptions = { group: 'g' }): LeasingConsumer<Uint8Array> {
    const host = {
      call: this.call,
      pull: (request: Parameters<InProcessConnection['pull']>[0]) => this.connection.pull(request),
      closed: () => {},
      replier: { reply: async () => {} },
    };
    return new LeasingConsumer<Uint8Array>(topic, { from: 'earliest', ...options }, host);
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.desk.stop();
    await this.connection.close();
  }

  private now(): number {
    return Date.now() + this.ahead;
  }

  private begin(): void {
    const { connection, journal } = this;
    const warn = (text: string): void => void this.warnings.push(text);
    this.book = new GroupBook(new ConnectionTopics(connection), journal, warn, {
      monotonic: () => performance.now() + this.monotonicAhead,
    });
    const context = { connection, journal, clock: () => this.now(), warn };
    this.desk = new LeaseDesk(context, this.book, this, () => this.filter);
    const parts = [this.book.part, this.desk.part];
    for (const [name, record] of journal.records) {
      parts.find((one) => one.name === name)?.replay(JSON.parse(record));
    }
    this.desk.start();
  }

  async sendBack(request: SendBack): Promise<void> {
    this.sentBack.push(request);
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal) throw refusal;
    const { group, topic, queue, offset, attempts } = request;
    const { partition } = queue;
    const { messages } = await this.connection.pull({ topic: queue.topic, partition, from: { offset }, max: 1 });
    const name = request.deadLetter ? `%DLQ%${group}` : retryTopic(group, topic);
    await this.connection.createTopic(name, { partitions: 1, ifNotExists: true });
    const first = isRetryTopic(queue.topic)
      ? {}
      : {
          [PROPERTY.realTopic]: queue.topic,
          [PROPERTY.realQueue]: String(partition),
          [PROPERTY.realOffset]: String(offset),
        };
    const { key, properties, body } = messages[0];
    const producer = this.connection.producer(name);
    await producer.send(body, {
      key,
      properties: { ...properties, ...first, [PROPERTY.reconsumeTimes]: String(attempts) },
    });
    await producer.close();
    const own = this.book.queue(group, queue.topic, partition);
    if (own) this.book.acked(own, offset, offset + 1);
    await this.book.retryTopicMade(group, topic);
  }
}

export type Sent = string | readonly [body: string, key: string];

/** A topic `t` with these messages, and a desk beside its broker. */
export async function houseWith(messages: readonly Sent[], partitions = 1) {
  const { broker, connection } = await startConnected({ workers: 1 });
  await connection.createTopic('t', { partitions });
  const producer = connection.producer('t');
  for (const one of messages) {
    if (typeof one === 'string') await producer.send(one);
    else await producer.send(one[0], { key: one[1] });
  }
  const house = new LeaseHouse(broker);
  return { broker, connection, producer, house };
}

export function bodies(messages: readonly Message[]): string[] {
  return messages.map((one) => one.text());
}

/** The code that a promise is refused with. */
export async function refusalOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing',
    (error: unknown) => (error instanceof RingmqError ? error.code : String(error)),
  );
}
