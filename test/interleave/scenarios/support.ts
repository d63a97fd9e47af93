// What the scenarios share: start positions, a tiny ring, batches that carry their own proof, checks.
import { BATCH_MAGIC, MAGIC_WORD, MAGIC_WORD_PADDING } from '../../../native-layout/batch.ts';
import { CONTROL_HEADER_BYTES, SEAT_BYTES } from '../../../native-layout/control.ts';
import {
  NEXT_OFFSET_LOW,
  OVERFLOW_CODES,
  PARTITION_ENTRY_BYTES,
  PARTITION_OWNER,
  RING_HEAD,
  RING_TAIL,
} from '../../../native-layout/partition-table.ts';
import { FULL } from '../../../src/memory/lane.ts';
import type { RingReader } from '../../../src/memory/ring-reader.ts';
import { type RingPlace, RingWriter } from '../../../src/memory/ring-writer.ts';
import type { World } from '../engine.ts';

export interface Start {
  readonly name: string;
  readonly position: number;
}

/** Where the cursors begin: at rest, and so that the int32 count wraps during the scenario. */
export const STARTS: readonly Start[] = [
  { name: '0', position: 0 },
  { name: 'just below the int32 wrap', position: 0x7ffffff0 },
];

export const SEATS = 6;
export const CONTROL_BYTES = CONTROL_HEADER_BYTES + SEATS * SEAT_BYTES;

/** Seats of the scenarios. */
export const OWNER = 2;
export const READER = 3;
export const OTHER = 4;
export const SUPERVISOR = 0;

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

export const RING_CAPACITY = 128;
/** The largest batch that this ring takes: a quarter. */
export const BATCH_BYTES = 32;

export const RING_REGIONS = {
  table: PARTITION_ENTRY_BYTES,
  ring: RING_CAPACITY,
  control: CONTROL_BYTES,
};

export function ringPlace(at: World['at']): RingPlace {
  return { words: at.ring.words, bytes: at.ring.bytes, byte: 0, capacity: RING_CAPACITY };
}

export function ringWriter(at: World['at'], policy: keyof typeof OVERFLOW_CODES): RingWriter {
  return new RingWriter(at.table.words, 0, ringPlace(at), OVERFLOW_CODES[policy]);
}

/** Puts a batch in place, not yet published. Its words tell its sequence. */
export function fillBatch(writer: RingWriter, sequence: number, length = BATCH_BYTES): number {
  const at = writer.tryClaim(length);
  if (at === FULL) return FULL;
  writeBatch(writer.place.words, at, sequence, length);
  writer.commit(length);
  return at;
}

function writeBatch(words: Int32Array, at: number, sequence: number, length: number): void {
  words[at >> 2] = length;
  words[(at + BATCH_MAGIC) >> 2] = MAGIC_WORD;
  for (let word = 2; word < length / 4; word++) words[(at >> 2) + word] = sequence * 100 + word;
}

/** Positions of as many of `count` batches as fit into the ring, from `start` on; padding comes before the wrap. */
export function batchPositions(start: Start, count: number, length = BATCH_BYTES): number[] {
  const positions: number[] = [];
  let tail = start.position;
  for (let i = 0; i < count; i++) {
    const rest = RING_CAPACITY - (tail & (RING_CAPACITY - 1));
    const at = length > rest ? (tail + rest) | 0 : tail;
    if (((at + length - start.position) | 0) > RING_CAPACITY) break;
    positions.push(at);
    tail = (at + length) | 0;
  }
  return positions;
}

/** Puts batchPositions() in place before the scenario starts: sequences 0, 1, ... */
export function prefill(at: World['at'], start: Start, count: number, length = BATCH_BYTES): void {
  const { table, ring } = at;
  let tail = start.position;
  for (const [sequence, position] of batchPositions(start, count, length).entries()) {
    if (position !== tail) {
      const index = tail & (RING_CAPACITY - 1);
      ring.words[index >> 2] = (position - tail) | 0;
      ring.words[(index >> 2) + 1] = MAGIC_WORD_PADDING;
    }
    writeBatch(ring.words, position & (RING_CAPACITY - 1), sequence, length);
    tail = (position + length) | 0;
    table.words[NEXT_OFFSET_LOW] = sequence + 1;
  }
  table.words[PARTITION_OWNER] = OWNER;
  table.words[RING_HEAD] = start.position;
  table.words[RING_TAIL] = tail;
}

/** Reads the batches of a pinned span; gives their sequences. Fails on anything that is not a whole batch. */
export function readSpan(reader: RingReader, length: number): number[] {
  const { words } = reader.place;
  const found: number[] = [];
  let at = reader.start;
  const end = at + length;
  while (at < end) {
    const size = words[at >> 2];
    check(size > 0 && (size & 7) === 0 && at + size <= end, 'I4: a batch never straddles what is pinned');
    if (words[(at + BATCH_MAGIC) >> 2] !== MAGIC_WORD_PADDING) found.push(readBatch(words, at, size));
    at += size;
  }
  return found;
}

function readBatch(words: Int32Array, at: number, size: number): number {
  check(words[(at + BATCH_MAGIC) >> 2] === MAGIC_WORD, 'I1: a batch is whole before it is seen');
  const sequence = Math.floor(words[(at >> 2) + 2] / 100);
  for (let word = 2; word < size / 4; word++) {
    check(words[(at >> 2) + word] === sequence * 100 + word, 'I2: bytes of a reader were overwritten');
  }
  return sequence;
}

/** Sequences that a reader got must rise by one, or by more where it was evicted in between. */
export function checkRising(sequences: readonly number[], gapsAllowed: boolean): void {
  for (let i = 1; i < sequences.length; i++) {
    const step = sequences[i] - sequences[i - 1];
    check(gapsAllowed ? step >= 1 : step === 1, `batches out of order or lost: ${sequences.join(' ')}`);
  }
}
