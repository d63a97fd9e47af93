import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { TimerTopic } from '../../../src/coordinator/timer-topic.ts';

test('a topic that takes no message now cannot be opened, and nothing of that is left unheard', async () => {
  const unheard: unknown[] = [];
  const hear = (error: unknown): void => void unheard.push(error);
  process.on('unhandledRejection', hear);
  const refuse = () => Promise.reject(new RingmqError('disk-full'));
  // A producer says on close() what has gone wrong before.
  const connection = {
    createTopic: async () => ({ topicId: 1, messageMaxBytes: 1_000 }),
    producer: () => ({ send: refuse, close: refuse }),
  } as unknown as InProcessConnection;
  const host = { connection, durable: true, warn: () => {}, message: () => {}, turn: () => false, lost: () => {} };
  const topic = new TimerTopic({ ...host, from: () => undefined });
  await expect(topic.open()).rejects.toMatchObject({ code: 'disk-full' });
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', hear);
  expect(unheard).toEqual([]);
});
