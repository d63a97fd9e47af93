import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAGIC_WORD, MAGIC_WORD_PADDING } from '../../../native-layout/batch.ts';
import {
  CURSOR_EVICTED,
  CURSOR_STATE_MASK,
  RING_HEAD,
  RING_TAIL,
  SLOT_BASE,
  SLOT_CURSOR,
  SLOT_NOTICED,
  WRITER_BLOCKED,
} from '../../../native-layout/partition-table.ts';
import { FULL } from '../../../src/memory/lane.ts';
import { nextOffset } from '../../../src/memory/partition-entry.ts';
import { EVICTED } from '../../../src/memory/ring-reader.ts';
import { RingWriter } from '../../../src/memory/ring-writer.ts';
import { NEAR_WRAP, publish, put, RingRig, readAll, sequencesIn } from './support.ts';

describe.each([0, NEAR_WRAP])('a ring whose cursors start at %i', (start) => {
  test('I1: a committed batch is not seen before publish', () => {
    const rig = new RingRig('block', 256, start);
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    put(writer, 32, 1);
    expect(reader.hasNews).toBe(false);
    expect(reader.tryPin()).toBe(0);
    expect(writer.publish(1)).toBe(true);
    expect(reader.hasNews).toBe(true);
    expect(readAll(reader)).toEqual([1]);
  });

  test('publish says whether there was anything to show', () => {
    const writer = new RingRig('block', 256, start).writer();
    expect(writer.publish(0)).toBe(false);
    put(writer, 8, 1);
    expect(writer.publish(1)).toBe(true);
    expect(writer.publish(1)).toBe(false);
  });

  test('without readers the ring keeps the newest batches and never fills', () => {
    const rig = new RingRig('block', 256, start);
    const writer = rig.writer();
    for (let sequence = 0; sequence < 50; sequence++) publish(writer, 40, sequence);
    const reader = rig.open();
    reader.joinHead();
    const got = readAll(reader);
    expect(got.at(-1)).toBe(49);
    expect(got.length).toBeGreaterThanOrEqual(3);
    expect((writer.position - writer.oldest) | 0).toBeLessThanOrEqual(256);
  });

  test('I4: a batch never straddles the wrap; padding fills the rest', () => {
    const rig = new RingRig('block', 256, start & ~255);
    const writer = rig.writer();
    for (let sequence = 0; sequence < 4; sequence++) publish(writer, 56, sequence);
    expect(writer.tryClaim(40)).toBe(rig.place.byte);
    expect(rig.place.words[(rig.place.byte + 224) >> 2]).toBe(32);
    expect(rig.place.words[((rig.place.byte + 224) >> 2) + 1]).toBe(MAGIC_WORD_PADDING);
    expect((writer.position - (start & ~255)) | 0).toBe(256);
  });

  test('I4: the newest batch stays between HEAD and TAIL, and a batch of batchMax always fits', () => {
    const rig = new RingRig('drop-oldest', 256, start);
    const writer = rig.writer();
    expect(writer.batchMax).toBe(64);
    for (let sequence = 0; sequence < 40; sequence++) {
      publish(writer, writer.batchMax, sequence);
      const reader = rig.open();
      reader.joinHead();
      expect(readAll(reader).at(-1)).toBe(sequence);
      reader.close();
    }
  });

  test('I4: HEAD never passes what is published: a ring full of committed batches is full', () => {
    const rig = new RingRig('drop-oldest', 256, start & ~255);
    const writer = rig.writer();
    for (let sequence = 0; sequence < 4; sequence++) expect(put(writer, 64, sequence)).toBe(true);
    expect(writer.tryClaim(64)).toBe(FULL);
    expect(writer.oldest).toBe(start & ~255);
    writer.publish(4);
    expect(writer.tryClaim(64)).not.toBe(FULL);
  });

  test('I2: under block an idle reader holds the writer, and a release lets it go on', () => {
    const rig = new RingRig('block', 256, start);
    const writer = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    let sent = 0;
    while (put(writer, 64, sent)) writer.publish(++sent);
    expect(sent).toBe(4);
    expect(writer.tryClaim(8)).toBe(FULL);
    const length = reader.tryPin();
    expect(writer.tryClaim(8)).toBe(FULL);
    reader.advance(64);
    expect(writer.tryClaim(64)).not.toBe(FULL);
    expect(length).toBeGreaterThanOrEqual(64);
  });

  test('I3: under drop-oldest an idle reader is evicted, a pinned or holding one is not', () => {
    const rig = new RingRig('drop-oldest', 256, start);
    const writer = rig.writer();
    const idle = rig.open({ seat: 5 });
    idle.joinTail();
    for (let sequence = 0; sequence < 8; sequence++) publish(writer, 64, sequence);
    expect(rig.table[rig.word(SLOT_BASE + SLOT_CURSOR)] & CURSOR_STATE_MASK).toBe(CURSOR_EVICTED);
    expect(idle.hasNews).toBe(true);
    expect(idle.tryPin()).toBe(EVICTED);
    idle.joinHead();
    const length = idle.tryPin();
    const before = sequencesIn(idle, length);
    let sent = 8;
    while (put(writer, 64, sent)) writer.publish(++sent);
    expect(sequencesIn(idle, length)).toEqual(before);
    idle.advance(length);
    expect(put(writer, 64, sent)).toBe(true);
    idle.close();
    const holding = rig.open({ seat: 6, holds: true });
    writer.publish(++sent);
    holding.joinTail();
    const first = sent;
    while (put(writer, 64, sent)) writer.publish(++sent);
    expect(writer.tryClaim(64)).toBe(FULL);
    expect(readAll(holding)).toEqual(Array.from({ length: sent - first }, (_, i) => first + i));
  });

  test('I2: a successor respects a reader that lies behind the HEAD it finds', () => {
    for (const policy of ['block', 'drop-oldest'] as const) {
      const rig = new RingRig(policy, 256, start);
      const first = rig.writer();
      const reader = rig.open();
      reader.joinTail();
      for (let sequence = 0; sequence < 4; sequence++) put(first, 64 - (start === 0 ? 0 : 16), sequence);
      first.publish(4);
      const length = reader.tryPin();
      const pinned = sequencesIn(reader, length);
      while (put(first, 64, 9)) first.publish(9);
      expect((rig.table[rig.word(RING_HEAD)] - reader.position) | 0).toBeGreaterThan(0);
      const successor = rig.writer();
      expect(successor.tryClaim(64)).toBe(FULL);
      expect(sequencesIn(reader, length)).toEqual(pinned);
      reader.advance(length);
      expect(successor.tryClaim(64)).not.toBe(FULL);
    }
  });

  test('a successor goes on where the dead writer published', () => {
    const rig = new RingRig('block', 256, start);
    const first = rig.writer();
    const reader = rig.open();
    reader.joinTail();
    publish(first, 48, 0);
    put(first, 48, 1);
    const successor = rig.writer();
    expect(successor.position).toBe((start + 48) | 0);
    publish(successor, 32, 2);
    expect(readAll(reader)).toEqual([0, 2]);
  });

  test('a ring is a first-in first-out queue for a lossless reader, whatever the sizes', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 120 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 4 }), (batches, group) => {
        const rig = new RingRig('block', 256, start);
        const writer = rig.writer();
        const reader = rig.open();
        reader.joinTail();
        const got: number[] = [];
        for (const [sequence, eighths] of batches.entries()) {
          while (!put(writer, 8 + eighths * 8, sequence)) {
            writer.publish(sequence);
            got.push(...readAll(reader));
          }
          if (sequence % group === 0) writer.publish(sequence + 1);
        }
        writer.publish(batches.length);
        expect([...got, ...readAll(reader)]).toEqual(batches.map((_, sequence) => sequence));
      }),
    );
  });
});

