import { describe, expect, test } from 'vitest';
import { SEAT_STORE } from '../../../native-layout/control.ts';
import {
  CURSOR_HOLDING,
  CURSOR_STATE_MASK,
  JOURNAL_SLOT,
  PARTITION_DURABLE,
  PARTITION_EPOCH,
  PARTITION_STATE,
  PARTITION_STATES,
  PLACE_READY,
  SLOT_BASE,
  SLOT_COUNT,
  SLOT_CURSOR,
  SLOT_MASK,
  SLOT_NOTICED,
  SLOT_OWNER,
  SLOT_STRIDE,
} from '../../../native-layout/partition-table.ts';
import { hasJournalSlot, openJournalSlot, releaseJournalSlot, tryNoticeJournal } from '../../../src/memory/journal.ts';
import { publishPlace, setStoredPosition, storedPosition, tryRetire } from '../../../src/memory/partition-entry.ts';
import { EVICTED, RingReader } from '../../../src/memory/ring-reader.ts';
import { NEAR_WRAP, publish, put, RingRig, readAll, sequencesIn } from './support.ts';

const SLOT = SLOT_BASE + JOURNAL_SLOT * SLOT_STRIDE;
const BATCH = 64;

/** A durable partition whose ring begins at `position`; `place` shows it. */
function durable(position = 0, place = true): RingRig {
  const rig = new RingRig('block', 256, position);
  rig.table[rig.word(PARTITION_DURABLE)] = 1;
  rig.table[rig.word(PARTITION_STATE)] = PARTITION_STATES.active;
  rig.table[rig.word(PARTITION_EPOCH)] = 7;
  expect(openJournalSlot(rig.table, rig.partition)).toBe(true);
  if (place) publishPlace(rig.table, rig.partition, 1, rig.place.byte, rig.place.capacity);
  return rig;
}

function adopt(rig: RingRig): RingReader {
  const reader = RingReader.tryAdopt(rig.table, rig.partition, rig.place, rig.bells);
  if (!reader) throw new Error('the store has no slot');
  return reader;
}

function cursorOf(rig: RingRig): { position: number; state: number } {
  const cursor = rig.table[rig.word(SLOT + SLOT_CURSOR)];
  return { position: cursor & ~CURSOR_STATE_MASK, state: cursor & CURSOR_STATE_MASK };
}

describe.each([0, NEAR_WRAP])('the journal slot of a ring whose cursors start at %i', (start) => {
  test('is opened for the store at the end of the ring, with the stored positions there', () => {
    const rig = durable(start);
    expect(hasJournalSlot(rig.table, rig.partition)).toBe(true);
    expect(cursorOf(rig)).toEqual({ position: start, state: CURSOR_HOLDING });
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(1);
    expect(storedPosition(rig.table, rig.partition, 'written')).toBe(start);
    expect(storedPosition(rig.table, rig.partition, 'durable')).toBe(start);
    expect(hasJournalSlot(rig.table, 0)).toBe(false);
  });

  test('stays as it is when a successor of the owner opens it again', () => {
    const rig = durable(start);
    const writer = rig.writer();
    publish(writer, BATCH, 0);
    const store = adopt(rig);
    store.advance(store.tryPin());
    setStoredPosition(rig.table, rig.partition, 'written', store.position);
    publish(writer, BATCH, 1);
    expect(store.tryPin()).toBe(BATCH);
    expect(openJournalSlot(rig.table, rig.partition)).toBe(true);
    expect(cursorOf(rig)).toEqual({ position: (start + BATCH) | 0, state: CURSOR_HOLDING });
    expect(storedPosition(rig.table, rig.partition, 'written')).toBe((start + BATCH) | 0);
    expect(sequencesIn(store, BATCH)).toEqual([1]);
  });

  test('is made anew where the owner died before the ring could be seen', () => {
    const rig = durable(start, false);
    rig.table[rig.word(SLOT + SLOT_NOTICED)] = 1;
    publish(rig.writer(), BATCH, 0);
    expect(openJournalSlot(rig.table, rig.partition)).toBe(true);
    expect(cursorOf(rig)).toEqual({ position: (start + BATCH) | 0, state: CURSOR_HOLDING });
    expect(storedPosition(rig.table, rig.partition, 'durable')).toBe((start + BATCH) | 0);
    expect(rig.table[rig.word(SLOT + SLOT_NOTICED)]).toBe(0);
  });

  test('holds the writer, store thread or not, while every other reader is evicted', () => {
    const rig = durable(start);
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinHead();
    expect([0, 1, 2, 3].map((sequence) => put(writer, BATCH, sequence))).toEqual([true, true, true, true]);
    writer.publish(4);
    expect(put(writer, BATCH, 4)).toBe(false);
    const store = adopt(rig);
    for (const sequence of [0, 1]) {
      expect(sequencesIn(store, store.tryPin())[0]).toBe(sequence);
      store.advance(BATCH);
    }
    expect(put(writer, BATCH, 4)).toBe(true);
    expect(put(writer, BATCH, 5)).toBe(true);
    expect(put(writer, BATCH, 6)).toBe(false);
    writer.publish(6);
    expect(reader.tryPin()).toBe(EVICTED);
    expect(readAll(store)).toEqual([2, 3, 4, 5]);
  });

  test('is adopted where a dead store thread left it, pinned or not, and read to the end', () => {
    const rig = durable(start);
    const writer = rig.writer();
    for (let sequence = 0; sequence < 3; sequence++) publish(writer, BATCH, sequence);
    const dead = adopt(rig);
    dead.tryPin();
    dead.advance(BATCH);
    dead.tryPin();
    rig.table[rig.word(SLOT + SLOT_NOTICED)] = 1;
    const heir = adopt(rig);
    expect(heir.position).toBe((start + BATCH) | 0);
    expect(cursorOf(rig)).toEqual({ position: (start + BATCH) | 0, state: CURSOR_HOLDING });
    expect(heir.hasNews).toBe(true);
    expect(readAll(heir)).toEqual([1, 2]);
    const news: number[] = [];
    publish(writer, BATCH, 3);
    writer.eachNews((seat) => news.push(seat));
    expect(news).toEqual([SEAT_STORE]);
  });
});

