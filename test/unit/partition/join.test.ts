import { describe, expect, test } from 'vitest';
import { setOldestOffset } from '../../../src/memory/partition-entry.ts';
import { EVICTED, type RingReader } from '../../../src/memory/ring-reader.ts';
import { joinAt, ringHas } from '../../../src/partition/join.ts';
import type { Partition } from '../../../src/partition/partition.ts';
import type { PartitionRoute, PartitionStart, StartFrom } from '../../../src/wire/commands.ts';
import { batchOf, Table, textsIn, WORKER } from '../../support/engine-table.ts';

const ID = 3;
const EPOCHS = [
  { epoch: 2, offset: 0 },
  { epoch: 4, offset: 60 },
  { epoch: 5, offset: 80 },
];

interface Rig {
  readonly table: Table;
  readonly partition: Partition;
  readonly route: PartitionRoute;
}

/** A partition that goes on at offset 100, with the epochs above if it is durable. */
function rig(durable: boolean, nextOffset = 100, oldest = 0): Rig {
  const table = new Table(durable);
  if (durable) table.activateDurable(ID, nextOffset, 'block', 5);
  else table.activate(ID, 'drop-oldest', 5);
  setOldestOffset(table.regions.table, ID, oldest);
  const partition = table.owned().find(ID) as Partition;
  const history = { nextOffset, oldestOffset: oldest, epochs: durable ? EPOCHS : [] };
  return {
    table,
    partition,
    route: { id: ID, number: 7, owner: WORKER, epoch: 5, permission: 6, available: true, ...history },
  };
}

/** Appends single records until `next` is the partition's next offset. */
function fill({ partition }: Rig, next: number, bodyBytes = 8): void {
  while (partition.nextOffset < next) {
    const batch = batchOf(ID, ['x'.repeat(bodyBytes)], { epoch: 5 });
    expect(partition.append(batch.bytes, batch.words, 0, batch.length, 1)).toBe(0);
    partition.publish();
  }
}

function join({ table, route }: Rig, from: StartFrom): PartitionStart & { readonly reader: RingReader } {
  const reader = table.reader(ID);
  return { ...joinAt(table.regions.table, reader, route, from), reader };
}

function at(epoch: number, offset: number): StartFrom {
  return { positions: [{ partition: 7, epoch, offset }] };
}

describe('joinAt in a durable partition', () => {
  test.each<[string, StartFrom, object]>([
    ['earliest: the oldest that the log has', 'earliest', { offset: 20, gap: false }],
    ['latest: behind the newest', 'latest', { offset: 103, gap: false }],
    ['last: counted from the end', { last: 10 }, { offset: 93, gap: false }],
    ['last: as much as there is', { last: 500 }, { offset: 20, gap: false }],
    ['last 0: nothing old', { last: 0 }, { offset: 103, gap: false }],
    ['offset: anything that the log has', { offset: 55 }, { offset: 55, gap: false }],
    ['offset: the next one to come', { offset: 103 }, { offset: 103, gap: false }],
    ['offset: older than the log', { offset: 5 }, { offset: 20, gap: true, gapFrom: 5 }],
    ['offset: not written yet', { offset: 999 }, { offset: 103, gap: true, gapFrom: 103 }],
    ['no position for this partition', { positions: [] }, { offset: 20, gap: false }],
    ['a position of the present epoch', at(5, 90), { offset: 90, gap: false }],
    ['a position of the present epoch before its start', at(5, 30), { offset: 30, gap: false }],
    ['an older epoch, up to where the next one starts', at(4, 80), { offset: 80, gap: false }],
    ['an older epoch, beyond where the next one starts', at(4, 81), { offset: 80, gap: true, gapFrom: 80 }],
    ['an epoch before that', at(2, 61), { offset: 60, gap: true, gapFrom: 60 }],
    ['an older epoch, removed from the log', at(2, 19), { offset: 20, gap: true, gapFrom: 19 }],
    ['an epoch that nobody knows any more', at(1, 30), { offset: 30, gap: true, gapFrom: 30 }],
    ['an epoch that is still to come', at(9, 999), { offset: 103, gap: true, gapFrom: 103 }],
  ])('%s', (_name, from, expected) => {
    const one = rig(true, 100, 20);
    fill(one, 103);
    expect(join(one, from)).toMatchObject({ id: ID, number: 7, epoch: 5, ...expected });
  });

  test('an older epoch whose next one starts at what retention removed goes on at the oldest', () => {
    const one = rig(true, 100, 70);
    expect(join(one, at(2, 75))).toMatchObject({ offset: 70, gap: true, gapFrom: 60 });
  });

  test('an older epoch whose successor was itself taken back in part is good up to the earliest start after it', () => {
    const one = rig(true, 100, 20);
    const epochs = [...EPOCHS.slice(0, 2), { epoch: 5, offset: 50 }];
    const route = { ...one.route, epochs };
    expect(join({ ...one, route }, at(2, 55))).toMatchObject({ offset: 50, gap: true, gapFrom: 50 });
  });

  test('what retention removed of a position that was taken back is missing from where that began', () => {
    const one = rig(true, 100, 90);
    expect(join(one, at(4, 85))).toMatchObject({ offset: 90, gap: true, gapFrom: 80 });
  });

  test('a time is not for it', () => {
    expect(() => join(rig(true), { time: 1 })).toThrow(expect.objectContaining({ code: 'illegal-argument' }));
  });
});

describe('joinAt in a volatile partition', () => {
  test('knows what the ring has, and older epochs are gone', () => {
    const one = rig(false);
    fill(one, 40, 1_000);
    const oldest = join(one, 'earliest').offset;
    expect(oldest).toBeGreaterThan(0);
    expect(join(one, { offset: oldest + 1 })).toMatchObject({ offset: oldest + 1, gap: false });
    expect(join(one, { offset: 1 })).toMatchObject({ offset: oldest, gap: true, gapFrom: 1 });
    expect(join(one, at(4, 39))).toMatchObject({ offset: oldest, gap: true, gapFrom: oldest });
  });
});

describe('ringHas', () => {
  test('in an empty ring: the offset that will be the first, and none before', () => {
    const one = rig(true);
    const { reader } = join(one, 'earliest');
    expect([99, 100, 101].map((offset) => ringHas(reader, offset))).toEqual([false, true, true]);
    fill(one, 102);
    expect(ringHas(reader, 100)).toBe(true);
    expect(textsIn(reader)).toHaveLength(2);
  });

  test('in a ring that has moved on: what it still has, and the reader stands at its oldest batch', () => {
    const one = rig(true);
    // As the store would: it gives up what the log has.
    const store = one.table.journal(ID);
    const { reader } = join(one, 'earliest');
    for (let next = 101; next <= 140; next++) {
      fill(one, next, 1_000);
      store.joinTail();
    }
    expect(reader.tryPin()).toBe(EVICTED);
    expect(ringHas(reader, 100)).toBe(false);
    const oldest = Number(textsIn(reader)[0].split(':')[0]);
    expect(oldest).toBeGreaterThan(100);
    expect(ringHas(reader, oldest - 1)).toBe(false);
    expect(ringHas(reader, oldest)).toBe(true);
    expect(textsIn(reader)).toHaveLength(140 - oldest);
    expect(ringHas(reader, 140)).toBe(true);
  });
});
