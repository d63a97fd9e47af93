import { describe, expect, test } from 'vitest';
import {
  NEXT_OFFSET_LOW,
  PARTITION_ENTRY_WORDS,
  PARTITION_STATES,
  PLACE_READY,
  RING_HEAD,
  RING_TAIL,
  WRITER_BLOCKED,
} from '../../../native-layout/partition-table.ts';
import { ArenaSet } from '../../../src/memory/arena.ts';
import {
  activatePartition,
  epochOf,
  nextOffset,
  type PartitionIdentity,
  partitionState,
  permissionOf,
  placeNumbers,
  publishPlace,
  readIdentity,
  readPlace,
  ringUsedBytes,
  setPartitionState,
  setPermission,
  tryRetire,
} from '../../../src/memory/partition-entry.ts';
import { NEAR_WRAP, publish, RingRig } from './support.ts';

const IDENTITY: PartitionIdentity = {
  topic: 11,
  number: 3,
  owner: 4,
  epoch: 9,
  permission: 6,
  overflow: 1,
  ringBytes: 65536,
  durable: false,
  reserved: false,
};

function table(partitions = 3): Int32Array {
  return new Int32Array(new SharedArrayBuffer(partitions * PARTITION_ENTRY_WORDS * 4));
}

describe('identity', () => {
  test('an active partition is read as it was written, its neighbours not at all', () => {
    const words = table();
    activatePartition(words, 1, IDENTITY);
    expect(readIdentity(words, 1)).toEqual(IDENTITY);
    expect(partitionState(words, 1)).toBe(PARTITION_STATES.active);
    expect([readIdentity(words, 0), readIdentity(words, 2)]).toEqual([undefined, undefined]);
  });

  test('numbers that no partition has are undefined', () => {
    expect([-1, 3, 1_000_000].map((partition) => readIdentity(table(), partition))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('a deleted partition has no identity', () => {
    const words = table();
    activatePartition(words, 1, IDENTITY);
    setPartitionState(words, 1, PARTITION_STATES.deleted);
    expect(readIdentity(words, 1)).toBeUndefined();
  });

  test('permission changes while a partition lives', () => {
    const words = table();
    activatePartition(words, 1, IDENTITY);
    setPermission(words, 1, 4);
    expect([permissionOf(words, 1), readIdentity(words, 1)?.permission]).toEqual([4, 4]);
  });
});

describe('place', () => {
  test('a place is there once it is published, and a ring once its arena is known', () => {
    const words = table();
    const arenas = new ArenaSet();
    expect([placeNumbers(words, 1), readPlace(words, 1, arenas)]).toEqual([undefined, undefined]);
    publishPlace(words, 1, 7, 4096, 16384);
    expect(placeNumbers(words, 1)).toEqual({ arena: 7, byte: 4096, capacity: 16384 });
    expect(readPlace(words, 1, arenas)).toBeUndefined();
    const arena = arenas.add(7, new SharedArrayBuffer(32768));
    const place = readPlace(words, 1, arenas);
    expect([place?.byte, place?.capacity]).toEqual([4096, 16384]);
    expect(place?.words).toBe(arena.words);
    expect(place?.bytes).toBe(arena.bytes);
  });
});

describe('retiring', () => {
  test('a partition with a reader stays, also while that reader is out and only holds its slot', () => {
    const rig = new RingRig('drop-oldest');
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    expect(tryRetire(rig.table, rig.partition)).toBe(false);
    for (let sequence = 0; sequence < 9; sequence++) publish(writer, 64, sequence);
    expect(reader.tryJoin(0)).toBe(false);
    expect(tryRetire(rig.table, rig.partition)).toBe(false);
    expect(ringUsedBytes(rig.table, rig.partition)).toBeGreaterThan(0);
    reader.close();
    expect(tryRetire(rig.table, rig.partition)).toBe(true);
  });

  test('a reader in the last slot counts', () => {
    const rig = new RingRig();
    const readers = Array.from({ length: 32 }, () => rig.open());
    for (const reader of readers.slice(0, 31)) reader.close();
    expect(tryRetire(rig.table, rig.partition)).toBe(false);
    readers[31].close();
    expect(tryRetire(rig.table, rig.partition)).toBe(true);
  });

  test('a retired entry is at rest and can live again', () => {
    const rig = new RingRig('block', 256, NEAR_WRAP);
    const { table: words, partition } = rig;
    activatePartition(words, partition, IDENTITY);
    publishPlace(words, partition, 1, 256, 256);
    const writer = rig.writer();
    writer.setBlocked(true);
    publish(writer, 64, 2 ** 33);
    expect(nextOffset(words, partition)).toBe(2 ** 33 + 1);
    setPartitionState(words, partition, PARTITION_STATES.deleted);
    expect(tryRetire(words, partition)).toBe(true);
    expect(partitionState(words, partition)).toBe(PARTITION_STATES.free);
    for (const word of [RING_TAIL, RING_HEAD, NEXT_OFFSET_LOW, NEXT_OFFSET_LOW + 1, WRITER_BLOCKED, PLACE_READY]) {
      expect(words[rig.word(word)]).toBe(0);
    }
    expect([nextOffset(words, partition), ringUsedBytes(words, partition)]).toEqual([0, 0]);
    activatePartition(words, partition, { ...IDENTITY, epoch: 10 });
    expect([readIdentity(words, partition)?.epoch, epochOf(words, partition)]).toEqual([10, 10]);
    expect(placeNumbers(words, partition)).toBeUndefined();
  });
});

test('used bytes survive the wrap of the int32 count and never look negative while HEAD moves', () => {
  const rig = new RingRig('drop-oldest', 256, NEAR_WRAP);
  const writer = rig.writer();
  for (let sequence = 0; sequence < 30; sequence++) {
    publish(writer, 48, sequence);
    const used = ringUsedBytes(rig.table, rig.partition);
    expect(used).toBeGreaterThan(0);
    expect(used).toBeLessThanOrEqual(256);
  }
});
