// Frames of batches as they arrive: brought to aligned memory, and checked before any view walks over them.
import {
  BATCH_COUNT,
  BATCH_CRC,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  hasCrc,
  isBatchMagic,
  isSparse,
  MAGIC_SPARSE,
  MAGIC_WORD_PADDING,
  PADDING_MIN_BYTES,
} from '../../native-layout/batch.ts';
import { RECORD_BODY_LENGTH, RECORD_HEADER_BYTES } from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';
import { crc32 } from '../record/crc.ts';

/** One delivered frame, as bytes and as words over the same memory. */
export class DeliveredFrame {
  bytes: Uint8Array = new Uint8Array(0);
  words: Int32Array = new Int32Array(0);
  /** Byte index where the batches start. */
  start = 0;
  length = 0;

  /** Words need 4-byte alignment; WebSocket libraries hand out bytes anywhere, and are copied only then. HOT */
  take(frame: Uint8Array): this {
    const { length } = frame;
    if ((length & 7) !== 0)
      throw new RingmqError('malformed-batch', `a frame of ${length} bytes holds no whole batches`);
    const bytes = (frame.byteOffset & 3) === 0 ? frame : new Uint8Array(frame);
    this.bytes = bytes;
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, length >> 2);
    this.start = 0;
    this.length = length;
    return this;
  }

  /**
   * Checks every batch of the frame, so that walking it stays inside and comes to an end. A batch with a CRC that is
   * verified holds the bytes that the broker has checked; of others the records are walked. Throws `malformed-batch` or
   * `bad-checksum`. HOT
   */
  check(verifyChecksums: boolean): void {
    const { bytes, words, length } = this;
    for (let at = 0; at < length; ) {
      const size = words[at >> 2];
      const magic = words[(at + BATCH_MAGIC) >> 2];
      if (magic === MAGIC_WORD_PADDING) {
        if (size < PADDING_MIN_BYTES || (size & 7) !== 0 || size > length - at) malformed(at, size);
      } else {
        checkHeader(words, at, length - at, size, magic);
        if (!verifyChecksums || !hasCrc(magic)) checkRecords(words, at, size);
        else if (crc32(bytes.subarray(at + BATCH_HEADER_BYTES, at + size)) !== words[(at + BATCH_CRC) >> 2]) {
          throw new RingmqError('bad-checksum', 'a delivered batch does not match its CRC: it is asked for again');
        }
      }
      at += size;
    }
  }
}

function checkHeader(words: Int32Array, at: number, left: number, size: number, magic: number): void {
  // The broker's filter may have left no record at all.
  const least = isSparse(magic) ? BATCH_HEADER_BYTES : BATCH_HEADER_BYTES + RECORD_HEADER_BYTES;
  if (size < least || (size & 7) !== 0 || size > left) malformed(at, size);
  if (!isBatchMagic(magic & ~MAGIC_SPARSE)) {
    throw new RingmqError('malformed-batch', `no batch starts with 0x${(magic >>> 0).toString(16)}`);
  }
  if (words[(at + BATCH_COUNT) >> 2] < 1) malformed(at, size);
}

/** HOT */
function checkRecords(words: Int32Array, batchAt: number, batchSize: number): void {
  const end = batchAt + batchSize;
  let at = batchAt + BATCH_HEADER_BYTES;
  while (at < end) {
    const size = words[at >> 2];
    const body = words[(at + RECORD_BODY_LENGTH) >> 2];
    if (
      size < RECORD_HEADER_BYTES ||
      (size & 7) !== 0 ||
      size > end - at ||
      body < 0 ||
      body > size - RECORD_HEADER_BYTES
    ) {
      throw new RingmqError('malformed-batch', `a record of ${size} bytes with a body of ${body}`);
    }
    at += size;
  }
}

function malformed(at: number, size: number): never {
  throw new RingmqError('malformed-batch', `a batch of ${size} bytes at byte ${at} of its frame`);
}
