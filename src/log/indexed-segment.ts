// Segments that recovery need not read: a good index file, written after the last block, vouches for them.
import { alignBlock, BLOCK_HEADER_BYTES, BLOCK_SEAL, LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import type { Checkpoint, DamagedRange } from './checkpoint.ts';
import type { Disk } from './disk.ts';
import { SegmentScanner } from './log-scan.ts';
import { loadSegmentIndex, type SegmentIndex } from './segment-index.ts';

export interface IndexedSegment {
  readonly lengthBytes: number;
  readonly sealed: boolean;
  /** Log position of the next block. */
  readonly end: number;
  /** CRC word that the next block must name; undefined behind damage: any. */
  readonly crc: number | undefined;
  /** CRC word that the first block names; undefined if damage stands in its place. */
  readonly firstPrevious: number | undefined;
}

/**
 * What the segment's index says, if it speaks for the whole segment: up to its seal block, or, of the last segment, up
 * to the end that an orderly stop noted. Undefined if the segment has to be verified.
 */
export function indexedSegment(
  disk: Disk,
  base: number,
  damaged: readonly DamagedRange[],
  checkpoint: Checkpoint | undefined,
): IndexedSegment | undefined {
  const index = loadSegmentIndex(disk, base);
  if (index === undefined) return undefined;
  const scanner = new SegmentScanner(disk, base, LOG_ALIGN_BYTES);
  try {
    const { lengthBytes } = scanner;
    const limit = base + lengthBytes;
    const first = firstPrevious(scanner, damaged);
    if (first === undefined) return undefined;
    // Whatever the index says of its end: what follows the last run that it knows decides.
    const last = endOfRuns(index);
    const end = damaged.find((range) => range.from === last)?.to ?? last;
    if (end >= limit && end > last) {
      return { lengthBytes, sealed: true, end: limit, crc: undefined, firstPrevious: first };
    }
    const previousCrc = lastBlockCrc(scanner, index, last);
    const isChained = last > base && end === last;
    if (isChained && previousCrc === undefined) return undefined;
    const crc = sealCrc(scanner, end, isChained ? previousCrc : undefined);
    if (crc !== undefined) return { lengthBytes, sealed: true, end: limit, crc, firstPrevious: first };
    if (checkpoint?.clean !== true || checkpoint.end !== end || end > limit) return undefined;
    // The chain goes on behind the end that was noted: the note is of an earlier stop.
    if (followsOn(scanner, end, checkpoint.previousCrc)) return undefined;
    return { lengthBytes, sealed: false, end, crc: checkpoint.previousCrc, firstPrevious: first };
  } finally {
    scanner.close();
  }
}

/** Log position behind the block of the last run. */
function endOfRuns(index: SegmentIndex): number {
  let end = index.base;
  for (const run of index.runs()) end = Math.max(end, run.position + run.size);
  return alignBlock(end);
}

/** CRC word of the header of the block that ends at `end`; undefined if it is not found. */
function lastBlockCrc(scanner: SegmentScanner, index: SegmentIndex, end: number): number | undefined {
  // A block begins before its first run, on a boundary; most runs that stand so are the first of theirs.
  const starts: number[] = [];
  for (const { position } of index.runs()) {
    const start = position - BLOCK_HEADER_BYTES;
    if (start % LOG_ALIGN_BYTES === 0) starts.push(start);
  }
  starts.sort((a, b) => b - a);
  for (const start of starts) {
    const good = scanner.checkHeader(start) === undefined;
    if (good) return start + scanner.block.lengthBytes === end ? scanner.block.crc : undefined;
  }
  return undefined;
}

/** CRC word of the seal block at a position. One that a loss of power left there does not continue the chain. */
function sealCrc(scanner: SegmentScanner, position: number, previousCrc: number | undefined): number | undefined {
  if (scanner.checkHeader(position) !== undefined || scanner.block.flags !== BLOCK_SEAL) return undefined;
  return previousCrc === undefined || scanner.block.previousCrc === previousCrc ? scanner.block.crc : undefined;
}

function followsOn(scanner: SegmentScanner, position: number, previousCrc: number): boolean {
  return scanner.checkHeader(position) === undefined && scanner.block.previousCrc === previousCrc;
}

/** A segment that is damaged at its very beginning is not spoken for. */
function firstPrevious(scanner: SegmentScanner, damaged: readonly DamagedRange[]): number | undefined {
  if (damaged.some((range) => range.from === scanner.base)) return undefined;
  return scanner.checkHeader(scanner.base) === undefined ? scanner.block.previousCrc : undefined;
}
