import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ArenaAllocator, ArenaSet } from '../../../src/memory/arena.ts';

const BYTES = 1024;

function allocator(): ArenaAllocator {
  return new ArenaAllocator(new ArenaSet().add(3, new SharedArrayBuffer(BYTES)));
}

test('an arena set knows its arenas by id and keeps the first buffer of an id', () => {
  const set = new ArenaSet();
  const first = set.add(1, new SharedArrayBuffer(64));
  expect(set.add(1, new SharedArrayBuffer(128))).toBe(first);
  set.add(2, new SharedArrayBuffer(64));
  expect(set.get(1)).toBe(first);
  expect(set.get(9)).toBeUndefined();
  expect([...set].map((arena) => arena.id)).toEqual([1, 2]);
  expect(first.words.buffer).toBe(first.bytes.buffer);
});

test('blocks are given out from the front until nothing fits', () => {
  const blocks = allocator();
  expect([512, 256, 256].map((length) => blocks.tryAllocate(length))).toEqual([0, 512, 768]);
  expect(blocks.tryAllocate(1)).toBe(-1);
});

test('a freed block joins its neighbours on both sides', () => {
  const blocks = allocator();
  for (let i = 0; i < 4; i++) blocks.tryAllocate(256);
  blocks.free(0, 256);
  blocks.free(512, 256);
  expect(blocks.tryAllocate(512)).toBe(-1);
  blocks.free(256, 256);
  expect(blocks.tryAllocate(768)).toBe(0);
  blocks.free(768, 256);
  blocks.free(0, 768);
  expect(blocks.tryAllocate(BYTES)).toBe(0);
});

test('reserve takes a known block out of the middle, and only once', () => {
  const blocks = allocator();
  blocks.reserve(256, 128);
  expect(blocks.tryAllocate(512)).toBe(384);
  expect(blocks.tryAllocate(256)).toBe(0);
  expect(() => blocks.reserve(256, 8)).toThrow('in use twice');
  expect(() => blocks.reserve(BYTES - 8, 16)).toThrow('in use twice');
  blocks.reserve(BYTES - 128, 128);
  expect(blocks.tryAllocate(8)).toBe(-1);
});

test('a block that is freed twice is a Fault', () => {
  const blocks = allocator();
  blocks.tryAllocate(256);
  blocks.tryAllocate(256);
  blocks.free(0, 256);
  for (const [byte, length] of [
    [0, 256],
    [128, 64],
    [512, 8],
    [256, 512],
  ]) {
    expect(() => blocks.free(byte, length)).toThrow('freed twice');
  }
  blocks.free(256, 256);
});

test('blocks never overlap, and all come back', () => {
  const action = fc.record({ free: fc.boolean(), length: fc.integer({ min: 1, max: 20 }), pick: fc.nat() });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
      const blocks = allocator();
      const live: { byte: number; length: number }[] = [];
      for (const { free, length, pick } of actions) {
        if (free && live.length > 0) {
          const [block] = live.splice(pick % live.length, 1);
          blocks.free(block.byte, block.length);
          continue;
        }
        const byte = blocks.tryAllocate(length * 8);
        if (byte < 0) continue;
        expect(byte + length * 8).toBeLessThanOrEqual(BYTES);
        for (const other of live) {
          expect(byte + length * 8 <= other.byte || other.byte + other.length <= byte).toBe(true);
        }
        live.push({ byte, length: length * 8 });
      }
      const rebuilt = allocator();
      for (const block of live) rebuilt.reserve(block.byte, block.length);
      for (const block of live) rebuilt.free(block.byte, block.length);
      for (const block of live) blocks.free(block.byte, block.length);
      expect([rebuilt.tryAllocate(BYTES), blocks.tryAllocate(BYTES)]).toEqual([0, 0]);
    }),
  );
});
