import { expect, test } from 'vitest';
import { PARTITION_STATES } from '../../../native-layout/partition-table.ts';
import {
  partitionState,
  publishPlace,
  readIdentity,
  setPartitionState,
  tryRetire,
} from '../../../src/memory/partition-entry.ts';
import { partitionsUsed } from '../../../src/memory/seats.ts';
import type { TopicRecord } from '../../../src/nameserver/directory.ts';
import { TablePartitionSlots } from '../../../src/nameserver/partition-slots.ts';
import { RING, Table } from '../../support/engine-table.ts';

const GRACE_MS = 2_000;

function rig() {
  const { regions } = new Table();
  let now = 1_000_000;
  const record: TopicRecord = {
    topic: 't',
    topicId: 1,
    version: 1,
    overflow: 'reject',
    ringBytes: RING,
    direct: false,
    durable: false,
    retentionMs: 0,
    retentionBytes: 0,
    partitions: [],
  };
  const slots = (known: readonly TopicRecord[] = []) => new TablePartitionSlots(regions, () => now, known);
  const pass = (ms: number): void => {
    now += ms;
  };
  return { regions, record, slots, pass };
}

test('an activated entry says everything, and epochs grow with every life', () => {
  const { regions, record, slots } = rig();
  const one = slots();
  const first = one.activate(record, 0, 2, 6);
  const second = one.activate(record, 1, 2, 4);
  expect(readIdentity(regions.table, first.id)).toMatchObject({ owner: 2, number: 0, permission: 6, ringBytes: RING });
  expect(second.epoch).toBeGreaterThan(first.epoch);
  expect(partitionsUsed(regions.control)).toBe(2);
  expect([one.isOpen(first), one.room]).toEqual([true, 62]);
});

test('an entry that never had a ring is used again after a grace time', () => {
  const { record, slots, pass } = rig();
  const one = slots();
  const first = one.activate(record, 0, 2, 6);
  one.remove(first);
  pass(GRACE_MS - 1);
  one.reclaim();
  expect(one.room).toBe(63);
  pass(1);
  one.reclaim();
  expect(one.room).toBe(64);
  const again = one.activate(record, 0, 2, 6);
  expect(again.id).toBe(first.id);
  expect(again.epoch).toBeGreaterThan(first.epoch);
});

test('an entry with a ring is used again once its owner has let go, however long that takes', () => {
  const { regions, record, slots, pass } = rig();
  const one = slots();
  const first = one.activate(record, 0, 2, 6);
  publishPlace(regions.table, first.id, 1, 0, RING);
  one.remove(first);
  pass(60_000);
  one.reclaim();
  expect(one.room).toBe(63);
  tryRetire(regions.table, first.id);
  one.reclaim();
  expect(one.room).toBe(64);
});

test('the ring of a thread that has left is returned here', () => {
  const { regions, record, slots } = rig();
  const one = slots();
  const first = one.activate(record, 0, 20, 6);
  publishPlace(regions.table, first.id, 1, 0, RING);
  setPartitionState(regions.table, first.id, PARTITION_STATES.deleted);
  expect(one.isOpen(first)).toBe(false);
  one.remove(first);
  one.adopt(21);
  one.reclaim();
  expect(one.room).toBe(63);
  one.adopt(20);
  one.reclaim();
  expect(one.room).toBe(64);
});

test('a full table is refused, and is still full for the next one', () => {
  const { record, slots } = rig();
  const one = slots();
  for (let i = 0; i < 64; i++) one.activate(record, i, 2, 6);
  for (let i = 0; i < 2; i++) {
    expect(() => one.activate(record, 0, 2, 6)).toThrow(expect.objectContaining({ code: 'partition-quota' }));
  }
});

test('a successor takes nothing that is still in use, forgets nothing, and gives no epoch twice', () => {
  const { regions, record, slots, pass } = rig();
  const one = slots();
  const kept = one.activate(record, 0, 2, 6);
  const withRing = one.activate(record, 1, 2, 6);
  const orphan = one.activate(record, 2, 2, 6);
  publishPlace(regions.table, withRing.id, 1, 0, RING);
  publishPlace(regions.table, orphan.id, 1, RING, RING);
  one.remove(withRing);
  const successor = slots([{ ...record, partitions: [kept] }]);
  expect(partitionState(regions.table, orphan.id)).toBe(PARTITION_STATES.deleted);
  const fresh = successor.activate(record, 3, 2, 6);
  expect(fresh.id).toBe(3);
  expect(fresh.epoch).toBeGreaterThan(orphan.epoch);
  expect(partitionsUsed(regions.control)).toBe(4);
  pass(GRACE_MS);
  successor.reclaim();
  expect(successor.room).toBe(60);
  tryRetire(regions.table, withRing.id);
  tryRetire(regions.table, orphan.id);
  successor.reclaim();
  expect(successor.room).toBe(62);
  expect(successor.isOpen(kept)).toBe(true);
});
