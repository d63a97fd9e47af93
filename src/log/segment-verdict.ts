// Verifies one segment on its own: a job that a thread pool can do for all segments at once. What it answers is plain
// data; recovery.ts puts the answers together.
import { BLOCK_SEAL, LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import type { DamagedRange } from './checkpoint.ts';
import type { Disk } from './disk.ts';
import { SegmentScanner } from './log-scan.ts';
import { RunRows } from './run-rows.ts';

/** Where the walk stopped before a seal block. */
export interface Stop {
  readonly position: number;
  /** What is wrong there, for people. */
  readonly what: string;
  /** Bytes of a block that began there and is not whole; 0 if nothing that belongs there does. */
  readonly tornBytes: number;
  /**
   * Log position of a good block behind, from which the log may go on, if one of the blocks behind shows that what
   * stood here was on the disk once and may have been acknowledged.
   */
  readonly resumes: number | undefined;
}

export interface SegmentVerdict {
  readonly base: number;
  readonly lengthBytes: number;
  /** CRC word that the first block names; undefined if the segment does not begin with a good block. */
  readonly firstPrevious: number | undefined;
  /** CRC word of the last good block; undefined if there is none, or if damage stands behind it. */
  readonly lastCrc: number | undefined;
  /** Log position behind the last good block; of a sealed segment, behind its file. */
  readonly end: number;
  /** Log position of the seal block, or of the known damage in its place; undefined if the segment is not sealed. */
  readonly sealPosition: number | undefined;
  readonly blocks: number;
  /** Bytes of good blocks. */
  readonly bytes: number;
  /** All runs (see run-rows.ts). */
  readonly runs: Float64Array<ArrayBuffer>;
  /** Undefined if the segment is sealed. */
  readonly stop: Stop | undefined;
}

export interface VerifyOptions {
  /** CRC word of the last block before the segment; without it the first block may name any. */
  readonly previousCrc?: number | undefined;
  /** Damage that is known and set aside: stepped over. */
  readonly damaged?: readonly DamagedRange[];
}

/** Verifies all blocks of a segment from its first one on. Changes nothing. */
export function verifySegment(disk: Disk, base: number, options: VerifyOptions = {}): SegmentVerdict {
  const scanner = new SegmentScanner(disk, base);
  try {
    return walk(scanner, options);
  } finally {
    scanner.close();
  }
}

function walk(scanner: SegmentScanner, options: VerifyOptions): SegmentVerdict {
  const { base, lengthBytes, block } = scanner;
  const runs = new RunRows();
  const damaged = new Map(options.damaged?.map((range) => [range.from, range.to]));
  let position = base;
  let previous = options.previousCrc;
  let firstPrevious: number | undefined;
  let sealPosition: number | undefined;
  let stop: Stop | undefined;
  let blocks = 0;
  let bytes = 0;
  while (sealPosition === undefined && stop === undefined) {
    const wrong = damaged.has(position) ? undefined : scanner.check(position, previous);
    if (wrong !== undefined) {
      stop = { position, what: wrong, tornBytes: block.lengthBytes, resumes: resumesAt(scanner, position) };
    } else if (damaged.has(position)) {
      const to = damaged.get(position)!;
      if (to >= base + lengthBytes) sealPosition = position;
      else position = to;
      previous = undefined;
    } else {
      if (position === base) firstPrevious = block.previousCrc;
      previous = block.crc;
      blocks++;
      bytes += block.lengthBytes;
      scanner.eachRun((run) => runs.add(run));
      if (block.flags === BLOCK_SEAL) sealPosition = position;
      else position += block.lengthBytes;
    }
  }
  const end = sealPosition === undefined ? position : base + lengthBytes;
  return {
    base,
    lengthBytes,
    firstPrevious,
    lastCrc: blocks === 0 ? undefined : previous,
    end,
    sealPosition,
    blocks,
    bytes,
    runs: runs.toArray(),
    stop,
  };
}

interface Found {
  readonly position: number;
  readonly end: number;
  readonly previousCrc: number;
  readonly crc: number;
  readonly durable: number;
}

/**
 * Looks behind a bad place for proof that it was good once: a good block that was written when everything up to beyond
 * the bad place was on the disk. Returns where the log goes on: at the first of the blocks that lead up to it without
 * a break. Blocks that were on their way to the disk together with the bad one prove nothing.
 */
function resumesAt(scanner: SegmentScanner, bad: number): number | undefined {
  const limit = scanner.base + scanner.lengthBytes;
  const found: Found[] = [];
  // What stands within a torn block whose length is known are messages, whatever they look like.
  let position = bad + Math.max(LOG_ALIGN_BYTES, scanner.block.lengthBytes);
  while (position < limit) {
    const good = scanner.mayBegin(position) && scanner.check(position, undefined) === undefined;
    const { lengthBytes, previousCrc, crc, durable } = scanner.block;
    if (good) found.push({ position, end: position + lengthBytes, previousCrc, crc, durable });
    position += good ? lengthBytes : LOG_ALIGN_BYTES;
  }
  let index = found.findIndex((block) => block.durable > bad);
  if (index < 0) return undefined;
  while (index > 0 && leadsTo(found[index - 1], found[index])) index--;
  return found[index].position;
}

function leadsTo(one: Found, next: Found): boolean {
  return one.end === next.position && one.crc === next.previousCrc;
}
