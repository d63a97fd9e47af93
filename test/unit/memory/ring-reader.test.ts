import { describe, expect, test } from 'vitest';
import {
  CURSOR_FREE,
  CURSOR_HOLDING,
  CURSOR_IDLE,
  CURSOR_PINNED,
  PARTITION_EPOCH,
  PARTITION_OWNER,
  PARTITION_STATE,
  PARTITION_STATES,
  RING_HEAD,
  RING_TAIL,
  SLOT_BASE,
  SLOT_COUNT,
  SLOT_CURSOR,
  SLOT_MASK,
  SLOT_OWNER,
  SLOT_STRIDE,
} from '../../../native-layout/partition-table.ts';
import { Doorbell, seatWord } from '../../../src/memory/bell.ts';
import { EMPTY, EVICTED, releaseSlotsOf } from '../../../src/memory/ring-reader.ts';
import { NEAR_WRAP, publish, put, RingRig, readAll, sequencesIn } from './support.ts';

const OWNER_SEAT = 2;
const SEAT_BELL_WORD = 32;

function isRung(rig: RingRig): boolean {
  return rig.control[seatWord(OWNER_SEAT) + SEAT_BELL_WORD] === 0;
}

describe('slots', () => {
  test('there are 32, the 33rd reader gets none, and a closed one is free again', () => {
    const rig = new RingRig();
    const readers = Array.from({ length: SLOT_COUNT }, () => rig.open());
    expect(rig.tryOpen()).toBeUndefined();
    for (const reader of readers) reader.joinTail();
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(-1);
    readers[17].close();
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(~(1 << 17));
    const again = rig.open({ seat: 40 });
    expect(rig.table[rig.word(SLOT_BASE + 17 * SLOT_STRIDE + SLOT_OWNER)]).toBe(41);
    expect(rig.tryOpen()).toBeUndefined();
    again.close();
  });

  test('a closed reader leaves nothing behind', () => {
    const rig = new RingRig();
    const reader = rig.open();
    reader.joinHead();
    reader.close();
    const slot = rig.word(SLOT_BASE);
    expect([rig.table[slot + SLOT_CURSOR], rig.table[slot + SLOT_OWNER]]).toEqual([CURSOR_FREE, 0]);
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(0);
  });

  test('with an epoch, a deleted or reborn partition declines and keeps no slot', () => {
    const rig = new RingRig();
    rig.table[rig.word(PARTITION_STATE)] = PARTITION_STATES.active;
    rig.table[rig.word(PARTITION_EPOCH)] = 3;
    expect(rig.tryOpen({ seat: 5, epoch: 4 })).toBeUndefined();
    expect(rig.tryOpen({ seat: 5, epoch: 3 })).toBeDefined();
    rig.table[rig.word(PARTITION_STATE)] = PARTITION_STATES.deleted;
    expect(rig.tryOpen({ seat: 5, epoch: 3 })).toBeUndefined();
    expect(rig.table[rig.word(SLOT_BASE + SLOT_STRIDE + SLOT_OWNER)]).toBe(0);
  });
});

