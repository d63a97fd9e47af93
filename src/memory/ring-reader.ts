// The partition ring, reader's end: a slot in the partition's entry with a cursor that the reader pins while it reads.
// Invariants I1-I4 stand in ring-writer.ts.
//
// Who writes: the reader's thread its slot (CURSOR, OWNER, NOTICED back to 0, its bit in SLOT_MASK); the owner of the
// partition swaps CURSOR from idle to evicted and NOTICED from 0 to 1; the supervisor clears slots of dead threads.
// I5  A cursor word is written by compare-exchange while idle and by plain store while pinned or evicted: the owner
//     leaves pinned cursors alone, so nobody else writes then. A cursor that holds is pinned all the time.
import { BATCH_MAGIC, MAGIC_WORD_PADDING } from '../../native-layout/batch.ts';
import { SEAT_STORE } from '../../native-layout/control.ts';
import {
  CURSOR_FREE,
  CURSOR_HOLDING,
  CURSOR_IDLE,
  CURSOR_PINNED,
  CURSOR_STATE_MASK,
  JOURNAL_SLOT,
  PARTITION_ENTRY_WORDS,
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
  SLOT_NOTICED,
  SLOT_OWNER,
  SLOT_STRIDE,
  WRITER_BLOCKED,
} from '../../native-layout/partition-table.ts';
import type { Bells } from './bell.ts';
import { hasJournalSlot } from './journal.ts';
import { isDurable } from './partition-entry.ts';
import type { RingPlace } from './ring-writer.ts';

/** tryPin(): nothing new. */
export const EMPTY = 0;
/** tryPin(): the writer took this reader out; rejoin with join(). */
export const EVICTED = -1;

/** How a reader takes part. */
export interface ReaderOptions {
  /** Seat of the reading thread. */
  readonly seat: number;
  /** Never evicted, whatever the policy: the writer waits (the journal, lossless readers). Default false. */
  readonly holds?: boolean;
  /** Wants notices. False for a second reader of the same thread, which learns of news by itself. Default true. */
  readonly noticed?: boolean;
  /** Epoch that the caller knows the partition by: tryOpen() declines if it was deleted since. Default: no check. */
  readonly epoch?: number;
}

/** Value of NOTICED for a slot that wants no notices: neither 0 nor 1, so the writer never claims it. */
const NO_NOTICES = -1;

export class RingReader {
  readonly partition: number;
  readonly place: RingPlace;
  readonly table: Int32Array;
  private readonly bells: Bells;
  private readonly entry: number;
  private readonly slot: number;
  private readonly slotWord: number;
  private readonly idleState: number;
  private readonly mask: number;
  private current = 0;
  private tailSeen = 0;
  /** Byte index in the arena where the pinned span begins. Valid after tryPin() > 0. */
  start = 0;

  private constructor(
    table: Int32Array,
    partition: number,
    place: RingPlace,
    bells: Bells,
    slot: number,
    o: ReaderOptions,
  ) {
    this.partition = partition;
    this.place = place;
    this.table = table;
    this.bells = bells;
    this.entry = partition * PARTITION_ENTRY_WORDS;
    this.slot = slot;
    this.slotWord = this.entry + SLOT_BASE + slot * SLOT_STRIDE;
    this.idleState = o.holds ? CURSOR_HOLDING : CURSOR_IDLE;
    this.mask = place.capacity - 1;
    Atomics.store(table, this.slotWord + SLOT_NOTICED, o.noticed === false ? NO_NOTICES : 0);
  }

  /**
   * Takes a free slot; undefined if all 32 (31 of a durable partition, where slot 0 is the store's) are taken, or the
   * partition is not the one of `o.epoch` any more. The reader must join next. While it holds the slot, joined or not,
   * the partition keeps its ring (tryRetire()).
   */
  static tryOpen(
    table: Int32Array,
    partition: number,
    place: RingPlace,
    bells: Bells,
    o: ReaderOptions,
  ): RingReader | undefined {
    const entry = partition * PARTITION_ENTRY_WORDS;
    for (let slot = isDurable(table, partition) ? JOURNAL_SLOT + 1 : 0; slot < SLOT_COUNT; slot++) {
      const owner = entry + SLOT_BASE + slot * SLOT_STRIDE + SLOT_OWNER;
      // CLAIM the slot -> close(), releaseSlotsOf(), tryRetire()
      if (Atomics.compareExchange(table, owner, 0, o.seat + 1) === 0) {
        if (o.epoch === undefined || isAlive(table, entry, o.epoch)) {
          return new RingReader(table, partition, place, bells, slot, o);
        }
        Atomics.store(table, owner, 0);
        return undefined;
      }
    }
    return undefined;
  }

