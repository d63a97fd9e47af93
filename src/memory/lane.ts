// Lanes: single-producer, single-consumer rings of frames between two threads.
//
// Who writes: TAIL and the bytes, the producer; HEAD, the consumer. On which threads: one each, for the lane's life.
// I1  A frame's bytes are written before the TAIL that covers them is stored, and read after it is loaded.
// I2  Bytes are overwritten only after the HEAD that frees them was loaded.
// I3  A producer that dies leaves at most unpublished bytes behind TAIL: nothing to unblock.
// I4  Positions are running int32 counts; differences are taken with `| 0`, so they survive the wrap of the count.
import { LANE_CONTROL_BYTES, LANE_HEAD, LANE_TAIL, LANE_WRAP } from '../../native-layout/lane.ts';
import { assert } from '../base/fault.ts';

/** What a claim answers when there is no room. */
export const FULL = -1;
/** What a look answers when there is nothing. */
export const NONE = -1;

/** Where a lane lies: byte place of its control words in the region, and bytes of frames (a power of two). */
export interface LanePlace {
  readonly byte: number;
  readonly capacity: number;
}

abstract class LaneEnd {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly capacity: number;
  /** Byte index in the region where frames begin. */
  readonly data: number;
  protected readonly tailWord: number;
  protected readonly headWord: number;
  protected readonly mask: number;

  constructor(words: Int32Array, bytes: Uint8Array, place: LanePlace) {
    assert((place.capacity & (place.capacity - 1)) === 0, `lane capacity ${place.capacity} is not a power of two`);
    this.words = words;
    this.bytes = bytes;
    this.capacity = place.capacity;
    this.mask = place.capacity - 1;
    this.tailWord = (place.byte >> 2) + LANE_TAIL;
    this.headWord = (place.byte >> 2) + LANE_HEAD;
    this.data = place.byte + LANE_CONTROL_BYTES;
  }
}

/** The producer's end. */
export class LaneWriter extends LaneEnd {
  private tail: number;
  private published: number;
  private headCache: number;

  constructor(words: Int32Array, bytes: Uint8Array, place: LanePlace) {
    super(words, bytes, place);
    this.tail = Atomics.load(words, this.tailWord);
    this.published = this.tail;
    this.headCache = Atomics.load(words, this.headWord);
  }

  /** Largest frame that this lane takes: half of it, so that a frame and a wrap always fit in turn. */
  get frameMax(): number {
    return this.capacity >> 1;
  }

  /** Bytes that were committed and not yet freed by the consumer, as far as known. */
  get pendingBytes(): number {
    this.headCache = Atomics.load(this.words, this.headWord); // OBSERVE: LaneReader.release()
    return (this.tail - this.headCache) | 0;
  }

  /** True if frames that fill `lengthBytes` together have room, in a lane whose capacity they divide. HOT */
  hasRoom(lengthBytes: number): boolean {
    if (this.capacity - ((this.tail - this.headCache) | 0) >= lengthBytes) return true;
    this.headCache = Atomics.load(this.words, this.headWord); // OBSERVE: LaneReader.release()
    return this.capacity - ((this.tail - this.headCache) | 0) >= lengthBytes;
  }

  /** Byte index in the region of `lengthBytes` (a multiple of 8) contiguous bytes to fill, or FULL. HOT */
  tryClaim(lengthBytes: number): number {
    const index = this.tail & this.mask;
    const toEnd = this.capacity - index;
    const skipped = lengthBytes > toEnd ? toEnd : 0;
    const needed = skipped + lengthBytes;
    if (this.capacity - ((this.tail - this.headCache) | 0) < needed) {
      this.headCache = Atomics.load(this.words, this.headWord); // OBSERVE: LaneReader.release()
      if (this.capacity - ((this.tail - this.headCache) | 0) < needed) return FULL;
    }
    if (skipped > 0) {
      this.words[(this.data + index) >> 2] = LANE_WRAP;
      this.tail = (this.tail + skipped) | 0;
    }
    return this.data + (this.tail & this.mask);
  }

  /** Adds the claimed frame; its first int32 must be its length. Nothing is seen before publish(). HOT */
  commit(lengthBytes: number): void {
    this.tail = (this.tail + lengthBytes) | 0;
  }

  /** Shows all committed frames to the consumer. True if there were any. HOT */
  publish(): boolean {
    if (this.published === this.tail) return false;
    this.published = this.tail;
    Atomics.store(this.words, this.tailWord, this.tail); // PUBLISH: frame bytes -> LaneReader.look()
    return true;
  }
}

/** The consumer's end. */
export class LaneReader extends LaneEnd {
  private head: number;
  private released: number;
  private tailCache: number;
  /** Length of the frame that look() found. */
  frameLength = 0;

  constructor(words: Int32Array, bytes: Uint8Array, place: LanePlace) {
    super(words, bytes, place);
    this.head = Atomics.load(words, this.headWord);
    this.released = this.head;
    this.tailCache = this.head;
  }

  /** True if look() would find a frame. */
  get hasNews(): boolean {
    return Atomics.load(this.words, this.tailWord) !== this.head;
  }

  /** Byte index of the next frame, whose length is then in `frameLength`; NONE if there is none. HOT */
  look(): number {
    for (;;) {
      if (this.head === this.tailCache) {
        this.tailCache = Atomics.load(this.words, this.tailWord); // OBSERVE: LaneWriter.publish()
        if (this.head === this.tailCache) return NONE;
      }
      const index = this.head & this.mask;
      const length = this.words[(this.data + index) >> 2];
      if (length !== LANE_WRAP) {
        assert(length > 0 && (length & 7) === 0 && index + length <= this.capacity, 'lane: broken frame length');
        this.frameLength = length;
        return this.data + index;
      }
      this.head = (this.head + this.capacity - index) | 0;
    }
  }

  /** Steps over the frame that look() found. Its bytes stay valid until release(). HOT */
  consume(): void {
    this.head = (this.head + this.frameLength) | 0;
  }

  /** Gives the bytes of all consumed frames back to the producer. True if there were any. HOT */
  release(): boolean {
    if (this.released === this.head) return false;
    this.released = this.head;
    Atomics.store(this.words, this.headWord, this.head); // PUBLISH: free bytes -> LaneWriter.tryClaim()
    return true;
  }
}
