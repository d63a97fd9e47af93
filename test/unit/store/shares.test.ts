// What of a block each partition with news may have.
import { expect, test } from 'vitest';
import { STORE_COMMITS } from '../../../native-layout/store.ts';
import { storeCount } from '../../../src/memory/store-state.ts';
import { RunNoticeReader } from '../../../src/store/run-notices.ts';
import { LEVEL, StoreRig } from './rig.ts';

test('a thousand partitions with a little each share one block', () => {
  const rig = new StoreRig({ partitionMax: 1_024 });
  for (let id = 0; id < 1_000; id++) rig.table.activateDurable(id);
  for (let id = 0; id < 1_000; id++) {
    rig.send(id, [`m${id}`], LEVEL.none);
    if (id % 100 === 99) rig.append();
  }
  rig.settle();
  expect(storeCount(rig.regions.store, STORE_COMMITS)).toBe(1);
  expect(Object.keys(rig.ends())).toHaveLength(1_000);
});

test('a partition with much takes its turn with the others', () => {
  const rig = new StoreRig();
  for (const id of [1, 2]) rig.table.activateDurable(id);
  rig.settle();
  for (let i = 0; i < 6; i++) rig.send(1, ['x'.repeat(2_000)], LEVEL.none);
  rig.send(2, ['small']);
  rig.append();
  rig.store.work(rig.now);
  expect(rig.answers()).toEqual(['7:ok@0']);
});

test('many partitions with several batches each have one run each', () => {
  const rig = new StoreRig({ blockBytes: 32_768 });
  for (let id = 0; id < 40; id++) rig.table.activateDurable(id);
  const notices = new RunNoticeReader(rig.regions.sizes, rig.regions.store);
  for (let i = 0; i < 160; i++) {
    rig.send(i % 40, ['x'.repeat(900)], LEVEL.none);
    rig.append();
  }
  rig.settle();
  let runs = 0;
  for (; notices.look(); notices.consume()) if (!notices.isStart) runs++;
  expect(Object.values(rig.ends())).toEqual(new Array(40).fill(4));
  expect(runs).toBe(40);
});
