// Fills one record batch in plain memory; one copy then moves it into a lane, a ring or a frame. Plain memory, because
// writing small pieces is faster there than in shared memory, and because the CRC can be taken before anybody sees it.
import {
  BATCH_BASE_SEQUENCE,
  BATCH_BORN_FIRST,
  BATCH_BORN_SPAN,
  BATCH_COUNT,
  BATCH_CRC,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_PARTITION,
  BATCH_PRODUCER_ID,
  BATCH_SIZE,
  MAGIC_KEYS,
  MAGIC_WORD,
  MAGIC_WORD_CRC,
  REQUEST_ACK,
  REQUEST_EPOCH,
  REQUEST_FLAGS,
  REQUEST_ID,
} from '../../native-layout/batch.ts';
import { align8 } from '../../native-layout/layout.ts';
import {
  BATCH_RECORDS_MAX,
  KEY_LENGTH_MAX,
  PRIORITY_MAX,
  PROPERTIES_LENGTH_MAX,
  RECORD_BODY_LENGTH,
  RECORD_FLAGS,
  RECORD_HEADER_BYTES,
  RECORD_KEY_LENGTH,
  RECORD_OFFSET_DELTA,
  RECORD_PRIORITY_SHIFT,
  RECORD_SIZE,
  RECORD_TAG_HASH,
  RECORD_TAG_LENGTH,
  TAG_LENGTH_MAX,
} from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';
import { crc32 } from './crc.ts';
import { putInt64 } from './int64.ts';
import { encodeProperties, type MessageProperties } from './properties.ts';
import { hash32, putUtf8 } from './text.ts';

/** Everything of a record besides its body. */
export interface RecordExtras {
  readonly key?: string | undefined;
  readonly tag?: string | undefined;
  readonly properties?: MessageProperties | undefined;
  /** Bits of the record's flags byte. */
  readonly flags?: number | undefined;
  /** 0 (default, lowest) to 9: the upper bits of the flags byte. */
  readonly priority?: number | undefined;
}

/** What the publisher says about a whole batch when it is closed. */
export interface BatchStamp {
  readonly partition: number;
  readonly epoch: number;
  readonly request: number;
  readonly ack: number;
  readonly requestFlags: number;
  readonly producerId: number;
  readonly baseSequence: number;
  /** Fill the CRC word: for batches that leave shared memory. */
  readonly checksum: boolean;
}

/** Bytes of its batch that a message of the largest size still needs: both headers, and padding. */
export const MESSAGE_OVERHEAD_BYTES = BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + 8;

const EMPTY = new Uint8Array(0);
/**
 * Called as it is, set() is a call of V8's builtin; as a method of the memory, compiled code looks it up through two
 * prototypes for every record (2 ns).
 */
const { set } = Uint8Array.prototype;
/** Of a batch that no partition's owner takes as it is. */
const PAYLOAD = { partition: 0, epoch: 0, request: 0, ack: 0, requestFlags: 0, producerId: 0, baseSequence: 0 };

export class BatchBuilder {
  /** The memory that is filled; replaced by a larger one when a single record needs it. */
  bytes: Uint8Array;
  words: Int32Array;
  /** Records so far. */
  count = 0;
  /** Bytes so far, header included. */
  length = BATCH_HEADER_BYTES;
  private bornAt = 0;
  /** A record has a key. */
  private keyed = false;
  /** A batch of two or more records never gets longer, although a large record may have made the memory larger. */
  readonly capacity: number;

  /** `capacityBytes`: when a batch is full; one record larger than that makes a batch of its own. */
  constructor(capacityBytes: number) {
    this.capacity = align8(capacityBytes);
    this.bytes = new Uint8Array(this.capacity);
    this.words = new Int32Array(this.bytes.buffer);
  }

  /** Adds a record with a body only. False if the batch is full: close it and try again. HOT */
  tryAddBody(body: Uint8Array, bornAt: number): boolean {
    const length = body.length;
    const size = (RECORD_HEADER_BYTES + length + 7) & ~7;
    if (!this.tryOpen(size, bornAt)) return false;
    const at = this.length;
    const word = at >> 2;
    const words = this.words;
    words[word] = size;
    words[word + 1] = this.count;
    words[word + 2] = 0;
    words[word + 3] = length;
    words[word + 4] = 0;
    words[word + 5] = 0;
    // The last eight bytes hold the padding, if there is any: zero it before the body is written over the rest.
    const last = (at + size) >> 2;
    words[last - 2] = length === 0 ? words[last - 2] : 0;
    words[last - 1] = length === 0 ? words[last - 1] : 0;
    set.call(this.bytes, body, at + RECORD_HEADER_BYTES);
    this.length = at + size;
    this.count++;
    return true;
  }

  /** Adds a record with a text body only. HOT */
  tryAddText(body: string, bornAt: number): boolean {
    const most = RECORD_HEADER_BYTES + body.length * 3 + 8;
    if (!this.tryOpen(align8(most), bornAt)) return false;
    const at = this.length;
    const start = at + RECORD_HEADER_BYTES;
    const written = putUtf8(body, this.bytes.subarray(start));
    this.putHeader(at, written, 0, 0, 0, 0, 0);
    return true;
  }

