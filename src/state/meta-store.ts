// The state on the disk: a journal of changes in a folder of its own, read once, whole, when it is opened.
//
// Who writes, who reads: the one thread that has it open (the main thread before others start, then the NameServer).
// S1  A transaction is one record, and is on the disk when commit() returns.
// S2  Every record carries a CRC and its number: one that is missing, doubled or changed is found when the journal is
//     opened. A damaged state is never opened as if it were empty. (The one exception: damage to the very last record
//     after a crash looks like a torn write. An orderly stop and every start write a record behind it.)
// S3  After a commit that failed nothing of it is there, in memory and in the file.
// S4  The journal is replaced by a snapshot of itself under another name, synced before it takes the name.
//
// Not lmdb, as the key index: it is small and in memory anyway; a thread that is terminated inside a transaction of
// lmdb leaves the database locked for its successor, and a damaged page of lmdb ends the process instead of being told.
import { RingmqError } from '../base/codes.ts';
import { type Disk, type DiskFile, isOutOfFiles } from '../log/disk.ts';
import { NodeDisk } from '../log/disk-node.ts';
import { encodeRecord, readJournal, sequenceAfter } from './journal.ts';
import {
  MemoryMetaStore,
  type MetaChanges,
  type MetaStore,
  type StoredMarks,
  type StoredOffsets,
  type StoredTopic,
} from './meta.ts';

const FORMAT = 1;
const NAME = 'meta.journal';
const NEW_NAME = 'meta.tmp';
/** A journal is written anew when this much, and more than the last snapshot, stands behind the snapshot. */
const TAIL_BYTES = 4 * 1024 * 1024;

const OUT_OF_FILES = 'the state cannot be kept at present: this process may open no more files (ulimit -n)';

/** First record of a file. */
interface Snapshot extends Required<MetaChanges> {
  readonly format: number;
  readonly generation: number;
}

/** The other records. */
interface Entry extends MetaChanges {
  readonly generation?: number;
}

/**
 * Opens the state in a folder, which is made if it is not there. One thread at a time may have it open.
 *
 * @throws RingmqError `state-corrupt` if it is damaged, `data-unknown` if another version wrote it, `disk-full` or
 * `store-failed` if the disk refuses.
 */
export function openMetaStore(folder: string): MetaStore {
  try {
    return openMetaStoreOn(new NodeDisk(folder));
  } catch (error) {
    throw refusal(error, folder);
  }
}

/** The same on any disk. `tailBytes`: how much may stand behind the snapshot before the journal is written anew. */
export function openMetaStoreOn(disk: Disk, tailBytes = TAIL_BYTES): MetaStore {
  const store = new JournalMetaStore(disk, tailBytes);
  try {
    store.load();
  } catch (error) {
    store.abandon();
    throw refusal(error, disk.folder);
  }
  return store;
}

class JournalMetaStore implements MetaStore {
  private readonly disk: Disk;
  private readonly tailBytes: number;
  private readonly memory = new MemoryMetaStore();
  private file: DiskFile | undefined;
  private sequence = 0;
  /** Bytes of the journal, and of its snapshot. */
  private end = 0;
  private snapshotEnd = 0;
  /** The journal has its name, but not yet for good. */
  private nameUnsynced = false;
  /** A write or a sync failed: what is in the file now is not known, nothing more is written. */
  private failed: RingmqError | undefined;

  constructor(disk: Disk, tailBytes: number) {
    this.disk = disk;
    this.tailBytes = tailBytes;
  }

  get generation(): number {
    return this.memory.generation;
  }

  get nextTopicId(): number {
    return this.memory.nextTopicId;
  }

  get offsetCount(): number {
    return this.memory.offsetCount;
  }

  topics(): readonly StoredTopic[] {
    return this.memory.topics();
  }

  offsets(topicId: number, group: string): StoredOffsets | undefined {
    return this.memory.offsets(topicId, group);
  }

  marks(topicId: number): StoredMarks | undefined {
    return this.memory.marks(topicId);
  }

  nextGeneration(): number {
    const generation = this.memory.generation + 1;
    this.append({ generation });
    this.memory.generation = generation;
    return generation;
  }

  commit(changes: MetaChanges): void {
    this.append(changes);
    this.memory.commit(changes);
    this.compactIfLong();
  }

  close(): void {
    if (this.file === undefined) return;
    try {
      // Seals what stands before it (S2). Nothing is lost if it fails.
      if (this.failed === undefined) this.append({});
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
    } finally {
      this.abandon();
    }
  }

  /** Closes the file as it is. */
  abandon(): void {
    this.file?.close();
    this.file = undefined;
  }

