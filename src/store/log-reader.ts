// Puts the log reader together: index, reader, retention, key index and the agent over them.
import { SEAT_STORE } from '../../native-layout/control.ts';
import type { Disk } from '../log/disk.ts';
import { alignedBytes } from '../log/disk-node.ts';
import { type LogExtent, openLogIndex } from '../log/log-open.ts';
import { Retention } from '../log/retention.ts';
import type { SegmentFile } from '../log/run.ts';
import { RunReader } from '../log/run-reader.ts';
import { fileLength, segmentBases, segmentName } from '../log/segment-files.ts';
import { SpareSegments } from '../log/spare-segments.ts';
import { Bells } from '../memory/bell.ts';
import type { Regions, StoreRegion } from '../memory/regions.ts';
import { type KeyIndex, KeyIndexWriter } from '../state/key-index.ts';
import { HistoryDesk } from './history-desk.ts';
import { KeyFollower } from './key-follower.ts';
import { LogFollower } from './log-follower.ts';
import { LogKeeper, type LogReaderEvent } from './log-keeper.ts';
import { LogReaderAgent } from './log-reader-agent.ts';
import { ReadPace } from './read-pace.ts';
import { RunNoticeReader } from './run-notices.ts';

export interface LogReaderOptions {
  readonly regions: Regions & { readonly store: StoreRegion };
  readonly seat: number;
  readonly disk: Disk;
  /** Opens the key index; one that is ahead of the log (`logEnd`) begins anew. */
  readonly openKeys: (logEnd: number) => KeyIndex;
  /** What of the log is there: every run that is not before `extent.end` will be told by the store. */
  readonly extent: LogExtent;
  readonly mode: 'direct' | 'buffered';
  readonly segmentBytes: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  /** Milliseconds, with fractions: measures how long reads take. */
  readonly clock: () => number;
  readonly report: (event: LogReaderEvent) => void;
}

/** What a successor of a dead log reader finds: the segments, and the position up to which it must look itself. */
export function extentOf(disk: Disk, end: number): LogExtent {
  const bases = segmentBases(disk);
  const segments = bases.map((base, i): SegmentFile => {
    // A segment that another one follows is sealed (LogWriter, I3).
    return { base, lengthBytes: fileLength(disk, segmentName(base)), sealed: i < bases.length - 1 };
  });
  return { segments, end };
}

/** A log reader that knows the log up to the extent's end. Reads what index files do not say: 1 GB/s. */
export function openLogReader(options: LogReaderOptions): LogReaderAgent {
  const { regions, seat, disk, extent, mode, report } = options;
  const { store, sizes } = regions;
  const bells = new Bells(regions.control);
  const index = openLogIndex(disk, extent);
  const allocate = alignedBytes;
  const reader = new RunReader(disk, index, {
    mode,
    allocate,
    onDamage: (run, reason) => keeper.countDamage(run.position, reason),
  });
  const spares = new SpareSegments(disk, { segmentBytes: options.segmentBytes, mode, allocate });
  const { retentionMs, retentionBytes } = options;
  const forget = (base: number, lengthBytes: number): void => reader.forget(base, lengthBytes);
  const retention = new Retention(disk, index, spares, { retentionMs, retentionBytes, forget });
  const keeper = new LogKeeper({ regions, index, retention, spares, report });
  const writer = options.openKeys(extent.end);
  const keys = new KeyFollower({ disk, index, reader, writer, store }, extent.end);
  const hasSegment = extent.segments.at(-1)?.sealed === false;
  const notices = new RunNoticeReader(sizes, store);
  const follower = new LogFollower(
    disk,
    index,
    notices,
    store,
    { end: extent.end, hasSegment },
    {
      misfit: (run, how) => report({ type: 'damaged', position: run.position, text: `the run does not fit: ${how}` }),
      told: (run, logEnd) => keys.follow(run, logEnd),
      found: (end) => keys.rescan(end),
      room: () => bells.ring(SEAT_STORE),
    },
  );
  const pace = new ReadPace(store, options.clock);
  const desk = new HistoryDesk({ regions, index, reader, isBehind: () => follower.hasNews, pace });
  return new LogReaderAgent({ regions, seat, follower, desk, keeper, keys });
}

/** The key index in a database; the folder exists, and `disk` is that folder. */
export function keyDatabase(folder: string, disk: Disk): (logEnd: number) => KeyIndex {
  const wipe = (): void => {
    for (const name of disk.list()) disk.remove(name);
  };
  return (logEnd) => new KeyIndexWriter(folder, wipe, logEnd);
}
