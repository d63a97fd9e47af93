// Writes the log: blocks one behind the other, segment after segment.
//
// Who writes: one thread, the store; nobody else writes segments. See ADR 7 and native-layout/log.ts.
//   I1 A block is written at `end` and nowhere else; `end` moves only after the write.
//   I2 What lies before `durableEnd` is on the disk: in direct mode all that was written, else all up to the last sync.
//   I3 A segment appears under its name only after everything before its base is on the disk, seal included: where one
//      segment follows another, the earlier one is complete, or it was damaged.
//   I4 After a failure other than a full disk nothing is written any more: what a failed sync dropped is gone, and
//      nobody may be told otherwise (PostgreSQL's fsync lesson of 2018).
import { alignBlock, BLOCK_SEAL, LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import { assert } from '../base/fault.ts';
import { type BlockBuilder, blockCrc, putBlockHeader } from './block-builder.ts';
import { clearClean } from './checkpoint.ts';
import { crashesNext, crashPoint } from './crash-point.ts';
import { type Disk, type DiskFile, isOutOfFiles, type WriteUnderWay } from './disk.ts';
import { alignedBytes } from './disk-node.ts';
import type { SegmentFile } from './run.ts';
import { fileLength, segmentName, spareNames } from './segment-files.ts';

/** Default length of a segment. */
export const SEGMENT_BYTES = 256 * 1024 * 1024;

const NEW_SEGMENT_NAME = 'segment.new';

export interface LogWriterOptions {
  readonly mode: 'direct' | 'buffered';
  /** Length of new segments; a multiple of 4,096. */
  readonly segmentBytes: number;
  /** Which life of the broker this is. */
  readonly generation: number;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

/** Where to go on: a RecoveredLog, as far as it is of interest here. */
export interface LogStart {
  readonly segments: readonly SegmentFile[];
  readonly end: number;
  readonly previousCrc: number;
}

export class LogWriter {
  private readonly disk: Disk;
  private readonly options: LogWriterOptions;
  private readonly sealBlock = alignedBytes(LOG_ALIGN_BYTES);
  private file: DiskFile | undefined;
  private base = 0;
  /** Log position behind the last byte of the segment's file. */
  private limit = 0;
  private endPosition: number;
  private durablePosition: number;
  private crc: number;
  /** Log position that `sealBlock` was filled for. */
  private sealPosition = -1;
  private failure: unknown;
  /** See begin(). */
  private flying: { readonly write: WriteUnderWay; readonly bytes: Uint8Array } | undefined;

  /** Opens the last segment of the log; from here on the log is not cleanly stopped any more. */
  constructor(disk: Disk, options: LogWriterOptions, start: LogStart) {
    assert(
      options.segmentBytes >= 2 * LOG_ALIGN_BYTES && options.segmentBytes % LOG_ALIGN_BYTES === 0,
      `segments have a multiple of 4,096 bytes, at least two; not ${options.segmentBytes}`,
    );
    this.disk = disk;
    this.options = options;
    this.endPosition = start.end;
    this.durablePosition = start.end;
    this.crc = start.previousCrc;
    clearClean(disk);
    const last = start.segments.at(-1);
    this.limit = start.end;
    if (last?.sealed === false) this.openLast(last);
    else if (last !== undefined) this.syncSealed(last);
  }

  /** Log position of the next block. */
  get end(): number {
    return this.endPosition;
  }

  /** Everything before this log position is on the disk. */
  get durableEnd(): number {
    return this.durablePosition;
  }

  /** CRC word of the last block's header. */
  get previousCrc(): number {
    return this.crc;
  }

  /** Log position of the first byte of the segment that is written; the end of the log if it has none yet. */
  get segmentBase(): number {
    return this.file === undefined ? this.endPosition : this.base;
  }

  /**
   * Writes the builder's block at the end of the log; after sync() (in direct mode at once) it is durable. Throws the
   * disk's error: when isDiskFull(error), call again with the same block as often as need be; else it is over (I4).
   */
  append(builder: BlockBuilder): void {
    this.guard(() => {
      const bytes = this.prepare(builder);
      this.file!.write(bytes, this.endPosition - this.base);
      this.wrote(bytes);
    });
  }

  /** True if begin() may be called. */
  get mayBegin(): boolean {
    return this.file?.begin !== undefined;
  }

  /**
   * Begins what append() does, beside the calling thread. When it has ended finish() must follow, before anything else.
   * Throws as append() does, and finish() may throw the same.
   */
  begin(builder: BlockBuilder): WriteUnderWay {
    const flying = this.guard(() => {
      const bytes = this.prepare(builder);
      const write = this.file?.begin?.(bytes, this.endPosition - this.base);
      assert(write !== undefined, 'begin() only where mayBegin says so');
      return { write, bytes };
    });
    this.flying = flying;
    return flying.write;
  }

  /** The write of begin() has ended. */
  finish(): void {
    this.guard(() => {
      const { flying } = this;
      assert(flying?.write.ended === true, 'a write is finished when it has ended');
      this.flying = undefined;
      if (flying.write.error) throw flying.write.error;
      this.wrote(flying.bytes);
    });
  }

  /** Puts everything written so far on the disk. A failure is final (I4). */
  sync(): void {
    this.guard(() => this.syncFile());
  }

  close(): void {
    this.file?.close();
    this.file = undefined;
    this.failure ??= new Error('the log is closed');
  }

  /** Makes room for the builder's block, and the block what will be written. */
  private prepare(builder: BlockBuilder): Uint8Array {
    assert(this.flying === undefined, 'one block is written at a time');
    const { generation, clock, mode } = this.options;
    const lengthBytes = builder.blockBytes;
    // Behind every block there must be room for the seal.
    if (this.endPosition + lengthBytes + LOG_ALIGN_BYTES > this.limit) this.roll(lengthBytes);
    const bytes = builder.sealed ?? builder.seal(this.endPosition, this.durablePosition, this.crc, generation, clock());
    if (crashesNext('store.torn-write')) this.file!.write(firstHalf(bytes, mode), this.endPosition - this.base);
    crashPoint('store.torn-write');
    return bytes;
  }

  private wrote(bytes: Uint8Array): void {
    this.endPosition += bytes.length;
    this.crc = blockCrc(bytes, 0);
    if (this.options.mode === 'direct') this.durablePosition = this.endPosition;
  }

  private roll(lengthBytes: number): void {
    if (this.file !== undefined) this.seal(this.file);
    this.createSegment(Math.max(this.options.segmentBytes, lengthBytes + LOG_ALIGN_BYTES));
  }

  /** Writes the seal block and makes sure that it is on the disk (I3). */
  private seal(file: DiskFile): void {
    if (this.sealPosition !== this.endPosition) {
      putBlockHeader(this.sealBlock, {
        flags: BLOCK_SEAL,
        length: 0,
        runs: 0,
        runsCrc: 0,
        position: this.endPosition,
        durable: this.durablePosition,
        previousCrc: this.crc,
        generation: this.options.generation,
        nowMs: this.options.clock(),
      });
      this.sealPosition = this.endPosition;
    }
    file.write(this.sealBlock, this.endPosition - this.base);
    this.syncFile();
    this.crc = blockCrc(this.sealBlock, 0);
    this.endPosition = this.limit;
    this.durablePosition = this.limit;
    this.file = undefined;
    file.close();
    crashPoint('store.sealed');
  }

  private syncFile(): void {
    if (this.options.mode === 'direct') return;
    this.final(() => this.file?.sync());
    this.durablePosition = this.endPosition;
  }

  /** Gives the next segment its file: a spare one if there is one of the right length. */
  private createSegment(lengthBytes: number): void {
    const { disk } = this;
    const name = segmentName(this.endPosition);
    if (disk.exists(name)) {
      // An attempt before this one got as far as here.
      if (fileLength(disk, name) !== lengthBytes) this.makeFile(name, lengthBytes);
    } else if (!this.takeSpare(name, lengthBytes)) {
      this.makeFile(NEW_SEGMENT_NAME, lengthBytes);
      disk.rename(NEW_SEGMENT_NAME, name);
    }
    this.final(() => disk.syncFolder());
    const file = disk.open(name, this.openMode);
    this.base = this.endPosition;
    this.limit = this.base + lengthBytes;
    this.file = file;
    crashPoint('store.segment-created');
  }

  private takeSpare(name: string, lengthBytes: number): boolean {
    try {
      const spare = spareNames(this.disk).find((one) => fileLength(this.disk, one) === lengthBytes);
      if (spare === undefined) return false;
      this.disk.rename(spare, name);
      return true;
    } catch (error) {
      // The log reader removes what it has too many of.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Its bytes are not allocated: that takes time, and spare segments are made for it. */
  private makeFile(name: string, lengthBytes: number): void {
    const file = this.disk.open(name, 'write');
    try {
      file.truncate(lengthBytes);
      this.final(() => file.sync());
    } finally {
      file.close();
    }
  }

  private openLast(last: SegmentFile): void {
    const file = this.disk.open(segmentName(last.base), this.openMode);
    const used = this.endPosition - last.base;
    // Only a file that somebody cut is too short for the seal block or ends within a sector.
    const lengthBytes = alignBlock(Math.max(file.size(), used + LOG_ALIGN_BYTES));
    if (file.size() !== lengthBytes) file.truncate(lengthBytes);
    // After kill -9 what was found may still be on its way to the disk (I2).
    this.final(() => file.sync());
    this.file = file;
    this.base = last.base;
    this.limit = last.base + lengthBytes;
  }

  /**
   * The seal, too, may still be on its way to the disk: another segment must not get there first (I3). Opened for
   * reading: nobody may make the file anew, should retention just take it.
   */
  private syncSealed({ base }: SegmentFile): void {
    const file = this.disk.open(segmentName(base), 'read');
    try {
      this.final(() => file.sync());
    } finally {
      file.close();
    }
  }

  private get openMode(): 'write' | 'write-direct' {
    return this.options.mode === 'direct' ? 'write-direct' : 'write';
  }

  /** A failure that is not a full disk is kept and thrown for ever after. */
  private guard<T>(action: () => T): T {
    if (this.failure !== undefined) throw this.failure;
    try {
      return action();
    } catch (error) {
      if (!isDiskFull(error)) this.failure ??= error;
      throw error;
    }
  }

  /** Nothing that fails here may be tried again, not even for want of room. */
  private final(action: () => void): void {
    try {
      action();
    } catch (error) {
      // Nothing was synced and nothing dropped: a file, or the folder, could not be opened for it.
      if (isOutOfFiles(error)) throw error;
      const text = `the disk could not be synced: ${(error as Error).message}`;
      this.failure = Object.assign(new Error(text, { cause: error }), { code: 'EIO' });
      throw this.failure;
    }
  }
}

/**
 * The disk has no room (or this user has none), or the process has no file left for the next segment: it may have some
 * later.
 */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT' || isOutOfFiles(error);
}

/** Whole sectors in direct mode: the disk writes no part of one. */
function firstHalf(bytes: Uint8Array, mode: 'direct' | 'buffered'): Uint8Array {
  const half = bytes.length >> 1;
  return bytes.subarray(0, mode === 'direct' ? half - (half % LOG_ALIGN_BYTES) : half);
}