  /**
   * Store: takes the journal slot of a partition over as it stands, from the owner that opened it or from a store
   * thread that has died (in the middle of reading, perhaps): holding, at the position where that one was. Undefined if
   * the store's seat does not have the slot. Poll once afterwards: a notice may have died with the predecessor.
   */
  static tryAdopt(table: Int32Array, partition: number, place: RingPlace, bells: Bells): RingReader | undefined {
    if (!hasJournalSlot(table, partition)) return undefined;
    const reader = new RingReader(table, partition, place, bells, JOURNAL_SLOT, { seat: SEAT_STORE, holds: true });
    // OBSERVE: openJournalSlot(), or the predecessor's last release(); nobody else writes a cursor that holds.
    const cursor = Atomics.load(table, reader.slotWord + SLOT_CURSOR);
    reader.current = cursor & ~CURSOR_STATE_MASK;
    reader.tailSeen = reader.current;
    reader.ringIfBlocked(); // The predecessor may have died before it rang.
    return reader;
  }

  /** Position of the next byte to read. */
  get position(): number {
    return this.current;
  }

  /** Bytes between this reader and the newest published batch. */
  get lagBytes(): number {
    return (Atomics.load(this.table, this.entry + RING_TAIL) - this.current) | 0;
  }

  /** Joins at the oldest batch that the ring still has. */
  joinHead(): void {
    for (;;) {
      const head = Atomics.load(this.table, this.entry + RING_HEAD);
      if (this.tryJoin(head)) return;
    }
  }

  /** Joins behind the newest batch. */
  joinTail(): void {
    for (;;) {
      const tail = Atomics.load(this.table, this.entry + RING_TAIL);
      if (this.tryJoin(tail)) return;
    }
  }

  /**
   * Joins at a batch boundary seen before; false if the ring no longer has it (then no longer joined at all). A
   * position more than 2^31 bytes old may look as if it were to come: TAIL tells.
   */
  tryJoin(position: number): boolean {
    Atomics.store(this.table, this.slotWord + SLOT_CURSOR, position | this.idleState); // PARK -> RingWriter.tryFree()
    Atomics.or(this.table, this.entry + SLOT_MASK, 1 << this.slot);
    // OBSERVE: RingWriter.tryFree() published HEAD before it looked at the slots
    const isGone = ((position - Atomics.load(this.table, this.entry + RING_HEAD)) | 0) < 0;
    if (isGone || ((Atomics.load(this.table, this.entry + RING_TAIL) - position) | 0) < 0) {
      this.leave();
      return false;
    }
    this.current = position;
    this.tailSeen = position;
    this.ringIfBlocked(); // It may have held the writer back where it stood before.
    return true;
  }

  /** True if tryPin() would find something (news or an eviction). */
  get hasNews(): boolean {
    return Atomics.load(this.table, this.entry + RING_TAIL) !== this.current;
  }

  /**
   * Pins and returns the bytes readable from `start` on without a wrap (they may end in padding), EMPTY or EVICTED.
   * The bytes stay valid until release(). HOT
   */
  tryPin(): number {
    const tail = Atomics.load(this.table, this.entry + RING_TAIL); // OBSERVE: RingWriter.publish()
    if (tail === this.current) return EMPTY;
    if (this.idleState === CURSOR_IDLE) {
      const idle = this.current | CURSOR_IDLE;
      const pinned = this.current | CURSOR_PINNED;
      // CLAIM the bytes -> RingWriter.gateOf()
      if (Atomics.compareExchange(this.table, this.slotWord + SLOT_CURSOR, idle, pinned) !== idle) return EVICTED;
    }
    let index = this.current & this.mask;
    const word = (this.place.byte + index) >> 2;
    if (this.place.words[word + (BATCH_MAGIC >> 2)] === MAGIC_WORD_PADDING) {
      this.current = (this.current + this.place.words[word]) | 0;
      index = 0;
      if (tail === this.current) {
        if (this.idleState === CURSOR_IDLE) this.release(this.current);
        return EMPTY;
      }
    }
    this.tailSeen = tail;
    this.start = this.place.byte + index;
    const available = (tail - this.current) | 0;
    const toEnd = this.place.capacity - index;
    return available < toEnd ? available : toEnd;
  }

