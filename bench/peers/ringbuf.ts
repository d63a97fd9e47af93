// ringbuf.js with the types that it does not bring along.
import * as ringbuf from 'ringbuf.js';

export interface RingBufferLike {
  push(elements: Uint8Array, length?: number, offset?: number): number;
  pop(elements: Uint8Array, length?: number, offset?: number): number;
}

interface RingBufferClass {
  getStorageForCapacity(capacity: number, type: typeof Uint8Array): SharedArrayBuffer;
  new (storage: SharedArrayBuffer, type: typeof Uint8Array): RingBufferLike;
}

const { RingBuffer } = ringbuf as unknown as { RingBuffer: RingBufferClass };

/** The same bytes that one of our rings gets by default. */
const CAPACITY = 4 * 1024 * 1024;

export function ringStorage(): SharedArrayBuffer {
  return RingBuffer.getStorageForCapacity(CAPACITY, Uint8Array);
}

export function openRing(storage: SharedArrayBuffer): RingBufferLike {
  return new RingBuffer(storage, Uint8Array);
}
