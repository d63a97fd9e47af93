// How durable partitions are opened, filled from the log, and given back.
import { describe, expect, test } from 'vitest';
import { BATCH_BASE_OFFSET, BATCH_EPOCH } from '../../../native-layout/batch.ts';
import { SEAT_BELL, SEAT_FIRST_WORKER, SEAT_STORE } from '../../../native-layout/control.ts';
import {
  JOURNAL_SLOT,
  PARTITION_ENTRY_WORDS,
  PLACE_READY,
  SLOT_BASE,
  SLOT_OWNER,
  SLOT_STRIDE,
} from '../../../native-layout/partition-table.ts';
import { CODES, codeName } from '../../../src/base/codes.ts';
import { Doorbell, seatWord } from '../../../src/memory/bell.ts';
import { hasJournalSlot, releaseJournalSlot } from '../../../src/memory/journal.ts';
import { NONE } from '../../../src/memory/lane.ts';
import { NoticeReader } from '../../../src/memory/notice.ts';
import {
  nextOffset,
  placeNumbers,
  setPartitionState,
  startOffset,
  storedPosition,
} from '../../../src/memory/partition-entry.ts';
import { noticesFrom } from '../../../src/memory/regions.ts';
import { EVICTED } from '../../../src/memory/ring-reader.ts';
import { NO_ROOM, type Partition } from '../../../src/partition/partition.ts';
import { putInt64 } from '../../../src/record/int64.ts';
import { type BatchOptions, batchOf, RING, Table, textsIn } from '../../support/engine-table.ts';

const ID = 5;
const DELETED = 2;
/** See bell.ts. */
const PARKED = 1;
const KILOBYTE = 'x'.repeat(1_000);

/** A batch of one record as the log has it. */
function stored(offset: number, text: string, options: BatchOptions = {}): Uint8Array {
  const builder = batchOf(ID, [text], options);
  builder.words[BATCH_EPOCH >> 2] = options.epoch ?? 1;
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, offset);
  return builder.bytes.slice(0, builder.length);
}

function append(partition: Partition | undefined, text: string, options: BatchOptions = {}): string {
  const batch = batchOf(ID, [text], options);
  const status = partition?.append(batch.bytes, batch.words, 0, batch.length, 1) as number;
  if (status === CODES.ok.number) partition?.publish();
  return status === NO_ROOM ? 'NO_ROOM' : codeName(status);
}

/** A partition with offsets 90 to 99 in the log, two of the last three of producer 7. */
function recovered(epoch = 1): Table {
  const table = new Table(true);
  table.activateDurable(ID, 100, 'block', epoch);
  const tail = Array.from({ length: 7 }, (_, i) => stored(90 + i, `old ${90 + i}`));
  tail.push(stored(97, 'first', { producerId: 7 }), stored(98, 'second', { producerId: 7, sequence: 1 }));
  tail.push(stored(99, 'other', { producerId: 8 }));
  table.tails.set(ID, Buffer.concat(tail));
  return table;
}

