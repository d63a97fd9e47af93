// Leases by message on a real broker: receive, ack, nack, change of invisible time, expiry, order.
import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { until } from '../../support/until.ts';
import { bodies, houseWith, refusalOf } from './lease-harness.ts';

describe('receiving', () => {
  test('messages come in order, with what was sent beside the body', async () => {
    const { house, producer } = await houseWith(['a', ['b', 'k']]);
    await producer.send('c', { tag: 'T', properties: { x: '1' } });
    const consumer = house.consumer('t');
    const messages = await consumer.receive();
    expect(bodies(messages)).toEqual(['a', 'b', 'c']);
    expect(messages.map((one) => one.offset)).toEqual([0, 1, 2]);
    expect(messages[1].key).toBe('k');
    expect(messages[2].tag).toBe('T');
    expect({ ...messages[2].properties }).toEqual({ x: '1' });
    expect(messages.map((one) => one.attempts)).toEqual([1, 1, 1]);
    expect(messages[0].id).toMatch(/^[0-9A-F]{24}$/i);
  });

  test('a receive is held until there is something', async () => {
    const { house, producer } = await houseWith([]);
    const consumer = house.consumer('t');
    const receiving = consumer.receive({ waitMs: 10_000 });
    await until(() => house.book.topic('g', 't')?.membership.size === 1, 'the consumer is a member');
    await producer.send('late');
    expect(bodies(await receiving)).toEqual(['late']);
  });

  test('a receive that does not wait has what is there, and an empty answer otherwise', async () => {
    const { house } = await houseWith(['a']);
    const consumer = house.consumer('t');
    expect(bodies(await consumer.receive({ waitMs: 0 }))).toEqual(['a']);
    expect(await consumer.receive({ waitMs: 0 })).toEqual([]);
    expect(await consumer.receive({ waitMs: 60 })).toEqual([]);
  });

  test('two consumers share one queue, and nothing comes twice', async () => {
    const sent = Array.from({ length: 200 }, (_, i) => `m${i}`);
    const { house } = await houseWith(sent);
    const one = house.consumer('t');
    const other = house.consumer('t');
    const got: string[] = [];
    while (got.length < 200) {
      const [first, second] = await Promise.all([one.receive({ max: 7 }), other.receive({ max: 9, waitMs: 200 })]);
      got.push(...bodies(first), ...bodies(second));
      await Promise.all([...first.map((m) => one.ack(m)), ...second.map((m) => other.ack(m))]);
    }
    expect([...got].sort()).toEqual([...sent].sort());
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(200);
  });

  test('queues take turns', async () => {
    const { house, connection } = await houseWith([], 2);
    for (const partition of [0, 1]) {
      const producer = connection.producer('t', { partition });
      await producer.sendBatch(Array.from({ length: 20 }, (_, i) => `${partition}:${i}`));
    }
    const consumer = house.consumer('t');
    const partitions = new Set<number>();
    for (let i = 0; i < 8; i++) partitions.add((await consumer.receive({ max: 2 }))[0].partition);
    expect([...partitions].sort()).toEqual([0, 1]);
  });

  test('the highest priority comes first where that is asked for', async () => {
    const { house, producer } = await houseWith([]);
    for (const [i, priority] of [0, 3, 9, 0, 3].entries()) await producer.send(`m${i}`, { flags: priority << 4 });
    const consumer = house.consumer('t', { group: 'g', priority: true });
    const first = await consumer.receive({ max: 1 });
    expect(bodies([...first, ...(await consumer.receive())]).slice(0, 5)).toEqual(['m2', 'm1', 'm4', 'm0', 'm3']);
  });

  test('a message that is too large for an answer is pulled', async () => {
    const { house, connection } = await houseWith([]);
    await connection.createTopic('large', { ringBytes: 4 * 1024 * 1024 });
    const producer = connection.producer('large', { partition: 0 });
    const body = new Uint8Array(700_000).fill(5);
    await producer.send('before');
    await producer.send(body);
    await producer.send('behind');
    const codec = { encode: (text: string) => new TextEncoder().encode(text), decode: (b: Uint8Array) => b.length };
    const consumer = house.consumer('large', { group: 'g', codec: codec as never });
    const messages = [...(await consumer.receive())];
    while (messages.length < 3) messages.push(...(await consumer.receive()));
    expect(messages.map((one) => one.value)).toEqual([6, 700_000, 6]);
    await Promise.all(messages.map((one) => consumer.ack(one)));
    expect(house.book.queue('g', 'large', 0)?.progress.floor).toBe(3);
    expect(house.desk.leasedOf(house.book.queue('g', 'large', 0)!)).toBe(0);
  });

  test('messages that the filter leaves out count as acknowledged', async () => {
    const { house } = await houseWith(['a', 'b', 'a', 'b', 'b']);
    house.filter = (record) => record.text() === 'a';
    const consumer = house.consumer('t');
    const messages = await consumer.receive();
    expect(bodies(messages)).toEqual(['a', 'a']);
    await until(() => house.book.queue('g', 't', 0)?.progress.contains(4) ?? false, 'the rest is acknowledged');
    await Promise.all(messages.map((one) => consumer.ack(one)));
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(5);
  });
});

