// Seeks that meet the end of their consumer, against a small coordinator of the test's own.
import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { gate, holding } from '../../support/fake-group.ts';
import { until } from '../../support/until.ts';

test('a seek that is under way when the consumer is closed reads nothing any more', async () => {
  const slow = gate();
  const { group, consumer } = await holding(['a', 'b'], { onMessage: () => slow.promise });
  const seeking = consumer.seek(0, 0);
  const closing = consumer.close();
  const { length } = group.opened;
  const late = consumer.seek(0, 0);
  slow.open();
  await Promise.allSettled([seeking, late, closing]);
  expect(group.opened.length).toBe(length);
}, 5_000);

test('a queue that was lost and is held again during a seek goes on where the seek says', async () => {
  const texts: string[] = [];
  const onMessage = (message: { text(): string }): void => void texts.push(message.text());
  const { group, consumer } = await holding(['a', 'b'], { onMessage, commitMs: Number.POSITIVE_INFINITY });
  await until(() => texts.length === 2, 'both');
  await consumer.commit();
  group.send('t', 0, 'c');
  await until(() => texts.length === 3, 'one more');
  group.refusing.set('group-commit', new RingmqError('coordinator-unavailable'));
  const seeking = consumer.seek(0, 0);
  group.expel('m');
  group.assign('m', 't/0');
  await until(() => texts.length === 4, 'what was not committed, by the queue that is held again');
  group.refusing.clear();
  await seeking;
  await until(() => texts.length === 7, 'all of it');
  expect(texts).toEqual(['a', 'b', 'c', 'c', 'a', 'b', 'c']);
  await consumer.close();
}, 10_000);