test('a batch of eight bytes has no room for a sequence but is still whole', () => {
  const rig = new RingRig();
  const writer = rig.writer();
  const reader = rig.open();
  reader.joinTail();
  expect(put(writer, 8, 1)).toBe(true);
  writer.publish(1);
  expect(reader.tryPin()).toBe(8);
});

test('publish shows the next offset, past 2^32 too', () => {
  const rig = new RingRig();
  const writer = rig.writer();
  for (const offset of [1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40 + 12345, 2 ** 52]) {
    put(writer, 16, 0);
    writer.publish(offset);
    expect(nextOffset(rig.table, rig.partition)).toBe(offset);
    expect(nextOffset(rig.table, rig.partition)).toBe(offset);
  }
  const successor = rig.writer();
  put(successor, 16, 0);
  successor.publish(2 ** 52 + 1);
  expect(nextOffset(rig.table, rig.partition)).toBe(2 ** 52 + 1);
});

test('each reader is noticed once until it has looked, also the one in the last slot', () => {
  const rig = new RingRig();
  const writer = rig.writer();
  const readers = Array.from({ length: 32 }, (_, seat) => rig.open({ seat: seat + 10 }));
  for (const reader of readers) reader.joinTail();
  const noticed: number[] = [];
  const news = (seat: number): void => void noticed.push(seat);
  publish(writer, 16, 1);
  writer.eachNews(news);
  expect(noticed).toEqual(readers.map((_, seat) => seat + 10));
  writer.eachNews(news);
  expect(noticed.length).toBe(32);
  readers[31].noticed();
  publish(writer, 16, 2);
  writer.eachNews(news);
  expect(noticed.slice(32)).toEqual([41]);
  const seats: number[] = [];
  writer.eachReader((seat) => void seats.push(seat));
  expect(seats).toEqual(readers.map((_, seat) => seat + 10));
});

