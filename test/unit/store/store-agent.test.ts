import { describe, expect, test } from 'vitest';
import { CONTROL_STATES } from '../../../native-layout/control.ts';
import { PARTITION_STATES } from '../../../native-layout/partition-table.ts';
import { STORE_COMMITS, STORE_DURABLE_LOW, STORE_STATES, STORE_WRITTEN_LOW } from '../../../native-layout/store.ts';
import { readCheckpoint } from '../../../src/log/checkpoint.ts';
import { hasJournalSlot } from '../../../src/memory/journal.ts';
import { partitionState, storedPosition } from '../../../src/memory/partition-entry.ts';
import { releaseSeat, setBrokerState } from '../../../src/memory/seats.ts';
import { setStoreState, storeCount, storeNumber } from '../../../src/memory/store-state.ts';
import { RunNoticeReader } from '../../../src/store/run-notices.ts';
import { WORKER } from '../../support/engine-table.ts';
import { LEVEL, StoreRig } from './rig.ts';

function durableRig(...args: ConstructorParameters<typeof StoreRig>): StoreRig {
  const rig = new StoreRig(...args);
  rig.table.activateDurable(1);
  rig.table.activateDurable(2);
  rig.settle();
  return rig;
}

function commits(rig: StoreRig): number {
  return storeCount(rig.regions.store, STORE_COMMITS);
}

function stop(rig: StoreRig): void {
  setBrokerState(rig.regions.control, CONTROL_STATES.stopped);
  releaseSeat(rig.regions.control, WORKER);
}

describe('commit', () => {
  test('everything that waits goes into one block, and its acks are answered after it', () => {
    const rig = durableRig();
    rig.send(1, ['a', 'b']);
    rig.send(2, ['c']);
    rig.send(1, ['d'], LEVEL.written);
    rig.append();
    expect(rig.answers()).toEqual([]);
    rig.settle();
    expect(commits(rig)).toBe(1);
    expect(rig.answers().sort()).toEqual(['1:ok@0', '2:ok@0', '3:ok@2']);
    expect(rig.ends(rig.disk.crash(1))).toEqual({ 1: 3, 2: 1 });
    expect(storeNumber(rig.regions.store, STORE_WRITTEN_LOW)).toBe(rig.writer.end);
    expect(storeNumber(rig.regions.store, STORE_DURABLE_LOW)).toBe(rig.writer.end);
  });

  test('accepted is answered at once and written all the same', () => {
    const rig = durableRig();
    rig.send(1, ['a'], LEVEL.accepted);
    rig.append();
    expect(rig.answers()).toEqual(['1:ok@0']);
    rig.settle();
    expect(rig.ends()).toEqual({ 1: 1 });
  });

  test('the log has every message of rings that were filled many times over', () => {
    const rig = durableRig();
    let sent = 0;
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 3; i++) {
        rig.send(1 + (round % 2), ['x'.repeat(1_900)], LEVEL.accepted);
        sent++;
      }
      rig.settle();
      expect(rig.answers()).toHaveLength(3);
    }
    const ends = rig.ends(rig.disk.crash(2));
    expect(ends[1] + ends[2]).toBe(sent);
  });

  test('a batch larger than a block gets a larger block, and what does not fit waits for the next one', () => {
    const rig = durableRig({ blockBytes: 4_096 });
    rig.send(1, ['a'.repeat(1_000)]);
    rig.send(2, ['b'.repeat(4_000)]);
    rig.append();
    rig.store.work(rig.now);
    expect(commits(rig)).toBe(1);
    expect(rig.answers()).toEqual(['1:ok@0']);
    rig.store.work(rig.now);
    expect(rig.answers()).toEqual(['2:ok@0']);
    for (let i = 0; i < 3; i++) rig.send(1, ['c'.repeat(2_000)]);
    rig.settle();
    expect(commits(rig)).toBe(5);
    expect(rig.ends(rig.disk.crash(7))).toEqual({ 1: 4, 2: 1 });
  });

  test('nothing is written for volatile partitions', () => {
    const rig = durableRig();
    rig.table.activate(3);
    rig.send(3, ['v'], LEVEL.accepted);
    rig.settle();
    expect(rig.answers()).toEqual(['1:ok@0']);
    expect(commits(rig)).toBe(0);
    expect(rig.ends()).toEqual({});
  });
});

