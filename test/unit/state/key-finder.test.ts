import { expect, test } from 'vitest';
import { STORE_INDEXED_LOW, STORE_WRITTEN_LOW } from '../../../native-layout/store.ts';
import { attachRegions, createRegions, storeRegions } from '../../../src/memory/regions.ts';
import { setStoreNumber } from '../../../src/memory/store-state.ts';
import { KeyFinder, untilIndexed } from '../../../src/state/key-finder.ts';

const SIZES = {
  workerCount: 1,
  frontendCount: 1,
  partitionMax: 16,
  laneBytes: 65_536,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
  durable: true,
};

test('what was stored before the question is waited for, what comes later is not', async () => {
  const { store } = storeRegions(attachRegions(createRegions('k', SIZES)));
  setStoreNumber(store, STORE_WRITTEN_LOW, 8_192);
  let isUp = false;
  const asked = untilIndexed(store, () => 0).then(() => {
    isUp = true;
  });
  setStoreNumber(store, STORE_WRITTEN_LOW, 12_288);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isUp).toBe(false);
  setStoreNumber(store, STORE_INDEXED_LOW, 8_192);
  await asked;
});

test('an index that does not come forward is waited for a second', async () => {
  const { store } = storeRegions(attachRegions(createRegions('k', SIZES)));
  setStoreNumber(store, STORE_WRITTEN_LOW, 8_192);
  let now = 0;
  await untilIndexed(store, () => {
    now += 100;
    return now;
  });
  expect(now).toBeGreaterThanOrEqual(1_000);
});

test('a broker without data has no key index', async () => {
  await expect(new KeyFinder(undefined, Date.now).open()).rejects.toMatchObject({ code: 'not-durable' });
});
