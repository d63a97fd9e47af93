// The index of one bucket of timers that is due or nearly so: a wheel with a slot for every millisecond, each a list in
// order of arrival (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987). 16 bytes a message (place,
// length, number in the timer topic, next in the slot) and 8 KiB for each second that has any.
import { assert } from '../base/fault.ts';
import { BUCKET_MS } from './deliver-time.ts';
import { indexOfOffset } from './offset-index.ts';

const BLOCK_SLOTS = 1_000;
const BLOCKS = BUCKET_MS / BLOCK_SLOTS;
const NONE = -1;
const FIRST_CAPACITY = 64;
/** Places are kept in units of this many bytes, so that 32 bits reach 32 GiB. */
const PLACE_BYTES = 8;

/** The slots of one second. */
interface Block {
  readonly head: Int32Array;
  readonly tail: Int32Array;
  waiting: number;
}

export class TimerWheel {
  /** Messages that it knows; the number of the next one. */
  count = 0;
  /** Messages that wait in slots. */
  waiting = 0;
  private readonly blocks: (Block | undefined)[] = new Array<Block | undefined>(BLOCKS).fill(undefined);
  private places = new Uint32Array(FIRST_CAPACITY);
  private lengths = new Uint32Array(FIRST_CAPACITY);
  private offsets = new Uint32Array(FIRST_CAPACITY);
  private nexts = new Int32Array(FIRST_CAPACITY);
  /** No earlier slot has any. */
  private cursor = 0;

  /**
   * The next message of the bucket: due at `slot` (milliseconds after the bucket's begin), its bytes at `place` of the
   * file, `offset` in the timer topic. `over`: it was fired or recalled already, and does not wait. Returns its
   * number. HOT
   */
  add(slot: number, place: number, length: number, offset: number, over: boolean): number {
    if (this.count === this.nexts.length) this.grow();
    const ordinal = this.count++;
    this.places[ordinal] = place / PLACE_BYTES;
    this.lengths[ordinal] = length;
    this.offsets[ordinal] = offset;
    this.nexts[ordinal] = NONE;
    if (!over) this.link(ordinal, slot);
    return ordinal;
  }

  place(ordinal: number): number {
    return this.places[ordinal] * PLACE_BYTES;
  }

  length(ordinal: number): number {
    return this.lengths[ordinal];
  }

  /** Number of the message with this offset in the timer topic; -1: there is none. Offsets ascend. */
  ordinalAt(offset: number): number {
    return indexOfOffset(this.offsets, this.count, offset);
  }

  /** Takes up to into.length messages that are due by `slot`, the earliest first. Returns how many. HOT */
  takeDue(slot: number, into: Uint32Array, most: number): number {
    const last = Math.min(slot, BUCKET_MS - 1);
    let taken = 0;
    while (this.cursor <= last && this.waiting > 0) {
      const block = this.blocks[(this.cursor / BLOCK_SLOTS) | 0];
      if (block === undefined || block.waiting === 0) {
        this.cursor = (((this.cursor / BLOCK_SLOTS) | 0) + 1) * BLOCK_SLOTS;
        continue;
      }
      const place = this.cursor % BLOCK_SLOTS;
      let ordinal = block.head[place];
      while (ordinal !== NONE && taken < most) {
        into[taken++] = ordinal;
        block.waiting--;
        this.waiting--;
        ordinal = this.nexts[ordinal];
      }
      block.head[place] = ordinal;
      if (taken === most) return taken;
      this.cursor++;
    }
    return taken;
  }

  /** Slot of the earliest message that waits; -1: none does. */
  nextSlot(): number {
    if (this.waiting === 0) return NONE;
    for (; ; this.cursor++) {
      const block = this.blocks[(this.cursor / BLOCK_SLOTS) | 0];
      if (block === undefined || block.waiting === 0) {
        this.cursor = (((this.cursor / BLOCK_SLOTS) | 0) + 1) * BLOCK_SLOTS - 1;
      } else if (block.head[this.cursor % BLOCK_SLOTS] !== NONE) return this.cursor;
      assert(this.cursor < BUCKET_MS, 'a message waits in no slot');
    }
  }

  private link(ordinal: number, slot: number): void {
    const index = (slot / BLOCK_SLOTS) | 0;
    let block = this.blocks[index];
    if (block === undefined) {
      block = {
        head: new Int32Array(BLOCK_SLOTS).fill(NONE),
        tail: new Int32Array(BLOCK_SLOTS),
        waiting: 0,
      };
      this.blocks[index] = block;
    }
    const place = slot % BLOCK_SLOTS;
    if (block.head[place] === NONE) block.head[place] = ordinal;
    else this.nexts[block.tail[place]] = ordinal;
    block.tail[place] = ordinal;
    block.waiting++;
    this.waiting++;
    // The clock was set back, or the message came late.
    if (slot < this.cursor) this.cursor = slot;
  }

  private grow(): void {
    const capacity = this.nexts.length * 2;
    this.places = grown(this.places, capacity);
    this.lengths = grown(this.lengths, capacity);
    this.offsets = grown(this.offsets, capacity);
    const nexts = new Int32Array(capacity);
    nexts.set(this.nexts);
    this.nexts = nexts;
  }
}

function grown(old: Uint32Array<ArrayBuffer>, capacity: number): Uint32Array<ArrayBuffer> {
  const array = new Uint32Array(capacity);
  array.set(old);
  return array;
}
