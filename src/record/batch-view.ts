// Flyweights over batches and records where they lie: in a ring, a lane, a frame. They hold no bytes and allocate
// nothing; what they give out is valid as long as the memory under them is.
import {
  BATCH_BASE_OFFSET,
  BATCH_BASE_SEQUENCE,
  BATCH_BORN_FIRST,
  BATCH_COUNT,
  BATCH_EPOCH,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_PARTITION,
  BATCH_PRODUCER_ID,
  BATCH_SIZE,
  BATCH_STORED_AT,
  FLAG_PADDING,
  MAGIC_WORD_PADDING,
} from '../../native-layout/batch.ts';
import { align8 } from '../../native-layout/layout.ts';
import {
  RECORD_BODY_LENGTH,
  RECORD_HEADER_BYTES,
  RECORD_KEY_LENGTH,
  RECORD_OFFSET_DELTA,
  RECORD_SIZE,
  RECORD_TAG_HASH,
  RECORD_TAG_LENGTH,
} from '../../native-layout/record.ts';
import { getInt64 } from './int64.ts';
import { decodeProperties, type MessageProperties } from './properties.ts';
import { fromUtf8 } from './text.ts';

/** Steps over the batches of a contiguous span, and over the records of each. One per thread, reused for ever. */
export class BatchView {
  bytes: Uint8Array = new Uint8Array(0);
  words: Int32Array = new Int32Array(0);
  /** Byte index of the current batch. */
  at = 0;
  private spanEnd = 0;
  private nextAt = 0;

  /** Points at a span of whole batches, from byte `start` on. next() moves to the first one. HOT */
  span(bytes: Uint8Array, words: Int32Array, start: number, lengthBytes: number): this {
    this.bytes = bytes;
    this.words = words;
    this.nextAt = start;
    this.spanEnd = start + lengthBytes;
    return this;
  }

  /** Moves to the next batch; padding is stepped over. False at the end of the span. HOT */
  next(): boolean {
    while (this.nextAt < this.spanEnd) {
      this.at = this.nextAt;
      this.nextAt += this.words[this.at >> 2];
      if (this.words[(this.at + BATCH_MAGIC) >> 2] !== MAGIC_WORD_PADDING) return true;
    }
    return false;
  }

  /** Byte index after the current batch. */
  get end(): number {
    return this.nextAt;
  }
  /** Bytes of the batch, header included. */
  get size(): number {
    return this.words[(this.at + BATCH_SIZE) >> 2];
  }
  /** The word with magic, version and flags. */
  get magic(): number {
    return this.words[(this.at + BATCH_MAGIC) >> 2];
  }
  get count(): number {
    return this.words[(this.at + BATCH_COUNT) >> 2];
  }
  /** Id of the partition in its broker. */
  get partition(): number {
    return this.words[(this.at + BATCH_PARTITION) >> 2];
  }
  get epoch(): number {
    return this.words[(this.at + BATCH_EPOCH) >> 2];
  }
  get baseOffset(): number {
    return getInt64(this.words, (this.at + BATCH_BASE_OFFSET) >> 2);
  }
  /** Milliseconds since 1970 when the owner of the partition accepted the batch. */
  get storedAt(): number {
    return getInt64(this.words, (this.at + BATCH_STORED_AT) >> 2);
  }
  /** Milliseconds since 1970 when the producer opened the batch. */
  get bornAt(): number {
    return getInt64(this.words, (this.at + BATCH_BORN_FIRST) >> 2);
  }
  get producerId(): number {
    return getInt64(this.words, (this.at + BATCH_PRODUCER_ID) >> 2);
  }
  get baseSequence(): number {
    return this.words[(this.at + BATCH_BASE_SEQUENCE) >> 2];
  }
}

/** True if the word at byte 4 says padding. */
export function isPadding(magicWord: number): boolean {
  return ((magicWord >>> 24) & FLAG_PADDING) !== 0;
}

/** Steps over the records of a batch. */
export class RecordView {
  bytes: Uint8Array = new Uint8Array(0);
  words: Int32Array = new Int32Array(0);
  /** Byte index of the current record. */
  at = 0;
  private nextAt = 0;
  private batchEnd = 0;
  private base = 0;

  /** Points at the records of a batch. next() moves to the first one. HOT */
  open(batch: BatchView): this {
    this.bytes = batch.bytes;
    this.words = batch.words;
    this.nextAt = batch.at + BATCH_HEADER_BYTES;
    this.batchEnd = batch.end;
    this.base = batch.baseOffset;
    return this;
  }

  /** Moves to the next record. HOT */
  next(): boolean {
    if (this.nextAt >= this.batchEnd) return false;
    this.at = this.nextAt;
    this.nextAt += this.words[(this.at + RECORD_SIZE) >> 2];
    return true;
  }

  /** Bytes of the record, header and padding included. */
  get size(): number {
    return this.words[(this.at + RECORD_SIZE) >> 2];
  }
  get offset(): number {
    return this.base + this.words[(this.at + RECORD_OFFSET_DELTA) >> 2];
  }
  get bodyLength(): number {
    return this.words[(this.at + RECORD_BODY_LENGTH) >> 2];
  }
  /** Byte index of the body. */
  get bodyAt(): number {
    return this.at + RECORD_HEADER_BYTES;
  }
  /** The body where it lies: valid only as long as the memory under the view. Allocates a view of it. */
  get body(): Uint8Array {
    const start = this.at + RECORD_HEADER_BYTES;
    return this.bytes.subarray(start, start + this.bodyLength);
  }
  /** The int32 at a multiple of four bytes into the body, without allocating. HOT */
  int32(byte: number): number {
    return this.words[(this.at + RECORD_HEADER_BYTES + byte) >> 2];
  }
  /** An owned copy of the body. */
  copyBody(): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(this.bodyLength);
    copy.set(this.body);
    return copy;
  }
  /** The body as text. */
  text(): string {
    const start = this.at + RECORD_HEADER_BYTES;
    return fromUtf8(this.bytes, start, start + this.bodyLength);
  }
  get tagHash(): number {
    return this.words[(this.at + RECORD_TAG_HASH) >> 2];
  }
  get flags(): number {
    return (this.words[(this.at + RECORD_TAG_LENGTH) >> 2] >>> 8) & 255;
  }
  get key(): string | undefined {
    const length = this.keyLength;
    const start = this.bodyAt + this.bodyLength;
    return length === 0 ? undefined : fromUtf8(this.bytes, start, start + length);
  }
  get tag(): string | undefined {
    const length = this.tagLength;
    const start = this.tagAt;
    return length === 0 ? undefined : fromUtf8(this.bytes, start, start + length);
  }
  /** Byte index of the tag: behind body and key. */
  get tagAt(): number {
    return this.bodyAt + this.bodyLength + this.keyLength;
  }
  /** Bytes of the tag; 0 for none. */
  get tagLength(): number {
    return this.words[(this.at + RECORD_TAG_LENGTH) >> 2] & 255;
  }
  get properties(): MessageProperties | undefined {
    const length = this.words[(this.at + RECORD_KEY_LENGTH) >> 2] >>> 16;
    if (length === 0) return undefined;
    const start = align8(this.tagAt + this.tagLength);
    return decodeProperties(this.bytes.subarray(start, start + length));
  }
  private get keyLength(): number {
    return this.words[(this.at + RECORD_KEY_LENGTH) >> 2] & 0xffff;
  }
}
