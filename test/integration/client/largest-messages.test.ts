// The largest message that a topic takes goes every way that a smaller one goes: retries, dead letters and their
// replay, delays, leases, transactions. With rings and lanes as they are by default.
import { afterEach, describe, expect, test } from 'vitest';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import type { Message } from '../../../src/client/message.ts';
import { connect } from '../../../src/client/node.ts';
import { dataFolder, errorOf, startTestBroker } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

type Client = Pick<
  InProcessConnection,
  | 'transactionalProducer'
  | 'consumer'
  | 'simpleConsumer'
  | 'producer'
  | 'createTopic'
  | 'schedule'
  | 'setGroup'
  | 'describeGroup'
  | 'replayDeadLetters'
  | 'onError'
  | 'close'
>;

const RING = 4 * 1024 * 1024;
const MIB = 1024 * 1024;
/** Without both headers and padding, and without what the broker puts around it. */
const LARGEST = MIB - 96 - 4_096;

let client: Client | undefined;

afterEach(async () => {
  await client?.close();
});

/** Not all the same, so that a byte in a wrong place is seen. */
function bodyOf(length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => (i * 31 + (i >> 9)) & 255);
}

function isSame({ body }: Message, sent: Uint8Array): boolean {
  return Buffer.compare(body, sent) === 0;
}

async function deadLetters(bus: Client): Promise<number> {
  return (await bus.describeGroup('g')).deadLetters;
}

const WAYS = ['in process', 'WebSocket'].flatMap((way) => [true, false].map((durable) => ({ way, durable })));

describe.each(WAYS)('$way, durable: $durable', ({ way, durable }) => {
  async function started(): Promise<Client> {
    const data = durable ? { data: dataFolder() } : {};
    const broker = await startTestBroker({ ...data, ringBytes: RING, listen: { port: 0, frontends: 1 } });
    client = way === 'WebSocket' ? connect(broker.url as string) : broker.connect();
    client.onError(() => {});
    const { messageMaxBytes } = await client.createTopic('orders', { partitions: 1 });
    expect(messageMaxBytes).toBe(LARGEST);
    return client;
  }

  test('it comes again after its delays, is a dead letter, and comes back by replay', async () => {
    const bus = await started();
    await bus.setGroup('g', { attemptsMax: 3, retryDelaysMs: [0, 50] });
    const body = bodyOf(LARGEST);
    const dead: Message[] = [];
    let deliveries = 0;
    let isWell = false;
    const errors: Error[] = [];
    await bus
      .consumer('orders', {
        group: 'g',
        from: 'earliest',
        onError: (error) => void errors.push(error),
        onMessage: (message) => {
          if (isSame(message, body)) deliveries++;
          if (!isWell) throw new Error('x'.repeat(500));
        },
      })
      .ready();
    await bus.producer<Uint8Array>('orders').send(body);
    await untilAnswer(
      () => deadLetters(bus),
      (count) => count === 1,
      'it is a dead letter',
    );
    expect(deliveries).toBe(3);
    await bus.consumer('%DLQ%g', { from: 'earliest', onMessage: (one) => void dead.push(one) }).ready();
    await until(() => dead.length === 1, 'it is read there');
    expect(isSame(dead[0], body)).toBe(true);
    expect(dead[0].properties).toMatchObject({
      REAL_TOPIC: 'orders',
      RECONSUME_TIME: '3',
      DLQ_REASON: 'x'.repeat(500),
    });
    isWell = true;
    expect(await bus.replayDeadLetters('g')).toEqual({ replayed: 1, left: 0 });
    await until(() => deliveries === 4, 'it is handled');
  });

  test('it is leased, failed and leased again, until it is a dead letter', async () => {
    const bus = await started();
    await bus.setGroup('g', { attemptsMax: 2, retryDelaysMs: [0] });
    const body = bodyOf(LARGEST);
    await bus.producer<Uint8Array>('orders').send(body);
    const consumer = bus.simpleConsumer('orders', { group: 'g', from: 'earliest' });
    for (let attempt = 0; attempt < 2; attempt++) {
      const [message] = await consumer.receive();
      expect(isSame(message, body)).toBe(true);
      await consumer.nack(message);
    }
    await untilAnswer(
      () => deadLetters(bus),
      (count) => count === 1,
      'it is a dead letter',
    );
  });

  test('it is scheduled, and goes in a transaction; a larger one is refused wherever it is sent', async () => {
    const bus = await started();
    const body = bodyOf(LARGEST);
    const heard: Message[] = [];
    await bus.consumer('orders', { from: 'earliest', onMessage: (one) => void heard.push(one) }).ready();
    await bus.schedule('orders', body, { delayMs: 50 });
    await until(() => heard.length === 1, 'it comes when it is due');
    const producer = bus.transactionalProducer<Uint8Array>('orders', { group: 'p', check: () => 'unknown' });
    await (await producer.begin(body)).commit();
    await until(() => heard.length === 2, 'it comes when it is committed');
    expect(heard.map((one) => isSame(one, body))).toEqual([true, true]);
    const more = bodyOf(LARGEST + 9);
    // Which of them is refused first is not said.
    const refusals = [
      bus.producer<Uint8Array>('orders').send(more),
      bus.schedule('orders', more, { delayMs: 50 }),
      producer.begin(more),
    ].map((refused) => errorOf(Promise.resolve<unknown>(refused)));
    for (const refusal of refusals) expect(await refusal).toMatchObject({ code: 'message-too-large' });
  });
});
