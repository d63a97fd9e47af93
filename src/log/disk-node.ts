// The real disk: one folder of the file system, through Node's synchronous calls.
//
// Who uses it: every thread opens files of its own; nothing here is shared between threads.
//   I1 A read or write is complete or throws; a direct one never leaves a place that is no multiple of 4,096.
//   I2 A name that rename(), move() or remove() changed is only safe from the loss of power after syncFolder().
import fs from 'node:fs';
import path from 'node:path';
import { LOG_ALIGN_BYTES } from '../../native-layout/log.ts';
import type { Disk, DiskFile, DiskMode, WriteUnderWay } from './disk.ts';

/** How often a call that the kernel interrupted is made again before its error is thrown. */
const RETRIES_MAX = 100;
const PROBE_NAME = 'probe.tmp';
const FILE_PERMISSION = 0o644;

/** One read or write of at most `length` bytes of `bytes` from `at` on; answers how many it did. */
export type Transfer = (bytes: Uint8Array, at: number, length: number, position: number) => number;

export class NodeDisk implements Disk {
  readonly folder: string;

  /** Makes the folder if need be. */
  constructor(folder: string) {
    this.folder = folder;
    fs.mkdirSync(folder, { recursive: true });
  }

  open(name: string, mode: DiskMode): DiskFile {
    return new NodeFile(name, fs.openSync(this.path(name), openFlags(name, mode), FILE_PERMISSION), isDirect(mode));
  }

  exists(name: string): boolean {
    return fs.existsSync(this.path(name));
  }

  lengthOf(name: string): number {
    return fs.statSync(this.path(name)).size;
  }