  load(): void {
    if (!this.disk.exists(NAME)) {
      this.compact();
      return;
    }
    const file = this.disk.open(NAME, 'write');
    this.file = file;
    const bytes = Buffer.alloc(file.size());
    file.read(bytes, 0);
    const { values, sequence, end, damage } = readJournal(bytes);
    if (damage !== undefined) throw this.corrupt(damage);
    const [snapshot, ...entries] = values as [Snapshot | undefined, ...Entry[]];
    if (typeof snapshot?.format !== 'number') throw this.corrupt('its beginning is missing');
    if (snapshot.format !== FORMAT) {
      const what = `the state in ${this.disk.folder} has format ${snapshot.format}, this version reads ${FORMAT}`;
      throw new RingmqError('data-unknown', what);
    }
    for (const entry of [snapshot, ...entries]) this.apply(entry);
    this.sequence = sequence;
    this.end = end;
    this.snapshotEnd = encodeRecord(0, snapshot).length;
    if (end < bytes.length) {
      file.truncate(end);
      file.sync();
    }
    this.compactIfLong();
  }

  private apply(entry: Entry): void {
    this.memory.commit(entry);
    this.memory.generation = entry.generation ?? this.memory.generation;
  }

  private append(entry: Entry): void {
    if (this.failed) throw this.failed;
    const { file } = this;
    if (file === undefined) throw new RingmqError('closed', `the state in ${this.disk.folder} is closed`);
    if (this.nameUnsynced) this.syncName();
    if (this.nameUnsynced) throw new RingmqError('store-failed', OUT_OF_FILES);
    const sequence = sequenceAfter(this.sequence);
    const record = encodeRecord(sequence, entry);
    try {
      file.write(record, this.end);
    } catch (error) {
      this.takeBack(file, refusal(error, this.disk.folder));
    }
    try {
      file.sync();
    } catch (error) {
      // Whatever it was: a sync that failed may have dropped what it had to write, and the next one would not say so.
      this.takeBack(file, broken(error, this.disk.folder));
    }
    this.sequence = sequence;
    this.end += record.length;
  }

  /** A disk that had no room may have some later; whatever else failed stays failed. */
  private takeBack(file: DiskFile, error: RingmqError): never {
    if (error.code !== 'disk-full') this.failed = error;
    try {
      file.truncate(this.end);
    } catch (again) {
      this.failed ??= broken(again, this.disk.folder);
    }
    throw error;
  }

  private compactIfLong(): void {
    const tail = this.end - this.snapshotEnd;
    if (tail <= Math.max(this.tailBytes, this.snapshotEnd)) return;
    try {
      this.compact();
    } catch (error) {
      // The journal as it is goes on, unless the new one has taken its name already: that sets `failed`.
      refusal(error, this.disk.folder);
    }
  }

  /** Writes a snapshot and lets it take the journal's place (S4). */
  private compact(): void {
    const { disk, memory } = this;
    const sequence = sequenceAfter(this.sequence);
    const record = encodeRecord(sequence, { format: FORMAT, ...memory.everything() } satisfies Snapshot);
    const file = disk.open(NEW_NAME, 'write');
    try {
      file.truncate(0);
      file.write(record, 0);
      file.sync();
    } catch (error) {
      file.close();
      throw error;
    }
    try {
      disk.rename(NEW_NAME, NAME);
    } catch (error) {
      file.close();
      this.failed = broken(error, disk.folder);
      throw this.failed;
    }
    // The same file under its new name: to open it again could fail.
    this.abandon();
    this.file = file;
    this.syncName();
    this.sequence = sequence;
    this.end = record.length;
    this.snapshotEnd = record.length;
  }

  /** Until the folder is synced a loss of power may bring the old journal back: nothing is acknowledged before. */
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

  private corrupt(what: string): RingmqError {
    return new RingmqError(
      'state-corrupt',
      `the state in ${this.disk.folder} is damaged: ${what}. Nothing was changed. Restore the folder from a copy, or ` +
        'move it away and start again: messages stay, topics come back from the log as lost.<id>, committed offsets ' +
        'are gone',
    );
  }
}

/** What the disk says, as what a caller can do about it. Anything else is a fault. */
function refusal(error: unknown, folder: string): RingmqError {
  if (error instanceof RingmqError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || code === undefined) throw error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new RingmqError('disk-full', `no room for the state in ${folder}: ${error.message}`);
  }
  return broken(error, folder);
}

function broken(error: unknown, folder: string): RingmqError {
  const text = error instanceof Error ? error.message : String(error);
  return new RingmqError('store-failed', `the state in ${folder} cannot be kept: ${text}`);
}
