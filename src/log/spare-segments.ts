// Files that are ready to become segments: made ahead of time, full of zeros, or recycled from segments that retention
// took. A new segment then costs the store a rename, and its blocks are written over bytes the file system has already.
//
// Who writes: the log reader thread makes and removes spares; the store thread takes one by renaming it.
// I1  A file is called `spare-N.tmp` only when it has its full length on the disk.
// I2  The store may take a spare at any moment: one that is gone is no error.
import { LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import { assert } from '../base/fault.ts';
import type { Disk, DiskFile } from './disk.ts';
import { fileLength, spareNames } from './segment-files.ts';

const MAKING = 'spare.new';
const STEP_BYTES = 1024 * 1024;
/** Part of the disk that is used: above it the oldest segments go whatever their age, and no spare is made. */
export const FORCE_ABOVE = 0.85;
/** Spares that are kept; what retention takes beyond them is removed. */
const SPARES_MAX = 2;

export interface SpareOptions {
  readonly segmentBytes: number;
  /** How zeros are written: past the page cache or through it. Default `buffered`. */
  readonly mode?: 'direct' | 'buffered';
  /** Where memory comes from; direct writes need alignedBytes() (disk-node.ts). */
  readonly allocate?: (lengthBytes: number) => Uint8Array;
}

export class SpareSegments {
  private readonly disk: Disk;
  private readonly segmentBytes: number;
  private readonly direct: boolean;
  private readonly zeros: Uint8Array;
  private making: DiskFile | undefined;
  private madeBytes = 0;

  constructor(disk: Disk, options: SpareOptions) {
    assert(options.segmentBytes % LOG_ALIGN_BYTES === 0, 'segments have a multiple of 4,096 bytes');
    this.disk = disk;
    this.segmentBytes = options.segmentBytes;
    this.direct = options.mode === 'direct';
    const allocate = options.allocate ?? ((lengthBytes: number) => new Uint8Array(lengthBytes));
    this.zeros = allocate(Math.min(STEP_BYTES, options.segmentBytes));
  }

  /** Bytes that spares take on the disk. */
  get lengthBytes(): number {
    return spareNames(this.disk).length * this.segmentBytes + this.madeBytes;
  }

  /**
   * One step of making a spare, about a millisecond: writes 1 MiB of it. False if there is one already, or if the disk
   * would be too full with one. Throws the disk's error; what was made until then is removed.
   */
  work(): boolean {
    if (!this.making && (spareNames(this.disk).length > 0 || !this.hasRoom)) return false;
    try {
      this.step();
    } catch (error) {
      this.abandon();
      throw error;
    }
    return true;
  }

  /** Makes a spare now if there is none. */
  ensure(): void {
    while (this.work());
  }

  /** A segment that nobody needs: a spare from now on, or gone if there are enough or it has another length. */
  recycle(name: string): void {
    const names = spareNames(this.disk);
    if (names.length >= SPARES_MAX || fileLength(this.disk, name) !== this.segmentBytes) this.disk.remove(name);
    else this.disk.rename(name, this.freeName(names));
  }

  /** Removes all spares: the disk needs the room. */
  removeAll(): void {
    this.abandon();
    for (const name of spareNames(this.disk)) removeIfThere(this.disk, name);
    this.disk.syncFolder();
  }

  close(): void {
    this.abandon();
  }

  private step(): void {
    this.making ??= this.begin();
    const length = Math.min(this.zeros.length, this.segmentBytes - this.madeBytes);
    this.making.write(this.zeros.subarray(0, length), this.madeBytes);
    // Every step: one sync of hundreds of MiB at the end would hold up everything else that waits for this disk.
    this.making.sync();
    this.madeBytes += length;
    if (this.madeBytes < this.segmentBytes) return;
    this.making.close();
    this.making = undefined;
    this.madeBytes = 0;
    this.disk.rename(MAKING, this.freeName(spareNames(this.disk)));
    this.disk.syncFolder();
  }

  /** What others write goes first: a spare must not be what fills the disk. */
  private get hasRoom(): boolean {
    const { freeBytes, totalBytes } = this.disk.space();
    return freeBytes - this.segmentBytes >= totalBytes * (1 - FORCE_ABOVE);
  }

  private begin(): DiskFile {
    removeIfThere(this.disk, MAKING);
    this.madeBytes = 0;
    return this.disk.open(MAKING, this.direct ? 'write-direct' : 'write');
  }

  private abandon(): void {
    this.madeBytes = 0;
    if (!this.making) return;
    this.making.close();
    this.making = undefined;
    removeIfThere(this.disk, MAKING);
  }

  private freeName(taken: readonly string[]): string {
    let number = 1;
    while (taken.includes(`spare-${number}.tmp`)) number++;
    return `spare-${number}.tmp`;
  }
}

/** Removes a file; one that is gone already is as good. */
export function removeIfThere(disk: Disk, name: string): void {
  try {
    disk.remove(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