  /**
   * Bytes from the ring's first one on that follow the span of `available` bytes that tryPin() gave, where that one
   * ends at the wrap: pinned too. HOT
   */
  beyond(available: number): number {
    return (this.tailSeen - this.current - available) | 0;
  }

  /** Unpins and moves on to `position`, a batch boundary between the pinned position and what was seen. HOT */
  release(position: number): void {
    this.current = position;
    this.letGo(position);
  }

  /** Unpins after reading `lengthBytes` from `start`. HOT */
  advance(lengthBytes: number): void {
    this.release((this.current + lengthBytes) | 0);
  }

  /**
   * Reads on behind `lengthBytes` from `start` while the bytes stay held, until letGo(). Of a reader that holds. HOT
   */
  step(lengthBytes: number): void {
    this.current = (this.current + lengthBytes) | 0;
  }

  /** Lets go of what lies before `position`. A reader that holds has got there by step() before. HOT */
  letGo(position: number): void {
    Atomics.store(this.table, this.slotWord + SLOT_CURSOR, position | this.idleState); // PUBLISH -> RingWriter.gateOf()
    this.ringIfBlocked();
  }

  /** True if release() reached the end of what tryPin() saw: the caller may look for a notice before polling again. */
  get drained(): boolean {
    return this.current === this.tailSeen;
  }

  /** Allows the next notice. Call it when a notice arrived, before tryPin(). HOT */
  noticed(): void {
    // OBSERVE before tryPin() loads TAIL -> RingWriter.eachNews()
    Atomics.store(this.table, this.slotWord + SLOT_NOTICED, 0);
  }

  /** Starts wanting notices: this reader takes over from one of the same thread that left. Poll once afterwards. */
  wantNotices(): void {
    this.noticed();
  }

  /** Gives the slot back. */
  close(): void {
    this.leave();
    Atomics.store(this.table, this.slotWord + SLOT_OWNER, 0);
  }

  /** After the cursor was stored: a blocked writer looks at the cursors again after it said so. HOT */
  private ringIfBlocked(): void {
    if (Atomics.load(this.table, this.entry + WRITER_BLOCKED) !== 0) {
      this.bells.ring(Atomics.load(this.table, this.entry + PARTITION_OWNER));
    }
  }

  private leave(): void {
    Atomics.and(this.table, this.entry + SLOT_MASK, ~(1 << this.slot));
    Atomics.store(this.table, this.slotWord + SLOT_CURSOR, CURSOR_FREE);
    this.ringIfBlocked();
  }
}

/** OBSERVE after the slot was claimed: the partition is still the one that the caller knows -> tryRetire(). */
function isAlive(table: Int32Array, entry: number, epoch: number): boolean {
  if (Atomics.load(table, entry + PARTITION_STATE) !== PARTITION_STATES.active) return false;
  return Atomics.load(table, entry + PARTITION_EPOCH) === epoch;
}

/**
 * Clears the slots that a dead thread left in one partition, pinned or not; returns how many. Only after the thread is
 * known to have ended (its exit event): a thread that merely stalls may still read. The caller then wakes the
 * partition's owner with Bells.rouse(), because it may wait for one of them, or for a bell the dead thread half rang.
 */
export function releaseSlotsOf(table: Int32Array, partition: number, seat: number): number {
  const entry = partition * PARTITION_ENTRY_WORDS;
  let released = 0;
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const word = entry + SLOT_BASE + slot * SLOT_STRIDE;
    if (Atomics.load(table, word + SLOT_OWNER) !== seat + 1) continue;
    Atomics.and(table, entry + SLOT_MASK, ~(1 << slot));
    Atomics.store(table, word + SLOT_CURSOR, CURSOR_FREE);
    Atomics.store(table, word + SLOT_OWNER, 0);
    released++;
  }
  return released;
}
