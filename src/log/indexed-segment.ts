// Segments that recovery need not read: a good index file, written after the last block, vouches for them.
import { alignBlock, BLOCK_SEAL } from '../../native-layout/log.ts';
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
  const scanner = new SegmentScanner(disk, base);
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
    if (scanner.check(end, undefined) === undefined) {
      const { flags, crc } = scanner.block;
      return flags === BLOCK_SEAL ? { lengthBytes, sealed: true, end: limit, crc, firstPrevious: first } : undefined;
    }
    if (checkpoint?.clean !== true || checkpoint.end !== end || end > limit) return undefined;
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

/** A segment that is damaged at its very beginning is not spoken for. */
function firstPrevious(scanner: SegmentScanner, damaged: readonly DamagedRange[]): number | undefined {
  if (damaged.some((range) => range.from === scanner.base)) return undefined;
  return scanner.check(scanner.base, undefined) === undefined ? scanner.block.previousCrc : undefined;
}
