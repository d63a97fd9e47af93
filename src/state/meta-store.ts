// The state on the disk: an lmdb database in a folder of its own. It is small and is read once, whole, when it is
// opened; from then on lmdb is only written.
//
// Who writes, who reads: the one thread that has it open (the main thread before the others start, then the NameServer).
// S1  A transaction is on the disk when commit() returns: data pages are synced, then lmdb's own root is written through.
// S2  Every record carries a CRC over its key and value, and the head counts the records: a record that is missing,
//     doubled or changed is found when the state is opened. It is never opened as if it were empty.
// S3  After a commit that failed nothing of it is there, in the database and in memory.
import { crc32 } from 'node:zlib';
import { open, type RootDatabase } from 'lmdb';
import { RingmqError } from '../base/codes.ts';
import {
  MemoryMetaStore,
  type MetaChanges,
  type MetaStore,
  type StoredMarks,
  type StoredOffsets,
  type StoredTopic,
} from './meta.ts';

const FORMAT = 1;
/** Address space that is set aside; the file is as large as what is in it. */
const MAP_BYTES = 16 * 1024 ** 3;
const CRC_BYTES = 4;

const HEAD_KEY = 'head';
const topicKey = (topicId: number): string => `topic ${topicId}`;
const marksKey = (topicId: number): string => `marks ${topicId}`;
const offsetsKey = (topicId: number, group: string): string => `offsets ${topicId} ${group}`;

/** The record that says what the others must be. */
interface Head {
  readonly format: number;
  readonly generation: number;
  readonly nextTopicId: number;
  /** Number of records besides this one. */
  readonly records: number;
}

type Database = RootDatabase<Buffer, Buffer>;

/**
 * Opens the state in a folder, which is made if it is not there. One thread at a time may have it open.
 *
 * @throws RingmqError `state-corrupt` if it is damaged, `data-unknown` if another version wrote it, `disk-full` or
 * `store-failed` if the disk refuses.
 */
export function openMetaStore(folder: string): MetaStore {
  let database: Database;
  try {
    database = open<Buffer, Buffer>({
      path: folder,
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      mapSize: MAP_BYTES,
      // Otherwise a commit returns before it is on the disk.
      overlappingSync: false,
    });
  } catch (error) {
    throw refusal(error, folder);
  }
  const store = new LmdbMetaStore(database, folder);
  try {
    store.load();
  } catch (error) {
    store.close();
    throw error instanceof RingmqError ? error : refusal(error, folder);
  }
  return store;
}

class LmdbMetaStore implements MetaStore {
  private readonly database: Database;
  private readonly folder: string;
  private readonly memory = new MemoryMetaStore();
  private head: Head = { format: FORMAT, generation: 0, nextTopicId: 1, records: 0 };
  private closed = false;

  constructor(database: Database, folder: string) {
    this.database = database;
    this.folder = folder;
  }

  get generation(): number {
    return this.head.generation;
  }

  get nextTopicId(): number {
    return this.head.nextTopicId;
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
    const head = { ...this.head, generation: this.head.generation + 1 };
    this.transact(() => this.put(HEAD_KEY, head));
    this.head = head;
    return head.generation;
  }

  commit(changes: MetaChanges): void {
    const writes = this.writesOf(changes);
    const added = [...writes].filter(([key, value]) => value !== undefined && !this.has(key)).length;
    const removed = [...writes].filter(([key, value]) => value === undefined && this.has(key)).length;
    const nextTopicId = Math.max(this.head.nextTopicId, changes.nextTopicId ?? 0);
    const head = { ...this.head, nextTopicId, records: this.head.records + added - removed };
    this.transact(() => {
      for (const [key, value] of writes) {
        if (value === undefined) this.database.removeSync(Buffer.from(key));
        else this.put(key, value);
      }
      this.put(HEAD_KEY, head);
    });
    this.head = head;
    this.memory.commit(changes);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // Synchronous but for reads that nobody makes.
    void this.database.close();
  }

