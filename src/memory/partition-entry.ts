// Reading and writing the identity and place of a partition table entry.
//
// Who writes: identity words, the NameServer thread (STATE last, so that it publishes the rest); place words, the owner
// (PLACE_READY last). Who reads: everybody.
import {
  NEXT_OFFSET_HIGH,
  NEXT_OFFSET_LOW,
  OLDEST_OFFSET_LOW,
  PARTITION_DURABLE,
  PARTITION_ENTRY_WORDS,
  PARTITION_EPOCH,
  PARTITION_NUMBER,
  PARTITION_OVERFLOW,
  PARTITION_OWNER,
  PARTITION_PERMISSION,
  PARTITION_RESERVED,
  PARTITION_RING_BYTES,
  PARTITION_STATE,
  PARTITION_STATES,
  PARTITION_TOPIC,
  PLACE_ARENA,
  PLACE_BYTE,
  PLACE_CAPACITY,
  PLACE_READY,
  RETENTION_MIB,
  RETENTION_MINUTES,
  RING_HEAD,
  RING_TAIL,
  SLOT_BASE,
  SLOT_COUNT,
  SLOT_OWNER,
  SLOT_STRIDE,
  START_OFFSET_LOW,
  STORED_DURABLE,
  STORED_WRITTEN,
  WRITER_BLOCKED,
} from '../../native-layout/partition-table.ts';
import type { ArenaSet } from './arena.ts';
import type { RingPlace } from './ring-writer.ts';
import { readWide, storeWide } from './wide.ts';

/** Words that the next life of an entry must find at 0. */
const RETIRED_WORDS = [
  RING_TAIL,
  RING_HEAD,
  NEXT_OFFSET_LOW,
  NEXT_OFFSET_HIGH,
  WRITER_BLOCKED,
  STORED_WRITTEN,
  STORED_DURABLE,
];

/** Identity of a partition. */
export interface PartitionIdentity {
  readonly topic: number;
  readonly number: number;
  /** Seat of the thread that writes it. */
  readonly owner: number;
  readonly epoch: number;
  readonly permission: number;
  readonly overflow: number;
  readonly ringBytes: number;
  /** The log keeps it. */
  readonly durable: boolean;
  /** The broker's own threads alone publish there. */
  readonly reserved?: boolean;
}

/** What the log has of a partition when its entry comes to life. All 0 for a new or a volatile one. */
export interface PartitionHistory {
  /** Offset that the first new record gets. */
  readonly nextOffset: number;
  readonly oldestOffset: number;
}

const NO_HISTORY: PartitionHistory = { nextOffset: 0, oldestOffset: 0 };

/** NameServer: brings a partition to life. Its cursors must be at rest (fresh entry, or retired by its owner). */
export function activatePartition(
  table: Int32Array,
  partition: number,
  identity: PartitionIdentity,
  history = NO_HISTORY,
): void {
  const entry = partition * PARTITION_ENTRY_WORDS;
  Atomics.store(table, entry + PARTITION_TOPIC, identity.topic);
  Atomics.store(table, entry + PARTITION_NUMBER, identity.number);
  Atomics.store(table, entry + PARTITION_OWNER, identity.owner);
  Atomics.store(table, entry + PARTITION_EPOCH, identity.epoch);
  Atomics.store(table, entry + PARTITION_PERMISSION, identity.permission);
  Atomics.store(table, entry + PARTITION_OVERFLOW, identity.overflow);
  Atomics.store(table, entry + PARTITION_RING_BYTES, identity.ringBytes);
  Atomics.store(table, entry + PARTITION_DURABLE, identity.durable ? 1 : 0);
  Atomics.store(table, entry + PARTITION_RESERVED, identity.reserved ? 1 : 0);
  storeWide(table, entry + START_OFFSET_LOW, history.nextOffset);
  storeWide(table, entry + NEXT_OFFSET_LOW, history.nextOffset);
  storeWide(table, entry + OLDEST_OFFSET_LOW, history.oldestOffset);
  Atomics.store(table, entry + PARTITION_STATE, PARTITION_STATES.active); // PUBLISH: identity -> readIdentity()
}

/**
 * Identity of an active partition; undefined for a free or deleted one, or a number that no partition has. Every life
 * of an entry has an epoch of its own, by which words of two lives are told apart.
 */
