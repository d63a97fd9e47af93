// What is in a log, and is every byte what was written? For people, and only reading, so that it works on the folder of
// a broker that runs: a log that grows or loses old segments meanwhile is no damage.
import { BLOCK_SEAL, LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import { readDamaged } from './checkpoint.ts';
import type { Disk } from './disk.ts';
import { scanRuns } from './log-open.ts';
import { SegmentScanner } from './log-scan.ts';
import { type DamageKind, type LogInspection, LogSummary, type SegmentInspection } from './log-summary.ts';
import type { Run } from './run.ts';
import { indexName } from './segment-directory.ts';
import { fileLength, segmentBases, segmentName, spareNames } from './segment-files.ts';
import { loadSegmentIndex } from './segment-index.ts';

export interface VerifyProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly segment: string;
}

export interface VerifyLogOptions {
  /** Hears after every segment. */
  readonly progress?: (progress: VerifyProgress) => void;
}

/** What the log has, by its index files; segments without one are read. Damage that this comes upon is listed. */
export function inspectLog(disk: Disk): LogInspection {
  const summary = new LogSummary(readDamaged(disk));
  const bases = segmentBases(disk);
  let lengthBytes = 0;
  let end = 0;
  for (const [i, base] of bases.entries()) {
    const length = lengthIfThere(disk, base);
    const limit = base + length;
    const sealed = i + 1 < bases.length;
    const index = loadSegmentIndex(disk, base);
    const from = index ? Math.min(index.end, limit) : base;
    const newer = from < limit ? scanRuns(disk, base, from, limit) : [];
    const runs = [...(index?.runs() ?? []), ...newer].sort((a, b) => a.position - b.position);
    const last = runs.at(-1);
    if (last) end = last.position + last.size;
    if (sealed) end = limit;
    const indexed = index ? 'good' : disk.exists(indexName(base)) ? 'damaged' : 'none';
    summary.add({ name: segmentName(base), base, lengthBytes: length, end, sealed, index: indexed }, runs);
    lengthBytes += length;
  }
  return { ...summary.result(), end, lengthBytes, spares: spareNames(disk).length };
}

