// The key index: which messages of a topic have a key. An lmdb database in a folder of its own, an aid and never the
// truth: it can be thrown away and is made again from the log.
//
// Who writes: the log reader thread. Who reads: any thread, also of another process.
// K1  What a transaction applies and the log position up to which it goes are on the disk together or not at all.
//     Commits are flushed behind the writer's back: after a loss of power the database is one of its earlier states.
// K2  An entry carries a CRC. What is found is a hint all the same: who asked compares the key of the message itself.
// K3  Damage is looked for by another process first, which it may end (key-check.ts).
// K4  No error of the database leaves the writer: the database is thrown away and begun anew at position 0; if even
//     that fails the index is `broken`, and the broker goes on without it.
// K5  No JavaScript runs inside a write transaction: a thread that is terminated there leaves a lock behind that hangs
//     the process. lmdb's own thread writes; all of a transaction is in its hands before it begins.
//
// An entry's key, so that a topic's key is one range in the order of time; numbers are big-endian:
//
//   topic id (4) | length of the key, 255: hashed (1) | key, or 16 bytes of its SHA-256 | stored at (6) | partition (2)
//   | offset (7)
//
// Its value: CRC (4) | epoch (4) | the key itself, if it was hashed.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { open, type RootDatabase } from 'lmdb';
import { canReadKeys } from './key-check.ts';

/** One message with a key. */
export interface KeyEntry {
  readonly topicId: number;
  readonly partition: number;
  readonly offset: number;
  readonly storedAt: number;
  readonly epoch: number;
  readonly key: string;
}

/** Where a message with a key is. */
export interface KeyMatch {
  readonly partition: number;
  readonly offset: number;
  readonly storedAt: number;
  readonly epoch: number;
}

/** Oldest offset that is left of a queue; what is before it is no longer in the log. */
export type OldestOffsets = (topicId: number, partition: number) => number;

type Database = RootDatabase<Buffer, Buffer>;

/** Address space that is set aside; the file is as large as what is in it. */
const MAP_BYTES = 64 * 1024 ** 3;
const READERS_MAX = 512;
const VERBATIM_MAX = 64;
const HASHED = 255;
const HASH_BYTES = 16;
/** Stored at, partition and offset. */
const PLACE_BYTES = 6 + 2 + 7;
const TIME_MAX = 2 ** 48 - 1;
const TWO_32 = 2 ** 32;
const VALUE_BYTES = 8;
/** Where the position that was applied stands: before all entries, which are longer. */
const APPLIED = Buffer.from([0, 0, 0, 0, 0]);
const FIRST_ENTRY = Buffer.from([0, 0, 0, 0, 1]);
const FORMAT = 1;

/** What the log reader needs of the writing end. */
export interface KeyIndex {
  /** The index can neither be used nor begun anew; apply() does nothing. */
  readonly broken: boolean;
  /** Log position up to which keys are in the index: go on from there, or from the oldest one that is left. */
  readonly appliedPosition: number;
  /** Kept, never broken, when what was begun last is over; undefined: nothing is under way. */
  readonly pending: Promise<void> | undefined;
  /**
   * Begins to add the keys of the log up to a position; at most 512, with nothing else under way. When it is over,
   * `appliedPosition` is that position, or less: the index was begun anew.
   */
  apply(entries: readonly KeyEntry[], logPosition: number): void;
  /**
   * Looks at the next `limit` entries and begins to remove those whose messages are gone. Returns how many; nothing
   * else may be under way.
   */
  sweep(oldest: OldestOffsets, limit: number): number;
  /** Everything that was applied is on the disk when the promise is kept. */
  close(): Promise<void>;
}

/** The writing end. */
export class KeyIndexWriter implements KeyIndex {
  /** How often the database was thrown away. */
  rebuilds = 0;
  broken = false;
  pending: Promise<void> | undefined;
  private readonly folder: string;
  private readonly wipe: () => void;
  private database: Database | undefined;
  private applied = 0;
  /** Where sweep() goes on. */
  private swept: Buffer = FIRST_ENTRY;

  /**
   * Opens or makes the database in a folder that exists. `wipe` removes what is in the folder. An index that is ahead
   * of the log (`logEnd`) speaks of messages that are no more, and is thrown away.
   */
  constructor(folder: string, wipe: () => void, logEnd: number) {
    this.folder = folder;
    this.wipe = wipe;
    try {
      if (!canReadKeys(folder)) throw new Error('the key index is damaged');
      this.openDatabase();
    } catch {
      this.rebuild();
    }
    if (this.applied > logEnd) this.rebuild();
  }