describe('buffered mode', () => {
  test('written is shown after the write, durable after the sync', () => {
    const rig = durableRig({ mode: 'buffered' });
    const at = (level: 'written' | 'durable') => storedPosition(rig.regions.table, 1, level);
    rig.send(1, ['a'], LEVEL.written);
    rig.send(1, ['b'], LEVEL.durable);
    rig.append();
    // More is coming all the time: the sync waits for it, for a while.
    const work = () => {
      rig.send(2, ['more'], LEVEL.none);
      rig.append();
      rig.store.work(rig.now);
    };
    work();
    rig.send(2, ['more'], LEVEL.none);
    rig.settle();
    expect(at('written')).toBeGreaterThan(0);
    expect(at('durable')).toBe(at('written'));
    expect(rig.answers().sort()).toEqual(['1:ok@0', '2:ok@1']);
    expect(rig.ends(rig.disk.crash(3))[1]).toBe(2);
  });

  test('a sync that fails stops everything, and says so to who waits', () => {
    const rig = durableRig({ mode: 'buffered' });
    rig.send(1, ['first'], LEVEL.durable);
    rig.settle();
    expect(rig.answers()).toEqual(['1:ok@0']);
    rig.send(1, ['second'], LEVEL.durable);
    rig.send(1, ['third'], LEVEL.written);
    rig.append();
    const before = rig.disk.history.length;
    const sync = rig.disk.history.lastIndexOf('sync 00000000000000000000.log');
    expect(sync).toBeGreaterThan(0);
    // The write passes, the sync behind it does not.
    rig.disk.plan = { at: 2, code: 'EIO', forever: true };
    rig.settle();
    expect(rig.state).toBe('failed');
    expect(rig.disk.history.slice(before)).toEqual(['write 00000000000000000000.log', 'sync 00000000000000000000.log']);
    expect(rig.answers().sort()).toEqual(['2:store-failed', '3:ok@2']);
    expect(rig.events.map((one) => one.type)).toEqual(['failed']);
  });
});

describe('a disk that fails', () => {
  test('without room appends are refused, and everything goes on when there is some', () => {
    const rig = durableRig();
    rig.disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    rig.send(1, ['a']);
    rig.settle();
    expect(rig.state).toBe('full');
    rig.send(1, ['b']);
    rig.settle();
    expect(rig.answers()).toEqual(['2:disk-full']);
    const tried = rig.disk.faults;
    rig.now += 100;
    rig.settle();
    expect(rig.disk.faults).toBe(tried);
    rig.now += 500;
    rig.settle();
    expect(rig.disk.faults).toBeGreaterThan(tried);
    rig.disk.plan = undefined;
    rig.now += 500;
    rig.settle();
    expect(rig.state).toBe('running');
    expect(rig.answers()).toEqual(['1:ok@0']);
    rig.send(1, ['c']);
    rig.settle();
    expect(rig.answers()).toEqual(['3:ok@1']);
    expect(rig.events.map((one) => one.type)).toEqual(['full', 'room']);
    expect(rig.ends(rig.disk.crash(4))).toEqual({ 1: 2 });
  });

  test('after any other failure nothing is written again, by a successor neither', () => {
    const rig = durableRig();
    rig.send(1, ['a']);
    rig.settle();
    rig.disk.plan = { at: 1, code: 'EIO' };
    rig.send(1, ['b']);
    rig.settle();
    expect(rig.answers()).toEqual(['1:ok@0', '2:store-failed']);
    rig.send(1, ['c']);
    rig.settle();
    expect(rig.answers()).toEqual(['3:store-failed']);
    const calls = rig.disk.history.length;
    rig.startStore();
    const started = rig.disk.history.length;
    rig.settle();
    expect(rig.disk.history.length).toBe(started);
    expect(started).toBeGreaterThanOrEqual(calls);
    expect(rig.state).toBe('failed');
    stop(rig);
    expect(rig.store.finished).toBe(true);
    rig.store.close();
    expect(readCheckpoint(rig.disk)).toBeUndefined();
  });

  test('an error of ours is not taken for one of the disk', () => {
    const rig = durableRig();
    rig.send(1, ['a']);
    rig.append();
    rig.writer.append = () => {
      throw new TypeError('a bug');
    };
    expect(() => rig.store.work(rig.now)).toThrow('a bug');
    expect(rig.state).toBe('running');
  });

  test('a broker that stops does not wait for room', () => {
    const rig = durableRig();
    rig.disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    rig.send(1, ['a']);
    rig.settle();
    stop(rig);
    expect(rig.store.finished).toBe(false);
    rig.now += 1_000;
    rig.settle();
    expect(rig.answers()).toEqual(['1:store-failed']);
    expect(rig.store.finished).toBe(true);
  });
});

