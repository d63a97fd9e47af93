import { describe, expect, test } from 'vitest';
import { PARTITION_ENTRY_WORDS, WRITER_BLOCKED } from '../../../native-layout/partition-table.ts';
import { CODES, codeName } from '../../../src/base/codes.ts';
import { readIdentity, readPlace, setPermission } from '../../../src/memory/partition-entry.ts';
import { NO_ROOM, Partition } from '../../../src/partition/partition.ts';
import type { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { markRepeat } from '../../../src/record/repeat.ts';
import { batchOf, RING, Table, textsIn } from '../../support/engine-table.ts';

const ID = 3;
const NOW = 1_700_000_123_456;

function partitionIn(table: Table): Partition {
  const { table: words } = table.regions;
  const identity = readIdentity(words, ID);
  const place = readPlace(words, ID, table.arenas);
  if (!identity || !place) throw new Error('no partition');
  return new Partition(words, ID, identity, place);
}

function rig(overflow: 'block' | 'drop-oldest' | 'reject' = 'block'): { table: Table; partition: Partition } {
  const table = new Table();
  table.activate(ID, overflow);
  table.owned().find(ID);
  return { table, partition: partitionIn(table) };
}

function append(partition: Partition, batch: BatchBuilder): string {
  const status = partition.append(batch.bytes, batch.words, 0, batch.length, NOW);
  return status === NO_ROOM ? 'NO_ROOM' : codeName(status);
}

describe('append', () => {
  test('gives consecutive offsets and stamps epoch, base offset and time', () => {
    const { table, partition } = rig();
    const reader = table.reader(ID);
    reader.joinHead();
    expect(append(partition, batchOf(ID, ['a', 'b']))).toBe('ok');
    expect(append(partition, batchOf(ID, ['c']))).toBe('ok');
    expect(textsIn(reader)).toEqual([]);
    expect(partition.publish()).toBe(true);
    expect(partition.publish()).toBe(false);
    expect(textsIn(reader)).toEqual(['0:a', '1:b', '2:c']);
    expect([partition.nextOffset, partition.published, partition.baseOffset]).toEqual([3, 3, 2]);
  });

  test('refuses another epoch, a wiped permission and what is too large, and writes nothing', () => {
    const { table, partition } = rig();
    expect(append(partition, batchOf(ID, ['x'], { epoch: 2 }))).toBe('route-stale');
    expect(append(partition, batchOf(ID, ['x'.repeat(RING / 4)]))).toBe('message-too-large');
    setPermission(table.regions.table, ID, 4);
    expect(append(partition, batchOf(ID, ['x']))).toBe('ok');
    expect(partition.refresh()).toBe(true);
    expect(append(partition, batchOf(ID, ['x']))).toBe('no-write-permission');
    setPermission(table.regions.table, ID, 6);
    partition.refresh();
    expect(append(partition, batchOf(ID, ['x']))).toBe('ok');
    expect(partition.nextOffset).toBe(2);
  });

  test('a batch of exactly a quarter of the ring is taken', () => {
    const { partition } = rig();
    expect(append(partition, batchOf(ID, ['x'.repeat(RING / 4 - 64 - 24)]))).toBe('ok');
    expect(append(partition, batchOf(ID, ['x'.repeat(RING / 4 - 64 - 24 + 1)]))).toBe('message-too-large');
  });

  test('answers a duplicate with its offset, and refuses what comes too early', () => {
    const { partition } = rig();
    expect(append(partition, batchOf(ID, ['a', 'b'], { producerId: 9 }))).toBe('ok');
    expect(append(partition, batchOf(ID, ['c'], { producerId: 9, sequence: 2 }))).toBe('ok');
    expect(append(partition, batchOf(ID, ['e'], { producerId: 9, sequence: 4 }))).toBe('out-of-order');
    expect(append(partition, batchOf(ID, ['a', 'b'], { producerId: 9 }))).toBe('duplicate');
    expect(partition.baseOffset).toBe(0);
    expect(partition.nextOffset).toBe(3);
  });
});

describe('a ring that is full', () => {
  const kilobyte = (): BatchBuilder => batchOf(ID, ['x'.repeat(1_000)], { producerId: 5 });

  test('with policy block has no room while a reader holds it, and room afterwards', () => {
    const { table, partition } = rig('block');
    const reader = table.reader(ID);
    reader.joinHead();
    let taken = 0;
    while (append(partition, batchOf(ID, ['x'.repeat(1_000)])) === 'ok') taken++;
    expect(taken).toBeGreaterThan(10);
    expect(partition.blocked).toBe(true);
    expect(table.regions.table[ID * PARTITION_ENTRY_WORDS + WRITER_BLOCKED]).toBe(1);
    partition.publish();
    expect(textsIn(reader)).toHaveLength(taken);
    expect(append(partition, batchOf(ID, ['y']))).toBe('ok');
    expect(partition.blocked).toBe(false);
  });

  test('with policy reject refuses and counts the sequence as used', () => {
    const { table, partition } = rig('reject');
    const reader = table.reader(ID);
    reader.joinHead();
    let sequence = 0;
    const next = (): string => append(partition, batchOf(ID, ['x'.repeat(1_000)], { producerId: 5, sequence }));
    while (next() === 'ok') sequence++;
    sequence++;
    expect(next()).toBe('ring-full');
    expect(partition.blocked).toBe(false);
  });

  test('with policy reject what was refused is no duplicate when it comes again, also to a successor', () => {
    const { table, partition } = rig('reject');
    const reader = table.reader(ID);
    reader.joinHead();
    const put = (to: Partition, sequence: number): string => {
      return append(to, batchOf(ID, ['x'.repeat(1_000)], { producerId: 5, sequence, waits: false }));
    };
    let refused = 0;
    while (put(partition, refused) === 'ok') refused++;
    expect(put(partition, refused)).toBe('ring-full');
    partition.publish();
    textsIn(reader);
    expect(put(partition, refused + 1)).toBe('ok');
    partition.publish();
    for (const one of [partition, partitionIn(table)]) {
      expect([refused - 1, refused, refused + 1].map((sequence) => put(one, sequence))).toEqual([
        'duplicate',
        'ring-full',
        'duplicate',
      ]);
    }
  });

  test('with policy reject waits for a batch whose publisher insists', () => {
    const { table, partition } = rig('reject');
    const reader = table.reader(ID);
    reader.joinHead();
    let sequence = 0;
    const body = 'x'.repeat(1_000);
    const next = (): string => append(partition, batchOf(ID, [body], { producerId: 5, sequence, insists: true }));
    while (next() === 'ok') sequence++;
    expect(next()).toBe('ring-full');
    sequence++;
    expect(next()).toBe('out-of-order');
    partition.publish();
    expect(textsIn(reader)).toHaveLength(--sequence);
    expect(next()).toBe('ok');
  });

  test('without readers takes more than its size in one turn, and tells of all of it', () => {
    for (const overflow of ['block', 'drop-oldest', 'reject'] as const) {
      const { partition } = rig(overflow);
      for (let i = 0; i < 100; i++) expect(append(partition, batchOf(ID, ['x'.repeat(1_000)])), overflow).toBe('ok');
      expect(partition.publish()).toBe(true);
      expect(partition.nextOffset).toBe(100);
      expect(partition.blocked).toBe(false);
    }
  });

  test('a deferred batch keeps later ones of its producer from overtaking', () => {
    const { table, partition } = rig('block');
    const reader = table.reader(ID);
    reader.joinHead();
    while (append(partition, batchOf(ID, ['x'.repeat(1_000)])) === 'ok');
    expect(append(partition, kilobyte())).toBe('NO_ROOM');
    partition.defer(kilobyte().words, 0);
    partition.publish();
    textsIn(reader);
    expect(append(partition, batchOf(ID, ['later'], { producerId: 5, sequence: 1 }))).toBe('out-of-order');
    expect(append(partition, kilobyte())).toBe('ok');
  });
});

describe('a successor', () => {
  test('goes on after the last published offset and answers a batch that comes again with its first offset', () => {
    const { table, partition } = rig();
    append(partition, batchOf(ID, ['a', 'b'], { producerId: 7 }));
    append(partition, batchOf(ID, ['c'], { producerId: 7, sequence: 2 }));
    partition.publish();
    append(partition, batchOf(ID, ['lost'], { producerId: 7, sequence: 3 }));
    const successor = partitionIn(table);
    expect([successor.nextOffset, successor.published]).toEqual([3, 3]);
    expect(append(successor, batchOf(ID, ['a', 'b'], { producerId: 7 }))).toBe('duplicate');
    expect(successor.baseOffset).toBe(0);
    expect(append(successor, batchOf(ID, ['c'], { producerId: 7, sequence: 2 }))).toBe('duplicate');
    expect(successor.baseOffset).toBe(2);
    expect(append(successor, batchOf(ID, ['lost'], { producerId: 7, sequence: 3 }))).toBe('ok');
    expect(successor.baseOffset).toBe(3);
  });

  test('recovers from a ring that has wrapped many times', () => {
    const { table, partition } = rig('drop-oldest');
    for (let i = 0; i < 500; i++) {
      append(partition, batchOf(ID, ['x'.repeat(100 + (i % 300))], { producerId: 1, sequence: i }));
      partition.publish();
    }
    const successor = partitionIn(table);
    expect(successor.nextOffset).toBe(500);
    expect(append(successor, batchOf(ID, ['x'], { producerId: 1, sequence: 499 }))).toBe('duplicate');
    expect(successor.baseOffset).toBe(499);
    expect(append(successor, batchOf(ID, ['x'], { producerId: 1, sequence: 500 }))).toBe('ok');
  });

  test('does not store again what may stand before the oldest batch of its ring', () => {
    const { table, partition } = rig();
    for (let i = 0; i < 500; i++) {
      append(partition, batchOf(ID, ['x'.repeat(200)], { producerId: i < 3 ? 7 : 8, sequence: i < 3 ? i : i - 3 }));
      partition.publish();
    }
    const again = (sequence: number, floor: number, producerId = 7): string => {
      const batch = batchOf(ID, ['x'], { producerId, sequence });
      markRepeat(batch.words, 0, floor);
      return append(successor, batch);
    };
    const successor = partitionIn(table);
    expect([again(0, 0), again(2, 2), again(3, 3)]).toEqual(Array(3).fill('outcome-unknown'));
    expect(successor.nextOffset).toBe(500);
    // Its ring begins where its oldest batch stands: whoever stored something behind that is known.
    expect([again(0, 499, 9), again(5, 499, 10), again(496, 3, 8)]).toEqual(['ok', 'out-of-order', 'duplicate']);
    expect(append(successor, batchOf(ID, ['first'], { producerId: 11 }))).toBe('ok');
  });

  test('does not say that it waits only because its predecessor did', () => {
    const { table, partition } = rig('block');
    const reader = table.reader(ID);
    reader.joinHead();
    while (append(partition, batchOf(ID, ['x'.repeat(1_000)])) === 'ok');
    partition.publish();
    partitionIn(table);
    expect(table.regions.table[ID * PARTITION_ENTRY_WORDS + WRITER_BLOCKED]).toBe(0);
  });
});

test('a partition that was deleted, or lives again as another one, says so', () => {
  const { table, partition } = rig();
  expect(partition.refresh()).toBe(true);
  table.activate(ID, 'block', 2);
  expect(partition.refresh()).toBe(false);
  expect(CODES.ok.number).toBe(0);
});
