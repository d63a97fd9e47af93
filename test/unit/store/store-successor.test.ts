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
