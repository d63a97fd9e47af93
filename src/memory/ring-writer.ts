// The partition ring, writer's end. A ring holds the newest batches of one partition; one thread writes it, many read.
//
// Who writes: the owner thread writes bytes, TAIL, HEAD and NEXT_OFFSET; every reader its own slot; the owner swaps an
// idle reader's slot to EVICTED. Positions are running int32 byte counts, multiples of 8, compared by subtraction.
// I1  Bytes are written before the TAIL that covers them is stored, and read after it was loaded.
// I2  Bytes before `free` may be overwritten. `free` never passes a slot that gates, and HEAD is published at or
//     beyond `free` before the slots are looked at: a reader that joins at p looks at HEAD after showing its slot, so
//     either the writer sees the slot or the reader sees that p is gone.
// I3  A pinned slot is never evicted; an idle one only where the policy is drop-oldest or the partition is durable (its
//     reader goes on from the log), by compare-exchange. A holding one never.
// I4  Batches never straddle the wrap: padding fills the rest. A batch is at most a quarter of the ring, so the newest
//     batch is always between HEAD and TAIL and a successor of a dead owner finds the next offset there.
import { BATCH_SIZE, MAGIC_WORD_PADDING } from '../../native-layout/batch.ts';
import {
  CURSOR_EVICTED,
  CURSOR_FREE,
  CURSOR_IDLE,
  CURSOR_STATE_MASK,
  NEXT_OFFSET_HIGH,
  NEXT_OFFSET_LOW,
  OVERFLOW_CODES,
  PARTITION_ENTRY_WORDS,
  RING_BATCH_DIVISOR,
  RING_HEAD,
  RING_TAIL,
  SLOT_BASE,
  SLOT_CURSOR,
  SLOT_MASK,
  SLOT_NOTICED,
  SLOT_OWNER,
  SLOT_STRIDE,
  WRITER_BLOCKED,
} from '../../native-layout/partition-table.ts';
import { assert } from '../base/fault.ts';
import { FULL } from './lane.ts';
import { isDurable } from './partition-entry.ts';
import { storeWide } from './wide.ts';

/** Memory of a ring: views of its arena, and where in it the ring lies. */
export interface RingPlace {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Byte index of the ring's first byte in the arena. */
  readonly byte: number;
  /** A power of two. */
  readonly capacity: number;
}

/** What a look at a slot found, for ringing bells: see eachNews(). */
export type NoticeNews = (seat: number, slotWord: number) => void;

const FREE_STEP_DIVISOR = 8;
const EVICT_TRIES_MAX = 4;
const TWO_32 = 4_294_967_296;

export class RingWriter {
  readonly place: RingPlace;
  private readonly table: Int32Array;
  private readonly entry: number;
  private readonly evicts: boolean;
  private readonly mask: number;
  private tail: number;
  private published: number;
  private head: number;
  private free: number;
  private offsetHigh: number;

  /** Attaches to the ring as its only writer; after a predecessor's death it goes on from what that one published. */
  constructor(table: Int32Array, partition: number, place: RingPlace, overflow: number) {
    assert((place.capacity & (place.capacity - 1)) === 0, `ring capacity ${place.capacity} is not a power of two`);
    this.table = table;
    this.entry = partition * PARTITION_ENTRY_WORDS;
    this.place = place;
    this.evicts = overflow === OVERFLOW_CODES['drop-oldest'] || isDurable(table, partition);
    this.mask = place.capacity - 1;
    this.tail = Atomics.load(table, this.entry + RING_TAIL);
    this.published = this.tail;
    this.head = Atomics.load(table, this.entry + RING_HEAD);
    // Unknown: a slot may lie behind HEAD. The first claim looks at all of them.
    this.free = (this.tail - place.capacity) | 0;
    this.offsetHigh = Atomics.load(table, this.entry + NEXT_OFFSET_HIGH);
  }

  /** Largest batch that this ring takes, in bytes. */
  get batchMax(): number {
    return this.place.capacity / RING_BATCH_DIVISOR;
  }

  /** Position after the last committed byte. */
  get position(): number {
    return this.tail;
  }

  /** Oldest position that a reader may join at. */
  get oldest(): number {
    return this.head;
  }

  /**
   * Byte index in the arena of `lengthBytes` (a multiple of 8) contiguous bytes, or FULL if readers hold the room. HOT
   */
  tryClaim(lengthBytes: number): number {
    const index = this.tail & this.mask;
    const toEnd = this.place.capacity - index;
    const padding = lengthBytes > toEnd ? toEnd : 0;
    const end = (this.tail + padding + lengthBytes) | 0;
    if (((end - this.free) | 0) > this.place.capacity && !this.tryFree(end)) return FULL;
    if (padding > 0) {
      const word = (this.place.byte + index) >> 2;
      this.place.words[word] = padding;
      this.place.words[word + 1] = MAGIC_WORD_PADDING;
      this.tail = (this.tail + padding) | 0;
    }
    return this.place.byte + (this.tail & this.mask);
  }

  /** Adds the claimed batch. Nothing is seen before publish(). HOT */
  commit(lengthBytes: number): void {
    this.tail = (this.tail + lengthBytes) | 0;
  }