export function readIdentity(table: Int32Array, partition: number): PartitionIdentity | undefined {
  const entry = partition * PARTITION_ENTRY_WORDS;
  if (partition < 0 || entry >= table.length) return undefined;
  const epoch = Atomics.load(table, entry + PARTITION_EPOCH);
  if (Atomics.load(table, entry + PARTITION_STATE) !== PARTITION_STATES.active) return undefined; // OBSERVE
  const identity = {
    topic: Atomics.load(table, entry + PARTITION_TOPIC),
    number: Atomics.load(table, entry + PARTITION_NUMBER),
    owner: Atomics.load(table, entry + PARTITION_OWNER),
    epoch,
    permission: Atomics.load(table, entry + PARTITION_PERMISSION),
    overflow: Atomics.load(table, entry + PARTITION_OVERFLOW),
    ringBytes: Atomics.load(table, entry + PARTITION_RING_BYTES),
    durable: Atomics.load(table, entry + PARTITION_DURABLE) !== 0,
    reserved: Atomics.load(table, entry + PARTITION_RESERVED) !== 0,
  };
  // Deleted meanwhile, perhaps alive again as another one: what was read may be of both.
  if (Atomics.load(table, entry + PARTITION_STATE) !== PARTITION_STATES.active) return undefined;
  return Atomics.load(table, entry + PARTITION_EPOCH) === epoch ? identity : undefined;
}

/** Epoch of the entry's present or last life. */
export function epochOf(table: Int32Array, partition: number): number {
  return Atomics.load(table, partition * PARTITION_ENTRY_WORDS + PARTITION_EPOCH);
}

/** STATE word of an entry: one of PARTITION_STATES. HOT */
export function partitionState(table: Int32Array, partition: number): number {
  return Atomics.load(table, partition * PARTITION_ENTRY_WORDS + PARTITION_STATE);
}

/** NameServer: marks a partition deleted (its owner will return the ring) or free again. */
export function setPartitionState(table: Int32Array, partition: number, state: number): void {
  Atomics.store(table, partition * PARTITION_ENTRY_WORDS + PARTITION_STATE, state);
}

/** NameServer: read and write permission bits. */
export function setPermission(table: Int32Array, partition: number, permission: number): void {
  Atomics.store(table, partition * PARTITION_ENTRY_WORDS + PARTITION_PERMISSION, permission);
}

/** Permission bits. HOT */
export function permissionOf(table: Int32Array, partition: number): number {
  return Atomics.load(table, partition * PARTITION_ENTRY_WORDS + PARTITION_PERMISSION);
}

/** Owner: publishes where the ring lies. */
export function publishPlace(
  table: Int32Array,
  partition: number,
  arena: number,
  byte: number,
  capacity: number,
): void {
  const entry = partition * PARTITION_ENTRY_WORDS;
  Atomics.store(table, entry + PLACE_ARENA, arena);
  Atomics.store(table, entry + PLACE_BYTE, byte);
  Atomics.store(table, entry + PLACE_CAPACITY, capacity);
  Atomics.store(table, entry + PLACE_READY, 1); // PUBLISH: place -> readPlace()
}

/** Where a partition's ring lies as numbers; undefined while it has none. */
export function placeNumbers(
  table: Int32Array,
  partition: number,
): { arena: number; byte: number; capacity: number } | undefined {
  const entry = partition * PARTITION_ENTRY_WORDS;
  const epoch = Atomics.load(table, entry + PARTITION_EPOCH);
  if (Atomics.load(table, entry + PLACE_READY) !== 1) return undefined; // OBSERVE: publishPlace()
  const place = {
    arena: Atomics.load(table, entry + PLACE_ARENA),
    byte: Atomics.load(table, entry + PLACE_BYTE),
    capacity: Atomics.load(table, entry + PLACE_CAPACITY),
  };
  // As in readIdentity(): never half of one life's place and half of another's.
  if (Atomics.load(table, entry + PLACE_READY) !== 1) return undefined;
  return Atomics.load(table, entry + PARTITION_EPOCH) === epoch ? place : undefined;
}

/** Where a partition's ring lies; undefined while it has none, or while this thread has not heard of its arena. */
export function readPlace(table: Int32Array, partition: number, arenas: ArenaSet): RingPlace | undefined {
  const place = placeNumbers(table, partition);
  const arena = place && arenas.get(place.arena);
  if (!place || !arena) return undefined;
  return { bytes: arena.bytes, words: arena.words, byte: place.byte, capacity: place.capacity };
}

