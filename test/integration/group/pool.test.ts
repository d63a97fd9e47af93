// Handlers in threads of their own: the same acknowledgements, retries and timeouts as with onMessage.
import { expect, test } from 'vitest';
import type { ConsumerOptions } from '../../../src/client/connection.ts';
import { kill, startConnected } from '../../support/engine.ts';
import { untilAnswer } from '../../support/until.ts';

const HANDLER = new URL('../../support/pool-handler.cjs', import.meta.url);

async function started(options: ConsumerOptions = {}) {
  const { broker, connection } = await startConnected();
  await connection.createTopic('t', { partitions: 2 });
  await connection.setGroup('g', { retryDelaysMs: [10], attemptsMax: 5 });
  const errors: Error[] = [];
  const onError = (error: Error): void => void errors.push(error);
  const consumer = connection.consumer('t', { group: 'g', from: 'earliest', commitMs: 20, onError, ...options });
  const allDone = () =>
    untilAnswer(
      () => connection.describeGroup('g').catch(() => undefined),
      (description) => {
        if (description === undefined) return false;
        const { queues, deadLetters } = description;
        const sum = (of: (one: (typeof queues)[number]) => number): number =>
          queues.reduce((all, one) => all + of(one), 0);
        return deadLetters === 0 && sum((one) => one.nextOffset) > 0 && sum((one) => one.lag) === 0;
      },
      'everything is acknowledged',
      20_000,
    );
  return { broker, connection, consumer, errors, allDone };
}

test('messages are handled by threads, and acknowledged when these are done', async () => {
  const { connection, consumer, errors, allDone } = await started();
  await consumer.pool(HANDLER, { threads: 2 });
  await connection.producer('t').sendBatch(Array.from({ length: 40 }, (_, i) => `${i}`));
  await allDone();
  expect(errors).toEqual([]);
  await consumer.close();
});

test('errors keep their name, message and stack; the message comes again in its place', async () => {
  const { connection, consumer, errors, allDone } = await started();
  await consumer.pool(HANDLER, { threads: 1 });
  await connection.producer('t').send('fail', { key: 'k', properties: { why: 'because' } });
  await connection.producer('t').send('later', { key: 'l' });
  await allDone();
  expect(errors.map(({ name, message }) => `${name}: ${message}`)).toEqual([
    'TypeError: attempt 1 of k in t, because, thread true',
    'TypeError: attempt 2 of k in t, because, thread true',
  ]);
  expect(errors[0].stack).toContain('pool-handler.cjs');
  await consumer.close();
});

test('a handler that hangs ends with its thread, one that ends its thread has failed: both come again', async () => {
  const { connection, consumer, errors, allDone } = await started({ handlerTimeoutMs: 500 });
  await consumer.pool(HANDLER, { threads: 2 });
  await connection.producer('t').send('hang', { key: 'k' });
  await connection.producer('t').send('exit', { key: 'l' });
  await allDone();
  expect(errors).toHaveLength(2);
  expect(errors.map(({ message }) => message).join()).toContain('took longer than 500 ms');
  await consumer.close();
});

test.each(['coordinator', 'broker'] as const)(
  'the %s thread dies while handlers are at work: all is done',
  async (role) => {
    const { broker, connection, consumer, errors, allDone } = await started();
    await consumer.pool(HANDLER, { threads: 2 });
    const producer = connection.producer('t', { timeoutMs: 20_000, attemptsMax: Number.POSITIVE_INFINITY });
    const first = producer.sendBatch(Array.from({ length: 60 }, (_, i) => `${i}`));
    await kill(broker, role);
    await first;
    await producer.sendBatch(['fail', 'later']);
    await allDone();
    expect(errors.filter(({ name }) => name !== 'TypeError')).toEqual([]);
    await consumer.close();
  },
);

test('what cannot be loaded, or is no handler, is refused with what is wrong', async () => {
  const { consumer } = await started();
  const refusal = (text: string) =>
    expect.objectContaining({ code: 'illegal-argument', message: expect.stringContaining(text) });
  await expect(consumer.pool('./not-there.mjs')).rejects.toEqual(refusal('not-there.mjs'));
  await expect(consumer.pool(HANDLER, { threads: 0 })).rejects.toEqual(refusal('threads is 0'));
  const nothing = new URL('../../support/pool-nothing.cjs', import.meta.url);
  await expect(consumer.pool(nothing)).rejects.toEqual(refusal('default export is no function'));
  await consumer.close();
});

test('a consumer of no group has no pool', async () => {
  const { connection } = await startConnected();
  const consumer = connection.consumer('t', {});
  await expect(consumer.pool()).rejects.toMatchObject({ code: 'illegal-argument' });
});