/** Length of a segment; 0 if retention took it meanwhile. */
function lengthIfThere(disk: Disk, base: number): number {
  try {
    return fileLength(disk, segmentName(base));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/** Reads and verifies every block, run and index file: about 1 GB/s. Without damage the list of it is empty. */
export function verifyLog(disk: Disk, options: VerifyLogOptions = {}): LogInspection {
  return new Verification(disk, options).run();
}

class Verification {
  private readonly disk: Disk;
  private readonly options: VerifyLogOptions;
  private readonly summary: LogSummary;
  private readonly known: readonly { readonly from: number; readonly to: number }[];
  /** CRC word that the next block must name; undefined: any. */
  private crc: number | undefined;
  private end = 0;
  /** Why the block that was bad last is. */
  private reason = '';

  constructor(disk: Disk, options: VerifyLogOptions) {
    this.disk = disk;
    this.options = options;
    this.known = readDamaged(disk);
    this.summary = new LogSummary(this.known);
  }

  run(): LogInspection {
    const bases = segmentBases(this.disk);
    const lengths = bases.map((base) => lengthIfThere(this.disk, base));
    const lengthBytes = lengths.reduce((sum, length) => sum + length, 0);
    let doneBytes = 0;
    for (const [i, base] of bases.entries()) {
      try {
        this.segment(base, lengths[i], bases[i + 1]);
      } catch (error) {
        // Retention took it while we were on the way.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        this.crc = undefined;
      }
      doneBytes += lengths[i];
      this.options.progress?.({ doneBytes, totalBytes: lengthBytes, segment: segmentName(base) });
    }
    return { ...this.summary.result(), end: this.end, lengthBytes, spares: spareNames(this.disk).length };
  }

  private segment(base: number, lengthBytes: number, next: number | undefined): void {
    const runs: Run[] = [];
    const scanner = new SegmentScanner(this.disk, base);
    const limit = base + scanner.lengthBytes;
    const before = this.summary.damage.length;
    let walked: { readonly sealed: boolean; readonly blocks: number };
    try {
      walked = this.walk(scanner, next !== undefined, runs);
    } finally {
      scanner.close();
    }
    // Retention took it meanwhile, and the file has another use now.
    if (this.summary.damage.length > before && !this.disk.exists(segmentName(base))) {
      this.summary.damage.length = before;
      this.crc = undefined;
      return;
    }
    const facts = { name: segmentName(base), base, lengthBytes, end: this.end, index: this.index(base, runs) };
    this.summary.add({ ...facts, ...walked }, runs);
    if (next === undefined || next === limit) return;
    this.report('segment', base, limit, next, 'the segment that belongs here is not there');
    this.crc = undefined;
  }

  /** Steps over the blocks of a segment and gathers their runs. */
  private walk(scanner: SegmentScanner, goesOn: boolean, runs: Run[]): { sealed: boolean; blocks: number } {
    const limit = scanner.base + scanner.lengthBytes;
    let blocks = 0;
    /** Where the blocks stopped being good; -1: they are. */
    let badFrom = -1;
    for (let position = scanner.base; position < limit; ) {
      if (!this.isGood(scanner, position, badFrom)) {
        if (badFrom < 0) badFrom = position;
        position += LOG_ALIGN_BYTES;
        continue;
      }
      if (badFrom >= 0 && this.isWrittenNow(scanner, badFrom, position)) position = badFrom;
      else if (badFrom >= 0) this.report('block', scanner.base, badFrom, position, this.reason);
      badFrom = -1;
      blocks++;
      const { block } = scanner;
      position += block.lengthBytes;
      this.crc = block.crc;
      this.end = position;
      if (block.flags === BLOCK_SEAL) return { sealed: true, blocks };
      scanner.eachRun((run) => runs.push({ ...run }));
    }
    // Behind the newest segment's last good block a write may be under way, or was when the broker ended.
    if (goesOn) {
      const text = badFrom < 0 ? 'the segment is not sealed' : this.reason;
      this.report('block', scanner.base, badFrom < 0 ? limit : badFrom, limit, text);
      this.crc = undefined;
    }
    return { sealed: false, blocks };
  }

  /** True if the block at a position is one of this log's. `badFrom`: where a bad one before it stands, or -1. */
  private isGood(scanner: SegmentScanner, position: number, badFrom: number): boolean {
    if (badFrom < 0) {
      const wrong = scanner.check(position, this.crc);
      if (wrong !== undefined) this.reason = wrong;
      return wrong === undefined;
    }
    if (!scanner.mayBegin(position) || scanner.check(position, undefined) !== undefined) return false;
    // A block of a write that was cut off says that the bad place before it was not on the disk yet (ADR 7).
    return scanner.block.durable > badFrom;
  }

  /** True if the block at `bad` was only being written when it was read. If not, the good one is checked again. */
  private isWrittenNow(scanner: SegmentScanner, bad: number, good: number): boolean {
    scanner.forget();
    if (scanner.check(bad, this.crc) === undefined) return true;
    scanner.check(good, undefined);
    return false;
  }

  /** The index file must say what the blocks say, up to where it goes. */
  private index(base: number, runs: readonly Run[]): SegmentInspection['index'] {
    if (!this.disk.exists(indexName(base))) return 'none';
    const index = loadSegmentIndex(this.disk, base);
    // The broker may have written, and indexed, more since.
    const indexed = index && [...index.runs()].filter((run) => run.position < this.end);
    const there = indexed && new Map(indexed.map((run) => [run.position, run]));
    const wanted = index ? runs.filter((run) => run.position < index.end) : [];
    const agrees = there?.size === wanted.length && wanted.every((run) => isSame(run, there.get(run.position)));
    if (agrees) return 'good';
    const text = index ? 'the index file speaks of other runs' : 'the index file is damaged';
    this.report('index', base, base, this.end, text);
    return 'damaged';
  }

  private report(kind: DamageKind, base: number, from: number, to: number, text: string): void {
    const file = kind === 'index' ? indexName(base) : segmentName(base);
    const known = kind === 'block' && this.known.some((range) => from >= range.from && to <= range.to);
    this.summary.damage.push({ kind, file, from, to, text, known });
  }
}

function isSame(run: Run, other: Run | undefined): boolean {
  return other !== undefined && (Object.keys(run) as (keyof Run)[]).every((name) => other[name] === run[name]);
}