describe('a durable partition that is opened', () => {
  test('goes on where the log ends, and its ring has the newest that the log has', () => {
    const table = recovered();
    const partition = table.owned().find(ID);
    expect([partition?.nextOffset, partition?.published]).toEqual([100, 100]);
    expect(append(partition, 'new')).toBe('ok');
    const reader = table.reader(ID);
    reader.joinHead();
    const texts = textsIn(reader);
    expect(texts.slice(0, 2)).toEqual(['90:old 90', '91:old 91']);
    expect(texts.slice(-2)).toEqual(['99:other', '100:new']);
    expect(nextOffset(table.regions.table, ID)).toBe(101);
  });

  test('knows its producers again, also those of an epoch before', () => {
    const partition = recovered(2).owned().find(ID);
    const options = { producerId: 7, epoch: 2 };
    expect(append(partition, 'second', { ...options, sequence: 1 })).toBe('duplicate');
    expect(partition?.baseOffset).toBe(98);
    expect(append(partition, 'third', { ...options, sequence: 2 })).toBe('ok');
    expect(partition?.baseOffset).toBe(100);
    expect(append(partition, 'fifth', { ...options, sequence: 4, waits: false })).toBe('out-of-order');
  });

  test('gives the store nothing that the log has already', () => {
    const table = recovered();
    const partition = table.owned().find(ID);
    const store = table.journal(ID);
    expect(store.hasNews).toBe(false);
    expect(storedPosition(table.regions.table, ID, 'durable')).toBe(partition?.writer.position);
    append(partition, 'new');
    expect(textsIn(store)).toEqual(['100:new']);
  });

  test('uses half of the ring at most, and a tail that does not fit the offsets not at all', () => {
    const table = recovered();
    table.tails.set(ID, Buffer.concat(Array.from({ length: 30 }, (_, i) => stored(70 + i, KILOBYTE))));
    const partition = table.owned().find(ID);
    const used = partition?.writer.position as number;
    expect(used).toBeLessThanOrEqual(RING / 2);
    expect(used).toBeGreaterThan(RING / 4);
    const other = recovered();
    other.tails.set(ID, stored(97, 'a hole follows'));
    const empty = other.owned().find(ID);
    expect([empty?.writer.position, empty?.nextOffset]).toEqual([0, 100]);
    expect(append(empty, 'new')).toBe('ok');
    expect(empty?.baseOffset).toBe(100);
  });

  test('knows producers of batches that its ring has no room for', () => {
    const table = recovered();
    const tail = [stored(60, 'early', { producerId: 7 })];
    for (let offset = 61; offset < 100; offset++) tail.push(stored(offset, KILOBYTE));
    table.tails.set(ID, Buffer.concat(tail));
    const partition = table.owned().find(ID);
    expect(append(partition, 'early', { producerId: 7 })).toBe('duplicate');
    expect(partition?.baseOffset).toBe(60);
    expect(append(partition, 'next', { producerId: 7, sequence: 1 })).toBe('ok');
    expect(partition?.baseOffset).toBe(100);
  });

  test('does not ask the log for a partition that never had anything', () => {
    const table = new Table(true);
    table.activateDurable(ID);
    table.tails.set(ID, stored(0, 'of another life'));
    expect(table.owned().find(ID)?.writer.position).toBe(0);
    expect(hasJournalSlot(table.regions.table, ID)).toBe(true);
  });

  test('does not ask the log for a partition that there is no memory for', () => {
    const table = recovered();
    let asked = 0;
    table.tails.get = () => {
      asked++;
      return undefined;
    };
    const full = table.owned(RING / 2);
    expect([full.find(ID), full.find(ID), full.refusal]).toEqual([undefined, undefined, CODES['memory-quota'].number]);
    expect(asked).toBe(0);
    expect(table.owned().find(ID)?.nextOffset).toBe(100);
    expect(asked).toBe(1);
  });

  test('cannot be seen before it is filled and held', () => {
    const table = recovered();
    const { table: words } = table.regions;
    const seen: unknown[] = [];
    const { get } = table.tails;
    table.tails.get = (id) => {
      seen.push(placeNumbers(words, ID), hasJournalSlot(words, ID));
      return get.call(table.tails, id);
    };
    table.owned().find(ID);
    expect(seen).toEqual([undefined, false]);
    expect(placeNumbers(words, ID)).toBeDefined();
  });

  test('is filled from the beginning where the worker died while it filled it', () => {
    const table = recovered();
    const { table: words } = table.regions;
    table.owned().find(ID);
    // As if it had not come to the last step.
    words[ID * PARTITION_ENTRY_WORDS + PLACE_READY] = 0;
    const partition = table.owned().find(ID);
    const reader = table.reader(ID);
    reader.joinHead();
    expect(textsIn(reader)).toHaveLength(10);
    expect(partition?.nextOffset).toBe(100);
    expect(table.journal(ID).hasNews).toBe(false);
  });

  test('waits where a reader still lets go of the store’s slot, and keeps no memory meanwhile', () => {
    const table = recovered();
    const slot = ID * PARTITION_ENTRY_WORDS + SLOT_BASE + JOURNAL_SLOT * SLOT_STRIDE + SLOT_OWNER;
    table.regions.table[slot] = 31;
    const owned = table.owned(RING);
    expect(owned.find(ID)).toBeUndefined();
    expect(owned.refusal).toBe(CODES.busy.number);
    table.regions.table[slot] = 0;
    expect(owned.find(ID)?.nextOffset).toBe(100);
    expect(placeNumbers(table.regions.table, ID)?.byte).toBe(0);
  });

  test('a successor of the worker finds it with everything in it, and the store’s cursor where it was', () => {
    const table = recovered();
    const partition = table.owned().find(ID);
    append(partition, 'new', { producerId: 7, sequence: 2 });
    const store = table.journal(ID);
    const lag = store.lagBytes;
    const [successor] = table.owned().recoverAll();
    expect(successor.nextOffset).toBe(101);
    expect(table.journal(ID).lagBytes).toBe(lag);
    expect(append(successor, 'new', { producerId: 7, sequence: 2 })).toBe('duplicate');
    expect(startOffset(table.regions.table, ID)).toBe(100);
  });
});