describe('deleted partitions', () => {
  test('the slot is given up, also with bytes in the block under way', () => {
    const rig = durableRig();
    rig.disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    rig.send(1, ['a']);
    rig.send(2, ['b']);
    rig.settle();
    rig.delete(1);
    rig.settle();
    expect(hasJournalSlot(rig.regions.table, 1)).toBe(false);
    rig.broker.housekeep(rig.now);
    expect(partitionState(rig.regions.table, 1)).toBe(PARTITION_STATES.free);
    rig.disk.plan = undefined;
    rig.now += 500;
    rig.settle();
    expect(rig.answers().sort()).toEqual(['1:route-stale', '2:ok@0']);
    expect(storedPosition(rig.regions.table, 1, 'written')).toBe(0);
  });

  test('its id lives on as another partition', () => {
    const rig = durableRig();
    rig.send(1, ['a']);
    rig.settle();
    rig.answers();
    rig.delete(1);
    rig.settle();
    rig.broker.housekeep(rig.now);
    rig.table.activateDurable(1, 0, 'block', 2);
    rig.settle();
    rig.send(2, ['other']);
    rig.settle();
    expect(rig.answers()).toEqual(['2:ok@0']);
    expect(hasJournalSlot(rig.regions.table, 1)).toBe(false);
  });
});

describe('a store thread that died', () => {
  test('its successor takes the slots over as they are, pinned ones too', () => {
    const rig = durableRig();
    rig.send(1, ['a']);
    rig.settle();
    rig.answers();
    rig.disk.plan = { at: 1, code: 'ENOSPC' };
    rig.send(1, ['b']);
    rig.send(2, ['c']);
    rig.settle(); // Staged: the slots are pinned and nothing is written.
    expect(rig.state).toBe('full');
    rig.startStore();
    rig.settle();
    expect(rig.state).toBe('running');
    expect(rig.answers().sort()).toEqual(['2:ok@1', '3:ok@0']);
    expect(rig.ends(rig.disk.crash(5))).toEqual({ 1: 2, 2: 1 });
  });

  test.each(['direct', 'buffered'] as const)('what the log has already is not written twice (%s)', (mode) => {
    const rig = durableRig({ mode });
    rig.send(1, ['a']);
    rig.settle();
    rig.answers();
    rig.send(1, ['b', 'c']);
    rig.send(2, ['d']);
    rig.append();
    // The write is the last thing that the first one does.
    const append = rig.writer.append.bind(rig.writer);
    rig.writer.append = (builder) => {
      append(builder);
      throw new TypeError('dies here');
    };
    expect(() => rig.store.work(rig.now)).toThrow('dies here');
    expect(rig.answers()).toEqual([]);
    const end = rig.writer.end;
    rig.startStore();
    rig.settle();
    expect(rig.answers().sort()).toEqual(['2:ok@1', '3:ok@0']);
    expect(rig.writer.end).toBe(end);
    rig.send(1, ['e']);
    rig.settle();
    expect(rig.answers()).toEqual(['4:ok@3']);
    expect(rig.ends(rig.disk.crash(6))).toEqual({ 1: 4, 2: 1 });
  });
});

describe('the run lane', () => {
  test('no cursor moves before the log reader can know of the run', () => {
    const rig = durableRig();
    const { regions } = rig;
    // Nobody reads the lane: it fills up.
    let sent = 0;
    do {
      rig.send(1, ['x'], LEVEL.none);
      rig.append();
      sent++;
      expect(sent).toBeLessThan(60_000);
      rig.store.work(rig.now);
    } while (commits(rig) === sent);
    rig.send(1, ['last']);
    rig.append();
    for (let i = 0; i < 5; i++) rig.store.work(rig.now);
    expect(rig.answers()).toEqual([]);
    const notices = new RunNoticeReader(regions.sizes, regions.store);
    let next = 0;
    const drain = () => {
      while (notices.look()) {
        if (!notices.isStart) {
          expect(notices.baseOffset).toBe(next);
          next = notices.nextOffset;
        }
        notices.consume();
      }
      notices.release();
    };
    drain();
    rig.settle();
    drain();
    expect(rig.answers()).toEqual([expect.stringMatching(/:ok@/)]);
    expect(next).toBe(rig.ends()[1]);
  }, 30_000);
});

describe('the end', () => {
  test('the store ends after the workers and after everything in the rings is in the log', () => {
    const rig = durableRig();
    rig.send(1, ['a'], LEVEL.accepted);
    rig.append();
    setBrokerState(rig.regions.control, CONTROL_STATES.stopped);
    expect(rig.store.finished).toBe(false);
    rig.settle();
    rig.send(1, ['b'], LEVEL.accepted);
    rig.append();
    releaseSeat(rig.regions.control, WORKER);
    expect(rig.store.finished).toBe(false);
    rig.settle();
    expect(rig.store.finished).toBe(true);
    rig.store.close();
    expect(readCheckpoint(rig.disk)).toMatchObject({ clean: true, end: rig.writer.end });
    const found = rig.recovered();
    expect(found.clean).toBe(true);
    expect(found.queues.map((one) => one.nextOffset)).toEqual([2]);
  });

  test('a store that failed leaves no word of a clean stop', () => {
    const rig = durableRig();
    setStoreState(rig.regions.store, STORE_STATES.failed, 0);
    stop(rig);
    rig.store.close();
    expect(readCheckpoint(rig.disk)).toBeUndefined();
    expect(rig.recovered().clean).toBe(false);
  });
});
