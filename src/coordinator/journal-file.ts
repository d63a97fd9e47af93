// The coordinator's journal on a disk: one file of records, read whole when it is opened, written anew when it has
// grown.
//
// Who writes, who reads: the coordinator's thread alone.
// J1  A record is in the file (survives kill -9) when append() returns, and on the disk when sync() does. The file of a
//     broker that keeps nothing is in memory that survives the coordinator's thread (memory/shared-file.ts).
// J2  After an append that failed nothing of it is there: it is taken back, or nothing more is written at all.
// J3  Every record carries a CRC and its number (src/state/journal.ts): one that is missing, doubled or changed is
//     found when the journal is opened. A damaged journal is never opened as if it were empty.
// J4  A mark says up to where the journal was on the disk when it was written. What is bad behind the last mark is what
//     a loss of power took, and is cut off; what is bad before a mark was damaged later.
//     Behind the last record stand zeros, so that a sync has no new length to bring to the disk as well (on ext4 that
//     is a commit of the file system's own journal, with whatever other files wait for).
// J5  The journal is replaced by a snapshot of itself under another name, synced before it takes the name.
import { RingmqError } from '../base/codes.ts';
import { crashPoint } from '../log/crash-point.ts';
import { type Disk, type DiskFile, isOutOfFiles } from '../log/disk.ts';
import { encodeRecord, newerRecords, readJournal, sequenceAfter } from '../state/journal.ts';
import type { JournalPart, OpenJournal } from './journal.ts';

const FORMAT = 1;
const NAME = 'coordinator.journal';
const NEW_NAME = 'coordinator.tmp';
/** A journal is written anew when this much, and more than the last snapshot, stands behind the snapshot. */
const TAIL_BYTES = 16 * 1024 * 1024;
/** The file grows by so much at a time, and by no more than a quarter of its tail. */
const GROWTH_BYTES = 64 * 1024;
/** A snapshot is written this many bytes at a time. */
const CHUNK_BYTES = 1024 * 1024;

/** First record of a file. */
interface Head {
  readonly format: number;
}

/** Bytes before `synced` are on the disk (J4). `snapshot`: they are one. */
interface Mark {
  readonly synced: number;
  readonly snapshot?: boolean;
}

/** The other records: part, and what it appended. */
type Entry = readonly [part: string, record: unknown];

export class FileJournal implements OpenJournal {
  private readonly disk: Disk;
  private readonly tailBytes: number;
  private readonly growthBytes: number;
  private parts: readonly JournalPart[] = [];
  private file: DiskFile | undefined;
  private sequence = 0;
  /** Bytes of the journal, of them on the disk, and of its snapshot. */
  private end = 0;
  private synced = 0;
  private snapshotEnd = 0;
  /** Length of the file. */
  private length = 0;
  /** The next append writes a mark first. */
  private markDue = false;
  /** It is written anew when it is longer. */
  private compactAt = 0;
  /** The journal has its name, but not yet for good. */
  private nameUnsynced = false;
  /** A write or a sync failed: what is in the file now is not known, nothing more is written. */
  private failed: RingmqError | undefined;

  /** `tailBytes`: how much may stand behind the snapshot before it is written anew. */
  constructor(disk: Disk, tailBytes = TAIL_BYTES) {
    this.disk = disk;
    this.tailBytes = tailBytes;
    this.growthBytes = Math.min(GROWTH_BYTES, tailBytes >> 2);
  }

  /** Throws RingmqError `state-corrupt`, `data-unknown`, `disk-full` or `store-failed`. */
  replay(parts: readonly JournalPart[]): void {
    this.parts = parts;
    try {
      if (this.disk.exists(NAME)) this.load();
      else this.compact();
    } catch (error) {
      this.abandon();
      throw refusal(error, this.disk.folder);
    }
  }

  append(part: string, record: unknown): void {
    const entry = this.encode([part, record] satisfies Entry, this.markDue ? 2 : 1);
    const bytes = this.markDue ? Buffer.concat([this.encode(this.mark(), 1), entry]) : entry;
    this.write(bytes);
    this.sequence = sequenceAfter(this.markDue ? sequenceAfter(this.sequence) : this.sequence);
    this.markDue = false;
    crashPoint('journal.appended');
  }

