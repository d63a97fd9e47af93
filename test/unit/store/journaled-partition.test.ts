import { expect, test } from 'vitest';
import { STORE_COMMITS } from '../../../native-layout/store.ts';
import { storeCount } from '../../../src/memory/store-state.ts';
import { LEVEL, StoreRig } from './rig.ts';

function commits(rig: StoreRig): number {
  return storeCount(rig.regions.store, STORE_COMMITS);
}

function durableRig(options: ConstructorParameters<typeof StoreRig>[0] = {}): StoreRig {
  const rig = new StoreRig(options);
  rig.table.activateDurable(1);
  rig.table.activateDurable(2);
  rig.settle();
  return rig;
}

test.each([3_300, 3_960, 4_008])('what lies before and behind the wrap of a ring goes into one block (%i)', (bytes) => {
  const rig = durableRig();
  const body = 'x'.repeat(bytes - 96);
  for (let i = 0; i < 3; i++) rig.send(1, [body], LEVEL.none);
  rig.settle();
  const before = commits(rig);
  for (let i = 0; i < 3; i++) rig.send(1, [body]);
  rig.append();
  rig.store.work(rig.now);
  expect(rig.answers()).toEqual(['4:ok@3', '5:ok@4', '6:ok@5']);
  expect(commits(rig)).toBe(before + 1);
  const found = rig.recovered(rig.disk.crash(1)).queues[0];
  expect(found.nextOffset).toBe(6);
  expect(found.tail.at(-1)).toMatchObject({ baseOffset: 3, nextOffset: 6, records: 3 });
});

test('of a ring that wraps no more is taken than its share, and nothing is left out', () => {
  const rig = durableRig({ blockBytes: 8_192 });
  let sent = 0;
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 4; i++) rig.send(1, ['x'.repeat(300 + ((round * 700 + i * 1_300) % 2_900))], LEVEL.none);
    rig.send(2, [`${round}`]);
    sent += 4;
    rig.append();
    rig.store.work(rig.now);
    // The other partition does not wait until all of this one is written.
    expect(rig.answers()).toEqual([expect.stringMatching(`:ok@${round}$`)]);
    rig.settle();
  }
  expect(rig.ends(rig.disk.crash(2))).toEqual({ 1: sent, 2: 40 });
});
