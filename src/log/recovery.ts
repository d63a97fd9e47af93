// Finds out what the log holds after any kind of end: an orderly stop, kill -9, the loss of power, damage.
//
// Who runs it: the thread that starts the broker, before any thread that writes or reads the log; a store thread that
// was started again. See ADR 7 ("Torn or damaged").
//   I1 What was durable is found, in order, or recovery stops; what it finds was written so.
//   I2 It changes nothing of the log. The next write goes over what was torn. Index files that are missing are written,
//      and with `quarantine` the note of what is damaged, with a copy of the segment.
//   I3 Started again after it was killed at any place, it finds the same.
import { RingmqError } from '../base/codes.ts';
import { type Checkpoint, type DamagedRange, readCheckpoint, readDamaged, writeDamaged } from './checkpoint.ts';
import { crashPoint } from './crash-point.ts';
import type { Disk } from './disk.ts';
import { readExpired } from './expired-queues.ts';
import { type IndexedSegment, indexedSegment } from './indexed-segment.ts';
import { keepCopy } from './quarantine.ts';
import { RecoveredQueues } from './recovered-queues.ts';
import type { RecoveredLog, SegmentFile } from './run.ts';
import { runsOf, spansOf } from './run-rows.ts';
import { indexName } from './segment-directory.ts';
import { segmentBases, segmentName } from './segment-files.ts';
import { loadSegmentIndex, type SegmentIndex, writeSegmentIndex } from './segment-index.ts';
import { type SegmentVerdict, type Stop, verifySegment } from './segment-verdict.ts';

/**
 * What was written last may not have been acknowledged when the broker died, and is sent again: partitions are told of
 * it, however much that is. Many times what clients have under way.
 */
const RECENT_BYTES = 64 * 1024 * 1024;

export interface RecoveryOptions {
  /** What to do where something is damaged that may have been acknowledged: see ADR 7. */
  readonly onDamage: 'stop' | 'quarantine';
  /** Bytes of the newest runs of a partition that its ring wants to start with. */
  readonly ringBytesMax: number;
  /** Bytes at the end of the log that are in the tails in any case. Default 64 MiB. */
  readonly recentBytes?: number;
  /** Verify segments that have a good index file too. */
  readonly verifyAll?: boolean | undefined;
  /** What verifySegment() said elsewhere, by base: those segments are not read again. */
  readonly verdicts?: ReadonlyMap<number, SegmentVerdict> | undefined;
  /** Write index files that are missing (default). Not while a log reader runs, which writes them too. */
  readonly writeIndexes?: boolean | undefined;
}

/** A segment that was looked at: the end of the chain in it, and where its runs are known from. */
interface Known {
  readonly file: SegmentFile;
  readonly end: number;
  /** CRC word that the next block must name; undefined behind damage: any. */
  readonly crc: number | undefined;
  readonly verdict: SegmentVerdict | undefined;
}

/** Bases of the segments that recoverLog() will verify: for a thread pool to do beforehand. */
export function segmentsToVerify(disk: Disk, options: { readonly verifyAll?: boolean | undefined } = {}): number[] {
  const bases = segmentBases(disk);
  if (options.verifyAll === true) return bases;
  const checkpoint = readCheckpoint(disk);
  const damaged = readDamaged(disk);
  const last = bases.at(-1);
  return bases.filter(
    (base) => indexedSegment(disk, base, damaged, base === last ? checkpoint : undefined) === undefined,
  );
}

/** Finds the end of the log and what is in it. Throws `log-corrupt` where the damage is for a person to look at. */
export function recoverLog(disk: Disk, options: RecoveryOptions): RecoveredLog {
  return new Recovery(disk, options).run();
}

class Recovery {
  private readonly disk: Disk;
  private readonly options: RecoveryOptions;
  private readonly started = performance.now();
  private readonly checkpoint: Checkpoint | undefined;
  private damaged: DamagedRange[];
  private readonly known: Known[] = [];
  /** Log position where the next block or segment must begin. */
  private end = 0;
  /** CRC word that it must name; undefined: any. */
  private crc: number | undefined = 0;
  /** CRC word of the newest good block there is. */
  private lastCrc = 0;
  private cutBytes = 0;
  /** Segments of which a copy was set aside. */
  private readonly copied = new Set<number>();

  constructor(disk: Disk, options: RecoveryOptions) {
    this.disk = disk;
    this.options = options;
    this.checkpoint = readCheckpoint(disk);
    this.damaged = readDamaged(disk);
  }

