import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { ProducerOptions } from '../../../src/client/connection.ts';
import { fakeProducer, routeOf } from '../../support/fake-outlet.ts';

const codes = (promises: readonly PromiseLike<unknown>[]): Promise<string[]> =>
  Promise.all(
    promises.map((one) =>
      one.then(
        () => 'ok',
        (error: RingmqError) => error.code,
      ),
    ),
  );

test('who has one partition stays with it, until a second one comes or it takes nothing', async () => {
  const { outlet, producer } = fakeProducer(false, {}, routeOf(1));
  await producer.ready();
  const sendOne = (): number => {
    void producer.send('x');
    outlet.turn();
    return outlet.answer('ok', 0).partition;
  };
  expect([sendOne(), sendOne()]).toEqual([10, 10]);
  producer.updateRoute(routeOf(2));
  expect([sendOne(), sendOne(), sendOne(), sendOne()].sort()).toEqual([10, 10, 11, 11]);
  const readOnly = routeOf(1).partitions.map((one) => ({ ...one, permission: 4 }));
  producer.updateRoute(routeOf(1, { partitions: readOnly }));
  expect(await codes([producer.send('y')])).toEqual(['no-write-permission']);
});

describe('before the route is known', () => {
  test('messages wait for it, keep their order, and get receipts of their own', async () => {
    const { outlet, producer } = fakeProducer(false, {}, routeOf(1));
    const sent = ['a', 'b', 'c'].map((text) => producer.send(text));
    expect(producer.trySend('not yet')).toBe(false);
    expect(producer.idle).toBe(false);
    await producer.ready();
    outlet.turn();
    expect(outlet.answer('ok', 40).texts).toEqual(['a', 'b', 'c']);
    expect(await Promise.all(sent)).toEqual([
      { topic: 't', partition: 0, offset: 40 },
      { topic: 't', partition: 0, offset: 41 },
      { topic: 't', partition: 0, offset: 42 },
    ]);
  });

  test('bodies are copied at once', async () => {
    const { outlet, producer } = fakeProducer(false);
    const body = new TextEncoder().encode('mine');
    void producer.send(body);
    body.fill(0);
    await producer.ready();
    outlet.turn();
    expect(outlet.answer().texts).toEqual(['mine']);
  });

  test('a topic that cannot be had fails them all, flush says it once, and the next send asks again', async () => {
    const { outlet, producer, errors } = fakeProducer(false);
    outlet.route$ = () => Promise.reject(new RingmqError('unknown-topic', 'no topic t'));
    const sent = [producer.send('a'), producer.send('b')];
    expect(await codes(sent)).toEqual(['unknown-topic', 'unknown-topic']);
    expect(await codes([producer.ready(), producer.flush(), producer.flush()])).toEqual([
      'unknown-topic',
      'unknown-topic',
      'ok',
    ]);
    outlet.turn();
    expect(errors).toEqual([]);
    outlet.route$ = async () => routeOf();
    void producer.send('c');
    await producer.ready();
    outlet.turn();
    expect(outlet.answer().texts).toEqual(['c']);
  });

  test('a direct topic is refused', async () => {
    const { producer } = fakeProducer(false, {}, routeOf(0, { direct: true }));
    expect(await codes([producer.send('x'), producer.ready()])).toEqual(['direct-only', 'direct-only']);
  });
});

