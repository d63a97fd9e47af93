// The index must have every run, however the notices of a block come to the log reader.
import { afterEach, expect, test } from 'vitest';
import type { RunNoticeWriter } from '../../../src/store/run-notices.ts';
import { ReaderRig } from './reader-rig.ts';
import { LEVEL } from './rig.ts';

let rig: ReaderRig;

afterEach(() => rig.end());

/** The store's end of the run lane. */
function notices(): RunNoticeWriter {
  return (rig.store as unknown as { notices: RunNoticeWriter }).notices;
}

test('of a block with more runs than it takes in one turn', () => {
  const count = 8_200;
  rig = new ReaderRig({ partitionMax: 16_384 });
  for (let id = 0; id < count; id++) rig.table.activateDurable(id);
  for (let id = 0; id < count; id++) {
    rig.send(id, [`m${id}`], LEVEL.none);
    if (id % 100 === 99) rig.append();
  }
  rig.append();
  rig.store.work(rig.now);
  rig.settle();
  const missing = Array.from({ length: count }, (_, id) => id).filter((id) => rig.read(id, 0).texts.length !== 1);
  expect(missing).toEqual([]);
  expect(rig.said).toEqual([]);
}, 60_000);

test('of a block whose store died with some of its notices sent, before a successor found room to say so', () => {
  rig = new ReaderRig();
  for (const id of [1, 2, 3]) rig.table.activateDurable(id);
  rig.settle();
  for (const id of [1, 2, 3]) rig.send(id, [`m${id}`]);
  rig.append();
  // The lane is full after the first notice.
  const lane = notices();
  const push = lane.tryPush.bind(lane);
  let room = 1;
  lane.tryPush = (run, logEnd) => room-- > 0 && push(run, logEnd);
  rig.store.work(rig.now);
  rig.reader.work(rig.now);
  rig.startStore();
  const next = notices();
  const pushStarted = next.tryPushStarted.bind(next);
  next.tryPushStarted = () => false;
  rig.store.work(rig.now);
  rig.reader.work(rig.now);
  next.tryPushStarted = pushStarted;
  rig.settle();
  expect([1, 2, 3].map((id) => rig.read(id, 0).texts)).toEqual([['0:m1'], ['0:m2'], ['0:m3']]);
  // Nor when the log reader dies too, before the store has said how far it has written.
  rig.startReader();
  expect([1, 2, 3].map((id) => rig.read(id, 0).texts)).toEqual([['0:m1'], ['0:m2'], ['0:m3']]);
});
