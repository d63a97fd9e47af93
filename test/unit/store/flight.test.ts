import { describe, expect, test } from 'vitest';
import { STORE_COMMITS, STORE_WRITTEN_LOW } from '../../../native-layout/store.ts';
import { hasJournalSlot } from '../../../src/memory/journal.ts';
import { storeCount, storeNumber } from '../../../src/memory/store-state.ts';
import { RunNoticeReader } from '../../../src/store/run-notices.ts';
import { LEVEL, StoreRig } from './rig.ts';

/** As many answers may wait. */
const PARTITIONS = 8;
const BODY = 'x'.repeat(1_900);

/** Blocks of 8 KiB, and batches of 2 KiB for eight partitions: three to a block. */
function flyingRig(): StoreRig {
  const rig = new StoreRig({ blockBytes: 8_192, begins: true });
  for (let id = 0; id <= PARTITIONS; id++) rig.table.activateDurable(id);
  // The log gets its first segment.
  rig.send(0, ['first']);
  rig.settle();
  rig.answers();
  return rig;
}

function sendAll(rig: StoreRig): void {
  for (let id = 1; id <= PARTITIONS; id++) {
    rig.send(id, [BODY]);
    rig.append();
  }
}

function commits(rig: StoreRig): number {
  return storeCount(rig.regions.store, STORE_COMMITS);
}

/** Where the block ends that the log reader was told of last. */
function toldEnd(rig: StoreRig): number {
  const notices = new RunNoticeReader(rig.regions.sizes, rig.regions.store);
  while (notices.look()) notices.consume();
  return notices.logEnd;
}

/** Answers to sendAll(), which was the second to send. */
function everybody(answer: string): string[] {
  return Array.from({ length: PARTITIONS }, (_, i) => `${i + 2}:${answer}`);
}

/** What the log has when it has one batch of each partition. */
const EVERY_END = Object.fromEntries(Array.from({ length: PARTITIONS + 1 }, (_, id) => [id, 1]));

describe('a large block is written beside the store thread', () => {
  test('and the next one is filled meanwhile; nobody is answered before his block is on the disk', () => {
    const rig = flyingRig();
    sendAll(rig);
    expect(rig.store.work(rig.now)).toBeGreaterThan(0);
    expect(rig.disk.flying).toBe(1);
    expect(rig.store.pending).toBeDefined();
    expect(rig.store.work(rig.now)).toBe(0);
    expect([rig.answers(), commits(rig)]).toEqual([[], 1]);
    rig.disk.land();
    // The next one is on its way before the first one is told of.
    rig.store.work(rig.now);
    expect([rig.disk.flying, commits(rig)]).toEqual([1, 2]);
    const first = rig.answers();
    expect(first.length).toBeGreaterThan(0);
    expect(first.length).toBeLessThan(PARTITIONS / 2);
    expect(storeNumber(rig.regions.store, STORE_WRITTEN_LOW)).toBe(rig.writer.end);
    expect(toldEnd(rig)).toBe(rig.writer.end);
    expect(Object.keys(rig.ends(rig.disk.killed()))).toHaveLength(first.length + 1);
    rig.settle();
    expect(rig.store.pending).toBeUndefined();
    const all = [...first, ...rig.answers()];
    expect(all).toEqual(everybody('ok@0'));
    expect(rig.ends(rig.disk.crash(1))).toEqual(EVERY_END);
  });

  test('a small one is not, nor the last one, nor one through the page cache', () => {
    const rig = flyingRig();
    rig.send(1, ['a']);
    rig.append();
    rig.store.work(rig.now);
    expect(rig.answers()).toEqual(['2:ok@0']);
    for (let id = 1; id <= 3; id++) rig.send(id, [BODY]);
    rig.append();
    rig.store.work(rig.now);
    expect([rig.disk.flying, rig.answers().length]).toEqual([0, 3]);
    const buffered = new StoreRig({ blockBytes: 8_192, begins: true, mode: 'buffered' });
    for (let id = 1; id <= PARTITIONS; id++) buffered.table.activateDurable(id);
    sendAll(buffered);
    buffered.store.work(buffered.now);
    expect(buffered.disk.flying).toBe(0);
  });

  test('what comes meanwhile is not forgotten, of partitions in the block and of others', () => {
    const rig = flyingRig();
    let sent = 0;
    let flights = 0;
    const send = (id: number, body: string): void => {
      rig.send(id, [body], LEVEL.none);
      rig.append();
      sent++;
    };
    for (let round = 0; round < 60; round++) {
      for (let id = 1; id <= PARTITIONS; id++) send(id, BODY);
      rig.store.work(rig.now);
      flights += rig.disk.flying;
      send(1 + (round % PARTITIONS), 'small');
      send(PARTITIONS - (round % 3), BODY);
      rig.store.work(rig.now);
      if (round % 2 === 0) rig.disk.land();
      send(1 + (round % 5), BODY);
      rig.store.work(rig.now);
      rig.settle();
    }
    expect(flights).toBe(60);
    const ends = rig.ends(rig.disk.crash(3));
    expect(Object.values(ends).reduce((sum, end) => sum + end, 0)).toBe(sent + 1);
  });

  test('of a ring that blocks under way have most of, no more is taken', () => {
    const rig = flyingRig();
    for (let i = 0; i < 6; i++) rig.send(1, [BODY], LEVEL.none);
    rig.append();
    rig.store.work(rig.now);
    // Nothing else could be done meanwhile: written at once.
    expect([rig.disk.flying, commits(rig)]).toEqual([0, 2]);
    rig.settle();
    expect(rig.ends()[1]).toBe(6);
  });
});

