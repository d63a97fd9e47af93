// Copies between shared memory and anything else, on every batch's way.
import { Buffer } from 'node:buffer';

/**
 * From here on a call into C++ for the C library's memcpy() pays. In a cache the two are even at 3 KiB, and memcpy()
 * takes half the time at 64; where memory is cold, as with thousands of rings, it pays from 1 KiB on (measured).
 */
const NATIVE_MIN_BYTES = 1024;
// A buffer that is filled with another one of its length is a copy of it.
const { fill } = Buffer.prototype;
// As a method of the target it would be looked up through its prototypes for every copy (2 ns).
const { set } = Uint8Array.prototype;

/**
 * Copies `lengthBytes` bytes from byte `from` of `source` to byte `at` of `target`, which do not overlap. Like set() of
 * a subarray; but V8 moves shared memory word by word, as atomics, for the sake of programs that race. Nobody races
 * here: bytes are handed over by a cursor (ring-writer.ts I1). HOT
 */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, from: number, lengthBytes: number): void {
  const bytes = from === 0 && lengthBytes === source.length ? source : source.subarray(from, from + lengthBytes);
  if (bytes.length < NATIVE_MIN_BYTES) set.call(target, bytes, at);
  else fill.call(target, bytes, at, at + bytes.length);
}