  get appliedPosition(): number {
    return this.applied;
  }

  apply(entries: readonly KeyEntry[], logPosition: number): void {
    const write = (database: Database): void => {
      for (const entry of entries) {
        const key = entryKey(entry);
        database.put(key, entryValue(entry, key));
      }
      database.put(APPLIED, appliedValue(logPosition));
    };
    this.begin(write, () => {
      this.applied = logPosition;
    });
  }

  /**
   * Looks at the next `limit` entries and begins to remove those whose messages are gone. Returns how many; it goes
   * round and round, so call it now and then.
   */
  sweep(oldest: OldestOffsets, limit: number): number {
    const { database } = this;
    if (this.broken || !database) return 0;
    const gone: Buffer[] = [];
    try {
      let last: Buffer | undefined;
      let looked = 0;
      for (const { key } of database.getRange({ start: this.swept, limit })) {
        last = Buffer.from(key);
        looked++;
        const place = placeOf(last);
        if (!place || place.offset < oldest(last.readUInt32BE(0), place.partition)) gone.push(last);
      }
      this.swept = last && looked === limit ? Buffer.concat([last, Buffer.of(0)]) : FIRST_ENTRY;
    } catch {
      this.rebuild();
      return 0;
    }
    if (gone.length > 0) this.begin((target) => gone.forEach((key) => void target.remove(key)));
    return gone.length;
  }

  async close(): Promise<void> {
    await this.pending;
    const { database } = this;
    this.database = undefined;
    this.broken = true;
    try {
      await database?.close();
    } catch {
      // K4: the next start finds out.
    }
  }

  /** Hands one transaction to lmdb's thread (K5). */
  private begin(write: (database: Database) => void, done?: () => void): void {
    const { database } = this;
    if (this.broken || !database) return;
    try {
      this.pending = this.written(
        database.batch(() => write(database)),
        done,
      );
    } catch {
      this.rebuild();
    }
  }

  private async written(commit: Promise<boolean>, done?: () => void): Promise<void> {
    try {
      await commit;
      done?.();
    } catch (error) {
      // The reason comes in a promise of its own that is broken later.
      (error as { commitError?: Promise<unknown> }).commitError?.catch(() => {});
      this.rebuild();
    }
    this.pending = undefined;
  }

  private openDatabase(): void {
    const database = openKeys(this.folder, false);
    this.database = database;
    const value = database.get(APPLIED);
    const applied = value ? readApplied(value) : 0;
    // Entries without the position that they go up to were not written by apply().
    const isEmpty = value !== undefined || [...database.getRange({ limit: 1 })].length === 0;
    if (applied === undefined || !isEmpty) throw new Error('the key index is damaged');
    this.applied = applied;
  }

  private rebuild(): void {
    this.rebuilds++;
    this.applied = 0;
    this.swept = FIRST_ENTRY;
    try {
      // Not awaited: it closes at once, the promise is for what was not flushed.
      this.database?.close().catch(() => {});
    } catch {
      // A database that cannot be closed is left to the end of the process.
    }
    this.database = undefined;
    try {
      this.wipe();
      this.openDatabase();
    } catch {
      this.broken = true;
    }
  }
}

/** The reading end. Opens the database when it is asked first; without one it finds nothing. */
export class KeyIndexReader {
  private readonly folder: string;
  private database: Database | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Messages of a topic with this key that were stored from `fromMs` on and before `toMs`, oldest first, at most
   * `limit`. Some may be gone from the log, and in theory another key can have the same hash: compare (K2).
   */
  find(topicId: number, key: string, fromMs: number, toMs: number, limit: number): KeyMatch[] {
    if (limit <= 0 || toMs <= fromMs) return [];
    const prefix = keyPrefix(topicId, key);
    const start = rangeBound(prefix, fromMs);
    const end = rangeBound(prefix, toMs);
    const found: KeyMatch[] = [];
    try {
      this.database ??= openKeys(this.folder, true);
      // A transaction that is kept from the last call would not see what came since.
      this.database.resetReadTxn();
      for (const entry of this.database.getRange({ start, end })) {
        const match = matchOf(entry.key, entry.value, prefix, key);
        if (match) found.push(match);
        if (found.length === limit) break;
      }
    } catch {
      // Not there yet, damaged, or begun anew by the writer: the next call opens it again.
      this.close();
    }
    return found;
  }

