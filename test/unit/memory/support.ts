// Small regions for unit tests of src/memory, and batches that prove themselves.
import { BATCH_MAGIC, MAGIC_WORD, MAGIC_WORD_PADDING } from '../../../native-layout/batch.ts';
import { CONTROL_HEADER_BYTES, SEAT_BYTES, SEATS_MAX } from '../../../native-layout/control.ts';
import { LANE_CONTROL_BYTES, LANE_HEAD, LANE_TAIL } from '../../../native-layout/lane.ts';
import {
  OVERFLOW_CODES,
  type OverflowPolicy,
  PARTITION_ENTRY_BYTES,
  PARTITION_ENTRY_WORDS,
  RING_HEAD,
  RING_TAIL,
} from '../../../native-layout/partition-table.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { FULL, LaneReader, LaneWriter } from '../../../src/memory/lane.ts';
import { type ReaderOptions, RingReader } from '../../../src/memory/ring-reader.ts';
import { type RingPlace, RingWriter } from '../../../src/memory/ring-writer.ts';

/** Just below the wrap of the int32 count. */
export const NEAR_WRAP = 0x7fffffc0;

export function controlBlock(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(CONTROL_HEADER_BYTES + SEATS_MAX * SEAT_BYTES));
}

export function lane(capacity: number, position = 0): { writer: LaneWriter; reader: LaneReader; words: Int32Array } {
  const buffer = new SharedArrayBuffer(LANE_CONTROL_BYTES + capacity);
  const words = new Int32Array(buffer);
  words[LANE_TAIL] = words[LANE_HEAD] = position;
  const bytes = new Uint8Array(buffer);
  const place = { byte: 0, capacity };
  return { words, writer: new LaneWriter(words, bytes, place), reader: new LaneReader(words, bytes, place) };
}

/** Claims, fills and commits one frame; false if the lane is full. */
export function send(writer: LaneWriter, length: number, mark: number): boolean {
  const at = writer.tryClaim(length);
  if (at === FULL) return false;
  writer.words[at >> 2] = length;
  writer.words[(at >> 2) + 1] = mark;
  writer.commit(length);
  return true;
}

/** A ring of one partition with everything that a writer and its readers need. */
export class RingRig {
  readonly partition: number;
  readonly place: RingPlace;
  readonly table: Int32Array;
  readonly control = controlBlock();
  readonly bells = new Bells(this.control);
  readonly policy: OverflowPolicy;

  constructor(policy: OverflowPolicy = 'block', capacity = 256, position = 0, partition = 1) {
    this.partition = partition;
    this.policy = policy;
    this.table = new Int32Array(new SharedArrayBuffer(PARTITION_ENTRY_BYTES * 2));
    const buffer = new SharedArrayBuffer(capacity * 2);
    // Not at the beginning of its arena: byte places must count.
    this.place = { bytes: new Uint8Array(buffer), words: new Int32Array(buffer), byte: capacity, capacity };
    this.table[this.word(RING_TAIL)] = this.table[this.word(RING_HEAD)] = position;
  }

  word(word: number): number {
    return this.partition * PARTITION_ENTRY_WORDS + word;
  }

  writer(): RingWriter {
    return new RingWriter(this.table, this.partition, this.place, OVERFLOW_CODES[this.policy]);
  }

  tryOpen(options: ReaderOptions = { seat: 5 }): RingReader | undefined {
    return RingReader.tryOpen(this.table, this.partition, this.place, this.bells, options);
  }

  open(options: ReaderOptions = { seat: 5 }): RingReader {
    const reader = this.tryOpen(options);
    if (!reader) throw new Error('no slot');
    return reader;
  }
}

/** Claims and commits one batch, not yet published; false if the ring is full. */
export function put(writer: RingWriter, length: number, sequence: number): boolean {
  const at = writer.tryClaim(length);
  if (at === FULL) return false;
  const { words } = writer.place;
  words[at >> 2] = length;
  words[(at + BATCH_MAGIC) >> 2] = MAGIC_WORD;
  for (let word = 2; word < length / 4; word++) words[(at >> 2) + word] = sequence;
  writer.commit(length);
  return true;
}

/** Puts and publishes one batch that must fit. */
export function publish(writer: RingWriter, length: number, sequence: number): void {
  if (!put(writer, length, sequence)) throw new Error('the ring is full');
  writer.publish(sequence + 1);
}

/** Sequences of the whole batches in a pinned span; throws where one is broken. */
export function sequencesIn(reader: RingReader, length: number): number[] {
  const { words } = reader.place;
  const found: number[] = [];
  for (let at = reader.start; at < reader.start + length; at += words[at >> 2]) {
    const size = words[at >> 2];
    if (size <= 0 || at + size > reader.start + length) throw new Error('a batch straddles the span');
    if (words[(at + BATCH_MAGIC) >> 2] === MAGIC_WORD_PADDING) continue;
    const sequence = words[(at >> 2) + 2];
    for (let word = 2; word < size / 4; word++) {
      if (words[(at >> 2) + word] !== sequence) throw new Error('a batch has foreign bytes');
    }
    found.push(sequence);
  }
  return found;
}

/** Reads all there is. */
export function readAll(reader: RingReader): number[] {
  const found: number[] = [];
  for (let length = reader.tryPin(); length !== 0; length = reader.tryPin()) {
    if (length < 0) throw new Error('evicted');
    found.push(...sequencesIn(reader, length));
    reader.advance(length);
  }
  return found;
}
