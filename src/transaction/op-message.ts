// An op message (RocketMQ's name): what a producer beside the broker puts into the topic of half messages to commit
// some of them.
//
//   0               4               8
//   +---------------+---------------+---------------+-- ...
//   | -count        | CRC-32 of 8.. | offset of a half message (int64), count times
//   |               | ^ topic id    |
//   +---------------+---------------+---------------+-- ...
//
// No envelope begins with a negative number: neither can be taken for the other. The id is that of the topic in which
// the half messages are: in another one of its name others have their offsets.
import { crc32 } from '../record/crc.ts';
import { getInt64, putInt64 } from '../record/int64.ts';

const HEADER_BYTES = 8;
const COUNT = 0;
const CRC_WORD = 1;

/** Commits in one op message: it is shorter than 4 KiB, and every topic takes such a record. */
export const OPS_MAX = 500;

/**
 * Milliseconds from the begin of a transaction for which an op message decides it, if it is acknowledged by then:
 * nobody else decides about it before that time is over. After it the coordinator is asked.
 */
export const OP_MS = 1_000;

/** The body that is stored. `offsets`: 1 to OPS_MAX. */
export function opBody(topicId: number, offsets: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + 8 * offsets.length);
  const words = new Int32Array(bytes.buffer);
  words[COUNT] = -offsets.length;
  for (let i = 0; i < offsets.length; i++) putInt64(words, (HEADER_BYTES >> 2) + 2 * i, offsets[i]);
  words[CRC_WORD] = crc32(bytes.subarray(HEADER_BYTES)) ^ topicId;
  return bytes;
}

/** Which half messages a stored body commits; undefined if it is no op message of this topic. */
export function opsOf(body: Uint8Array, topicId: number): readonly number[] | undefined {
  const count = (body.length - HEADER_BYTES) / 8;
  if (!Number.isInteger(count) || count < 1 || count > OPS_MAX) return undefined;
  // It may change, and is in shared memory: looked at and taken from a copy.
  const bytes = new Uint8Array(body);
  const words = new Int32Array(bytes.buffer);
  if (words[COUNT] !== -count || words[CRC_WORD] !== (crc32(bytes.subarray(HEADER_BYTES)) ^ topicId)) return undefined;
  return Array.from({ length: count }, (_, i) => getInt64(words, (HEADER_BYTES >> 2) + 2 * i));
}
