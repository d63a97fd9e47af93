// The edges of a store thread's life: what a successor makes of a commit that was cut short, what a clean stop says.
import { describe, expect, test } from 'vitest';
import { CONTROL_STATES } from '../../../native-layout/control.ts';
import { readCheckpoint } from '../../../src/log/checkpoint.ts';
import { storedPosition } from '../../../src/memory/partition-entry.ts';
import { releaseSeat, setBrokerState } from '../../../src/memory/seats.ts';
import { WORKER } from '../../support/engine-table.ts';
import { LEVEL, StoreRig } from './rig.ts';

function durableRig(mode: 'direct' | 'buffered'): StoreRig {
  const rig = new StoreRig({ mode });
  rig.table.activateDurable(1);
  rig.table.activateDurable(2);
  rig.settle();
  return rig;
}

describe('acks that wait for what is in the log', () => {
  test('buffered: written and not synced when it died: the successor syncs it and says so', () => {
    const rig = durableRig('buffered');
    rig.send(1, ['a'], LEVEL.written);
    rig.send(1, ['b'], LEVEL.durable);
    rig.append();
    rig.writer.sync = () => {
      throw new TypeError('dies here');
    };
    expect(() => rig.store.work(rig.now)).toThrow('dies here');
    expect(rig.answers()).toEqual(['1:ok@0']);
    rig.startStore();
    rig.settle();
    expect(rig.answers()).toEqual(['2:ok@1']);
    expect(rig.ends(rig.disk.crash(1))).toEqual({ 1: 2 });
  });

  test('direct: the cursor moved and nothing was shown when it died', () => {
    const rig = durableRig('direct');
    const { table } = rig.regions;
    rig.send(1, ['a'], LEVEL.durable);
    rig.append();
    const before = storedPosition(table, 1, 'written');
    // The thread is ended between two of its stores: what it would have shown is taken back.
    rig.store.work(rig.now);
    const word = (level: 'written' | 'durable'): number => storedPosition(table, 1, level);
    expect(word('durable')).toBeGreaterThan(before);
    rig.takeBackStored(1, before);
    expect(rig.answers()).toEqual([]);
    rig.startStore();
    rig.settle();
    expect(rig.answers()).toEqual(['1:ok@0']);
    expect(word('durable')).toBe(word('written'));
  });
});

test('buffered: a clean stop syncs also what nobody waited for', () => {
  const rig = durableRig('buffered');
  rig.send(2, ['kept']);
  rig.settle();
  rig.disk.plan = { at: rig.disk.calls + 1, code: 'ENOSPC' };
  rig.send(1, ['of a topic that is deleted now']);
  rig.settle();
  expect(rig.state).toBe('full');
  rig.delete(1);
  rig.now += 1_000;
  rig.settle();
  expect(rig.writer.durableEnd).toBeLessThan(rig.writer.end);
  setBrokerState(rig.regions.control, CONTROL_STATES.stopped);
  releaseSeat(rig.regions.control, WORKER);
  rig.store.close();
  const crashed = rig.disk.crash(1);
  expect(readCheckpoint(crashed)).toMatchObject({ clean: true, end: rig.recovered(crashed).end });
  expect(rig.writer.durableEnd).toBe(rig.writer.end);
});

/** Two partitions with a block's worth of news each; the second block meets what the disk has then. */
function secondBlockMeets(code: 'ENOSPC' | 'EIO'): StoreRig {
  const rig = new StoreRig({ mode: 'buffered', blockBytes: 4_096 });
  rig.table.activateDurable(1);
  rig.table.activateDurable(2);
  rig.settle();
  // Each fills a block: there is news when the first one is written, and none of the limits of a sync is reached.
  const append = rig.writer.append.bind(rig.writer);
  rig.writer.append = (builder) => {
    append(builder);
    rig.writer.append = append;
    rig.disk.plan = { at: rig.disk.calls + 1, code };
  };
  rig.send(1, ['a'.repeat(3_000)]);
  rig.send(2, ['no room for this'.repeat(200)]);
  rig.append();
  rig.settle();
  return rig;
}

test('buffered: what is written is synced while a later block waits for room', () => {
  const rig = secondBlockMeets('ENOSPC');
  expect(rig.state).toBe('full');
  expect(rig.answers()).toEqual(['1:ok@0']);
  rig.now += 1_000;
  rig.settle();
  expect(rig.answers()).toEqual(['2:ok@0']);
});

