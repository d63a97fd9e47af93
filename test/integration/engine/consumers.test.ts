// Where consumers start, how they stop, and the other ways to read: iterators and pulls.
import { expect, test } from 'vitest';
import type { StartFrom } from '../../../src/wire/commands.ts';
import { errorOf, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

async function withTen(): ReturnType<typeof startConnected> {
  const started = await startConnected();
  await started.connection.createTopic('ten', { partitions: 1 });
  const producer = started.connection.producer('ten');
  // Two batches, so that a start may lie inside one.
  await producer.sendBatch(['0', '1', '2', '3', '4']);
  await producer.sendBatch(['5', '6', '7', '8', '9']);
  return started;
}

test.each<[string, StartFrom, number]>([
  ['earliest', 'earliest', 0],
  ['latest', 'latest', 10],
  ['offset 3, inside a batch', { offset: 3 }, 3],
  ['offset 10, the next one', { offset: 10 }, 10],
  ['last 4', { last: 4 }, 6],
  ['last 0', { last: 0 }, 10],
  ['last 1,000', { last: 1_000 }, 0],
])('a consumer from %s gets exactly what follows', async (_name, from, first) => {
  const { connection } = await withTen();
  const offsets: number[] = [];
  const gaps: unknown[] = [];
  const consumer = connection.consumer('ten', {
    from,
    onMessage: (message) => void offsets.push(message.offset),
    onGap: (gap) => gaps.push(gap),
  });
  expect(await consumer.ready()).toMatchObject([{ partition: 0, offset: first }]);
  await connection.producer('ten').send('10');
  await until(() => offsets.at(-1) === 10, 'the newest arrives');
  expect(offsets).toEqual(Array.from({ length: 11 - first }, (_, i) => first + i));
  expect(consumer.positions()).toMatchObject([{ partition: 0, offset: 11 }]);
  expect(gaps).toEqual([]);
});

test('positions continue exactly where another consumer stood', async () => {
  const { connection } = await withTen();
  const first = connection.consumer('ten', { from: 'earliest' });
  const seen: string[] = [];
  for await (const message of first) {
    seen.push(message.text());
    if (seen.length === 7) break;
  }
  const positions = [{ ...first.positions()[0], partition: 0, offset: 7 }];
  const { epoch } = (await connection.route('ten')).partitions[0];
  const second = connection.consumer('ten', { from: { positions: [{ ...positions[0], epoch }] } });
  for await (const message of second) {
    seen.push(message.text());
    if (seen.length === 10) break;
  }
  expect(seen).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
});

test('an offset that is not there, or of another epoch, starts at the oldest message and says so', async () => {
  const { connection } = await withTen();
  const { epoch } = (await connection.route('ten')).partitions[0];
  for (const from of [
    { offset: 11 },
    { positions: [{ partition: 0, epoch: epoch - 1, offset: 5 }] },
  ] satisfies StartFrom[]) {
    const gaps: unknown[] = [];
    const consumer = connection.consumer('ten', { from, onMessage: () => {}, onGap: (gap) => gaps.push(gap) });
    expect(await consumer.ready()).toMatchObject([{ offset: 0 }]);
    expect(gaps).toHaveLength(1);
  }
});

test('a start that means nothing is refused', async () => {
  const { connection } = await withTen();
  for (const from of [{ offset: -1 }, { last: 1.5 }, { offset: Number.NaN }, {}]) {
    expect(() => connection.consumer('ten', { from: from as StartFrom })).toThrow(/from is/);
  }
  const none = connection.consumer('ten', { partitions: [4] });
  expect(await errorOf(none.ready())).toMatchObject({ code: 'unknown-partition' });
});

test('two consumers of one thread with different starts each get their own, and one may leave', async () => {
  const { connection } = await withTen();
  const early: number[] = [];
  const late: number[] = [];
  const first = connection.consumer('ten', { from: 'earliest', onMessage: (one) => void early.push(one.offset) });
  const second = connection.consumer('ten', { from: { last: 2 }, onMessage: (one) => void late.push(one.offset) });
  await Promise.all([first.ready(), second.ready()]);
  await until(() => early.length === 10 && late.length === 2, 'both get theirs');
  await first.close();
  await connection.producer('ten').send('10');
  await until(() => late.length === 3, 'the one that stays is noticed from now on');
  expect(late).toEqual([8, 9, 10]);
  expect(early).toHaveLength(10);
});

test('a consumer that closes itself inside its handler gets nothing more, and others go on', async () => {
  const { connection } = await withTen();
  const mine: number[] = [];
  const others: number[] = [];
  const consumer = connection.consumer('ten', {
    from: 'earliest',
    onMessage: (message) => {
      mine.push(message.offset);
      if (mine.length === 3) void consumer.close();
    },
  });
  await consumer.ready();
  await until(() => mine.length === 3, 'three arrive');
  const other = connection.consumer('ten', { from: 'earliest', onMessage: (one) => void others.push(one.offset) });
  await other.ready();
  await connection.producer('ten').send('10');
  await until(() => others.length === 11, 'the other one reads all');
  expect(mine).toEqual([0, 1, 2]);
});

test('pause inside a batch handler stops before the next batch, resume goes on there', async () => {
  const { connection } = await withTen();
  const batches: number[] = [];
  const consumer = connection.consumer('ten', {
    from: 'earliest',
    onBatch: (batch) => {
      batches.push(batch.count);
      consumer.pause();
    },
  });
  await consumer.ready();
  await until(() => batches.length === 1, 'the first batch arrives');
  await connection.producer('ten').send('10');
  expect(batches).toEqual([5]);
  consumer.resume();
  await until(() => batches.length === 2, 'the second batch arrives');
  consumer.resume();
  await until(() => batches.length === 3, 'the third batch arrives');
  expect(batches).toEqual([5, 5, 1]);
});

test('async handlers run one after the other, and what they throw is reported while delivery goes on', async () => {
  const { connection } = await withTen();
  const errors: string[] = [];
  const done: string[] = [];
  let inside = 0;
  const consumer = connection.consumer('ten', {
    from: 'earliest',
    onError: (error) => {
      errors.push(error.message);
      throw new Error('a listener that throws itself');
    },
    onMessage: async (message) => {
      expect(++inside).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
      if (message.offset === 4) throw new Error('bad four');
      done.push(message.text());
    },
  });
  connection.onError(() => {});
  await consumer.ready();
  await until(() => done.length === 9, 'all others are handled');
  expect(errors).toEqual(['bad four']);
  expect(done).toEqual(['0', '1', '2', '3', '5', '6', '7', '8', '9']);
});

test('an iterator holds a bounded number of messages, and resumes reading when they are taken', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('many', { partitions: 1, ringBytes: 1024 * 1024 });
  await connection.producer('many').sendBatch(Array.from({ length: 1_000 }, (_, i) => `${i}`));
  const consumer = connection.consumer('many', { from: 'earliest', bufferMessages: 10 });
  await consumer.ready();
  await until(() => consumer.positions()[0].offset >= 10, 'it reads ahead');
  expect(consumer.positions()[0].offset).toBe(10);
  let next = 0;
  for await (const message of consumer) {
    expect(message.text()).toBe(`${next++}`);
    if (next === 1_000) break;
  }
  expect(next).toBe(1_000);
});

