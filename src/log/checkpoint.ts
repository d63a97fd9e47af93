// `checkpoint.json`: says that the broker was stopped in order, and where the log ended. `damaged.json`: which ranges
// of the log were found damaged and set aside.
//
// Who writes: the checkpoint, the store thread at the end of an orderly stop; clearClean(), whoever is about to write
// the log; damaged.json, the recovery. A file that cannot be read counts as not there: that takes a verification more.
import type { Disk } from './disk.ts';
import { readFile, replaceFile } from './segment-files.ts';

const CHECKPOINT_NAME = 'checkpoint.json';
const DAMAGED_NAME = 'damaged.json';
const VERSION = 1;

/** How the log stood when the broker stopped. */
export interface Checkpoint {
  /** Everything was written, synced and indexed. */
  readonly clean: boolean;
  /** Log position of the next block. */
  readonly end: number;
  /** CRC word of the last block's header. */
  readonly previousCrc: number;
  /** Which life of the broker wrote it. */
  readonly generation: number;
}

/** A range of log positions that is not served. */
export interface DamagedRange {
  readonly from: number;
  /** The log goes on here. */
  readonly to: number;
  /** What was wrong, for people. */
  readonly what: string;
}

export function writeCheckpoint(disk: Disk, checkpoint: Checkpoint): void {
  replaceFile(disk, CHECKPOINT_NAME, encode({ version: VERSION, ...checkpoint }));
}

export function readCheckpoint(disk: Disk): Checkpoint | undefined {
  const value = readJson(disk, CHECKPOINT_NAME);
  if (value?.version !== VERSION || typeof value.clean !== 'boolean') return undefined;
  const { clean, end, previousCrc, generation } = value;
  if (!isPosition(end) || !Number.isInteger(previousCrc) || !Number.isInteger(generation)) return undefined;
  return { clean, end, previousCrc: Number(previousCrc), generation: Number(generation) };
}

/** From now on the log may change: the next start is not a clean one unless the next stop is. */
export function clearClean(disk: Disk): void {
  if (!disk.exists(CHECKPOINT_NAME)) return;
  disk.remove(CHECKPOINT_NAME);
  disk.syncFolder();
}

/** Known damage, in the order of positions. */
export function readDamaged(disk: Disk): DamagedRange[] {
  const ranges = readJson(disk, DAMAGED_NAME)?.ranges;
  return Array.isArray(ranges) ? ranges.filter(isRange).sort((a, b) => a.from - b.from) : [];
}

export function writeDamaged(disk: Disk, ranges: readonly DamagedRange[]): void {
  replaceFile(disk, DAMAGED_NAME, encode({ version: VERSION, ranges }));
}

function isRange(value: unknown): value is DamagedRange {
  const { from, to, what } = (value ?? {}) as Partial<DamagedRange>;
  return isPosition(from) && isPosition(to) && from < to && typeof what === 'string';
}

function isPosition(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function encode(value: object): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}

function readJson(disk: Disk, name: string): Record<string, unknown> | undefined {
  const bytes = readFile(disk, name);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
