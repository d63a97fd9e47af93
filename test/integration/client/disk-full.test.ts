// A publisher in the process while the disk is full: its messages wait for room as those that come over the network do.
import { expect, test } from 'vitest';
import { STORE_STATES } from '../../../native-layout/store.ts';
import { CODES } from '../../../src/base/codes.ts';
import { attachRegions, storeRegions } from '../../../src/memory/regions.ts';
import { setStoreState } from '../../../src/memory/store-state.ts';
import { dataFolder, errorOf, startConnected } from '../../support/engine.ts';

test('messages wait for room on a full disk until their time is over, and volatile ones do not', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  const { store } = storeRegions(attachRegions(broker.attachment));
  await connection.createTopic('kept', { partitions: 1 });
  await connection.createTopic('gone', { partitions: 1, durable: false });
  const patient = connection.producer('kept', { timeoutMs: 20_000 });
  const hasty = connection.producer('kept', { timeoutMs: 200 });
  const careless = connection.producer('kept', { ack: 'none' });
  const volatile = connection.producer('gone');
  for (const one of [patient, hasty, careless, volatile]) await one.ready();
  expect((await patient.send('before')).offset).toBe(0);

  // As the store says when a write finds no room.
  setStoreState(store, STORE_STATES.full, CODES['disk-full'].number);
  let stored = 0;
  const waiting = ['a', 'b', 'c'].map((text) => patient.send(text).then(({ offset }) => [++stored, text, offset]));
  expect((await careless.send('lost')).offset).toBe(-1);
  expect((await volatile.send('x')).offset).toBe(0);
  const before = performance.now();
  expect(await errorOf(hasty.send('late'))).toMatchObject({ code: 'disk-full', retryable: true });
  expect(performance.now() - before).toBeGreaterThan(150);
  expect(stored).toBe(0);

  setStoreState(store, STORE_STATES.running, 0);
  expect(await Promise.all(waiting)).toEqual([
    [1, 'a', 1],
    [2, 'b', 2],
    [3, 'c', 3],
  ]);
  expect((await hasty.send('in time')).offset).toBe(4);

  setStoreState(store, STORE_STATES.failed, CODES['store-failed'].number);
  expect(await errorOf(patient.send('never'))).toMatchObject({ code: 'store-failed' });
  setStoreState(store, STORE_STATES.running, 0);
});