describe('batches', () => {
  test('one turn makes one batch, and what does not fit makes another', async () => {
    const { outlet, producer } = fakeProducer(false, { batchBytes: 200 });
    await producer.ready();
    for (let i = 0; i < 7; i++) void producer.send(`n${i}`);
    expect(outlet.put.map((one) => one.texts.length)).toEqual([4]);
    outlet.turn();
    expect(outlet.put.flatMap((one) => one.texts)).toEqual(['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6']);
    expect(outlet.put.map((one) => one.sequence)).toEqual([0, 4]);
    expect(new Set(outlet.put.map((one) => one.producerId)).size).toBe(1);
  });

  test('no batch is larger than the topic takes, whatever was asked for', async () => {
    const { outlet, producer } = fakeProducer(false, {}, routeOf(1, { messageMaxBytes: 1_000 }));
    await producer.ready();
    for (let i = 0; i < 20; i++) void producer.send('x'.repeat(300));
    outlet.turn();
    for (const one of outlet.put) expect(one.texts.length).toBeLessThanOrEqual(3);
  });

  test('keys go to one partition each; the others take turns, also where keys have filled the next one', async () => {
    const { outlet, producer } = fakeProducer(false, { batchBytes: 2_000 }, routeOf(4));
    await producer.ready();
    const partitionOf = new Map<string, number>();
    for (let i = 0; i < 400; i++) void producer.send('x'.repeat(i % 500), i % 3 === 0 ? {} : { key: `k${i % 7}` });
    for (let i = 0; i < 7; i++) void producer.send(`k${i}`, { key: `k${i}` });
    outlet.turn();
    const lonely = outlet.put.flatMap((one) => one.texts.map((text) => [text, one.partition] as const));
    for (const [text, partition] of lonely) {
      if (/^k\d$/.test(text)) partitionOf.set(text, partition);
    }
    expect(partitionOf.size).toBe(7);
    expect(outlet.put.reduce((sum, one) => sum + one.count, 0)).toBe(407);
  });

  test('a fixed partition takes everything, and one that is not there is named', async () => {
    const { outlet, producer } = fakeProducer(false, { partition: 2 }, routeOf(4));
    await producer.ready();
    void producer.send('a');
    void producer.send('b', { key: 'k' });
    outlet.turn();
    expect(outlet.put.map((one) => [one.partition, one.texts])).toEqual([[12, ['a', 'b']]]);
    const missing = fakeProducer(false, { partition: 9 }, routeOf(4));
    await missing.producer.ready();
    expect(await codes([missing.producer.send('x')])).toEqual(['unknown-partition']);
  });

  test('without write permission nothing is sent', async () => {
    const route = routeOf(2);
    const wiped = { ...route, partitions: route.partitions.map((one) => ({ ...one, permission: 4 })) };
    const { producer } = fakeProducer(false, {}, wiped);
    await producer.ready();
    expect(await codes([producer.send('x')])).toEqual(['no-write-permission']);
    expect(() => producer.trySend('x')).toThrow(expect.objectContaining({ code: 'no-write-permission' }));
  });
});

