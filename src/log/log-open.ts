// Brings the log's index to memory when the log reader thread starts: index files where they are good, the segments
// themselves where they are not.
import { BLOCK_SEAL, LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import { type Disk, isOutOfFiles } from './disk.ts';
import { readExpired } from './expired-queues.ts';
import { LogIndex, type LogIndexOptions } from './log-index.ts';
import { SegmentScanner } from './log-scan.ts';
import type { Run, SegmentFile } from './run.ts';
import { indexName } from './segment-directory.ts';
import { segmentBases } from './segment-files.ts';
import {
  loadSegmentDirectory,
  loadSegmentIndex,
  type SegmentIndex,
  segmentIndexOf,
  writeIndex,
} from './segment-index.ts';

/** What is asked of a recovery (RecoveredLog has more). */
export interface LogExtent {
  readonly segments: readonly SegmentFile[];
  /** Log position of the next block. */
  readonly end: number;
}

/**
 * The index of a recovered log. Reads the directories of all index files, makes those that are missing, and scans what
 * the unsealed segment has behind its own (1 GB/s). A log without segments begins at `end`: call openSegment() when the
 * first one is there.
 */
export function openLogIndex(disk: Disk, log: LogExtent, options: LogIndexOptions = {}): LogIndex {
  const index = new LogIndex(disk, { rebuild: (base) => rebuildIndex(disk, base), ...options });
  removeOrphans(disk);
  for (const { topicId, partition, nextOffset } of readExpired(disk)) index.addExpired(topicId, partition, nextOffset);
  for (const segment of log.segments) {
    if (segment.sealed) addSealed(disk, index, segment);
    else addUnsealed(disk, index, segment.base, log.end);
  }
  return index;
}

/**
 * Runs of the good blocks of a segment between two log positions. What is damaged in between is stepped over: a block
 * of another log, or of an earlier use of the file, never has the right position. At most some MiB of runs.
 */
export function scanRuns(disk: Disk, base: number, from: number, end: number): Run[] {
  const runs: Run[] = [];
  const scanner = new SegmentScanner(disk, base);
  try {
    const last = Math.min(end, base + scanner.lengthBytes);
    for (let position = from; position < last; ) {
      const good = scanner.mayBegin(position) && scanner.check(position, undefined) === undefined;
      if (good) scanner.eachRun((run) => runs.push({ ...run }));
      if (good && scanner.block.flags === BLOCK_SEAL) break;
      position += good ? scanner.block.lengthBytes : LOG_ALIGN_BYTES;
    }
  } finally {
    scanner.close();
  }
  return runs;
}

/** Makes the index of a sealed segment anew from its blocks; undefined if the segment cannot be read. */
function rebuildIndex(disk: Disk, base: number): SegmentIndex | undefined {
  const next = segmentBases(disk).find((other) => other > base);
  if (next === undefined) return undefined;
  let index: SegmentIndex;
  try {
    index = segmentIndexOf(base, scanRuns(disk, base, base, next), next);
  } catch (error) {
    if (isOutOfFiles(error)) throw error;
    return undefined;
  }
  try {
    writeIndex(disk, index);
  } catch (error) {
    if (isOutOfFiles(error)) throw error;
    // No room, or a disk that fails: the index is as good in memory, and made again when it is wanted again.
  }
  return index;
}

function addSealed(disk: Disk, index: LogIndex, segment: SegmentFile): void {
  const end = segment.base + segment.lengthBytes;
  const known = loadSegmentDirectory(disk, segment.base);
  // One that ends earlier is from a stop in order, before the segment was full.
  const directory = known?.end === end ? known : rebuildIndex(disk, segment.base)?.directory;
  if (directory) index.addSegment(directory, segment.lengthBytes);
  else index.addLost(segment);
}

function addUnsealed(disk: Disk, index: LogIndex, base: number, end: number): void {
  index.openSegment(base);
  const saved = loadSegmentIndex(disk, base);
  const from = saved && saved.end <= end ? saved.end : base;
  if (saved && from > base) for (const run of saved.runs()) index.add(run);
  for (const run of scanRuns(disk, base, from, end)) index.add(run);
}

/** Index files whose segment is gone, and what an interrupted write left. */
function removeOrphans(disk: Disk): void {
  const wanted = new Set(segmentBases(disk).map(indexName));
  for (const name of disk.list()) {
    if (/\.idx(\.new)?$/.test(name) && !wanted.has(name)) disk.remove(name);
  }
}
