// A disk in memory that loses, tears, reorders and fails, in the manner of SQLite's crash VFS.
//
// It knows of every sector (4 KiB) and of every name what was written and what is on the disk for good. crash() gives
// the disk that a loss of power leaves, killed() the one that kill -9 leaves. A FaultPlan makes calls fail.
import type { Disk, DiskFile, DiskMode, WriteUnderWay } from '../../src/log/disk.ts';
import { fractionsFrom } from './random.ts';

const SECTOR_BYTES = 4096;

export type FaultCode = 'ENOSPC' | 'EIO';

/** Which call fails, counted from 1 over all calls of a disk and its files that can fail with this code. */
export interface FaultPlan {
  readonly at: number;
  readonly code: FaultCode;
  /** Every later call too. */
  readonly forever?: boolean;
}

/** A change of a file that is not on the disk yet. */
interface Pending {
  readonly at: number;
  /** Undefined for a new length (`at`). */
  readonly bytes: Uint8Array | undefined;
}

interface Inode {
  current: Uint8Array;
  durable: Uint8Array;
  pending: Pending[];
}

/** A change of names that is not on the disk yet; `to` undefined: removed, `from` undefined: made. */
interface NameChange {
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly inode: Inode;
}

export class FaultDisk implements Disk {
  readonly folder = '(memory)';
  /** False: opening a file for direct access is refused, as some file systems do. */
  takesDirect = true;
  /** Direct writes may go on beside the thread (DiskFile.begin): they end when land() says so. */
  begins = false;
  private readonly flights: FaultWrite[] = [];
  plan: FaultPlan | undefined;
  /** Calls so far that could have failed with the code of the plan. */
  calls = 0;
  /** Calls that did fail. */
  faults = 0;
  /** What was called, for tests of order: `write NAME`, `sync NAME`, `rename A B`, `sync-folder` … */
  readonly history: string[] = [];
  private readonly names: Map<string, Inode>;
  private durableNames: ReadonlyMap<string, Inode>;
  private changes: NameChange[];

  constructor(
    names: Map<string, Inode> = new Map(),
    durableNames: ReadonlyMap<string, Inode> = new Map(),
    changes: NameChange[] = [],
  ) {
    this.names = names;
    this.durableNames = durableNames;
    this.changes = changes;
  }

  open(name: string, mode: DiskMode): DiskFile {
    const direct = mode === 'read-direct' || mode === 'write-direct';
    if (direct && !this.takesDirect) throw failed('EINVAL', `open ${name}`);
    let inode = this.names.get(name);
    if (inode === undefined) {
      if (mode === 'read' || mode === 'read-direct') throw failed('ENOENT', `open ${name}`);
      this.call(`create ${name}`, ['ENOSPC', 'EIO']);
      inode = newInode();
      this.change(undefined, name, inode);
    }
    return new FaultFile(this, name, inode, mode);
  }

  exists(name: string): boolean {
    return this.names.has(name);
  }

  list(below?: string): string[] {
    const prefix = below === undefined ? '' : `${below}/`;
    const names = [...this.names.keys()].filter((name) => name.startsWith(prefix));
    return names
      .map((name) => name.slice(prefix.length))
      .filter((name) => !name.includes('/'))
      .sort();
  }

  rename(from: string, to: string): void {
    const inode = this.names.get(from);
    if (inode === undefined) throw failed('ENOENT', `rename ${from}`);
    this.call(`rename ${from} ${to}`, ['ENOSPC', 'EIO']);
    this.change(from, to, inode);
  }

  move(name: string, below: string): void {
    this.rename(name, `${below}/${name}`);
  }

  remove(name: string): void {
    const inode = this.names.get(name);
    if (inode === undefined) throw failed('ENOENT', `remove ${name}`);
    this.call(`remove ${name}`, ['EIO']);
    this.change(name, undefined, inode);
  }

  syncFolder(): void {
    this.call('sync-folder', ['EIO']);
    this.durableNames = new Map(this.names);
    this.changes = [];
  }

  space(): { readonly freeBytes: number; readonly totalBytes: number } {
    return { freeBytes: 1e9, totalBytes: 2e9 };
  }

  /** Writes that were begun and have not ended. */
  get flying(): number {
    return this.flights.length;
  }

  /** The write that was begun first ends, as write() would. False if there is none. */
  land(): boolean {
    const flight = this.flights.shift();
    flight?.land();
    return flight !== undefined;
  }

