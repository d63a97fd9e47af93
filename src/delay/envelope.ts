// A scheduled message as it is kept: the body of a message of the timer topic, and byte for byte the same in a bucket's
// file. The record is the sender's, whole, so that firing changes nothing of it.
//
//   0               4               8               12              16
//   +---------------+---------------+---------------+---------------+
//   | length        | CRC-32 of 8.. | deliver at, ms (int64)        |
//   +---------------+---------------+---------------+---------------+
//   | topic length  | record at     | topic ... padded to 8, record |
//   +---------------+---------------+---------------+---------------+
import { align8 } from '../../native-layout/layout.ts';
import { RECORD_HEADER_BYTES, RECORD_SIZE } from '../../native-layout/record.ts';
import { crc32, crc32OfWords } from '../record/crc.ts';
import { getInt64, putInt64 } from '../record/int64.ts';
import { fromUtf8 } from '../record/text.ts';

const LENGTH = 0;
const CRC = 4;
const DELIVER_AT = 8;
const TOPIC_LENGTH = 16;
const RECORD_AT = 20;
const HEADER_BYTES = 24;
/** Up to so many bytes a CRC costs less in JavaScript than the call of the native one. */
const SHORT_BYTES = 256;

/** Bytes that an envelope adds to a record, at most: topic names have up to 127 characters. */
export const ENVELOPE_BYTES_MAX = HEADER_BYTES + 128;

/** Length of the envelope of a record of `size` bytes. */
export function envelopeLength(topicLength: number, size: number): number {
  return align8(HEADER_BYTES + topicLength) + size;
}

/**
 * Writes an envelope at byte 0 of `bytes`, around the record at `at` of `source`. Returns its length, a multiple of 8.
 * HOT
 */
export function putEnvelope(
  bytes: Uint8Array,
  words: Int32Array,
  topic: Uint8Array,
  deliverAt: number,
  source: Uint8Array,
  at: number,
  size: number,
): number {
  const recordAt = align8(HEADER_BYTES + topic.length);
  const length = recordAt + size;
  words[LENGTH >> 2] = length;
  putInt64(words, DELIVER_AT >> 2, deliverAt);
  words[TOPIC_LENGTH >> 2] = topic.length;
  words[RECORD_AT >> 2] = recordAt;
  words[(recordAt >> 2) - 1] = 0;
  words[(recordAt >> 2) - 2] = 0;
  bytes.set(topic, HEADER_BYTES);
  bytes.set(source.subarray(at, at + size), recordAt);
  words[CRC >> 2] = crcOf(bytes, words, 0, length);
  return length;
}

function crcOf(bytes: Uint8Array, words: Int32Array, at: number, length: number): number {
  if (length <= SHORT_BYTES && length % 4 === 0)
    return crc32OfWords(words, (at + DELIVER_AT) >> 2, (length - DELIVER_AT) >> 2);
  return crc32(bytes.subarray(at + DELIVER_AT, at + length));
}

/** When the envelope at byte `at` (a multiple of 8) is due; -1 if `length` bytes there are none. HOT */
export function deliverAtOf(words: Int32Array, at: number, length: number): number {
  if (length <= HEADER_BYTES || words[(at + LENGTH) >> 2] !== length) return -1;
  return getInt64(words, (at + DELIVER_AT) >> 2);
}

/** Steps over envelopes that were read from a file. Trusts nothing that the check did not cover. */
export class EnvelopeView {
  private bytes = new Uint8Array(0);
  private words = new Int32Array(0);
  private at = 0;

  /** False if the bytes there are not what was written. HOT */
  open(bytes: Uint8Array<ArrayBuffer>, words: Int32Array<ArrayBuffer>, at: number, length: number): boolean {
    this.bytes = bytes;
    this.words = words;
    this.at = at;
    if (length <= HEADER_BYTES || words[(at + LENGTH) >> 2] !== length) return false;
    if (words[(at + CRC) >> 2] !== crcOf(bytes, words, at, length)) return false;
    const recordAt = words[(at + RECORD_AT) >> 2];
    return recordAt + RECORD_HEADER_BYTES <= length && this.recordLength === length - recordAt;
  }

  get deliverAt(): number {
    return getInt64(this.words, (this.at + DELIVER_AT) >> 2);
  }

  get topic(): string {
    const start = this.at + HEADER_BYTES;
    return fromUtf8(this.bytes, start, start + this.words[(this.at + TOPIC_LENGTH) >> 2]);
  }

  /** True if the topic is this text of one-byte characters. Cheaper than to read it. HOT */
  isFor(topic: string): boolean {
    const { bytes, words, at } = this;
    const { length } = topic;
    if (words[(at + TOPIC_LENGTH) >> 2] !== length) return false;
    for (let i = 0; i < length; i++) {
      // A byte from 128 on is a part of a character, and the character's number is another one.
      const byte = bytes[at + HEADER_BYTES + i];
      if (byte > 127 || byte !== topic.charCodeAt(i)) return false;
    }
    return true;
  }

  /** Byte index of the record, a multiple of 8. */
  get recordAt(): number {
    return this.at + this.words[(this.at + RECORD_AT) >> 2];
  }

  get recordLength(): number {
    return this.words[(this.recordAt + RECORD_SIZE) >> 2];
  }
}