  /**
   * Shows all committed batches. `nextOffset` is the offset that the next record will get. True if there was news. HOT
   */
  publish(nextOffset: number): boolean {
    if (this.published === this.tail) return false;
    this.published = this.tail;
    const high = Math.floor(nextOffset / TWO_32);
    if (high !== this.offsetHigh) {
      this.offsetHigh = high;
      storeWide(this.table, this.entry + NEXT_OFFSET_LOW, nextOffset);
    } else Atomics.store(this.table, this.entry + NEXT_OFFSET_LOW, nextOffset | 0);
    Atomics.store(this.table, this.entry + RING_TAIL, this.tail); // PUBLISH: batch bytes -> RingReader.tryPin()
    return true;
  }

  /**
   * Fills a fresh ring, before anybody can see it, with whole batches that are in the log: offsets stamped, oldest
   * first, the last one ending at `nextOffset`. At most half a ring, each at most a quarter.
   */
  preload(batches: Uint8Array, nextOffset: number): void {
    assert(this.tail === 0 && this.head === 0, 'ring: only a fresh one is filled');
    const sizes = new DataView(batches.buffer, batches.byteOffset, batches.length);
    for (let at = 0; at < batches.length; ) {
      const size = sizes.getInt32(at + BATCH_SIZE, true);
      assert(size > 0 && at + size <= batches.length && size <= this.batchMax, 'ring: no whole batch to fill it with');
      const target = this.tryClaim(size);
      assert(target !== FULL, 'ring: more batches than it may be filled with');
      this.place.bytes.set(batches.subarray(at, at + size), target);
      this.commit(size);
      at += size;
    }
    this.publish(nextOffset);
  }

  /** Calls `news` for every taken slot whose reader has not been noticed since it last looked. After publish(). HOT */
  eachNews(news: NoticeNews): void {
    let mask = Atomics.load(this.table, this.entry + SLOT_MASK); // OBSERVE: RingReader.join()
    while (mask !== 0) {
      const slot = 31 - Math.clz32(mask & -mask);
      mask &= mask - 1;
      const word = this.entry + SLOT_BASE + slot * SLOT_STRIDE;
      // CLAIM the one notice under way -> RingReader.noticed()
      if (
        Atomics.load(this.table, word + SLOT_NOTICED) === 0 &&
        Atomics.compareExchange(this.table, word + SLOT_NOTICED, 0, 1) === 0
      ) {
        const owner = Atomics.load(this.table, word + SLOT_OWNER);
        if (owner !== 0) news(owner - 1, word);
      }
    }
  }

  /** Calls `visit` with the seat of every reader. */
  eachReader(visit: (seat: number) => void): void {
    let mask = Atomics.load(this.table, this.entry + SLOT_MASK); // OBSERVE: RingReader.join()
    while (mask !== 0) {
      const slot = 31 - Math.clz32(mask & -mask);
      mask &= mask - 1;
      const owner = Atomics.load(this.table, this.entry + SLOT_BASE + slot * SLOT_STRIDE + SLOT_OWNER);
      if (owner !== 0) visit(owner - 1);
    }
  }

  /** Tells readers whether the writer waits for them; they ring the owner's bell on release while it does. */
  setBlocked(blocked: boolean): void {
    Atomics.store(this.table, this.entry + WRITER_BLOCKED, blocked ? 1 : 0); // PARK -> RingReader.release()
  }

  /** Makes room up to `end` by forgetting the oldest batches that no reader holds. */
  private tryFree(end: number): boolean {
    const limit = (end - this.place.capacity) | 0;
    const head = this.oldestAfter(limit);
    if (head !== this.head) {
      this.head = head;
      Atomics.store(this.table, this.entry + RING_HEAD, head); // CLAIM the bytes before it -> RingReader.join()
    }
    let free = head;
    let mask = Atomics.load(this.table, this.entry + SLOT_MASK); // OBSERVE: RingReader.join()
    while (mask !== 0) {
      const slot = 31 - Math.clz32(mask & -mask);
      mask &= mask - 1;
      const gate = this.gateOf(this.entry + SLOT_BASE + slot * SLOT_STRIDE + SLOT_CURSOR, head);
      if (((gate - free) | 0) < 0) free = gate;
    }
    this.free = free;
    return ((end - free) | 0) <= this.place.capacity;
  }

  /**
   * First batch boundary at or after `limit`, and an eighth of the ring further where it can, to look at slots rarely.
   */
  private oldestAfter(limit: number): number {
    const target = (limit + this.place.capacity / FREE_STEP_DIVISOR) | 0;
    let head = this.head;
    while (((head - target) | 0) < 0) {
      const size = this.place.words[(this.place.byte + (head & this.mask) + BATCH_SIZE) >> 2];
      assert(size > 0 && (size & 7) === 0, 'ring: broken batch size under HEAD');
      const next = (head + size) | 0;
      // The newest batch stays; so does everything not yet published.
      if (((next - this.published) | 0) >= 0) break;
      head = next;
    }
    return head;
  }

  /** Position before which this slot allows overwriting; at most `head`. Evicts the reader where that is allowed. */
  private gateOf(cursorWord: number, head: number): number {
    let position = head;
    for (let tries = 0; tries < EVICT_TRIES_MAX; tries++) {
      const cursor = Atomics.load(this.table, cursorWord); // OBSERVE: RingReader.release()
      const state = cursor & CURSOR_STATE_MASK;
      if (state === CURSOR_FREE || state === CURSOR_EVICTED) return head;
      position = cursor & ~CURSOR_STATE_MASK;
      if (((position - head) | 0) >= 0) return head;
      if (!this.evicts || state !== CURSOR_IDLE) return position;
      // CLAIM the reader's bytes -> RingReader.tryPin()
      if (Atomics.compareExchange(this.table, cursorWord, cursor, head | CURSOR_EVICTED) === cursor) return head;
    }
    return position;
  }
}