test('closing ends an iterator that waits; deleting the topic ends it with the reason', async () => {
  const { connection } = await withTen();
  const closing = connection.consumer('ten');
  const deleted = connection.consumer('ten');
  const ended = closing[Symbol.asyncIterator]().next();
  const failed = errorOf(deleted[Symbol.asyncIterator]().next());
  await Promise.all([closing.ready(), deleted.ready()]);
  await closing.close();
  expect(await ended).toEqual({ done: true, value: undefined });
  await connection.deleteTopic('ten');
  expect(await failed).toMatchObject({ code: 'unknown-topic' });
});

test('a signal that is aborted already closes the consumer before it gets anything', async () => {
  const { connection } = await withTen();
  let got = 0;
  const signal = AbortSignal.abort();
  const consumer = connection.consumer('ten', { from: 'earliest', signal, onMessage: () => void got++ });
  expect(await errorOf(consumer.ready())).toMatchObject({ code: 'closed' });
  await connection.producer('ten').send('x');
  expect(got).toBe(0);
});

test('a pull that does not wait takes what is there; one that waits gets the next message', async () => {
  const { connection } = await withTen();
  const now = await connection.pull({ topic: 'ten', from: { offset: 6 }, waitMs: 0 });
  expect(now.messages.map((one) => one.offset)).toEqual([6, 7, 8, 9]);
  expect(now).toMatchObject({ nextOffset: 10, gap: false });
  const few = await connection.pull({ topic: 'ten', from: 'earliest', max: 2, waitMs: 0 });
  expect(few).toMatchObject({ nextOffset: 2 });
  expect(await connection.pull({ topic: 'ten', waitMs: 0 })).toMatchObject({ messages: [], nextOffset: 10 });
  const waiting = connection.pull({ topic: 'ten', from: { offset: 10 }, waitMs: 10_000 });
  await connection.producer('ten').send('late');
  expect((await waiting).messages.map((one) => one.text())).toEqual(['late']);
  expect(await connection.pull({ topic: 'ten', from: { offset: 99 }, waitMs: 0 })).toMatchObject({ gap: true });
  const signal = AbortSignal.abort();
  expect(await connection.pull({ topic: 'ten', signal, waitMs: 10_000 })).toMatchObject({ messages: [] });
});

test('a consumer that starts at the beginning while messages are sent misses none', async () => {
  const { connection } = await startConnected();
  for (let round = 0; round < 20; round++) {
    const topic = `race-${round}`;
    await connection.createTopic(topic, { partitions: 1 });
    const offsets: number[] = [];
    const consumer = connection.consumer(topic, {
      from: 'earliest',
      onMessage: (message) => void offsets.push(message.offset),
    });
    const producer = connection.producer(topic);
    await Promise.all(Array.from({ length: 20 }, () => producer.send('x')));
    await until(() => offsets.length === 20, 'all arrive');
    expect(offsets[0]).toBe(0);
    await consumer.close();
  }
});

test('a partition is read by 32 threads at most; one more is refused and disturbs nobody', async () => {
  const { broker, connection } = await withTen();
  const consumers = Array.from({ length: 33 }, () => broker.connect().consumer('ten', { from: 'earliest' }));
  const outcomes = await Promise.allSettled(consumers.map((one) => one.ready()));
  const refused = outcomes.filter((one) => one.status === 'rejected');
  expect(refused.map((one) => one.reason.code)).toEqual(['reader-quota']);
  const at = outcomes.findIndex((one) => one.status === 'fulfilled');
  await consumers[at].close();
  const next = connection.consumer('ten', { from: { last: 1 } });
  for await (const message of next) {
    expect(message.text()).toBe('9');
    break;
  }
});