  sync(): void {
    if (this.failed) throw this.failed;
    if (this.synced === this.end) return;
    const file = this.opened();
    try {
      file.sync();
    } catch (error) {
      // A sync that failed may have dropped what it had to write, and the next one would not say so.
      this.failed = broken(error, this.disk.folder);
      throw this.failed;
    }
    this.synced = this.end;
    this.markDue = true;
    crashPoint('journal.synced');
  }

  compactIfLong(): void {
    if (this.failed || this.end <= this.compactAt) return;
    // Should it fail, the journal as it is goes on, and it is tried again when it has grown as much once more.
    this.compactAt = this.end + this.tailBytes;
    try {
      this.compact();
    } catch (error) {
      throw refusal(error, this.disk.folder);
    }
  }

  /** Seals what stands in it (J4). */
  close(): void {
    if (this.file === undefined) return;
    try {
      this.sync();
      this.write(this.encode(this.mark(), 1));
      this.sync();
    } finally {
      this.abandon();
    }
  }

  private mark(): Mark {
    return { synced: this.synced };
  }

  private encode(value: unknown, ahead: 1 | 2): Buffer {
    const next = sequenceAfter(this.sequence);
    return encodeRecord(ahead === 1 ? next : sequenceAfter(next), value);
  }

  private opened(): DiskFile {
    if (this.file === undefined) {
      throw new RingmqError('closed', `the coordinator's journal in ${this.disk.folder} is closed`);
    }
    return this.file;
  }

  /** Writes whole records at the end (J2). */
  private write(bytes: Uint8Array): void {
    if (this.failed) throw this.failed;
    const file = this.opened();
    if (this.nameUnsynced) this.syncName();
    if (this.nameUnsynced) throw new RingmqError('store-failed', outOfFiles(this.disk.folder));
    const grows = this.end + bytes.length > this.length;
    try {
      file.write(grows ? Buffer.concat([bytes], bytes.length + this.growthBytes) : bytes, this.end);
    } catch (error) {
      const refused = refusal(error, this.disk.folder);
      // A disk that had no room may have some later; whatever else failed stays failed.
      if (refused.code !== 'disk-full') this.failed = refused;
      this.takeBack(file);
      throw refused;
    }
    this.end += bytes.length;
    if (grows) this.length = this.end + this.growthBytes;
  }

  private takeBack(file: DiskFile): void {
    try {
      file.truncate(this.end);
      this.length = this.end;
    } catch (error) {
      this.failed ??= broken(error, this.disk.folder);
    }
  }

  private load(): void {
    const file = this.disk.open(NAME, 'write');
    this.file = file;
    const bytes = Buffer.alloc(file.size());
    file.read(bytes, 0);
    const { values, sequence, end, damage } = readJournal(bytes);
    if (damage !== undefined && wasSynced(bytes, end, sequence)) throw this.corrupt(damage);
    const head = values[0] as Partial<Head> | undefined;
    if (typeof head?.format !== 'number') throw this.corrupt('its beginning is missing');
    if (head.format !== FORMAT) {
      const what = `the coordinator's journal in ${this.disk.folder} has format ${head.format}`;
      throw new RingmqError('data-unknown', `${what}, this version reads ${FORMAT}`);
    }
    this.tell(values);
    this.sequence = sequence;
    this.end = end;
    this.length = end;
    if (end < bytes.length) file.truncate(end);
    // What a predecessor of this thread did not sync is acknowledged on from here.
    file.sync();
    this.synced = end;
    this.markDue = true;
    this.compactAt = this.snapshotEnd + Math.max(this.tailBytes, this.snapshotEnd);
  }

  private tell(values: readonly unknown[]): void {
    const byName = new Map(this.parts.map((part) => [part.name, part]));
    for (const value of values) {
      if (!Array.isArray(value)) {
        const mark = value as Partial<Mark>;
        if (mark.snapshot) this.snapshotEnd = mark.synced ?? 0;
        continue;
      }
      const [name, record] = value as unknown as Entry;
      const part = byName.get(name);
      if (!part) {
        const what = `the coordinator's journal in ${this.disk.folder} knows of '${name}', which this version does not`;
        throw new RingmqError('data-unknown', `${what}: use the version that wrote it`);
      }
      try {
        part.replay(record);
      } catch (error) {
        throw this.corrupt(`a record of '${name}' makes no sense: ${(error as Error).message}`);
      }
    }
  }