  /** Adds a record with key, tag or properties. Throws what is wrong with them. */
  tryAdd(body: Uint8Array, extras: RecordExtras, bornAt: number): boolean {
    const tagHash = checkExtras(extras);
    const properties = extras.properties ? encodeProperties(extras.properties) : EMPTY;
    const keyRoom = (extras.key?.length ?? 0) * 3;
    const tagRoom = (extras.tag?.length ?? 0) * 3;
    const most = align8(RECORD_HEADER_BYTES + body.length + keyRoom + tagRoom) + align8(properties.length);
    if (!this.tryOpen(most, bornAt)) return false;
    const at = this.length;
    let end = at + RECORD_HEADER_BYTES;
    set.call(this.bytes, body, end);
    end += body.length;
    const keyLength = extras.key ? putUtf8(extras.key, this.bytes.subarray(end, end + keyRoom)) : 0;
    const tagAt = end + keyLength;
    const tagLength = extras.tag ? putUtf8(extras.tag, this.bytes.subarray(tagAt, tagAt + tagRoom)) : 0;
    if (keyLength > KEY_LENGTH_MAX) throw new RingmqError('key-too-long');
    if (tagLength > TAG_LENGTH_MAX) throw new RingmqError('illegal-tag');
    this.bytes.fill(0, tagAt + tagLength, align8(tagAt + tagLength));
    this.bytes.set(properties, align8(tagAt + tagLength));
    if (keyLength > 0) this.keyed = true;
    this.putHeader(at, body.length, keyLength, tagLength, properties.length, tagHash, flagsOf(extras));
    return true;
  }

  /** Writes the header. The batch is then `bytes[0..length)`. Returns the length. */
  close(stamp: BatchStamp): number {
    const words = this.words;
    words[BATCH_SIZE >> 2] = this.length;
    words[BATCH_MAGIC >> 2] = (stamp.checksum ? MAGIC_WORD_CRC : MAGIC_WORD) | (this.keyed ? MAGIC_KEYS : 0);
    words[BATCH_PARTITION >> 2] = stamp.partition;
    words[REQUEST_EPOCH >> 2] = stamp.epoch;
    words[REQUEST_ID >> 2] = stamp.request;
    words[REQUEST_ACK >> 2] = stamp.ack;
    words[REQUEST_FLAGS >> 2] = stamp.requestFlags;
    words[(REQUEST_FLAGS >> 2) + 1] = 0;
    putInt64(words, BATCH_PRODUCER_ID >> 2, stamp.producerId);
    words[BATCH_BASE_SEQUENCE >> 2] = stamp.baseSequence;
    words[BATCH_COUNT >> 2] = this.count;
    putInt64(words, BATCH_BORN_FIRST >> 2, this.bornAt);
    words[BATCH_BORN_SPAN >> 2] = 0;
    words[BATCH_CRC >> 2] = stamp.checksum ? crc32(this.bytes.subarray(BATCH_HEADER_BYTES, this.length)) : 0;
    return this.length;
  }

  /** Writes the header of a batch that travels with a call, or is moved: it is nobody's yet. Returns the length. */
  closePayload(checksum: boolean): number {
    return this.close({ ...PAYLOAD, checksum });
  }

  /** Starts the next batch. */
  reset(): void {
    this.count = 0;
    this.length = BATCH_HEADER_BYTES;
    this.keyed = false;
  }

  private tryOpen(size: number, bornAt: number): boolean {
    if (this.count === 0) {
      this.bornAt = bornAt;
      if (BATCH_HEADER_BYTES + size > this.bytes.length) this.grow(BATCH_HEADER_BYTES + size);
      return true;
    }
    return this.length + size <= this.capacity && this.count < BATCH_RECORDS_MAX;
  }

  private grow(lengthBytes: number): void {
    this.bytes = new Uint8Array(align8(lengthBytes));
    this.words = new Int32Array(this.bytes.buffer);
  }

  private putHeader(
    at: number,
    bodyLength: number,
    keyLength: number,
    tagLength: number,
    propertiesLength: number,
    tagHash: number,
    flags: number,
  ): void {
    const content = RECORD_HEADER_BYTES + bodyLength + keyLength + tagLength;
    this.bytes.fill(0, at + content, at + align8(content));
    const size = align8(content) + align8(propertiesLength);
    this.bytes.fill(0, at + align8(content) + propertiesLength, at + size);
    const words = this.words;
    words[(at + RECORD_SIZE) >> 2] = size;
    words[(at + RECORD_OFFSET_DELTA) >> 2] = this.count;
    words[(at + RECORD_TAG_HASH) >> 2] = tagHash;
    words[(at + RECORD_BODY_LENGTH) >> 2] = bodyLength;
    words[(at + RECORD_KEY_LENGTH) >> 2] = keyLength | (propertiesLength << 16);
    words[(at + RECORD_TAG_LENGTH) >> 2] = tagLength | ((flags & 255) << (8 * (RECORD_FLAGS - RECORD_TAG_LENGTH)));
    this.length = at + size;
    this.count++;
  }
}

/** The flags byte. checkExtras() has seen the priority. */
function flagsOf({ flags = 0, priority }: RecordExtras): number {
  if (priority === undefined) return flags;
  return (flags & ((1 << RECORD_PRIORITY_SHIFT) - 1)) | (priority << RECORD_PRIORITY_SHIFT);
}

function checkExtras(extras: RecordExtras): number {
  const { priority } = extras;
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority <= PRIORITY_MAX)) {
    throw new RingmqError(
      'illegal-priority',
      `priority is ${String(priority)}: a whole number from 0 to ${PRIORITY_MAX}`,
    );
  }
  if (extras.key !== undefined && extras.key.length > KEY_LENGTH_MAX) throw new RingmqError('key-too-long');
  const tag = extras.tag;
  if (tag === undefined) return 0;
  if (tag.length === 0 || tag.length > TAG_LENGTH_MAX || tag.includes('|')) throw new RingmqError('illegal-tag');
  return hash32(tag);
}

/** Bytes of a record with these parts, padding included: for limits. */
export function recordLength(body: number, key: number, tag: number, properties: number): number {
  if (properties > PROPERTIES_LENGTH_MAX) throw new RingmqError('properties-too-large');
  return align8(RECORD_HEADER_BYTES + body + key + tag) + align8(properties);
}