/**
 * Owner: forgets place and cursors of a deleted partition. True when no reader is left; otherwise nothing changed. A
 * reader that is out (evicted, reading from the log) still holds its slot and counts: it may join again.
 */
export function tryRetire(table: Int32Array, partition: number): boolean {
  const entry = partition * PARTITION_ENTRY_WORDS;
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    // OBSERVE after STATE said deleted -> RingReader.tryOpen()
    if (Atomics.load(table, entry + SLOT_BASE + slot * SLOT_STRIDE + SLOT_OWNER) !== 0) return false;
  }
  Atomics.store(table, entry + PLACE_READY, 0);
  for (const word of RETIRED_WORDS) {
    Atomics.store(table, entry + word, 0);
  }
  Atomics.store(table, entry + PARTITION_STATE, PARTITION_STATES.free); // PUBLISH: entry at rest -> activatePartition()
  return true;
}

/**
 * Owner: cursors of an entry without a place start from 0. A predecessor may have died while it filled a ring that
 * nobody has seen.
 */
export function resetRing(table: Int32Array, partition: number): void {
  const entry = partition * PARTITION_ENTRY_WORDS;
  for (const word of [RING_TAIL, RING_HEAD, WRITER_BLOCKED, STORED_WRITTEN, STORED_DURABLE]) {
    Atomics.store(table, entry + word, 0);
  }
}

/** The offset that the partition's next record will get. */
export function nextOffset(table: Int32Array, partition: number): number {
  return readWide(table, partition * PARTITION_ENTRY_WORDS + NEXT_OFFSET_LOW);
}

/** Bytes that a partition's ring holds right now. */
export function ringUsedBytes(table: Int32Array, partition: number): number {
  const entry = partition * PARTITION_ENTRY_WORDS;
  const head = Atomics.load(table, entry + RING_HEAD); // First: HEAD never passes a TAIL that is read later.
  return (Atomics.load(table, entry + RING_TAIL) - head) | 0;
}

/** Offset of the first record of this life of the entry. */
export function startOffset(table: Int32Array, partition: number): number {
  return readWide(table, partition * PARTITION_ENTRY_WORDS + START_OFFSET_LOW);
}

/** Oldest offset that the log has of a durable partition. */
export function oldestOffset(table: Int32Array, partition: number): number {
  return readWide(table, partition * PARTITION_ENTRY_WORDS + OLDEST_OFFSET_LOW);
}

/** Log reader: what is older was removed from the log. */
export function setOldestOffset(table: Int32Array, partition: number, offset: number): void {
  storeWide(table, partition * PARTITION_ENTRY_WORDS + OLDEST_OFFSET_LOW, offset);
}

/** True if the log keeps the partition. HOT */
export function isDurable(table: Int32Array, partition: number): boolean {
  return Atomics.load(table, partition * PARTITION_ENTRY_WORDS + PARTITION_DURABLE) !== 0;
}

/** NameServer: how much of a durable partition is kept; 0: as the broker does. */
export function setRetention(table: Int32Array, partition: number, minutes: number, mebibytes: number): void {
  const entry = partition * PARTITION_ENTRY_WORDS;
  Atomics.store(table, entry + RETENTION_MINUTES, minutes);
  Atomics.store(table, entry + RETENTION_MIB, mebibytes);
}

/** See setRetention(). */
export function retentionOf(table: Int32Array, partition: number): { minutes: number; mebibytes: number } {
  const entry = partition * PARTITION_ENTRY_WORDS;
  return {
    minutes: Atomics.load(table, entry + RETENTION_MINUTES),
    mebibytes: Atomics.load(table, entry + RETENTION_MIB),
  };
}

/** Ring position up to which the log has a partition: in the page cache, or on the disk. HOT */
export function storedPosition(table: Int32Array, partition: number, level: 'written' | 'durable'): number {
  const word = level === 'written' ? STORED_WRITTEN : STORED_DURABLE;
  return Atomics.load(table, partition * PARTITION_ENTRY_WORDS + word); // OBSERVE: setStoredPosition()
}

/** Store thread: after the write, or after the sync. The owner's bell follows. HOT */
export function setStoredPosition(
  table: Int32Array,
  partition: number,
  level: 'written' | 'durable',
  position: number,
): void {
  const word = level === 'written' ? STORED_WRITTEN : STORED_DURABLE;
  Atomics.store(table, partition * PARTITION_ENTRY_WORDS + word, position); // PUBLISH -> storedPosition()
}