describe('when something happens meanwhile', () => {
  test('the loss of power leaves what was answered, whatever it leaves of the block', () => {
    let whole = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const rig = flyingRig();
      sendAll(rig);
      rig.store.work(rig.now);
      rig.disk.land();
      rig.store.work(rig.now);
      const answered = rig.answers().length;
      expect(rig.disk.flying).toBe(1);
      const found = Object.keys(rig.ends(rig.disk.crash(seed))).length - 1;
      expect(found).toBeGreaterThanOrEqual(answered);
      if (found > answered) whole++;
    }
    // Some seeds leave all of it.
    expect(whole).toBeGreaterThan(0);
    expect(whole).toBeLessThan(40);
  });

  test('a store thread that dies is succeeded by one that misses nothing and writes nothing twice', () => {
    const rig = flyingRig();
    sendAll(rig);
    rig.store.work(rig.now);
    rig.disk.land();
    rig.store.work(rig.now);
    expect(rig.disk.flying).toBe(1);
    // A thread has not ended before its write has; nobody heard of this one.
    rig.disk.land();
    rig.succeedStore();
    rig.settle();
    expect(rig.answers()).toHaveLength(PARTITIONS);
    expect(rig.ends(rig.disk.crash(4))).toEqual(EVERY_END);
  });

  test('of a partition in both blocks the ring keeps what the second one has, when the first one is written', () => {
    const rig = flyingRig();
    for (const id of [1, 2, 3, 1]) rig.send(id, [BODY]);
    rig.append();
    rig.store.work(rig.now);
    expect(rig.disk.flying).toBe(1);
    rig.disk.land();
    rig.store.work(rig.now);
    expect(rig.answers()).toEqual(['2:ok@0', '3:ok@0', '4:ok@0']);
    // The second one was not written: the thread dies.
    rig.succeedStore();
    rig.settle();
    expect(rig.answers()).toEqual(['5:ok@1']);
    expect(rig.ends(rig.disk.crash(7))).toEqual({ 0: 1, 1: 2, 2: 1, 3: 1 });
  });

  test('no room: the block is written again when there is some, and then the one behind it', () => {
    const rig = flyingRig();
    sendAll(rig);
    rig.store.work(rig.now);
    rig.disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    rig.disk.land();
    rig.store.work(rig.now);
    expect([rig.state, rig.disk.faults > 0, rig.answers()]).toEqual(['full', true, []]);
    rig.store.work(rig.now);
    expect(rig.disk.flying).toBe(0);
    rig.disk.plan = undefined;
    rig.now += 1_000;
    rig.settle();
    expect(rig.state).toBe('running');
    expect(rig.answers()).toEqual(everybody('ok@0'));
    expect(rig.events.map((one) => one.type)).toEqual(['full', 'room']);
    expect(rig.ends(rig.disk.crash(5))).toEqual(EVERY_END);
  });

  test('a failure: nothing is written any more, and everybody who waits is told', () => {
    const rig = flyingRig();
    sendAll(rig);
    rig.store.work(rig.now);
    rig.disk.plan = { at: 1, code: 'EIO' };
    rig.disk.land();
    rig.store.work(rig.now);
    expect([rig.state, rig.store.pending, rig.disk.faults]).toEqual(['failed', undefined, 1]);
    expect(rig.answers()).toEqual(everybody('store-failed'));
    rig.settle();
    expect(rig.ends(rig.disk.crash(6))).toEqual({ 0: 1 });
  });

  test('a partition of it is deleted: its slot is given up, and the others are answered', () => {
    const rig = flyingRig();
    sendAll(rig);
    rig.store.work(rig.now);
    rig.delete(1);
    rig.store.work(rig.now);
    expect(hasJournalSlot(rig.regions.table, 1)).toBe(false);
    rig.settle();
    expect(rig.answers().filter((one) => one.endsWith('ok@0'))).toHaveLength(PARTITIONS - 1);
  });
});
