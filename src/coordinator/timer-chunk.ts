// What one write adds to the file of a bucket of timers: an index of its messages, then their envelopes (src/delay).
// A bucket is loaded by reading the indexes alone.
//
//   0               4               8               12              16
//   +---------------+---------------+---------------+---------------+
//   | magic "tmck"  | chunk length  | count         | CRC-32 of 16..|   0   (CRC: to the end of the index)
//   +---------------+---------------+---------------+---------------+
//   | first ordinal | bodies at     | reserved      | reserved      |  16
//   +---------------+---------------+---------------+---------------+
//   | due, ms after | place in      | length        | offset in the |  32   16 bytes a message
//   | bucket begins | chunk         |               | timer topic   |
//   +---------------+---------------+---------------+---------------+
import { crc32 } from '../record/crc.ts';

const MAGIC = 0x6b636d74;
const LENGTH_WORD = 1;
const COUNT_WORD = 2;
const CRC_WORD = 3;
const ORDINAL_WORD = 4;
const BODIES_WORD = 5;
const CRC_FROM = 16;
export const CHUNK_HEADER_BYTES = 32;
const ENTRY_WORDS = 4;
const ENTRY_BYTES = 16;
const FIRST_ENTRIES = 16;
const FIRST_BODY_BYTES = 2_048;

/** Messages of one bucket that are not in its file yet. */
export class PendingChunk {
  count = 0;
  /** Bytes of envelopes. */
  bodyBytes = 0;
  private entries = new Uint32Array(FIRST_ENTRIES * ENTRY_WORDS);
  private bodies = new Uint8Array(FIRST_BODY_BYTES);

  /** Adds the envelope at `at` of `source`, due `slot` milliseconds after the bucket's begin. HOT */
  add(slot: number, offset: number, source: Uint8Array, at: number, length: number): void {
    if ((this.count + 1) * ENTRY_WORDS > this.entries.length) this.growEntries();
    if (this.bodyBytes + length > this.bodies.length) this.growBodies(this.bodyBytes + length);
    const word = this.count * ENTRY_WORDS;
    this.entries[word] = slot;
    this.entries[word + 1] = this.bodyBytes;
    this.entries[word + 2] = length;
    this.entries[word + 3] = offset;
    this.bodies.set(source.subarray(at, at + length), this.bodyBytes);
    this.bodyBytes += length;
    this.count++;
  }

  /** Which message has this offset in the timer topic; -1: none. */
  find(offset: number): number {
    const wanted = offset >>> 0;
    for (let i = this.count - 1; i >= 0; i--) if (this.entries[i * ENTRY_WORDS + 3] === wanted) return i;
    return -1;
  }

  /** Memory that it takes. */
  get heldBytes(): number {
    return this.bodies.length + this.entries.byteLength;
  }

  /** The bytes of the chunk. Its first message is the bucket's number `ordinal`. */
  encode(ordinal: number): Uint8Array<ArrayBuffer> {
    const bodiesAt = CHUNK_HEADER_BYTES + this.count * ENTRY_BYTES;
    const bytes = new Uint8Array(bodiesAt + this.bodyBytes);
    const words = new Uint32Array(bytes.buffer, 0, bodiesAt >> 2);
    words[0] = MAGIC;
    words[LENGTH_WORD] = bytes.length;
    words[COUNT_WORD] = this.count;
    words[ORDINAL_WORD] = ordinal;
    words[BODIES_WORD] = bodiesAt;
    const first = CHUNK_HEADER_BYTES >> 2;
    words.set(this.entries.subarray(0, this.count * ENTRY_WORDS), first);
    for (let i = first + 1; i < words.length; i += ENTRY_WORDS) words[i] += bodiesAt;
    words[CRC_WORD] = crc32(bytes.subarray(CRC_FROM, bodiesAt));
    bytes.set(this.bodies.subarray(0, this.bodyBytes), bodiesAt);
    return bytes;
  }

  private growEntries(): void {
    const entries = new Uint32Array(this.entries.length * 2);
    entries.set(this.entries);
    this.entries = entries;
  }

  private growBodies(least: number): void {
    const bodies = new Uint8Array(Math.max(this.bodies.length * 2, least));
    bodies.set(this.bodies.subarray(0, this.bodyBytes));
    this.bodies = bodies;
  }
}

/** The index of one chunk as it was read. */
export class ChunkIndex {
  count = 0;
  /** Length of the whole chunk. */
  length = 0;
  /** Number of its first message in the bucket. */
  ordinal = 0;
  private words = new Uint32Array(0);

  /** Bytes that must be read to open() a chunk whose header stands at the begin of `header`; 0: there is no chunk. */
  static bytesOf(header: Uint8Array): number {
    if (header.length < CHUNK_HEADER_BYTES) return 0;
    const words = new Uint32Array(header.slice(0, CHUNK_HEADER_BYTES).buffer);
    if (words[0] !== MAGIC || words[BODIES_WORD] > words[LENGTH_WORD]) return 0;
    return words[BODIES_WORD] === CHUNK_HEADER_BYTES + words[COUNT_WORD] * ENTRY_BYTES ? words[BODIES_WORD] : 0;
  }

  /** Takes bytesOf() bytes; false if they are not what was written. */
  open(bytes: Uint8Array): boolean {
    const copy = bytes.slice();
    this.words = new Uint32Array(copy.buffer, 0, copy.length >> 2);
    this.count = this.words[COUNT_WORD];
    this.length = this.words[LENGTH_WORD];
    this.ordinal = this.words[ORDINAL_WORD];
    return crc32(copy.subarray(CRC_FROM)) >>> 0 === this.words[CRC_WORD];
  }

  slot(index: number): number {
    return this.words[(CHUNK_HEADER_BYTES >> 2) + index * ENTRY_WORDS];
  }
  /** Byte place in the chunk. */
  place(index: number): number {
    return this.words[(CHUNK_HEADER_BYTES >> 2) + index * ENTRY_WORDS + 1];
  }
  bodyLength(index: number): number {
    return this.words[(CHUNK_HEADER_BYTES >> 2) + index * ENTRY_WORDS + 2];
  }
  /** In the timer topic, modulo 2^32. */
  offset(index: number): number {
    return this.words[(CHUNK_HEADER_BYTES >> 2) + index * ENTRY_WORDS + 3];
  }
}