  /** See DiskFile.begin(). */
  begin(file: DiskFile, inode: Inode, bytes: Uint8Array, position: number): WriteUnderWay {
    const flight = new FaultWrite(file, inode, bytes, position);
    this.flights.push(flight);
    return flight;
  }

  /** What kill -9 leaves: the page cache outlives the process. Of a write under way nothing: or land() before. */
  killed(): FaultDisk {
    const inodes = new Map<Inode, Inode>();
    const copyOf = (inode: Inode): Inode => {
      const copy = inodes.get(inode) ?? { ...inode, current: inode.current.slice(), pending: [...inode.pending] };
      inodes.set(inode, copy);
      return copy;
    };
    const changes = this.changes.map((change) => ({ ...change, inode: copyOf(change.inode) }));
    return this.successor(mapValues(this.names, copyOf), mapValues(this.durableNames, copyOf), changes);
  }

  /** What a loss of power leaves: of everything that was not synced, what the seed wants, sector by sector. */
  crash(seed: number): FaultDisk {
    const random = fractionsFrom(seed);
    // Some seeds lose or keep nearly everything.
    const kept = [0, 0.1, 0.5, 0.9, 1][Math.floor(random() * 5)];
    const keeps = (): boolean => random() < kept;
    const names = new Map(this.durableNames);
    for (const { from, to, inode } of this.changes.filter(keeps)) {
      if (from !== undefined && names.get(from) === inode) names.delete(from);
      if (to !== undefined) names.set(to, inode);
    }
    const inodes = new Map<Inode, Inode>();
    const left = mapValues(names, (inode) => {
      const begun = this.flights.filter((flight) => flight.inode === inode).flatMap((flight) => flight.sectors());
      const one = inodes.get(inode) ?? afterPowerLoss({ ...inode, pending: [...inode.pending, ...begun] }, keeps);
      inodes.set(inode, one);
      return one;
    });
    return this.successor(left, new Map(left), []);
  }

  /** Flips bits of a byte, on the disk and in the page cache. */
  flip(name: string, at: number, bits: number): void {
    const inode = this.names.get(name);
    if (inode === undefined) throw failed('ENOENT', name);
    inode.current[at] ^= bits;
    if (inode.durable !== inode.current) inode.durable[at] ^= bits;
  }

  /** The bytes of a file as they are read now; changing them damages what the page cache has. */
  bytesOf(name: string): Uint8Array {
    const inode = this.names.get(name);
    if (inode === undefined) throw failed('ENOENT', name);
    return inode.current;
  }

  /** Counts a call; throws if it is one that shall fail with one of `codes`. */
  call(what: string, codes: readonly FaultCode[]): void {
    this.history.push(what);
    const { plan } = this;
    if (plan === undefined || !codes.includes(plan.code)) return;
    this.calls++;
    if (this.calls !== plan.at && !(plan.forever === true && this.calls > plan.at)) return;
    this.faults++;
    throw failed(plan.code, what);
  }

  private successor(names: Map<string, Inode>, durableNames: Map<string, Inode>, changes: NameChange[]): FaultDisk {
    const next = new FaultDisk(names, durableNames, changes);
    next.takesDirect = this.takesDirect;
    next.begins = this.begins;
    return next;
  }

  private change(from: string | undefined, to: string | undefined, inode: Inode): void {
    if (from !== undefined) this.names.delete(from);
    if (to !== undefined) this.names.set(to, inode);
    this.changes.push({ from, to, inode });
  }
}

/** A write under way. Its bytes are compared with what they were: nobody may touch them. */
class FaultWrite implements WriteUnderWay {
  ended = false;
  error: Error | undefined;
  readonly end: Promise<void>;
  readonly inode: Inode;
  private readonly file: DiskFile;
  private readonly bytes: Uint8Array;
  private readonly kept: Uint8Array;
  private readonly position: number;
  private resolve: () => void = () => {};

  constructor(file: DiskFile, inode: Inode, bytes: Uint8Array, position: number) {
    this.file = file;
    this.inode = inode;
    this.bytes = bytes;
    this.kept = bytes.slice();
    this.position = position;
    this.end = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  land(): void {
    if (Buffer.compare(this.bytes, this.kept) !== 0) throw new Error(`${this.file.name}: changed while it was written`);
    try {
      this.file.write(this.bytes, this.position);
    } catch (error) {
      this.error = error as Error;
    }
    this.ended = true;
    this.resolve();
  }

  sectors(): Pending[] {
    return sectorsOf(this.kept, this.position);
  }
}

class FaultFile implements DiskFile {
  readonly name: string;
  private readonly disk: FaultDisk;
  private readonly inode: Inode;
  private readonly mode: DiskMode;
  private closed = false;

