import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { acknowledged, FakeGroup } from '../../support/fake-group.ts';

test('a member that joined and was not answered waits for the ghost that may be itself', async () => {
  const group = new FakeGroup();
  group.refusing.set('group-sync', new RingmqError('connection-lost'));
  const consumer = group.consumer('t', { onMessage: () => {} });
  await sleep(20);
  group.refusing.set('group-sync', new RingmqError('member-exists'));
  await sleep(150);
  expect(consumer.closed).toBe(false);
  group.refusing.clear();
  group.assign('m', 't/0');
  group.send('t', 0, 'a');
  await acknowledged(group, 't/0', 1);
  await consumer.close();
});

test('a member lives on through a disk that has failed, and says so once', async () => {
  const group = new FakeGroup();
  group.refusing.set('group-sync', new RingmqError('store-failed', 'the disk failed'));
  const errors: string[] = [];
  const consumer = group.consumer('t', { onMessage: () => {}, onError: ({ message }) => void errors.push(message) });
  await sleep(400);
  expect(consumer.closed).toBe(false);
  expect(errors).toEqual(['the disk failed']);
  // Its broker was started again.
  group.refusing.clear();
  group.assign('m', 't/0');
  group.send('t', 0, 'a');
  await acknowledged(group, 't/0', 1);
  await consumer.close();
});
