// Leases when something goes wrong: a coordinator that is started again, a journal that refuses, members that vanish,
// groups that disagree, limits.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { Message } from '../../../src/client/message.ts';
import type { GroupQueue } from '../../../src/coordinator/group-state.ts';
import { startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { bodies, houseWith, LeaseHouse, refusalOf, TestJournal } from './lease-harness.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('trouble', () => {
  test.each(['killed', 'compacted'] as const)('a successor goes on where the coordinator was (%s)', async (how) => {
    const { house, producer } = await houseWith(['a', 'b', 'c', 'd']);
    const consumer = house.consumer('t');
    const [a, b, c, d] = await consumer.receive({ invisibleMs: 30_000 });
    await consumer.ack(b);
    await consumer.changeInvisible(d, 90_000);
    await house.restart(how);
    await producer.send('e');
    expect(bodies(await consumer.receive())).toEqual(['e']);
    await consumer.ack(a);
    expect(await refusalOf(consumer.ack(b))).toBe('stale-lease');
    house.ahead = 30_001;
    const [again] = await consumer.receive();
    expect([again.text(), again.attempts]).toEqual(['c', 2]);
    expect(await refusalOf(consumer.ack(c))).toBe('stale-lease');
    await consumer.ack(d);
    await consumer.ack(again);
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(4);
  });

  test('acks reach a successor before anybody has received from it', async () => {
    const { house } = await houseWith(['a', 'b']);
    const consumer = house.consumer('t');
    const [a, b] = await consumer.receive();
    await house.restart();
    await consumer.ack(b);
    await consumer.ack(a);
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(2);
    expect(await consumer.receive({ waitMs: 50 })).toEqual([]);
  });

  test('a message that waits for its retry in place still waits after a restart', async () => {
    const { house } = await houseWith([
      ['a1', 'a'],
      ['a2', 'a'],
    ]);
    const consumer = house.consumer('t');
    const [a1] = await consumer.receive();
    await consumer.nack(a1, 20_000);
    await house.restart();
    expect(await consumer.receive({ waitMs: 60 })).toEqual([]);
    expect(await refusalOf(consumer.ack(a1))).toBe('stale-lease');
    house.ahead = 20_001;
    const [again] = await consumer.receive();
    expect([again.text(), again.attempts]).toEqual(['a1', 2]);
  });

  test.each(['moved', 'deleted'] as const)('a group that is %s has no leases, nor has its successor', async (how) => {
    const { house } = await houseWith(['a', 'b']);
    const consumer = house.consumer('t');
    const [a] = await consumer.receive();
    await consumer.ack(a);
    const queue = house.book.queue('g', 't', 0) as GroupQueue;
    const { subscription, topicId, progress } = queue;
    if (how === 'moved') house.book.place(subscription, [[false, 0, topicId, progress.epoch, 0, [], []]]);
    else await house.book.delete('g', () => {});
    await house.restart();
    expect(bodies(await consumer.receive())).toEqual(['a', 'b']);
  });

  test('what nobody wants is passed over also while it cannot be written down', async () => {
    const { broker } = await startConnected({ workers: 1 });
    const journal = new TestJournal();
    const house = new LeaseHouse(broker, journal);
    house.filter = () => false;
    const producer = broker.connect().producer('t', { partition: 0 });
    await producer.send('first');
    const consumer = house.consumer('t');
    await consumer.receive({ waitMs: 0 });
    const floor = (): number => house.book.queue('g', 't', 0)?.progress.floor ?? 0;
    await until(() => floor() === 1, 'the first one is passed over');
    const written = journal.records.length;
    journal.broken = new RingmqError('disk-full');
    for (let i = 0; i < 20; i++) await producer.send(`${i}`);
    expect(await consumer.receive({ waitMs: 50 })).toEqual([]);
    journal.broken = undefined;
    await until(() => floor() === 21, 'the rest is passed over');
    const [, record] = journal.records[written];
    expect(JSON.parse(record)).toMatchObject({ type: 'add', queues: [[false, 0, 0, [1, 21], []]] });
  });

  test('a message that is being moved when the group changes its terms comes once', async () => {
    const { house } = await houseWith(['a']);
    const terms = { group: 'g', member: 'm' } as const;
    const first = house.consumer('t', { ...terms, order: 'none' });
    const [a] = await first.receive();
    const refused = first.nack(a, 0);
    await until(() => house.sentBack.length === 1, 'it is on its way');
    const second = house.consumer('t', { ...terms, order: 'key' });
    const again = second.receive();
    await refused;
    expect((await again).map(({ attempts }) => attempts)).toEqual([2]);
    house.ahead = 20_000;
    expect(await second.receive({ waitMs: 200 })).toEqual([]);
  });

  test('a move that ends before a group with new terms reads brings nothing acknowledged again', async () => {
    const { house } = await houseWith(['a', 'b', 'c']);
    const terms = { group: 'g', member: 'm' } as const;
    const first = house.consumer('t', { ...terms, order: 'none' });
    const [, b] = await first.receive({ max: 2 });
    await first.ack(b);
    const queue = house.book.queue('g', 't', 0) as GroupQueue;
    const reader = house.connection.reader.bind(house.connection);
    const opened: typeof reader = (topic, options) => {
      const consumer = reader(topic, options);
      // The floor goes past what was acknowledged above it.
      house.book.acked(queue, 0, 1);
      return consumer;
    };
    house.connection.reader = opened;
    const second = house.consumer('t', { ...terms, order: 'key' });
    expect(bodies(await second.receive())).toEqual(['c']);
  });

  test('a stop waits for what is being moved also when the clock is set ahead', async () => {
    const { house } = await houseWith(['bad']);
    const consumer = house.consumer('t');
    const [bad] = await consumer.receive();
    let move = (): void => {};
    const mayMove = new Promise<void>((resolve) => {
      move = resolve;
    });
    let moving = false;
    house.sendBack = async () => {
      moving = true;
      await mayMove;
    };
    const failed = consumer.nack(bad, 0);
    await until(() => moving, 'it is being moved');
    const wall = Date.now.bind(Date);
    let hours = 0;
    vi.spyOn(Date, 'now').mockImplementation(() => wall() + 3_600_000 * hours++);
    let stopped = false;
    const stopping = house.desk.stop().then(() => {
      stopped = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(stopped).toBe(false);
    move();
    await Promise.all([stopping, failed]);
  });

  test('an ack that cannot be written is refused, and the lease goes on', async () => {
    const { broker } = await startConnected({ workers: 1 });
    const journal = new TestJournal();
    const house = new LeaseHouse(broker, journal);
    const connection = broker.connect();
    await connection.producer('t', { partition: 0 }).send('a');
    const consumer = house.consumer('t');
    const [a] = await consumer.receive();
    journal.broken = new RingmqError('disk-full');
    expect(await refusalOf(consumer.ack(a))).toBe('disk-full');
    journal.broken = undefined;
    await consumer.ack(a);
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(1);
  });

  test('a lease that cannot be written is not given', async () => {
    const { broker, connection } = await startConnected({ workers: 1 });
    const journal = new TestJournal();
    const house = new LeaseHouse(broker, journal);
    const producer = connection.producer('t', { partition: 0 });
    await producer.send('a');
    const consumer = house.consumer('t');
    await consumer.ack((await consumer.receive())[0]);
    journal.broken = new RingmqError('disk-full');
    await producer.send('b');
    expect(await refusalOf(consumer.receive())).toBe('disk-full');
    journal.broken = undefined;
    const [b] = await consumer.receive();
    expect([b.text(), b.attempts]).toEqual(['b', 1]);
  });

  test('a message that is not kept any more, and has had its attempts, holds nobody up', async () => {
    const { house } = await houseWith(['bad', 'good']);
    const consumer = house.consumer('t');
    const [bad, good] = await consumer.receive();
    house.book.setSettings('g', { retryDelaysMs: [1], attemptsMax: 1 });
    house.refusal = new RingmqError('not-found');
    await consumer.nack(bad);
    await consumer.ack(good);
    await until(() => house.book.queue('g', 't', 0)?.progress.floor === 2, 'the floor moves on');
    expect(house.warnings.join()).toContain('cannot go to the dead letters');
  });

  test('a group that nobody asks for reads nothing, and holds no bytes and no publisher', async () => {
    const { house, producer } = await houseWith(['a', 'b']);
    const consumer = house.consumer('t');
    const [a] = await consumer.receive({ max: 1 });
    expect(house.desk.heldBytes).toBeGreaterThan(0);
    house.monotonicAhead = 11_000;
    await until(() => house.desk.heldBytes === 0, 'it forgets what it has read');
    // Far more than the ring holds: publishers do not wait for a reader that is gone.
    for (let i = 0; i < 200; i++) await producer.send('x'.repeat(1_000));
    await consumer.ack(a);
    house.monotonicAhead = 0;
  });

  test('what is read ahead has a limit in bytes', async () => {
    const { house, connection } = await houseWith([]);
    await connection.createTopic('wide', { partitions: 1, ringBytes: 8 * 1024 * 1024 });
    const producer = connection.producer('wide');
    const body = new Uint8Array(16_000);
    for (let i = 0; i < 40; i++) await producer.sendBatch(Array.from({ length: 10 }, () => body));
    const consumer = house.consumer('wide');
    let received = 0;
    while (received < 400) {
      const messages = await consumer.receive();
      received += messages.length;
      expect(house.desk.heldBytes).toBeLessThan(2.2 * 1024 * 1024);
      await Promise.all(messages.map((one) => consumer.ack(one)));
    }
    expect(house.desk.heldBytes).toBe(0);
  });

  test('a consumer that closes gets its held call back', async () => {
    const { house } = await houseWith([]);
    const consumer = house.consumer('t');
    const receiving = consumer.receive({ waitMs: 20_000 });
    await until(() => house.book.topic('g', 't')?.membership.size === 1, 'the consumer is a member');
    await consumer.close();
    expect(await receiving).toEqual([]);
    expect(await refusalOf(consumer.receive())).toBe('closed');
  });

  test('a thread that ends leaves its held calls', async () => {
    const { house, producer } = await houseWith([]);
    const receiving = refusalOf(house.consumer('t').receive({ waitMs: 20_000 }));
    await until(() => house.book.topic('g', 't')?.membership.size === 1, 'the consumer is a member');
    house.desk.seatLeft(9);
    expect(await receiving).toBe('closed');
    await producer.send('a');
    expect(bodies(await house.consumer('t').receive())).toEqual(['a']);
  });

  test('members must agree on filter and order', async () => {
    const { house } = await houseWith([]);
    void house
      .consumer('t')
      .receive({ waitMs: 20_000 })
      .catch(() => {});
    await until(() => house.book.topic('g', 't')?.membership.size === 1, 'the first is a member');
    expect(await refusalOf(house.consumer('t', { group: 'g', order: 'none' }).receive())).toBe('group-mismatch');
  });

  test('a topic that is deleted ends its receives', async () => {
    const { house, connection } = await houseWith(['a']);
    const consumer = house.consumer('t');
    const [a] = await consumer.receive();
    const receiving = refusalOf(consumer.receive({ waitMs: 20_000 }));
    await connection.deleteTopic('t');
    expect(await receiving).toBe('unknown-topic');
    expect(await refusalOf(consumer.ack(a))).toBe('stale-lease');
  });

  test('too many unsettled messages are refused with the limit', async () => {
    const { house, connection } = await houseWith([]);
    await connection.createTopic('many', { partitions: 1, ringBytes: 8 * 1024 * 1024 });
    const producer = connection.producer('many');
    for (let i = 0; i < 17; i++) await producer.sendBatch(Array.from({ length: 1_000 }, () => 'x'));
    const consumer = house.consumer('many');
    let count = 0;
    let oldest: Message | undefined;
    let refusal: unknown;
    while (refusal === undefined) {
      try {
        const got = await consumer.receive({ max: 1_024, waitMs: 100 });
        oldest ??= got[0];
        count += got.length;
      } catch (error) {
        refusal = error;
      }
    }
    expect(count).toBe(16_384);
    expect((refusal as RingmqError).code).toBe('lease-quota');
    expect((refusal as RingmqError).message).toContain('16384 messages lie between the oldest message of many/0');
    await consumer.ack(oldest!);
    expect(await consumer.receive({ max: 5 })).toHaveLength(1);
  });

  test('more groups than a partition has readers: those that cannot read are told', async () => {
    const { house } = await houseWith(['a']);
    const outcomes: string[] = [];
    for (let i = 0; i < 33; i++) {
      const consumer = house.consumer('t', { group: `g${i}` });
      outcomes.push(await refusalOf(consumer.receive({ waitMs: 200 })));
    }
    expect(outcomes.slice(0, 32)).toEqual(Array.from({ length: 32 }, () => 'nothing'));
    expect(outcomes[32]).toBe('reader-quota');
  });

  test('only what was received can be settled, and arguments have limits', async () => {
    const { house } = await houseWith(['a']);
    const consumer = house.consumer('t');
    const { messages } = await house.connection.pull({ topic: 't', from: 'earliest' });
    expect(await refusalOf(consumer.ack(messages[0]))).toBe('illegal-argument');
    const [a] = await consumer.receive();
    expect(await refusalOf(consumer.changeInvisible(a, -1))).toBe('illegal-argument');
    expect(await refusalOf(consumer.nack(a, 1e15))).toBe('illegal-argument');
    expect(await refusalOf(consumer.receive({ max: 0 }))).toBe('illegal-argument');
    expect(await refusalOf(consumer.receive({ invisibleMs: 50_000_000 }))).toBe('illegal-argument');
    expect(() => house.consumer('t', { group: 'a|b' })).toThrow('group');
  });
});