  run(): RecoveredLog {
    const bases = segmentBases(this.disk);
    for (let index = 0; index < bases.length; index++) this.take(bases[index], bases[index + 1], index === 0);
    this.checkEnd(bases.at(-1));
    crashPoint('recovery.verified');
    if (this.options.writeIndexes !== false) this.writeIndexes();
    const queues = this.gatherQueues();
    crashPoint('recovery.done');
    const verdicts = this.known.map((one) => one.verdict).filter((one) => one !== undefined);
    return {
      segments: this.known.map((one) => one.file),
      end: this.end,
      previousCrc: this.crc ?? this.lastCrc,
      queues: queues.toArray(),
      clean: this.isClean,
      report: {
        verifiedBytes: verdicts.reduce((sum, one) => sum + one.bytes, 0),
        verifiedBlocks: verdicts.reduce((sum, one) => sum + one.blocks, 0),
        tookMs: performance.now() - this.started,
        cutBytes: this.cutBytes,
        damaged: this.damaged.map(({ from, to }) => ({ from, to })),
      },
    };
  }

  /** The next segment. `next`: base of the one behind it. */
  private take(base: number, next: number | undefined, first: boolean): void {
    // Retention removes the oldest segments: the log begins with what is there.
    if (first) {
      this.end = base;
      if (base !== 0) this.crc = undefined;
    } else if (base !== this.end) this.bridge(base);
    const checkpoint = next === undefined ? this.checkpoint : undefined;
    const indexed =
      this.options.verifyAll === true ? undefined : indexedSegment(this.disk, base, this.damaged, checkpoint);
    if (indexed !== undefined && continues(this.crc, indexed.firstPrevious)) this.addIndexed(base, indexed);
    else this.addVerified(base, next);
  }

  /** Between the end of one segment and the beginning of the next there is something missing. */
  private bridge(base: number): void {
    const known = this.damaged.some((range) => range.from <= this.end && range.to === base);
    if (!known) {
      const what = `the next segment is ${segmentName(base)}: one is missing, or a file has another length than it had`;
      this.damage(undefined, { from: this.end, to: base, what });
    }
    this.end = base;
    this.crc = undefined;
  }

  private addIndexed(base: number, indexed: IndexedSegment): void {
    const { lengthBytes, sealed, end, crc } = indexed;
    this.add({ file: { base, lengthBytes, sealed }, end, crc, verdict: undefined });
  }

  private addVerified(base: number, next: number | undefined): void {
    let verdict = this.verdict(base);
    // Every round notes damage that lies behind the one before: there are as many as there are blocks, at most.
    for (let hole = this.holeAt(verdict, next); hole !== undefined; hole = this.holeAt(verdict, next)) {
      this.damage(base, hole);
      verdict = verifySegment(this.disk, base, { previousCrc: this.crc, damaged: this.damaged });
    }
    const { lengthBytes, end, lastCrc, sealPosition, stop } = verdict;
    const sealed = sealPosition !== undefined;
    const crc = verdict.blocks === 0 && end === base ? this.crc : lastCrc;
    this.add({ file: { base, lengthBytes, sealed }, end, crc, verdict });
    if (stop !== undefined) this.cutBytes += stop.tornBytes;
  }

  private add(known: Known): void {
    this.known.push(known);
    this.end = known.end;
    this.crc = known.crc;
    this.lastCrc = known.crc ?? this.lastCrc;
  }

  private verdict(base: number): SegmentVerdict {
    const given = this.options.verdicts?.get(base);
    if (given !== undefined && this.agrees(given)) return given;
    return verifySegment(this.disk, base, { previousCrc: this.crc, damaged: this.damaged });
  }

  /** A verdict may have been made without knowing the block before, or that damage is known. */
  private agrees({ firstPrevious, stop }: SegmentVerdict): boolean {
    const newDamage = !this.damaged.some((range) => range.from === stop?.position);
    return newDamage && (firstPrevious === undefined || continues(this.crc, firstPrevious));
  }

  /** What must not be taken for a torn write: the range that is damaged. */
  private holeAt(verdict: SegmentVerdict, next: number | undefined): DamagedRange | undefined {
    const { stop, base } = verdict;
    const to = stop?.resumes ?? next ?? this.cleanEndBehind(stop);
    if (stop === undefined || to === undefined) return undefined;
    return { from: stop.position, to, what: describe(stop, base, next) };
  }

  /** After an orderly stop nothing before its end can have been torn. */
  private cleanEndBehind(stop: Stop | undefined): number | undefined {
    const end = this.checkpoint?.clean === true ? this.checkpoint.end : 0;
    return stop !== undefined && end > stop.position ? end : undefined;
  }

  /** The log's last segments may be gone as a whole. */
  private checkEnd(lastBase: number | undefined): void {
    const { checkpoint } = this;
    if (checkpoint?.clean !== true || checkpoint.end <= this.end) return;
    const what = `the broker was stopped when the log ended at ${checkpoint.end}: its last segment is missing`;
    const range = { from: this.end, to: checkpoint.end, what };
    if (!this.damaged.some(({ from, to }) => from === range.from && to === range.to)) this.damage(lastBase, range);
    this.end = checkpoint.end;
    this.crc = undefined;
  }

  private get isClean(): boolean {
    const { checkpoint } = this;
    return checkpoint?.clean === true && checkpoint.end === this.end && checkpoint.previousCrc === this.crc;
  }

