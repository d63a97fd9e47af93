// Is this the run that the index means, byte for byte? Nothing that a disk gives is believed before.
import { crc32 } from 'node:zlib';
import { BATCH_BASE_OFFSET, BATCH_COUNT, BATCH_HEADER_BYTES, BATCH_SIZE } from '../../native-layout/batch.ts';
import {
  RUN_BASE_OFFSET,
  RUN_CRC,
  RUN_EPOCH,
  RUN_HEADER_BYTES,
  RUN_MAGIC,
  RUN_MAGIC_VALUE,
  RUN_NEXT_OFFSET,
  RUN_PARTITION,
  RUN_SIZE,
  RUN_TOPIC,
} from '../../native-layout/log.ts';
import { getInt64 } from '../record/int64.ts';
import type { Run } from './run.ts';

/** Undefined if header and batches are the run's; otherwise what is wrong, in words. Both begin at a multiple of 8. */
export function checkRun(run: Run, header: Uint8Array, batches: Uint8Array): string | undefined {
  const words = new Int32Array(header.buffer, header.byteOffset, RUN_HEADER_BYTES >> 2);
  if (words[RUN_MAGIC >> 2] !== RUN_MAGIC_VALUE) return 'there is no run at its place';
  const isIt =
    words[RUN_SIZE >> 2] === run.size &&
    words[RUN_TOPIC >> 2] === run.topicId &&
    words[RUN_PARTITION >> 2] === run.partition &&
    words[RUN_EPOCH >> 2] === run.epoch &&
    getInt64(words, RUN_BASE_OFFSET >> 2) === run.baseOffset &&
    getInt64(words, RUN_NEXT_OFFSET >> 2) === run.nextOffset;
  if (!isIt) return 'another run is at its place';
  const length = run.size - RUN_HEADER_BYTES;
  const crc = crc32(batches.subarray(0, length), crc32(header.subarray(0, RUN_CRC))) | 0;
  if (crc !== words[RUN_CRC >> 2]) return 'its bytes do not match their CRC';
  return batchesFit(batches, length, run) ? undefined : 'its batches contradict its header';
}

/** A CRC can be right over what was wrong when it was written: loops over sizes must end in any case. */
function batchesFit(batches: Uint8Array, length: number, run: Run): boolean {
  const words = new Int32Array(batches.buffer, batches.byteOffset, length >> 2);
  let offset = run.baseOffset;
  let at = 0;
  while (at < length) {
    const size = words[(at + BATCH_SIZE) >> 2];
    if (size < BATCH_HEADER_BYTES || (size & 7) !== 0 || size > length - at) return false;
    if (getInt64(words, (at + BATCH_BASE_OFFSET) >> 2) !== offset) return false;
    offset += words[(at + BATCH_COUNT) >> 2];
    at += size;
  }
  return offset === run.nextOffset;
}
