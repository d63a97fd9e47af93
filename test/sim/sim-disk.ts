// The disk of a simulated machine: a FaultDisk, every change of which is in the trace, that can be full, fail for good,
// and take the process (or the thread that calls it) down in the middle of a write.
import { crc32 } from 'node:zlib';
import type { Disk, DiskFile, DiskMode, WriteUnderWay } from '../../src/log/disk.ts';
import type { FaultDisk } from '../support/fault-disk.ts';
import type { Trace } from './trace.ts';

const SECTOR_BYTES = 4_096;
/** A write under way ends when its thread has looked for it so often, on average. */
const FLIGHT_LOOKS = 4;

/** The process is gone. Nobody catches this but the simulation. */
export class ProcessKilled extends Error {
  override readonly name = 'ProcessKilled';
}

/** A bug ends the thread that meets it. */
export class ThreadDied extends Error {
  override readonly name = 'ThreadDied';
}

/** What a test may do to the calls of the store, to see whether it is found out. */
export interface DiskSabotage {
  /** True: a write of a segment is forgotten. */
  readonly dropsWrite?: (name: string, bytes: Uint8Array) => boolean;
  /** True: a sync does nothing, and says that it did. */
  readonly liesAboutSync?: boolean;
}

/** How the disk of one folder differs. */
export interface DiskManner {
  /** Before the names of its files in the trace. */
  readonly label: string;
  /**
   * Deaths are seen as errors of the disk, and the flags say what they were: on an event loop nobody would catch
   * anything else.
   */
  readonly deathIsAnError: boolean;
  /** Hears of every sync of a file. */
  readonly synced: (name: string) => void;
}

const OF_THE_LOG: DiskManner = { label: '', deathIsAnError: false, synced: () => {} };

export class SimDisk implements Disk {
  readonly folder = '(simulated)';
  /** No room: writes fail until it is over. Syncs do not. */
  full = false;
  /** Every sync fails from now on. */
  broken = false;
  /** The store has given up: nothing more is stored in this life. */
  givenUp = false;
  /** Part of the disk that others use, of 100. */
  usedPercent = 10;
  /** Calls until the process, or the thread, dies in one; -1: it does not. */
  killIn = -1;
  dieIn = -1;
  dead = false;
  /** A thread was told to die, and may have caught it. */
  died = false;
  private readonly inner: FaultDisk;
  private readonly trace: Trace;
  private readonly random: (below: number) => number;
  private readonly sabotage: DiskSabotage;
  private readonly manner: DiskManner;

  constructor(
    inner: FaultDisk,
    trace: Trace,
    random: (below: number) => number,
    sabotage: DiskSabotage = {},
    manner: DiskManner = OF_THE_LOG,
  ) {
    this.inner = inner;
    this.trace = trace;
    this.random = random;
    this.sabotage = sabotage;
    this.manner = manner;
    inner.begins = true;
  }

  /** What kill -9 leaves. Of a write under way: all of it, or nothing. */
  killed(): SimDisk {
    if (this.random(2) === 0) this.landAll();
    return this.successor(this.inner.killed());
  }

  /** What a loss of power leaves. */
  crashed(): SimDisk {
    return this.successor(this.inner.crash(this.random(2 ** 30)));
  }

  private successor(inner: FaultDisk): SimDisk {
    return new SimDisk(inner, this.trace, this.random, this.sabotage, this.manner);
  }

  open(name: string, mode: DiskMode): DiskFile {
    const creates = mode === 'write' || mode === 'write-direct';
    if (creates && !this.inner.exists(name)) this.before(`create ${name}`);
    return new SimFile(
      this,
      this.guarded(() => this.inner.open(name, mode)),
    );
  }

  exists(name: string): boolean {
    return this.inner.exists(name);
  }

  list(below?: string): string[] {
    return this.inner.list(below);
  }

  rename(from: string, to: string): void {
    this.before(`rename ${from} ${to}`);
    this.guarded(() => this.inner.rename(from, to));
  }

  move(name: string, below: string): void {
    this.before(`move ${name} ${below}`);
    this.guarded(() => this.inner.move(name, below));
  }

  remove(name: string): void {
    this.before(`remove ${name}`);
    this.guarded(() => this.inner.remove(name));
  }

  syncFolder(): void {
    this.before('sync-folder');
    if (this.sabotage.liesAboutSync) return;
    this.fail('EIO', this.broken, () => this.inner.syncFolder());
  }

