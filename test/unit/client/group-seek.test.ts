// Seeks that meet the end of their consumer, or lose their queue, against a small coordinator of the test's own.
import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { acknowledged, type FakeGroup, gate, holding } from '../../support/fake-group.ts';
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

const moves = (group: FakeGroup) => group.commits.filter(({ anew }) => anew === true);

test('a group is not moved in a queue that is held again while handlers have something of it', async () => {
  const texts: string[] = [];
  const slow = gate();
  const onMessage = (message: { text(): string }): Promise<void> | undefined => {
    texts.push(message.text());
    return message.text() === 'a' && texts.length > 2 ? slow.promise : undefined;
  };
  const { group, consumer } = await holding(['a', 'b'], { onMessage, commitMs: Number.POSITIVE_INFINITY });
  await until(() => texts.length === 2, 'both');
  group.refusing.set('group-commit', new RingmqError('coordinator-unavailable'));
  const seeking = consumer.seek(0, 0);
  group.expel('m');
  group.assign('m', 't/0');
  await until(() => texts.length === 4, 'both again, by the queue that is held again');
  group.refusing.clear();
  await until(() => group.commits.length > 0, 'what is done of it is committed');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(moves(group)).toEqual([]);
  slow.open();
  await seeking;
  expect(moves(group).length).toBe(1);
  await until(() => texts.length === 6, 'all of it');
  await consumer.close();
}, 10_000);

test('a seek in a queue that was lost meanwhile is refused, and moves nothing', async () => {
  const slow = gate();
  const { group, consumer } = await holding(['a'], { onMessage: () => slow.promise });
  const seeking = consumer.seek(0, 0);
  group.expel('m');
  slow.open();
  await expect(seeking).rejects.toMatchObject({ code: 'unknown-partition' });
  expect(moves(group)).toEqual([]);
  await consumer.close();
}, 5_000);

test('what could not be committed before a seek that fails is committed later', async () => {
  const { group, consumer } = await holding(['a'], { onMessage: () => {} });
  await acknowledged(group, 't/0', 1);
  group.refusing.set('group-commit', new RingmqError('store-failed'));
  group.send('t', 0, 'b');
  await until(() => consumer.positions()[0].offset === 2, 'one more');
  await expect(consumer.seek(0, 0)).rejects.toMatchObject({ code: 'store-failed' });
  group.refusing.clear();
  await acknowledged(group, 't/0', 2);
  await consumer.close();
}, 5_000);
