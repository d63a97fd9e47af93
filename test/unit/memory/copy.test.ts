import { describe, expect, test } from 'vitest';
import { copyBytes } from '../../../src/memory/copy.ts';

const ROOM = 40_000;

function numbered(): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(ROOM));
  for (let i = 0; i < ROOM; i++) bytes[i] = (i * 31) ^ (i >> 8);
  return bytes;
}

// Around the length from which the C library copies, and whole arrays.
const LENGTHS = [0, 1, 7, 8, 1_023, 1_024, 1_025, 4_096, 16_384, 20_000];

describe('copyBytes', () => {
  test.each(LENGTHS)('moves %i bytes to their place and touches no other', (length) => {
    for (const [at, from] of [
      [0, 0],
      [8, 24],
      [13, 5],
      [ROOM - length, ROOM - length],
    ]) {
      const source = numbered();
      const target = new Uint8Array(new SharedArrayBuffer(ROOM)).fill(0xee);
      const wanted = new Uint8Array(ROOM).fill(0xee);
      wanted.set(source.subarray(from, from + length), at);
      copyBytes(target, at, source, from, length);
      expect(Buffer.compare(target, wanted)).toBe(0);
    }
  });

  test('from private memory to shared and back, between views that start inside their buffers', () => {
    const source = numbered();
    const inside = new Uint8Array(new ArrayBuffer(ROOM), 24, 20_008);
    copyBytes(inside, 8, source, 3, 20_000);
    const back = new Uint8Array(new SharedArrayBuffer(ROOM), 16, 20_000);
    copyBytes(back, 0, inside, 8, 20_000);
    expect(Buffer.compare(back, source.subarray(3, 20_003))).toBe(0);
  });

  test('a whole array', () => {
    const source = numbered();
    const target = new Uint8Array(ROOM);
    copyBytes(target, 0, source, 0, ROOM);
    expect(Buffer.compare(target, source)).toBe(0);
  });

  test.each([16, 20_000])('%i bytes that do not fit are refused, and nothing is written', (length) => {
    const target = new Uint8Array(length + 8).fill(1);
    expect(() => copyBytes(target, 16, numbered(), 0, length)).toThrow(RangeError);
    expect(target.every((byte) => byte === 1)).toBe(true);
  });

  test.each([16, 20_000])('a source that ends before %i bytes is not repeated', (length) => {
    const source = numbered();
    const target = new Uint8Array(ROOM).fill(0xee);
    copyBytes(target, 0, source, ROOM - length + 8, length);
    expect(Buffer.compare(target.subarray(0, length - 8), source.subarray(ROOM - length + 8))).toBe(0);
    expect(target.subarray(length - 8, length).every((byte) => byte === 0xee)).toBe(true);
  });
});
