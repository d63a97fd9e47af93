// Checks a batch that comes from outside before one byte of it is trusted. All arithmetic is on int32 values that were
// bounded first, so that it cannot overflow.
import {
  BATCH_COUNT,
  BATCH_CRC,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  hasCrc,
  isBatchMagic,
} from '../../native-layout/batch.ts';
import { align8 } from '../../native-layout/layout.ts';
import {
  BATCH_RECORDS_MAX,
  KEY_LENGTH_MAX,
  PROPERTIES_LENGTH_MAX,
  RECORD_BODY_LENGTH,
  RECORD_HEADER_BYTES,
  RECORD_KEY_LENGTH,
  RECORD_OFFSET_DELTA,
  RECORD_SIZE,
  RECORD_TAG_LENGTH,
} from '../../native-layout/record.ts';
import type { CodeName } from '../base/codes.ts';
import { crc32 } from './crc.ts';

/**
 * Checks the batch at byte `at` (a multiple of 4) of a frame that ends at `end`: 'ok', or the code to refuse it with.
 * Linear in the number of records plus, where a CRC is given, in its bytes.
 */
export function validateBatch(bytes: Uint8Array, words: Int32Array, at: number, end: number): CodeName {
  if (end - at < BATCH_HEADER_BYTES + RECORD_HEADER_BYTES) return 'malformed-batch';
  const size = words[at >> 2];
  if (size < BATCH_HEADER_BYTES + RECORD_HEADER_BYTES || (size & 7) !== 0 || size > end - at) return 'malformed-batch';
  const magic = words[(at + BATCH_MAGIC) >> 2];
  if (!isBatchMagic(magic)) return 'malformed-batch';
  const count = words[(at + BATCH_COUNT) >> 2];
  if (count < 1 || count > BATCH_RECORDS_MAX) return 'malformed-batch';
  if (!recordsAgree(words, at + BATCH_HEADER_BYTES, at + size, count)) return 'malformed-batch';
  if (hasCrc(magic)) {
    const crc = crc32(bytes.subarray(at + BATCH_HEADER_BYTES, at + size));
    if (crc !== words[(at + BATCH_CRC) >> 2]) return 'bad-checksum';
  }
  return 'ok';
}

function recordsAgree(words: Int32Array, start: number, end: number, count: number): boolean {
  let at = start;
  for (let i = 0; i < count; i++) {
    if (end - at < RECORD_HEADER_BYTES) return false;
    const size = words[(at + RECORD_SIZE) >> 2];
    if (size < RECORD_HEADER_BYTES || size > end - at) return false;
    if (words[(at + RECORD_OFFSET_DELTA) >> 2] !== i) return false;
    const body = words[(at + RECORD_BODY_LENGTH) >> 2];
    if (body < 0 || body > size - RECORD_HEADER_BYTES) return false;
    const keyAndProperties = words[(at + RECORD_KEY_LENGTH) >> 2];
    const key = keyAndProperties & 0xffff;
    const properties = keyAndProperties >>> 16;
    const tag = words[(at + RECORD_TAG_LENGTH) >> 2] & 255;
    if (key > KEY_LENGTH_MAX || properties > PROPERTIES_LENGTH_MAX) return false;
    if (size !== align8(RECORD_HEADER_BYTES + body + key + tag) + align8(properties)) return false;
    at += size;
  }
  return at === end;
}
