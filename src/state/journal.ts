// Records of the state's journal, and of the coordinator's: how one is written, and how a file of them is read back.
//
//   0          4          8          12         16
//   +----------+----------+----------+----------+-------------------+
//   | "rmst"   | length   | sequence | CRC      | JSON, length bytes |
//   +----------+----------+----------+----------+-------------------+
//
// The CRC covers the three words before it and the JSON. Sequences count up by one from record to record, and from
// 4,294,967,295 on to 1.
import { crc32 } from 'node:zlib';

const MAGIC = 0x74736d72;
const MAGIC_BYTES = Buffer.from('rmst');
const HEADER_BYTES = 16;
const CRC_AT = 12;
const SEQUENCE_MAX = 0xffff_ffff;

/** Sequence of the record behind one. */
export function sequenceAfter(sequence: number): number {
  return sequence === SEQUENCE_MAX ? 1 : sequence + 1;
}

/** The bytes of one record. */
export function encodeRecord(sequence: number, value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const record = Buffer.alloc(HEADER_BYTES + json.length);
  record.writeUInt32LE(MAGIC, 0);
  record.writeUInt32LE(json.length, 4);
  record.writeUInt32LE(sequence, 8);
  record.writeUInt32LE(crc32(json, crc32(record.subarray(0, CRC_AT))), CRC_AT);
  json.copy(record, HEADER_BYTES);
  return record;
}

interface JournalRecord {
  readonly sequence: number;
  readonly value: unknown;
  /** Where the next one stands. */
  readonly end: number;
}

export interface Journal {
  readonly values: readonly unknown[];
  /** Sequence of the last record; 0: there is none. */
  readonly sequence: number;
  /** Bytes that hold good records; behind them nothing that was acknowledged. */
  readonly end: number;
  /** Byte place and kind of a damage that is no torn write. */
  readonly damage: string | undefined;
}

/**
 * Reads the records of a file. A write that was torn is the last one, and nobody was told of it: it ends the journal.
 * What is bad and has something good behind it, or more behind it than one record, was damaged later.
 */
export function readJournal(bytes: Buffer): Journal {
  const values: unknown[] = [];
  let sequence = 0;
  let at = 0;
  while (at < bytes.length) {
    const record = recordAt(bytes, at);
    if (record === undefined || (sequence !== 0 && record.sequence !== sequenceAfter(sequence))) {
      const damage = isTorn(bytes, at, sequence) ? undefined : `the record at byte ${at} of ${bytes.length} is bad`;
      return { values, sequence, end: at, damage };
    }
    values.push(record.value);
    sequence = record.sequence;
    at = record.end;
  }
  return { values, sequence, end: at, damage: undefined };
}

function recordAt(bytes: Buffer, at: number): JournalRecord | undefined {
  if (bytes.length - at < HEADER_BYTES || bytes.readUInt32LE(at) !== MAGIC) return undefined;
  const length = bytes.readUInt32LE(at + 4);
  const start = at + HEADER_BYTES;
  if (length > bytes.length - start) return undefined;
  const json = bytes.subarray(start, start + length);
  const crc = crc32(json, crc32(bytes.subarray(at, at + CRC_AT)));
  if (crc !== bytes.readUInt32LE(at + CRC_AT)) return undefined;
  return { sequence: bytes.readUInt32LE(at + 8), value: JSON.parse(json.toString()), end: start + length };
}

function isTorn(bytes: Buffer, at: number, sequence: number): boolean {
  const hasHeader = bytes.length - at >= HEADER_BYTES && bytes.readUInt32LE(at) === MAGIC;
  if (hasHeader && at + HEADER_BYTES + bytes.readUInt32LE(at + 4) < bytes.length) return false;
  for (const _ of newerRecords(bytes, at, sequence)) return false;
  return true;
}

/** Values of the good records anywhere behind byte `at` that were written after the one with this sequence. */
export function* newerRecords(bytes: Buffer, at: number, sequence: number): Generator<unknown> {
  for (let next = bytes.indexOf(MAGIC_BYTES, at); next >= 0; next = bytes.indexOf(MAGIC_BYTES, next + 1)) {
    const record = recordAt(bytes, next);
    // Older ones are of a journal that was here before. Half the numbers count as newer.
    if (record !== undefined && ((record.sequence - sequence) | 0) >= 0) yield record.value;
  }
}