describe('settling', () => {
  test('acks in any order; the floor moves past what is complete', async () => {
    const { house } = await houseWith(['a', 'b', 'c', 'd']);
    const consumer = house.consumer('t');
    const messages = await consumer.receive();
    const progress = house.book.queue('g', 't', 0)!.progress;
    await Promise.all([consumer.ack(messages[3]), consumer.ack(messages[1])]);
    expect([progress.floor, progress.acked]).toEqual([0, [1, 2, 3, 4]]);
    await consumer.ack(messages[0]);
    expect([progress.floor, progress.acked]).toEqual([2, [3, 4]]);
    await consumer.ack(messages[2]);
    expect(progress.floor).toBe(4);
  });

  test('a lease that ran out is stale, and its message comes again with one more attempt', async () => {
    const { house } = await houseWith(['a', 'b']);
    const consumer = house.consumer('t');
    const [a, b] = await consumer.receive({ invisibleMs: 30_000 });
    house.ahead = 30_001;
    const again = await consumer.receive();
    expect(bodies(again)).toEqual(['a', 'b']);
    expect(again.map((one) => one.attempts)).toEqual([2, 2]);
    expect(await refusalOf(consumer.ack(a))).toBe('stale-lease');
    expect(await refusalOf(consumer.changeInvisible(b, 5_000))).toBe('stale-lease');
    await Promise.all(again.map((one) => consumer.ack(one)));
    expect(await refusalOf(consumer.ack(again[0]))).toBe('stale-lease');
  });

  test('of acks that travel together only the stale ones fail', async () => {
    const { house } = await houseWith(['a', 'b']);
    const consumer = house.consumer('t');
    const [a, b] = await consumer.receive();
    await consumer.ack(a);
    const outcomes = await Promise.allSettled([consumer.ack(a), consumer.ack(b)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(2);
  });

  test('a lease that is prolonged does not run out; one that is given back is there at once', async () => {
    const { house } = await houseWith(['a', 'b']);
    const consumer = house.consumer('t');
    const [a, b] = await consumer.receive({ invisibleMs: 10_000 });
    await consumer.changeInvisible(a, 60_000);
    await consumer.changeInvisible(b, 0);
    expect(bodies(await consumer.receive())).toEqual(['b']);
    house.ahead = 30_000;
    expect(await consumer.receive({ waitMs: 100, max: 5 }).then(bodies)).toEqual([]);
    await consumer.ack(a);
  });

  test('a failed message goes to the retry topic, and comes back as what it was', async () => {
    const { house } = await houseWith(['bad', 'good']);
    const consumer = house.consumer('t', { group: 'g', order: 'none' });
    const [bad, good] = await consumer.receive();
    await consumer.nack(bad, 0);
    await consumer.ack(good);
    expect(house.sentBack).toMatchObject([{ offset: 0, attempts: 1, delayMs: 0, deadLetter: false }]);
    const [again] = await consumer.receive();
    expect([again.topic, again.partition, again.offset, again.text()]).toEqual(['t', bad.partition, 0, 'bad']);
    expect(again.attempts).toBe(2);
    expect(again.id).toBe(bad.id);
    await consumer.ack(again);
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(2);
    expect(house.book.queue('g', '%RETRY%g|t', 0)?.progress.floor).toBe(1);
  });

  test('without a delay the group’s ladder counts; after the last attempt come the dead letters', async () => {
    const { house } = await houseWith(['bad']);
    const consumer = house.consumer('t');
    const [bad] = await consumer.receive();
    house.book.setSettings('g', { retryDelaysMs: [11, 22], attemptsMax: 3 });
    await consumer.nack(bad);
    const [second] = await consumer.receive();
    await consumer.nack(second);
    const [third] = await consumer.receive();
    expect(third.attempts).toBe(3);
    await consumer.nack(third);
    expect(house.sentBack.map(({ delayMs, deadLetter }) => [delayMs, deadLetter])).toEqual([
      [11, false],
      [22, false],
      [22, true],
    ]);
    expect(await consumer.receive({ waitMs: 50 })).toEqual([]);
    const { messages } = await house.connection.pull({ topic: '%DLQ%g', from: 'earliest' });
    expect(bodies(messages)).toEqual(['bad']);
  });

  test('leases that run out too often end among the dead letters', async () => {
    const { house, producer } = await houseWith(['bad']);
    const consumer = house.consumer('t');
    await consumer.receive({ max: 1, invisibleMs: 1_000 });
    house.book.setSettings('g', { retryDelaysMs: [1], attemptsMax: 2 });
    house.ahead = 1_001;
    await consumer.receive({ max: 1, invisibleMs: 1_000 });
    house.ahead = 2_500;
    await until(() => house.sentBack.length === 1, 'it goes to the dead letters');
    expect(house.sentBack[0]).toMatchObject({ offset: 0, attempts: 2, deadLetter: true });
    await producer.send('good');
    expect(bodies(await consumer.receive())).toEqual(['good']);
  });

  test('a message that reached nobody is given back as if it had not been delivered', async () => {
    const { house } = await houseWith(['a']);
    house.book.setSettings('g', { retryDelaysMs: [1], attemptsMax: 1 });
    const names = { group: 'g', topic: 't' };
    const how = { from: 'earliest', order: 'key', priority: false, filter: '' } as const;
    const terms = { maxMessages: 1, invisibleMs: 60_000, waitMs: 5_000 };
    const { result } = await house.call('receive', { ...names, member: 'm', ...how, ...terms });
    const [, offset, token] = result.messages;
    const extensions = [offset, token, -1];
    const queue = { topic: 't', partition: 0, acks: [], nacks: [], extensions };
    await house.call('settle', { ...names, queues: [queue] });
    await house.restart();
    const [again] = await house.consumer('t').receive();
    expect([again.text(), again.attempts]).toEqual(['a', 1]);
  });

  test('a message that is given back after its last attempt ends there too', async () => {
    const { house } = await houseWith(['bad']);
    const consumer = house.consumer('t');
    const [first] = await consumer.receive();
    house.book.setSettings('g', { retryDelaysMs: [1], attemptsMax: 2 });
    await consumer.changeInvisible(first, 0);
    const [second] = await consumer.receive();
    await consumer.changeInvisible(second, 0);
    await until(() => house.sentBack.length === 1, 'it goes to the dead letters');
    expect(house.sentBack[0]).toMatchObject({ offset: 0, attempts: 2, deadLetter: true });
  });

  test('what cannot be moved is delivered again', async () => {
    const { house } = await houseWith(['bad']);
    const consumer = house.consumer('t');
    const [bad] = await consumer.receive();
    house.refusal = new RingmqError('disk-full');
    await consumer.nack(bad, 0);
    house.ahead = 1_001;
    const [again] = await consumer.receive();
    expect([again.text(), again.attempts]).toEqual(['bad', 2]);
    expect(house.warnings.join()).toContain('delivered again');
  });
});

describe('order', () => {
  test('while a message of a key is leased later ones wait, also over failures, and others go on', async () => {
    const { house } = await houseWith([['a1', 'a'], ['b1', 'b'], ['a2', 'a'], 'x', ['a3', 'a']]);
    const consumer = house.consumer('t');
    const first = await consumer.receive();
    expect(bodies(first)).toEqual(['a1', 'b1', 'x']);
    await consumer.nack(first[0], 20_000);
    await consumer.ack(first[1]);
    expect(await consumer.receive({ waitMs: 60 })).toEqual([]);
    expect(house.sentBack).toEqual([]);
    house.ahead = 20_001;
    const [again] = await consumer.receive();
    expect([again.text(), again.attempts]).toEqual(['a1', 2]);
    await consumer.ack(again);
    expect(bodies(await consumer.receive())).toEqual(['a2']);
  });

  test('a poison message goes to the dead letters in the end, and its key goes on', async () => {
    const { house } = await houseWith([
      ['a1', 'a'],
      ['a2', 'a'],
    ]);
    const consumer = house.consumer('t');
    const [poison] = await consumer.receive();
    house.book.setSettings('g', { retryDelaysMs: [1], attemptsMax: 2 });
    await consumer.nack(poison, 0);
    const [again] = await consumer.receive();
    expect(again.attempts).toBe(2);
    await consumer.nack(again);
    expect(house.sentBack).toMatchObject([{ offset: 0, deadLetter: true }]);
    expect(bodies(await consumer.receive())).toEqual(['a2']);
  });

  test('where the partition is in order, one message is out at a time', async () => {
    const { house } = await houseWith(['a', 'b', 'c']);
    const consumer = house.consumer('t', { group: 'g', order: 'partition' });
    for (const body of ['a', 'b', 'c']) {
      const [message, ...others] = await consumer.receive();
      expect([message.text(), others]).toEqual([body, []]);
      await consumer.ack(message);
    }
  });
});