describe('acknowledgements', () => {
  test('are durable where the topic is, accepted where it is not, and what was asked for in either', async () => {
    const levels: number[] = [];
    for (const durable of [true, false]) {
      for (const options of [{}, { ack: 'accepted' }, { ack: 'none' }] as const) {
        const { outlet, producer } = fakeProducer(true, options, routeOf(1, { durable }));
        void producer.send('a');
        await producer.ready();
        outlet.turn();
        levels.push(outlet.put[0].ack);
      }
    }
    expect(levels).toEqual([3, 1, 0, 1, 1, 0]);
  });

  test('that a volatile topic cannot give are refused before anything is sent', async () => {
    const { outlet, producer } = fakeProducer(true, { ack: 'written' }, routeOf(1, { durable: false }));
    const sent = producer.send('a');
    expect(await codes([sent, producer.ready()])).toEqual(['ack-unsupported', 'ack-unsupported']);
    outlet.turn();
    expect(outlet.put).toEqual([]);
  });

  test('name the message', async () => {
    const { outlet, producer } = fakeProducer(true, {}, routeOf(1, { topicId: 18 }));
    const early = producer.send('a');
    await producer.ready();
    const late = producer.send('b');
    outlet.turn();
    outlet.answer('ok', 40);
    expect([(await early).id, (await late).id]).toEqual(['000000120000000000000028', '000000120000000000000029']);
  });

  test('without them batches are forgotten once they are put, also after a full lane', async () => {
    const { outlet, producer } = fakeProducer(false, { ack: 'none' });
    await producer.ready();
    const first = producer.send('a');
    outlet.turn();
    outlet.full = true;
    const second = producer.send('b');
    outlet.turn();
    outlet.full = false;
    producer.onRoom();
    expect((await Promise.all([first, second])).map((one) => one.offset)).toEqual([-1, -1]);
    expect(outlet.put.map((one) => one.texts)).toEqual([['a'], ['b']]);
    expect([outlet.expecting.size, producer.idle]).toEqual([0, true]);
  });

  test('a full lane stops what follows until there is room, in order', async () => {
    const { outlet, producer } = fakeProducer(false);
    await producer.ready();
    outlet.full = true;
    const sent = ['a', 'b', 'c'].map((text) => {
      const one = producer.send(text);
      outlet.turn();
      return one;
    });
    expect([producer.hasRoom, producer.trySend('d')]).toEqual([false, false]);
    const ready = producer.ready();
    outlet.full = false;
    producer.onRoom();
    await ready;
    expect(outlet.put.flatMap((one) => one.texts)).toEqual(['a', 'b', 'c']);
    for (let offset = 0; outlet.put.length > 0; offset++) outlet.answer('ok', offset);
    expect((await Promise.all(sent)).map((one) => one.offset)).toEqual([0, 1, 2]);
  });

  test('no batch is begun while the lane is full; room, or the next look around, lets it', async () => {
    const { outlet, producer } = fakeProducer(false);
    await producer.ready();
    outlet.full = true;
    expect([producer.trySend('a'), producer.trySend('a')]).toEqual([false, false]);
    expect([producer.idle, producer.hasRoom]).toEqual([true, false]);
    outlet.full = false;
    expect(producer.trySend('a')).toBe(false); // It has not been told yet.
    producer.onRoom();
    expect(producer.trySend('a')).toBe(true);
    outlet.full = true;
    expect(producer.trySend('b')).toBe(true); // The batch is open already.
    producer.flushNow();
    expect(producer.trySend('c')).toBe(false);
    outlet.full = false;
    producer.housekeep(outlet.clock);
    expect(outlet.put.map((batch) => batch.texts)).toEqual([['a', 'b']]);
    outlet.answer();
    outlet.full = true;
    expect(producer.trySend('c')).toBe(false);
    const ready = producer.ready();
    outlet.full = false;
    producer.housekeep(outlet.clock);
    await ready;
    expect(producer.trySend('c')).toBe(true);
  });

  test('more than the buffer is refused, and ready() waits for room', async () => {
    const { outlet, producer, errors } = fakeProducer(false, { bufferBytes: 1_000, batchBytes: 400 });
    await producer.ready();
    const sent: PromiseLike<unknown>[] = [];
    for (let i = 0; i < 10; i++) sent.push(producer.send('x'.repeat(200)));
    expect(producer.hasRoom).toBe(false);
    const ready = producer.ready();
    while (outlet.put.length > 0) outlet.answer();
    await ready;
    const results = await codes(sent);
    expect(results).toContain('buffer-full');
    expect(results).toContain('ok');
    outlet.turn();
    expect(errors).toEqual([]);
  });

  test('a failure that nobody waits for is told, once a turn', async () => {
    const { outlet, producer, errors } = fakeProducer(false);
    await producer.ready();
    for (let i = 0; i < 3; i++) void producer.send('x'.repeat(20_000));
    void producer.send('fails');
    outlet.turn();
    outlet.answer('memory-quota');
    outlet.turn();
    expect(errors.map((one) => (one as RingmqError).code)).toEqual(['message-too-large', 'memory-quota']);
    expect(await codes([producer.flush(), producer.flush()])).toEqual(['message-too-large', 'ok']);
  });
});

test.each<[string, ProducerOptions]>([
  ['illegal-argument', { ack: 'perhaps' as 'none' }],
  ['ack-unsupported', { ack: 'replicated' }],
  ['illegal-argument', { batchBytes: 0 }],
  ['illegal-argument', { bufferBytes: Number.NaN }],
  ['illegal-argument', { attemptsMax: 0 }],
  ['illegal-argument', { timeoutMs: -1 }],
])('%s: %j', (code, options) => {
  expect(() => fakeProducer(false, options)).toThrow(expect.objectContaining({ code }));
});

test('what is no message is refused, and what a codec throws too', async () => {
  const { outlet, producer } = fakeProducer(false);
  await producer.ready();
  const wrong = [7, undefined, null, {}, [1], new ArrayBuffer(4)] as unknown as string[];
  expect(await codes(wrong.map((one) => producer.send(one)))).toEqual(wrong.map(() => 'illegal-argument'));
  outlet.turn();
  expect(outlet.put).toEqual([]);
  const codec = {
    encode: (): string => {
      throw new Error('cannot');
    },
    decode: () => '',
  };
  const failing = fakeProducer(false, { codec });
  await failing.producer.ready();
  expect(await codes([failing.producer.send('x')])).toEqual(['internal']);
});
