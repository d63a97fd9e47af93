// The journal slot: slot 0 of a durable partition is the store's. Nothing leaves a durable ring before the log has it,
// because this slot holds from before the first batch on, also while there is no store thread for a moment.
//
// Who writes: the owner opens the slot, before anybody can see the ring; from then on only the store's seat moves its
// cursor and gives it up (RingReader.tryAdopt(), releaseJournalSlot()). Invariants I1-I5 stand in ring-writer.ts and
// ring-reader.ts.
// I6  The slot is complete before PLACE_READY is published: whoever sees the ring finds it held.
// I7  An entry whose journal slot is taken is not retired. Only the store gives the slot up, and only of a deleted
//     partition: as long as the store writes positions into an entry, the entry keeps its life.
import { SEAT_STORE } from '../../native-layout/control.ts';
import {
  CURSOR_FREE,
  CURSOR_HOLDING,
  JOURNAL_SLOT,
  PARTITION_ENTRY_WORDS,
  PARTITION_STATE,
  PARTITION_STATES,
  PLACE_READY,
  RING_TAIL,
  SLOT_BASE,
  SLOT_CURSOR,
  SLOT_MASK,
  SLOT_NOTICED,
  SLOT_OWNER,
  SLOT_STRIDE,
  STORED_DURABLE,
  STORED_WRITTEN,
} from '../../native-layout/partition-table.ts';

const SLOT = SLOT_BASE + JOURNAL_SLOT * SLOT_STRIDE;
const BIT = 1 << JOURNAL_SLOT;

/**
 * Owner: takes slot 0 for the store, at the end of the ring: what is in the ring already is in the log. Before the
 * place is published. Where the ring is in use (a predecessor opened it) nothing changes. False while another reader
 * still lets go of the slot: try again.
 */
export function openJournalSlot(table: Int32Array, partition: number): boolean {
  const entry = partition * PARTITION_ENTRY_WORDS;
  const owner = Atomics.compareExchange(table, entry + SLOT + SLOT_OWNER, 0, SEAT_STORE + 1); // CLAIM -> tryOpen()
  if (owner !== 0 && owner !== SEAT_STORE + 1) return false;
  if (Atomics.load(table, entry + PLACE_READY) === 1) return true;
  const tail = Atomics.load(table, entry + RING_TAIL);
  Atomics.store(table, entry + STORED_WRITTEN, tail);
  Atomics.store(table, entry + STORED_DURABLE, tail);
  Atomics.store(table, entry + SLOT + SLOT_NOTICED, 0);
  Atomics.store(table, entry + SLOT + SLOT_CURSOR, tail | CURSOR_HOLDING); // PARK -> RingWriter.tryFree()
  Atomics.or(table, entry + SLOT_MASK, BIT);
  return true;
}

/** True if the store's seat has slot 0. */
export function hasJournalSlot(table: Int32Array, partition: number): boolean {
  return Atomics.load(table, partition * PARTITION_ENTRY_WORDS + SLOT + SLOT_OWNER) === SEAT_STORE + 1;
}

/**
 * Store: gives slot 0 of a deleted partition up, so that its owner can retire it; also of a partition that the store
 * never read. True if there was something to give up. After that the store must not touch the entry (a RingReader of
 * it included) before it adopts the slot of its next life.
 */
export function releaseJournalSlot(table: Int32Array, partition: number): boolean {
  const entry = partition * PARTITION_ENTRY_WORDS;
  if (!hasJournalSlot(table, partition)) return false;
  // Deleted for good: while the slot is taken the entry cannot come to life again (I7).
  if (Atomics.load(table, entry + PARTITION_STATE) !== PARTITION_STATES.deleted) return false;
  Atomics.and(table, entry + SLOT_MASK, ~BIT);
  Atomics.store(table, entry + SLOT + SLOT_CURSOR, CURSOR_FREE);
  Atomics.store(table, entry + SLOT + SLOT_OWNER, 0); // PUBLISH -> tryRetire()
  return true;
}

/**
 * Owner: claims the one notice that may be under way to the store about a deleted partition whose slot is still taken.
 * True: push one, the store may not know that it has the slot (it was opened while the partition was being deleted).
 */
export function tryNoticeJournal(table: Int32Array, partition: number): boolean {
  const word = partition * PARTITION_ENTRY_WORDS + SLOT + SLOT_NOTICED;
  if (!hasJournalSlot(table, partition)) return false;
  return Atomics.compareExchange(table, word, 0, 1) === 0; // CLAIM the one notice under way -> RingReader.noticed()
}