  /** Writes a snapshot and lets it take the journal's place (J5). */
  private compact(): void {
    const { disk } = this;
    const file = disk.open(NEW_NAME, 'write');
    let written: { readonly end: number; readonly sequence: number };
    try {
      file.truncate(0);
      written = this.writeSnapshot(file);
      file.sync();
    } catch (error) {
      file.close();
      throw error;
    }
    crashPoint('journal.snapshot-written');
    try {
      disk.rename(NEW_NAME, NAME);
    } catch (error) {
      file.close();
      this.failed = broken(error, disk.folder);
      throw this.failed;
    }
    crashPoint('journal.snapshot-named');
    // The same file under its new name: to open it again could fail.
    this.abandon();
    this.file = file;
    this.sequence = written.sequence;
    this.end = written.end;
    this.length = written.end;
    this.synced = written.end;
    this.snapshotEnd = written.end;
    this.compactAt = written.end + Math.max(this.tailBytes, written.end);
    this.markDue = false;
    this.syncName();
  }

  private writeSnapshot(file: DiskFile): { readonly end: number; readonly sequence: number } {
    let { sequence } = this;
    let end = 0;
    let chunk: Buffer[] = [];
    let chunkBytes = 0;
    const flush = (): void => {
      file.write(Buffer.concat(chunk), end);
      end += chunkBytes;
      chunk = [];
      chunkBytes = 0;
    };
    const put = (value: unknown): void => {
      sequence = sequenceAfter(sequence);
      const record = encodeRecord(sequence, value);
      chunk.push(record);
      chunkBytes += record.length;
      if (chunkBytes >= CHUNK_BYTES) flush();
    };
    put({ format: FORMAT } satisfies Head);
    for (const part of this.parts) for (const record of part.snapshot()) put([part.name, record] satisfies Entry);
    put({ synced: end + chunkBytes, snapshot: true } satisfies Mark);
    flush();
    return { end, sequence };
  }

  /** Until the folder is synced a loss of power may bring the old journal back: nothing is appended before. */
  private syncName(): void {
    this.nameUnsynced = true;
    try {
      this.disk.syncFolder();
      this.nameUnsynced = false;
    } catch (error) {
      if (isOutOfFiles(error)) return;
      this.failed = broken(error, this.disk.folder);
      throw this.failed;
    }
  }

  /** Closes the file as it is. */
  private abandon(): void {
    this.file?.close();
    this.file = undefined;
  }

  private corrupt(what: string): RingmqError {
    return new RingmqError(
      'state-corrupt',
      `the coordinator's journal in ${this.disk.folder} is damaged: ${what}. Nothing was changed. Restore the folder ` +
        'from a copy, or move it away and start again: messages stay, but groups begin anew, and leases, delayed ' +
        'messages and open transactions are gone',
    );
  }
}

/** True if what is bad at byte `at` was on the disk once (J4). */
function wasSynced(bytes: Buffer, at: number, sequence: number): boolean {
  if (at === 0) return true;
  for (const value of newerRecords(bytes, at, sequence)) {
    const { synced } = (value ?? {}) as Partial<Mark>;
    if (synced !== undefined && synced > at) return true;
  }
  return false;
}

/** What the disk says, as what a caller can do about it. Anything else is a fault. */
function refusal(error: unknown, folder: string): RingmqError {
  if (error instanceof RingmqError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || code === undefined) throw error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new RingmqError('disk-full', `no room for the coordinator's journal in ${folder}: ${error.message}`);
  }
  return isOutOfFiles(error) ? new RingmqError('store-failed', outOfFiles(folder)) : broken(error, folder);
}

function outOfFiles(folder: string): string {
  return `the coordinator's journal in ${folder} cannot be written: this process may open no more files (ulimit -n)`;
}

function broken(error: unknown, folder: string): RingmqError {
  const text = error instanceof Error ? error.message : String(error);
  return new RingmqError('store-failed', `the coordinator's journal in ${folder} cannot be kept: ${text}`);
}