  /** Stops, or notes the damage and keeps a copy of the segment it is in. */
  private damage(base: number | undefined, range: DamagedRange): void {
    if (this.options.onDamage === 'stop') throw corrupt(this.disk, base, range);
    // One copy shows all that is damaged in it now.
    if (base !== undefined && !this.copied.has(base)) keepCopy(this.disk, base, range.from);
    if (base !== undefined) this.copied.add(base);
    this.damaged = [...this.damaged, range].sort((a, b) => a.from - b.from);
    writeDamaged(this.disk, this.damaged);
  }

  private writeIndexes(): void {
    for (const { verdict } of this.known) {
      if (verdict === undefined) continue;
      if (verdict.sealPosition === undefined) {
        this.dropIndexBehind(verdict);
        continue;
      }
      const { base, lengthBytes, runs } = verdict;
      // Whoever opens the index takes one that ends earlier for that of an orderly stop in the middle of the segment.
      const end = base + lengthBytes;
      if (loadSegmentIndex(this.disk, base)?.end !== end) writeSegmentIndex(this.disk, base, runsOf(runs), end);
    }
  }

  /**
   * An index file of an orderly stop may speak of blocks that are no more (a write that was never synced, a checkpoint
   * that was lost). Others will stand in their place soon, and nobody could tell.
   */
  private dropIndexBehind({ base, end }: SegmentVerdict): void {
    const index = loadSegmentIndex(this.disk, base);
    if (index === undefined || index.end <= end) return;
    this.disk.remove(indexName(base));
    this.disk.syncFolder();
  }

  private gatherQueues(): RecoveredQueues {
    const queues = new RecoveredQueues(
      this.options.ringBytesMax,
      this.end - (this.options.recentBytes ?? RECENT_BYTES),
    );
    const indexes = new Map<number, SegmentIndex>();
    for (const { file, verdict } of this.known) {
      if (verdict !== undefined) for (const span of spansOf(verdict.runs)) queues.add(span);
      else {
        const index = this.indexOf(file.base);
        addSpans(queues, index);
        indexes.set(file.base, index);
        // The newest ones will be asked for their runs; the older ones may be many.
        if (indexes.size > 2) indexes.delete(indexes.keys().next().value!);
      }
    }
    for (const { file, verdict } of this.known.toReversed()) {
      if (!queues.wantsTails) break;
      if (verdict !== undefined) for (const run of runsOf(verdict.runs, 'newest-first')) queues.addOlder(run);
      else addTails(queues, indexes.get(file.base) ?? this.indexOf(file.base));
    }
    for (const queue of readExpired(this.disk)) queues.addExpired(queue);
    return queues;
  }

  private indexOf(base: number): SegmentIndex {
    const index = loadSegmentIndex(this.disk, base);
    if (index !== undefined) return index;
    throw new RingmqError(
      'log-corrupt',
      `${this.disk.folder}: the index of ${segmentName(base)} changed while it was read`,
    );
  }
}

function addSpans(queues: RecoveredQueues, { directory }: SegmentIndex): void {
  for (let queue = 0; queue < directory.queueCount; queue++) {
    queues.add({
      topicId: directory.topicIds[queue],
      partition: directory.partitions[queue],
      firstOffset: directory.firstOffsets[queue],
      nextOffset: directory.nextOffsets[queue],
    });
  }
}

function addTails(queues: RecoveredQueues, index: SegmentIndex): void {
  const { directory } = index;
  for (let queue = 0; queue < directory.queueCount; queue++) {
    const topicId = directory.topicIds[queue];
    const partition = directory.partitions[queue];
    const first = directory.firstRun(queue);
    for (let i = directory.endRun(queue) - 1; i >= first && queues.wantsTail(topicId, partition); i--) {
      queues.addOlder(index.run(queue, i));
    }
  }
}

/** True if a segment whose first block names `named` can follow a block with this CRC word; undefined: any. */
function continues(crc: number | undefined, named: number | undefined): boolean {
  return crc === undefined || named === crc;
}

function describe(stop: Stop, base: number, next: number | undefined): string {
  const place = `${segmentName(base)}, byte ${stop.position - base}: ${stop.what}`;
  if (stop.resumes !== undefined) return `${place}, but good blocks follow from log position ${stop.resumes} on`;
  if (next !== undefined) return `${place}, and the segment has no end, but ${segmentName(next)} follows`;
  return `${place}, but the broker was stopped in order when the log was longer`;
}

function corrupt(disk: Disk, base: number | undefined, { from, to, what }: DamagedRange): RingmqError {
  const where = base === undefined ? `log position ${from}` : `log position ${from} (up to ${to})`;
  return new RingmqError(
    'log-corrupt',
    `${disk.folder}: the log is damaged at ${where}: ${what}. Nothing was changed. Bring the file back from a copy, ` +
      'or start with --on-damage quarantine (onDamage) to go on without what is damaged',
  );
}