describe('a durable ring that the store is behind with', () => {
  function full(overflow: 'block' | 'drop-oldest' | 'reject'): { table: Table; partition: Partition | undefined } {
    const table = new Table(true);
    table.activateDurable(ID, 0, overflow);
    const partition = table.owned().find(ID);
    return { table, partition };
  }

  test.each([
    ['block', 'NO_ROOM'],
    ['drop-oldest', 'NO_ROOM'],
    ['reject', 'ring-full'],
  ] as const)('with overflow %s answers %s, and loses nothing', (overflow, answer) => {
    const { table, partition } = full(overflow);
    let taken = 0;
    while (append(partition, KILOBYTE) === 'ok') expect(++taken).toBeLessThan(100);
    expect(append(partition, KILOBYTE)).toBe(answer);
    const store = table.journal(ID);
    expect(textsIn(store)).toHaveLength(taken);
    expect(append(partition, KILOBYTE)).toBe('ok');
  });

  test('a reader that is too slow is evicted whatever the policy', () => {
    const { table, partition } = full('block');
    append(partition, 'first');
    const reader = table.reader(ID);
    reader.joinHead();
    const store = table.journal(ID);
    for (let i = 0; i < 40; i++) {
      expect(append(partition, KILOBYTE)).toBe('ok');
      textsIn(store);
    }
    expect(reader.tryPin()).toBe(EVICTED);
  });
});

describe('a durable partition that is deleted', () => {
  test('keeps its ring until the store gave its slot up; the store is told of a slot it may not know', () => {
    const table = new Table(true);
    table.activateDurable(ID);
    const { regions } = table;
    const owned = table.owned();
    owned.find(ID);
    setPartitionState(regions.table, ID, DELETED);
    owned.refresh();
    owned.retireDeleted();
    const told: number[] = [];
    owned.eachHeldByStore((id) => told.push(id));
    owned.eachHeldByStore((id) => told.push(id));
    expect(told).toEqual([ID]);
    expect(placeNumbers(regions.table, ID)).toBeDefined();
    expect(releaseJournalSlot(regions.table, ID)).toBe(true);
    owned.retireDeleted();
    owned.eachHeldByStore((id) => told.push(id));
    expect(told).toEqual([ID]);
    expect(placeNumbers(regions.table, ID)).toBeUndefined();
    table.activateDurable(ID, 0, 'block', 2);
    expect(owned.find(ID)?.identity.epoch).toBe(2);
    expect(table.journal(ID).hasNews).toBe(false);
  });

  test('the worker tells the store in its housekeeping', () => {
    const table = new Table(true);
    table.activateDurable(ID);
    const { regions } = table;
    const agent = table.agent();
    const publisher = table.publisher();
    publisher.send(batchOf(ID, ['x'], { ack: 0 }));
    agent.work(1);
    const notices = new NoticeReader(regions.laneWords, noticesFrom(regions.sizes, SEAT_STORE, SEAT_FIRST_WORKER));
    expect(notices.take()).toBe(ID);
    table.journal(ID).noticed();
    setPartitionState(regions.table, ID, DELETED);
    table.routesChanged();
    agent.work(2);
    agent.housekeep(2);
    agent.housekeep(3);
    expect([notices.take(), notices.take()]).toEqual([ID, NONE]);
  });
});

describe('a batch that nobody waits for', () => {
  /** A worker, and whether the store sleeps on; the store takes no notices. */
  function worker() {
    const table = new Table(true);
    table.activateDurable(ID);
    const { control } = table.regions;
    const bell = new Doorbell(control, SEAT_STORE);
    bell.park();
    const agent = table.agent();
    const publisher = table.publisher();
    const sleeps = (text: string, options: BatchOptions): boolean => {
      publisher.send(batchOf(ID, [text], options));
      agent.work(1);
      return control[seatWord(SEAT_STORE) + SEAT_BELL] === PARKED;
    };
    return { sleeps, bell };
  }

  test('does not wake the store; the next one does, although the store has its notice already', () => {
    const { sleeps, bell } = worker();
    expect(sleeps('lazy', { ack: 0, lazy: true })).toBe(true);
    expect(sleeps('lazy too', { ack: 0, lazy: true })).toBe(true);
    expect(sleeps('awaited', { ack: 0 })).toBe(false);
    bell.park();
    expect(sleeps('lazy again', { ack: 0, lazy: true })).toBe(true);
  });

  test('wakes the store when the ring is full of them', () => {
    const { sleeps } = worker();
    let sent = 0;
    while (sleeps(KILOBYTE, { ack: 0, lazy: true, waits: false, insists: true }) && sent < 100) sent++;
    expect(sent).toBeGreaterThan(5);
    expect(sent).toBeLessThan(20);
  });
});