  close(): void {
    this.database?.close().catch(() => {});
    this.database = undefined;
  }
}

function openKeys(folder: string, readOnly: boolean): Database {
  return open<Buffer, Buffer>({
    path: folder,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    cache: false,
    mapSize: MAP_BYTES,
    maxReaders: READERS_MAX,
    overlappingSync: true,
    readOnly,
  });
}

function keyPrefix(topicId: number, key: string): Buffer {
  const text = Buffer.from(key, 'utf8');
  const head = Buffer.alloc(5);
  head.writeUInt32BE(topicId, 0);
  const verbatim = text.length <= VERBATIM_MAX;
  head[4] = verbatim ? text.length : HASHED;
  return Buffer.concat([head, verbatim ? text : hashOf(text)]);
}

function hashOf(text: Buffer): Buffer {
  return createHash('sha256').update(text).digest().subarray(0, HASH_BYTES);
}

function rangeBound(prefix: Buffer, timeMs: number): Buffer {
  const time = Buffer.alloc(6);
  time.writeUIntBE(Math.min(Math.max(0, Math.ceil(timeMs)), TIME_MAX), 0, 6);
  return Buffer.concat([prefix, time]);
}

function entryKey(entry: KeyEntry): Buffer {
  const prefix = keyPrefix(entry.topicId, entry.key);
  const key = Buffer.allocUnsafe(prefix.length + PLACE_BYTES);
  prefix.copy(key);
  let at = key.writeUIntBE(entry.storedAt, prefix.length, 6);
  at = key.writeUInt16BE(entry.partition, at);
  at = key.writeUIntBE(Math.floor(entry.offset / TWO_32), at, 3);
  key.writeUInt32BE(entry.offset % TWO_32, at);
  return key;
}

function entryValue(entry: KeyEntry, key: Buffer): Buffer {
  const text = Buffer.from(entry.key, 'utf8');
  const value = Buffer.alloc(VALUE_BYTES + (text.length > VERBATIM_MAX ? text.length : 0));
  value.writeInt32BE(entry.epoch, 4);
  if (value.length > VALUE_BYTES) text.copy(value, VALUE_BYTES);
  value.writeUInt32BE(crc32(value.subarray(4), crc32(key)), 0);
  return value;
}

/** What an entry's key says behind its prefix; undefined for one that nobody wrote like this. */
function placeOf(key: Buffer): { storedAt: number; partition: number; offset: number } | undefined {
  const at = key.length - PLACE_BYTES;
  const textBytes = key[4] === HASHED ? HASH_BYTES : key[4];
  if (at !== 5 + textBytes) return undefined;
  return {
    storedAt: key.readUIntBE(at, 6),
    partition: key.readUInt16BE(at + 6),
    offset: key.readUIntBE(at + 8, 3) * TWO_32 + key.readUInt32BE(at + 11),
  };
}

/** The match that an entry stands for; undefined if it is damaged or of another key. */
function matchOf(key: Buffer, value: Buffer, prefix: Buffer, text: string): KeyMatch | undefined {
  const place = placeOf(key);
  if (!place || value.length < VALUE_BYTES || !key.subarray(0, prefix.length).equals(prefix)) return undefined;
  if (value.readUInt32BE(0) !== crc32(value.subarray(4), crc32(key))) return undefined;
  if (value.length > VALUE_BYTES && value.toString('utf8', VALUE_BYTES) !== text) return undefined;
  return { ...place, epoch: value.readInt32BE(4) };
}

function appliedValue(position: number): Buffer {
  const value = Buffer.alloc(16);
  value.writeUInt32BE(FORMAT, 4);
  value.writeDoubleBE(position, 8);
  value.writeUInt32BE(crc32(value.subarray(4)), 0);
  return value;
}

function readApplied(value: Buffer): number | undefined {
  if (value.length !== 16 || value.readUInt32BE(0) !== crc32(value.subarray(4))) return undefined;
  return value.readUInt32BE(4) === FORMAT ? value.readDoubleBE(8) : undefined;
}
