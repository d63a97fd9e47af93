import { afterEach, expect, test } from 'vitest';
import { STORE_WRITTEN_LOW } from '../../../native-layout/store.ts';
import { setStoreNumber } from '../../../src/memory/store-state.ts';
import { ReadPace } from '../../../src/store/read-pace.ts';
import { ReaderRig } from './reader-rig.ts';
import { LEVEL } from './rig.ts';

const MIB = 1024 * 1024;
const rigs: ReaderRig[] = [];

function paced() {
  const rig = new ReaderRig();
  rigs.push(rig);
  let now = 0;
  let written = 0;
  const pace = new ReadPace(rig.regions.store, () => now);
  /** A read of so much that takes so long, while the store writes so much. */
  const read = (lengthBytes: number, tookMs: number, writtenBytes: number): void => {
    pace.begin();
    now += tookMs;
    written += writtenBytes;
    setStoreNumber(rig.regions.store, STORE_WRITTEN_LOW, written);
    pace.end(lengthBytes);
  };
  const pass = (ms: number): void => {
    now += ms;
  };
  return { pace, read, pass };
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

test('beside a store that writes nothing, reads follow one another', () => {
  const { pace, read } = paced();
  for (let i = 0; i < 3; i++) {
    read(MIB, 2, 0);
    expect(pace.restMs).toBe(0);
  }
});

test('beside a store that writes as fast as reads go, they take a ninth of the time', () => {
  const { pace, read, pass } = paced();
  read(MIB, 1, MIB);
  expect(pace.restMs).toBe(8);
  pass(7);
  expect(pace.restMs).toBe(1);
  pass(1);
  expect(pace.restMs).toBe(0);
});

test('a store that writes little makes nobody wait for long', () => {
  const { pace, read } = paced();
  read(MIB, 1, MIB / 64);
  expect(pace.restMs).toBe(8 / 64);
});

test('what the store wrote during a rest counts with the time of the rest', () => {
  const { pace, read, pass } = paced();
  read(MIB, 1, MIB);
  pass(8);
  // In 9 ms as much as is read in 4.5.
  read(MIB, 1, 4.5 * MIB);
  expect(pace.restMs).toBeCloseTo(4);
});

test('a rest has an end, however long a read took, and rests of several reads add up', () => {
  const { pace, read } = paced();
  read(MIB, 500, 500 * MIB);
  expect(pace.restMs).toBe(20);
  read(MIB, 1, MIB);
  expect(pace.restMs).toBe(27);
});

test('a request that comes while the disk is left to the store is answered afterwards', () => {
  let now = 0;
  const tick = (): number => {
    now += 0.25;
    return now;
  };
  const rig = new ReaderRig({ clock: tick });
  rigs.push(rig);
  rig.table.activateDurable(1);
  rig.settle();
  for (let i = 0; i < 20; i++) rig.send(1, ['x'.repeat(2_000)], LEVEL.none);
  rig.settle();
  const answers: number[] = [];
  const ask = (): number => rig.history.read(1, 1, 0, 1_000, (answer) => answers.push(answer.length));
  const turn = (): void => {
    rig.reader.work(0);
    rig.history.work();
  };
  ask();
  turn();
  expect(answers.length).toBe(1);
  ask();
  turn();
  expect(answers.length).toBe(1);
  const { sleepMaxMs } = rig.reader;
  expect(sleepMaxMs).toBeGreaterThan(0);
  now += sleepMaxMs;
  turn();
  expect(answers.length).toBe(2);
});