describe('in a durable partition', () => {
  test('readers get slots 1 to 31, and never the store’s', () => {
    const rig = durable();
    const readers = Array.from({ length: SLOT_COUNT - 1 }, () => rig.open());
    expect(rig.tryOpen()).toBeUndefined();
    for (const reader of readers) reader.close();
    expect(rig.table[rig.word(SLOT + SLOT_OWNER)]).toBe(SEAT_STORE + 1);
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(1);
  });

  test('a reader that comes before the owner leaves the store’s slot alone', () => {
    const rig = new RingRig();
    rig.table[rig.word(PARTITION_DURABLE)] = 1;
    rig.open();
    expect(openJournalSlot(rig.table, rig.partition)).toBe(true);
  });

  test('a slot that a reader of the life before still lets go of is not taken from it', () => {
    const rig = new RingRig();
    rig.table[rig.word(PARTITION_DURABLE)] = 1;
    rig.table[rig.word(SLOT + SLOT_OWNER)] = 31;
    expect(openJournalSlot(rig.table, rig.partition)).toBe(false);
    expect(rig.table[rig.word(SLOT + SLOT_OWNER)]).toBe(31);
    expect(RingReader.tryAdopt(rig.table, rig.partition, rig.place, rig.bells)).toBeUndefined();
    rig.table[rig.word(SLOT + SLOT_OWNER)] = 0;
    expect(openJournalSlot(rig.table, rig.partition)).toBe(true);
  });
});

describe('a deleted durable partition', () => {
  function deleted(): RingRig {
    const rig = durable();
    rig.table[rig.word(PARTITION_STATE)] = PARTITION_STATES.deleted;
    return rig;
  }

  test('I7: is retired after the store gave its slot up, also one that the store never read', () => {
    const rig = deleted();
    expect(tryRetire(rig.table, rig.partition)).toBe(false);
    expect(releaseJournalSlot(rig.table, rig.partition)).toBe(true);
    expect(releaseJournalSlot(rig.table, rig.partition)).toBe(false);
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(0);
    expect(tryRetire(rig.table, rig.partition)).toBe(true);
    expect(rig.table[rig.word(PLACE_READY)]).toBe(0);
  });

  test('I7: the slot of one that lives is not given up', () => {
    const rig = durable();
    expect(releaseJournalSlot(rig.table, rig.partition)).toBe(false);
    expect(hasJournalSlot(rig.table, rig.partition)).toBe(true);
    expect(cursorOf(rig).state).toBe(CURSOR_HOLDING);
  });

  test('the store is told of its slot once, and again after it has looked', () => {
    const rig = deleted();
    expect(tryNoticeJournal(rig.table, rig.partition)).toBe(true);
    expect(tryNoticeJournal(rig.table, rig.partition)).toBe(false);
    adopt(rig).noticed();
    expect(tryNoticeJournal(rig.table, rig.partition)).toBe(true);
    releaseJournalSlot(rig.table, rig.partition);
    rig.table[rig.word(SLOT + SLOT_NOTICED)] = 0;
    expect(tryNoticeJournal(rig.table, rig.partition)).toBe(false);
  });
});