  space(): { readonly freeBytes: number; readonly totalBytes: number } {
    const totalBytes = 1e9;
    return { freeBytes: totalBytes * (1 - this.usedPercent / 100), totalBytes };
  }

  /** Counts a call that changes something; the process or the thread may not live to make it. */
  before(what: string, torn?: () => void): void {
    const { deathIsAnError, label } = this.manner;
    if (deathIsAnError && (this.dead || this.died)) throw failedFor(what);
    if (this.dead) throw new ProcessKilled(what);
    this.trace.add(`disk ${label}${what}`);
    if (this.killIn >= 0 && this.killIn-- === 0) {
      torn?.();
      this.dead = true;
      throw deathIsAnError ? failedFor(what) : new ProcessKilled(what);
    }
    if (this.dieIn >= 0 && this.dieIn-- === 0) {
      this.died = true;
      throw deathIsAnError ? failedFor(what) : new ThreadDied(what);
    }
  }

  write(file: DiskFile, bytes: Uint8Array, position: number): void {
    const what = `write ${file.name} ${position} ${bytes.length} ${crc32(bytes).toString(16)}`;
    this.before(what, () => this.tear(file, bytes, position));
    if (this.sabotage.dropsWrite?.(file.name, bytes)) return;
    this.guarded(() => file.write(bytes, position));
  }

  /** It ends some looks later. */
  begin(file: DiskFile, bytes: Uint8Array, position: number): WriteUnderWay {
    const what = `begin ${file.name} ${position} ${bytes.length} ${crc32(bytes).toString(16)}`;
    this.before(what, () => this.tear(file, bytes, position));
    // One that is forgotten goes to where nothing is.
    const target = this.sabotage.dropsWrite?.(file.name, bytes) ? bytes.subarray(0, 0) : bytes;
    const write = file.begin?.(target, position) as WriteUnderWay;
    const hasEnded = (): boolean => {
      if (!write.ended && this.random(FLIGHT_LOOKS) === 0) this.landAll();
      return write.ended;
    };
    return {
      get ended() {
        return hasEnded();
      },
      get error() {
        return write.error;
      },
      end: write.end,
    };
  }

  /** A thread does not end before what it has begun to write. */
  landAll(): void {
    while (this.inner.flying > 0) {
      this.trace.add('disk lands');
      this.guarded(() => this.inner.land());
    }
  }

  private tear(file: DiskFile, bytes: Uint8Array, position: number): void {
    const sectors = bytes.length / SECTOR_BYTES;
    const written = Math.floor(this.random(Math.floor(sectors) + 1)) * SECTOR_BYTES;
    if (written > 0) this.guarded(() => file.write(bytes.subarray(0, written), position));
  }

  sync(file: DiskFile): void {
    this.before(`sync ${file.name}`);
    if (!this.sabotage.liesAboutSync) this.fail('EIO', this.broken, () => file.sync());
    this.manner.synced(file.name);
  }

  truncate(file: DiskFile, lengthBytes: number): void {
    this.before(`truncate ${file.name} ${lengthBytes}`);
    this.guarded(() => file.truncate(lengthBytes));
  }

  private guarded<T>(action: () => T): T {
    return this.fail('ENOSPC', this.full, action);
  }

  private fail<T>(code: 'ENOSPC' | 'EIO', fails: boolean, action: () => T): T {
    if (!fails) return action();
    this.inner.calls = 0;
    this.inner.plan = { at: 1, code, forever: true };
    try {
      return action();
    } finally {
      this.inner.plan = undefined;
    }
  }
}

class SimFile implements DiskFile {
  readonly name: string;
  private readonly disk: SimDisk;
  private readonly file: DiskFile;

  constructor(disk: SimDisk, file: DiskFile) {
    this.disk = disk;
    this.file = file;
    this.name = file.name;
  }

  size(): number {
    return this.file.size();
  }

  read(bytes: Uint8Array, position: number): number {
    return this.file.read(bytes, position);
  }

  write(bytes: Uint8Array, position: number): void {
    this.disk.write(this.file, bytes, position);
  }

  get begin(): DiskFile['begin'] {
    if (this.file.begin === undefined) return undefined;
    return (bytes, position) => this.disk.begin(this.file, bytes, position);
  }

  sync(): void {
    this.disk.sync(this.file);
  }

  truncate(lengthBytes: number): void {
    this.disk.truncate(this.file, lengthBytes);
  }

  close(): void {
    this.file.close();
  }
}

function failedFor(what: string): Error {
  return Object.assign(new Error(`EIO: ${what}`), { code: 'EIO' });
}