  /** Reads and checks everything. */
  load(): void {
    const found: Found = { topics: [], offsets: [], marks: [] };
    let records = 0;
    let head: Head | undefined;
    for (const { key, value } of this.database.getRange()) {
      const name = key.toString();
      const read = this.read(key, value);
      if (name === HEAD_KEY) head = read as Head;
      else {
        sortInto(found, name, read);
        records++;
      }
    }
    if (head === undefined) {
      if (records > 0) throw this.corrupt('its head is missing');
      this.transact(() => this.put(HEAD_KEY, this.head));
      return;
    }
    if (head.format !== FORMAT) {
      throw new RingmqError('data-unknown', `${this.folder} has format ${head.format}, this version reads ${FORMAT}`);
    }
    if (records !== head.records) throw this.corrupt(`it has ${records} records instead of ${head.records}`);
    this.head = head;
    this.memory.commit(found);
  }

  /** Key -> value to be written; undefined: to be removed. */
  private writesOf(changes: MetaChanges): Map<string, unknown> {
    const writes = new Map<string, unknown>();
    for (const topic of changes.topics ?? []) writes.set(topicKey(topic.topicId), topic);
    for (const offsets of changes.offsets ?? []) writes.set(offsetsKey(offsets.topicId, offsets.group), offsets);
    for (const marks of changes.marks ?? []) writes.set(marksKey(marks.topicId), marks);
    for (const topicId of changes.deleted ?? []) {
      const prefix = offsetsKey(topicId, '');
      for (const key of [...writes.keys()]) if (key.startsWith(prefix)) writes.set(key, undefined);
      for (const group of this.memory.groups(topicId)) writes.set(offsetsKey(topicId, group), undefined);
      writes.set(topicKey(topicId), undefined);
      writes.set(marksKey(topicId), undefined);
    }
    return writes;
  }

  private has(key: string): boolean {
    return this.database.doesExist(Buffer.from(key));
  }

  private put(key: string, value: unknown): void {
    const name = Buffer.from(key);
    const json = Buffer.from(JSON.stringify(value));
    const record = Buffer.allocUnsafe(CRC_BYTES + json.length);
    record.writeUInt32LE(crc32(json, crc32(name)));
    json.copy(record, CRC_BYTES);
    this.database.putSync(name, record);
  }

  private read(key: Buffer, record: Buffer): unknown {
    const json = record.subarray(CRC_BYTES);
    if (record.length < CRC_BYTES || record.readUInt32LE() !== crc32(json, crc32(key))) {
      throw this.corrupt(`the record ${JSON.stringify(key.toString().slice(0, 80))} does not match its CRC`);
    }
    return JSON.parse(json.toString());
  }

  private transact(action: () => void): void {
    if (this.closed) throw new RingmqError('closed', `the state in ${this.folder} is closed`);
    try {
      this.database.transactionSync(action);
    } catch (error) {
      throw refusal(error, this.folder);
    }
  }

  private corrupt(what: string): RingmqError {
    return corrupt(this.folder, what);
  }
}

interface Found {
  readonly topics: StoredTopic[];
  readonly offsets: StoredOffsets[];
  readonly marks: StoredMarks[];
}

function sortInto(found: Found, name: string, value: unknown): void {
  if (name.startsWith('topic ')) found.topics.push(value as StoredTopic);
  else if (name.startsWith('marks ')) found.marks.push(value as StoredMarks);
  else found.offsets.push(value as StoredOffsets);
}

function corrupt(folder: string, what: string): RingmqError {
  return new RingmqError(
    'state-corrupt',
    `the state in ${folder} is damaged (${what}). Nothing was changed. Restore the folder from a copy, or move it away ` +
      'and start again: messages stay, topics come back from the log as lost.<id>, committed offsets are gone',
  );
}

/** What lmdb or the file system says, as what a caller can do about it. */
function refusal(error: unknown, folder: string): RingmqError {
  const text = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: unknown }).code;
  if (code === 'ENOSPC' || /no space left|MDB_MAP_FULL/i.test(text)) {
    return new RingmqError('disk-full', `no room for the state in ${folder}: ${text}`);
  }
  if (/MDB_(CORRUPTED|INVALID|PAGE_NOTFOUND|BAD|VERSION|PROBLEM|PANIC|CURSOR_FULL|CRYPTO)/.test(text)) {
    return corrupt(folder, text);
  }
  return new RingmqError('store-failed', `the state in ${folder} cannot be written or read: ${text}`);
}