  constructor(disk: FaultDisk, name: string, inode: Inode, mode: DiskMode) {
    this.disk = disk;
    this.name = name;
    this.inode = inode;
    this.mode = mode;
  }

  size(): number {
    return this.inode.current.length;
  }

  read(bytes: Uint8Array, position: number): number {
    this.check(bytes, position);
    this.disk.call(`read ${this.name}`, ['EIO']);
    const part = this.inode.current.subarray(position, position + bytes.length);
    bytes.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, position: number): void {
    this.check(bytes, position);
    if (this.mode === 'read' || this.mode === 'read-direct') throw failed('EBADF', `write ${this.name}`);
    try {
      this.disk.call(`write ${this.name}`, ['ENOSPC', 'EIO']);
    } catch (error) {
      // A disk that has no room for all of it, or breaks while it writes, has written some of it.
      const half = (bytes.length >> 1) - ((bytes.length >> 1) % SECTOR_BYTES);
      if (half > 0) this.put(bytes.subarray(0, half), position);
      throw error;
    }
    this.put(bytes, position);
  }

  get begin(): DiskFile['begin'] {
    if (!this.disk.begins) return undefined;
    return (bytes, position) => {
      this.check(bytes, position);
      return this.disk.begin(this, this.inode, bytes, position);
    };
  }

  sync(): void {
    try {
      this.disk.call(`sync ${this.name}`, ['ENOSPC', 'EIO']);
    } catch (error) {
      // What the kernel could not write it counts as written: nothing will be tried again, and nothing is there.
      this.inode.pending = [];
      throw error;
    }
    this.inode.durable = this.inode.current.slice();
    this.inode.pending = [];
  }

  truncate(lengthBytes: number): void {
    this.disk.call(`truncate ${this.name}`, ['EIO']);
    this.inode.current = resized(this.inode.current, lengthBytes);
    this.inode.pending.push({ at: lengthBytes, bytes: undefined });
  }

  close(): void {
    if (this.closed) throw failed('EBADF', `close ${this.name}`);
    this.closed = true;
  }

  private put(bytes: Uint8Array, position: number): void {
    const { inode } = this;
    inode.current = written(inode.current, bytes, position);
    if (this.mode === 'write-direct') {
      const end = position + bytes.length;
      const elsewhere = ({ at, bytes: part }: Pending) =>
        part === undefined || at + part.length <= position || at >= end;
      inode.pending = inode.pending.filter(elsewhere);
      inode.durable = written(inode.durable, bytes, position);
    } else {
      inode.pending.push(...sectorsOf(bytes, position));
    }
  }

  private check(bytes: Uint8Array, position: number): void {
    if (this.closed) throw failed('EBADF', this.name);
    if (this.mode !== 'read-direct' && this.mode !== 'write-direct') return;
    if ((position | bytes.length | bytes.byteOffset) % SECTOR_BYTES !== 0) throw failed('EINVAL', this.name);
  }
}

function sectorsOf(bytes: Uint8Array, position: number): Pending[] {
  const sectors: Pending[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(SECTOR_BYTES - ((position + at) % SECTOR_BYTES), bytes.length - at);
    sectors.push({ at: position + at, bytes: bytes.slice(at, at + length) });
    at += length;
  }
  return sectors;
}

function newInode(): Inode {
  return { current: new Uint8Array(0), durable: new Uint8Array(0), pending: [] };
}

function afterPowerLoss(inode: Inode, keeps: () => boolean): Inode {
  let bytes: Uint8Array = inode.durable.slice();
  for (const { at, bytes: part } of inode.pending.filter(keeps)) {
    bytes = part === undefined ? resized(bytes, at) : written(bytes, part, at);
  }
  return { current: bytes, durable: bytes.slice(), pending: [] };
}

function written(old: Uint8Array, bytes: Uint8Array, position: number): Uint8Array {
  const end = position + bytes.length;
  const into = end > old.length ? resized(old, end) : old;
  into.set(bytes, position);
  return into;
}

function resized(old: Uint8Array, lengthBytes: number): Uint8Array {
  const into = new Uint8Array(lengthBytes);
  into.set(old.subarray(0, lengthBytes));
  return into;
}

function failed(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}

function mapValues<K, V>(map: ReadonlyMap<K, V>, change: (value: V) => V): Map<K, V> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
}
