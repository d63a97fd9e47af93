// Names of the log's files, and which of them there are.
import type { Disk } from './disk.ts';

const DIGITS = 20;
const SEGMENT_PATTERN = /^(\d{20})\.log$/;
const SPARE_PATTERN = /^spare-.*\.tmp$/;

/** File name of the segment whose first byte has this log position. */
export function segmentName(base: number): string {
  return `${String(base).padStart(DIGITS, '0')}.log`;
}

/** Log position of the first byte of the segment of this name; undefined if it is not a segment's name. */
export function segmentBase(name: string): number | undefined {
  const match = SEGMENT_PATTERN.exec(name);
  return match === null || !Number.isSafeInteger(Number(match[1])) ? undefined : Number(match[1]);
}

/** Bases of all segments, in ascending order. */
export function segmentBases(disk: Disk): number[] {
  // Names have leading zeros: their order is that of the positions.
  return disk
    .list()
    .map(segmentBase)
    .filter((base) => base !== undefined);
}

/** Files made or recycled ahead of time, to become segments. */
export function spareNames(disk: Disk): string[] {
  return disk.list().filter((name) => SPARE_PATTERN.test(name));
}

/** Length of a file in bytes. */
export function fileLength(disk: Disk, name: string): number {
  if (disk.lengthOf) return disk.lengthOf(name);
  const file = disk.open(name, 'read');
  try {
    return file.size();
  } finally {
    file.close();
  }
}

/** Replaces a small file as a whole: whoever reads it after a crash finds the old one or the new one. */
export function replaceFile(disk: Disk, name: string, bytes: Uint8Array): void {
  const temporary = `${name}.new`;
  const file = disk.open(temporary, 'write');
  try {
    file.truncate(0);
    file.write(bytes, 0);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, name);
  disk.syncFolder();
}

/** All bytes of a small file; undefined if it is not there. */
export function readFile(disk: Disk, name: string): Uint8Array<ArrayBuffer> | undefined {
  if (!disk.exists(name)) return undefined;
  const file = disk.open(name, 'read');
  try {
    const bytes = new Uint8Array(file.size());
    return bytes.subarray(0, file.read(bytes, 0));
  } finally {
    file.close();
  }
}