test('buffered: after a write that failed nothing is synced, and it is said once', () => {
  const rig = secondBlockMeets('EIO');
  expect(rig.state).toBe('failed');
  expect(rig.events.map((one) => one.type)).toEqual(['failed']);
  expect(rig.answers()).toEqual(['1:store-failed', '2:store-failed']);
});

describe('a successor that cannot open the log', () => {
  test.each(['buffered', 'direct'] as const)('has failed, whatever call of the disk it was (%s)', (mode) => {
    for (let at = 1; ; at++) {
      const rig = durableRig(mode);
      rig.send(1, ['a']);
      rig.settle();
      rig.answers();
      rig.disk.calls = 0;
      rig.disk.plan = { at, code: 'EIO', forever: true };
      rig.send(1, ['b']);
      rig.succeedStore();
      rig.settle();
      if (rig.disk.faults === 0) {
        expect(at).toBeGreaterThan(1);
        return;
      }
      expect([rig.state, rig.answers()]).toEqual(['failed', ['2:store-failed']]);
      expect(rig.events.map((one) => one.type)).toEqual(['failed']);
      rig.send(1, ['c']);
      rig.settle();
      expect(rig.answers()).toEqual(['3:store-failed']);

      // Its own successor leaves the disk alone, and so does the end of the broker.
      const before = rig.disk.history.length;
      const last = rig.succeedStore();
      rig.delete(1);
      rig.settle();
      expect(last.finished).toBe(false);
      setBrokerState(rig.regions.control, CONTROL_STATES.stopped);
      releaseSeat(rig.regions.control, WORKER);
      expect(last.finished).toBe(true);
      last.close();
      expect(rig.disk.history.length).toBe(before);
      rig.disk.plan = undefined;
      // Written and not synced may be there.
      expect(rig.ends()[1]).toBeGreaterThanOrEqual(1);
    }
  });

  test('has failed when the log ends before what was acknowledged', () => {
    const rig = durableRig('direct');
    rig.send(1, ['a']);
    rig.settle();
    for (const name of rig.disk.list()) rig.disk.remove(name);
    const before = rig.disk.history.length;
    rig.succeedStore();
    rig.send(1, ['b']);
    rig.settle();
    expect([rig.state, rig.answers()]).toEqual(['failed', ['1:ok@0', '2:store-failed']]);
    expect(rig.events.map((one) => (one.type === 'room' ? '' : one.error.message))).toEqual([
      expect.stringMatching(/ends at 0 and was written up to \d+: files are missing/),
    ]);
    expect(rig.disk.history.slice(before)).toEqual([]);
  });

  test('waits where there is no room, and goes on when there is some', () => {
    const rig = durableRig('buffered');
    rig.send(1, ['a']);
    rig.settle();
    rig.answers();
    const { open } = rig.disk;
    rig.disk.open = () => {
      throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    };
    rig.succeedStore();
    rig.send(1, ['b']);
    rig.settle();
    expect(rig.state).toBe('full');
    rig.send(1, ['c']);
    rig.settle();
    expect(rig.answers()).toEqual(['3:disk-full']);
    rig.disk.open = open;
    rig.settle();
    expect(rig.state, 'it does not try all the time').toBe('full');
    rig.now += 500;
    rig.settle();
    expect([rig.state, rig.answers()]).toEqual(['running', ['2:ok@1']]);
    expect(rig.events.map((one) => one.type)).toEqual(['full', 'room']);
  });

  test('looks again when a file vanishes meanwhile: the oldest segment was removed', () => {
    const rig = durableRig('direct');
    rig.send(1, ['a']);
    rig.settle();
    const { open } = rig.disk;
    let times = 0;
    rig.disk.open = (name, mode) => {
      if (times++ === 0) throw Object.assign(new Error(`ENOENT: ${name}`), { code: 'ENOENT' });
      return open.call(rig.disk, name, mode);
    };
    rig.succeedStore();
    rig.send(1, ['b']);
    rig.settle();
    expect([rig.state, rig.answers()]).toEqual(['running', ['1:ok@0', '2:ok@1']]);
  });
});