test('a reader that has not joined, wants no notices, or has left is not noticed', () => {
  const rig = new RingRig();
  const writer = rig.writer();
  rig.open({ seat: 7 });
  const silent = rig.open({ seat: 8, noticed: false });
  silent.joinTail();
  const left = rig.open({ seat: 9 });
  left.joinTail();
  left.close();
  publish(writer, 16, 1);
  const noticed: number[] = [];
  writer.eachNews((seat) => void noticed.push(seat));
  expect(noticed).toEqual([]);
  silent.wantNotices();
  writer.eachNews((seat, word) => {
    noticed.push(seat);
    expect(word).toBe(rig.word(SLOT_BASE) + 32);
    expect(rig.table[word + SLOT_NOTICED]).toBe(1);
  });
  expect(noticed).toEqual([8]);
});

test('setBlocked shows readers that the writer waits', () => {
  const rig = new RingRig();
  const writer = rig.writer();
  writer.setBlocked(true);
  expect(rig.table[rig.word(WRITER_BLOCKED)]).toBe(1);
  writer.setBlocked(false);
  expect(rig.table[rig.word(WRITER_BLOCKED)]).toBe(0);
});

test('broken sizes under HEAD and capacities that are no power of two are Faults', () => {
  const rig = new RingRig();
  const writer = rig.writer();
  for (let sequence = 0; sequence < 4; sequence++) publish(writer, 64, sequence);
  rig.place.words[rig.place.byte >> 2] = 12;
  expect(() => writer.tryClaim(64)).toThrow('broken batch size');
  const place = { ...rig.place, capacity: 96 };
  expect(() => new RingWriter(rig.table, 1, place, 0)).toThrow('power of two');
});

test('another partition of the same table is not touched', () => {
  const rig = new RingRig('drop-oldest', 256, 0, 1);
  const writer = rig.writer();
  const reader = rig.open();
  reader.joinTail();
  for (let sequence = 0; sequence < 20; sequence++) publish(writer, 64, sequence);
  expect(rig.table.subarray(0, rig.word(0)).every((word) => word === 0)).toBe(true);
  expect(rig.table[rig.word(RING_TAIL)]).toBe(20 * 64);
});

describe('preload', () => {
  function batches(...sizes: readonly number[]): Uint8Array {
    const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
    const words = new Int32Array(bytes.buffer);
    let at = 0;
    for (const [sequence, size] of sizes.entries()) {
      words[at >> 2] = size;
      words[(at >> 2) + 1] = MAGIC_WORD;
      words.fill(sequence, (at >> 2) + 2, (at + size) >> 2);
      at += size;
    }
    return bytes;
  }

  test('shows whole batches to whoever comes, and the writer goes on behind them', () => {
    const rig = new RingRig('block');
    rig.writer().preload(batches(64, 24, 40), 3);
    const writer = rig.writer();
    expect([writer.oldest, writer.position]).toEqual([0, 128]);
    expect(nextOffset(rig.table, rig.partition)).toBe(3);
    const reader = rig.open();
    reader.joinHead();
    publish(writer, 64, 3);
    expect(readAll(reader)).toEqual([0, 1, 2, 3]);
  });

  test('nothing to preload leaves a fresh ring', () => {
    const rig = new RingRig('block');
    rig.writer().preload(new Uint8Array(0), 77);
    expect(rig.writer().position).toBe(0);
  });

  test('a ring in use, a batch beyond a quarter and one that is cut off are Faults', () => {
    const used = new RingRig('block');
    const writer = used.writer();
    publish(writer, 64, 0);
    expect(() => writer.preload(batches(64), 2)).toThrow('only a fresh one');
    expect(() => new RingRig('block').writer().preload(batches(72), 1)).toThrow('no whole batch');
    expect(() => new RingRig('block').writer().preload(batches(64).subarray(0, 56), 1)).toThrow('no whole batch');
    expect(() => new RingRig('block').writer().preload(new Uint8Array(64), 1)).toThrow('no whole batch');
  });
});