  list(below = ''): string[] {
    try {
      const entries = fs.readdirSync(path.join(this.folder, below), { withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
        .sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  rename(from: string, to: string): void {
    fs.renameSync(this.path(from), this.path(to));
  }

  move(name: string, below: string): void {
    const target = path.join(this.folder, below);
    fs.mkdirSync(target, { recursive: true });
    fs.renameSync(this.path(name), path.join(target, name));
    syncPath(target);
  }

  remove(name: string): void {
    fs.unlinkSync(this.path(name));
  }

  syncFolder(): void {
    syncPath(this.folder);
  }

  space(): { readonly freeBytes: number; readonly totalBytes: number } {
    const { bsize, blocks, bfree, bavail } = fs.statfsSync(this.folder);
    // What is kept back for the administrator counts as neither free nor there, as `df` has it.
    return { freeBytes: bavail * bsize, totalBytes: (blocks - bfree + bavail) * bsize };
  }

  private path(name: string): string {
    return path.join(this.folder, name);
  }
}

class NodeFile implements DiskFile {
  readonly name: string;
  private readonly descriptor: number;
  private readonly unit: number;
  private readonly readSome: Transfer;
  private readonly writeSome: Transfer;

  constructor(name: string, descriptor: number, direct: boolean) {
    this.name = name;
    this.descriptor = descriptor;
    this.unit = direct ? LOG_ALIGN_BYTES : 1;
    this.readSome = (bytes, at, length, position) => fs.readSync(descriptor, bytes, at, length, position);
    this.writeSome = (bytes, at, length, position) => fs.writeSync(descriptor, bytes, at, length, position);
  }

  size(): number {
    return fs.fstatSync(this.descriptor).size;
  }

  read(bytes: Uint8Array, position: number): number {
    return readAll(this.readSome, bytes, position, this.unit);
  }

  write(bytes: Uint8Array, position: number): void {
    writeAll(this.writeSome, bytes, position, this.unit);
  }

  begin(bytes: Uint8Array, position: number): WriteUnderWay {
    return new NodeWrite(this, this.descriptor, this.unit, bytes, position);
  }

  sync(): void {
    fs.fdatasyncSync(this.descriptor);
  }

  truncate(lengthBytes: number): void {
    fs.ftruncateSync(this.descriptor, lengthBytes);
  }

  close(): void {
    fs.closeSync(this.descriptor);
  }
}

/** A write in a thread of libuv's pool. What a short or interrupted call left over is written on the calling thread. */
class NodeWrite implements WriteUnderWay {
  ended = false;
  error: Error | undefined;
  readonly end: Promise<void>;

  constructor(file: DiskFile, descriptor: number, unit: number, bytes: Uint8Array, position: number) {
    this.end = new Promise((resolve) => {
      fs.write(descriptor, bytes, 0, bytes.length, position, (error, count) => {
        try {
          if (error && !isInterruption(error)) throw error;
          const done = error ? 0 : count - (count % unit);
          if (done < bytes.length) file.write(bytes.subarray(done), position + done);
        } catch (failure) {
          this.error = failure as Error;
        }
        this.ended = true;
        resolve();
      });
    });
  }
}

/** Reads until `bytes` is full or the file ends. `unit`: what places and lengths must be multiples of. */
export function readAll(readSome: Transfer, bytes: Uint8Array, position: number, unit: number): number {
  let done = 0;
  let retries = 0;
  while (done < bytes.length) {
    const count = attempt(readSome, bytes, done, position + done, retries++);
    if (count < 0) continue;
    retries = 0;
    done += count;
    // Past the page cache only the end of the file makes a read end elsewhere than at a sector.
    if (count === 0 || count % unit !== 0) break;
  }
  return done;
}

/** Writes all of `bytes`. What a short write did in part beyond a multiple of `unit` is written again. */
export function writeAll(writeSome: Transfer, bytes: Uint8Array, position: number, unit: number): void {
  let done = 0;
  let retries = 0;
  while (done < bytes.length) {
    const count = attempt(writeSome, bytes, done, position + done, retries++);
    if (count < 0) continue;
    const whole = count - (count % unit);
    if (whole > 0) retries = 0;
    else if (retries > RETRIES_MAX) throw ioError('the disk takes nothing and says no error');
    done += whole;
  }
}

/** -1 if the call was interrupted and shall be made again. */
function attempt(transfer: Transfer, bytes: Uint8Array, at: number, position: number, retries: number): number {
  try {
    return transfer(bytes, at, bytes.length - at, position);
  } catch (error) {
    if (isInterruption(error) && retries < RETRIES_MAX) return -1;
    throw error;
  }
}

function isInterruption(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EINTR' || code === 'EAGAIN';
}

function openFlags(name: string, mode: DiskMode): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_DIRECT, O_DSYNC } = fs.constants;
  if (mode === 'read') return O_RDONLY;
  if (mode === 'write') return O_RDWR | O_CREAT;
  if (O_DIRECT === undefined || O_DSYNC === undefined) {
    throw Object.assign(new Error(`${name}: this platform cannot open files past the page cache`), { code: 'EINVAL' });
  }
  return mode === 'read-direct' ? O_RDONLY | O_DIRECT : O_RDWR | O_CREAT | O_DIRECT | O_DSYNC;
}

function isDirect(mode: DiskMode): boolean {
  return mode === 'read-direct' || mode === 'write-direct';
}

function syncPath(folder: string): void {
  const descriptor = fs.openSync(folder, fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function ioError(text: string): Error {
  return Object.assign(new Error(text), { code: 'EIO' });
}

/**
 * Memory that direct reads and writes take: it begins on a page. JavaScript tells no addresses, but WebAssembly memory
 * is mapped by pages, costs nothing until it is touched, and is an ordinary ArrayBuffer besides. Where it cannot be had
 * (each one reserves some GiB of addresses) any memory must do: the disk then refuses it and probeDisk() says so.
 */
export function alignedBytes(lengthBytes: number): Uint8Array<ArrayBuffer> {
  const wasmPages = Math.ceil(lengthBytes / WASM_PAGE_BYTES);
  try {
    const { buffer } = new WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages });
    return new Uint8Array(buffer as ArrayBuffer, 0, lengthBytes);
  } catch {
    return new Uint8Array(lengthBytes);
  }
}

const WASM_PAGE_BYTES = 65_536;

export interface DiskProbe {
  readonly mode: 'direct' | 'buffered';
  /** In plain words, for the log and `doctor`. */
  readonly reason: string;
}

/** Finds out by trying whether a folder takes direct writes; leaves nothing behind. Makes the folder if need be. */
export function probeDisk(folder: string): DiskProbe {
  const disk = new NodeDisk(folder);
  const block = alignedBytes(LOG_ALIGN_BYTES);
  block.fill(0xa5);
  try {
    const file = disk.open(PROBE_NAME, 'write-direct');
    try {
      file.write(block, 0);
      block.fill(0);
      const back = file.read(block, 0);
      if (back !== LOG_ALIGN_BYTES || block.some((byte) => byte !== 0xa5)) throw ioError('it read back other bytes');
    } finally {
      file.close();
    }
    return { mode: 'direct', reason: 'the file system takes direct writes (O_DIRECT and O_DSYNC)' };
  } catch (error) {
    return { mode: 'buffered', reason: `direct writes do not work here: ${explain(error)}; using fdatasync` };
  } finally {
    if (disk.exists(PROBE_NAME)) disk.remove(PROBE_NAME);
  }
}

function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'EINVAL' ? 'the file system refuses them (EINVAL)' : message;
}