describe.each([0, NEAR_WRAP])('a reader of a ring whose cursors start at %i', (start) => {
  test('I5: the cursor word is position and state: idle, pinned, idle again', () => {
    const rig = new RingRig('block', 256, start);
    const writer = rig.writer();
    const reader = rig.open();
    const cursor = (): number => rig.table[rig.word(SLOT_BASE + SLOT_CURSOR)];
    reader.joinTail();
    expect(cursor()).toBe(start | CURSOR_IDLE);
    publish(writer, 32, 1);
    reader.tryPin();
    expect(cursor()).toBe(start | CURSOR_PINNED);
    reader.advance(32);
    expect(cursor()).toBe((start + 32) | 0 | CURSOR_IDLE);
    const holding = rig.open({ seat: 6, holds: true });
    holding.joinTail();
    expect(rig.table[rig.word(SLOT_BASE + SLOT_STRIDE)]).toBe((start + 32) | 0 | CURSOR_HOLDING);
  });

  test('joinHead gets all that is there, joinTail only what comes', () => {
    const rig = new RingRig('block', 256, start);
    const writer = rig.writer();
    publish(writer, 32, 0);
    publish(writer, 32, 1);
    const [oldest, newest] = [rig.open(), rig.open()];
    oldest.joinHead();
    newest.joinTail();
    publish(writer, 32, 2);
    expect(oldest.lagBytes).toBe(96);
    expect(newest.lagBytes).toBe(32);
    expect(readAll(oldest)).toEqual([0, 1, 2]);
    expect(readAll(newest)).toEqual([2]);
    expect([oldest.position, oldest.lagBytes, oldest.drained]).toEqual([(start + 96) | 0, 0, true]);
  });

  test('a pinned span ends at the wrap and the next one begins behind it', () => {
    const rig = new RingRig('block', 256, start & ~255);
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    for (let sequence = 0; sequence < 4; sequence++) publish(writer, 56, sequence);
    expect(sequencesIn(reader, reader.tryPin())).toEqual([0, 1, 2, 3]);
    reader.advance(56 * 2);
    publish(writer, 40, 4);
    const length = reader.tryPin();
    expect(length).toBe(256 - 112);
    expect(sequencesIn(reader, length)).toEqual([2, 3]);
    reader.advance(112);
    expect(reader.drained).toBe(false);
    const behind = reader.tryPin();
    expect([reader.start, behind]).toEqual([rig.place.byte, 40]);
    reader.advance(behind);
    expect(reader.drained).toBe(true);
    expect(reader.position).toBe(writer.position);
  });

  test('padding that is the last thing published is stepped over and answers EMPTY', () => {
    const rig = new RingRig('block', 256, start & ~255);
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    for (let sequence = 0; sequence < 4; sequence++) publish(writer, 56, sequence);
    reader.tryPin();
    reader.advance(224);
    expect(writer.tryClaim(40)).toBe(rig.place.byte);
    writer.publish(4);
    expect(reader.hasNews).toBe(true);
    expect(reader.tryPin()).toBe(EMPTY);
    expect(reader.hasNews).toBe(false);
    expect(rig.table[rig.word(SLOT_BASE)]).toBe(writer.position | CURSOR_IDLE);
  });

  test('I2: tryJoin takes a position that is still there and declines one that is gone', () => {
    const rig = new RingRig('drop-oldest', 256, start);
    const writer = rig.writer();
    publish(writer, 64, 0);
    const second = writer.position;
    for (let sequence = 1; sequence < 4; sequence++) publish(writer, 32, sequence);
    const reader = rig.open();
    expect(reader.tryJoin(second)).toBe(true);
    expect(readAll(reader)).toEqual([1, 2, 3]);
    for (let sequence = 4; sequence < 20; sequence++) publish(writer, 32, sequence);
    expect(reader.tryJoin(second)).toBe(false);
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(0);
    expect(reader.tryPin()).toBe(EVICTED);
    expect(reader.tryJoin(rig.table[rig.word(RING_HEAD)])).toBe(true);
    expect(reader.tryJoin(rig.table[rig.word(RING_TAIL)])).toBe(true);
  });

  test('I2: a position from more than 2^31 bytes ago is gone, although the count makes it look ahead', () => {
    const rig = new RingRig('drop-oldest', 256, start);
    const writer = rig.writer();
    publish(writer, 64, 0);
    const reader = rig.open();
    const old = (writer.position - 2 ** 31 - 4096) | 0;
    expect(reader.tryJoin(old)).toBe(false);
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(0);
  });
});

describe('a blocked writer', () => {
  function blocked(): { rig: RingRig; bell: Doorbell } {
    const rig = new RingRig();
    rig.table[rig.word(PARTITION_OWNER)] = OWNER_SEAT;
    return { rig, bell: new Doorbell(rig.control, OWNER_SEAT) };
  }

  test('is rung by a reader that releases, and only while it says it waits', () => {
    const { rig, bell } = blocked();
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    publish(writer, 32, 1);
    publish(writer, 32, 2);
    bell.park();
    reader.tryPin();
    reader.advance(32);
    expect(isRung(rig)).toBe(false);
    writer.setBlocked(true);
    reader.tryPin();
    reader.advance(32);
    expect(isRung(rig)).toBe(true);
  });

  test('is rung by a reader that jumps to the newest batch instead of reading', () => {
    const { rig, bell } = blocked();
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    while (put(writer, 64, 0)) writer.publish(1);
    writer.setBlocked(true);
    bell.park();
    reader.joinTail();
    expect(isRung(rig)).toBe(true);
    expect(put(writer, 64, 0)).toBe(true);
  });

  test('is rung by a reader that closes, and by one whose join failed', () => {
    const { rig, bell } = blocked();
    const writer = rig.writer();
    writer.setBlocked(true);
    const reader = rig.open();
    reader.joinTail();
    bell.park();
    reader.close();
    expect(isRung(rig)).toBe(true);
    bell.park();
    expect(rig.open().tryJoin(-64)).toBe(false);
    expect(isRung(rig)).toBe(true);
  });
});

describe('releaseSlotsOf', () => {
  test('clears every slot of the dead thread, pinned or not, and of nobody else', () => {
    const rig = new RingRig();
    const writer = rig.writer();
    const [pinned, idle, other] = [rig.open({ seat: 9 }), rig.open({ seat: 9 }), rig.open({ seat: 8 })];
    rig.open({ seat: 9 }); // never joined
    for (const reader of [pinned, idle, other]) reader.joinTail();
    publish(writer, 32, 1);
    pinned.tryPin();
    expect(releaseSlotsOf(rig.table, rig.partition, 9)).toBe(3);
    expect(rig.table[rig.word(SLOT_MASK)]).toBe(1 << 2);
    expect(releaseSlotsOf(rig.table, rig.partition, 9)).toBe(0);
    expect(readAll(other)).toEqual([1]);
  });

  test('lets a writer go on that a dead reader held', () => {
    const rig = new RingRig('drop-oldest');
    const writer = rig.writer();
    const reader = rig.open({ seat: 9 });
    reader.joinTail();
    publish(writer, 64, 0);
    reader.tryPin();
    let sent = 1;
    while (put(writer, 64, sent)) writer.publish(++sent);
    expect(put(writer, 64, sent)).toBe(false);
    releaseSlotsOf(rig.table, rig.partition, 9);
    expect(put(writer, 64, sent)).toBe(true);
  });
});
