// One durable partition as the store thread meets it: its cursor in the ring, and how far the log has it.
//
// Who writes, who reads: the store thread alone.
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_MAGIC,
  BATCH_SIZE,
  MAGIC_WORD_PADDING,
} from '../../native-layout/batch.ts';
import { RUN_HEADER_BYTES } from '../../native-layout/log.ts';
import { assert } from '../base/fault.ts';
import type { BlockBuilder } from '../log/block-builder.ts';
import { releaseJournalSlot } from '../memory/journal.ts';
import { type PartitionIdentity, setStoredPosition } from '../memory/partition-entry.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { getInt64 } from '../record/int64.ts';

/** What stage() did. */
export const STAGE = {
  /** The ring has nothing new. */
  nothing: 0,
  /** Something goes with this commit. */
  staged: 1,
  /** The next batch is larger than what is left of the block. */
  full: 2,
} as const;

/** Part of a ring that one block may have while the next one is filled. */
const HELD_DIVISOR = 4;

export class JournaledPartition {
  readonly id: number;
  readonly identity: PartitionIdentity;
  /** In the list of partitions with news. */
  listed = false;
  /** Blocks under way that took of its ring. */
  blocks = 0;
  /** Written, and waits for a sync. */
  unsynced = false;
  /** The cursor is a predecessor's (or the owner's), who may have died before it said how far the log has the ring. */
  adopted = true;
  /** It was deleted: nothing of the partition's entry may be touched any more. */
  gone = false;
  private readonly table: Int32Array;
  private readonly reader: RingReader;
  /** The log, or a block under way, has every record before this offset. */
  private stagedNext: number;
  /** Bytes of the ring that stage() takes, padding and what the log has already included. */
  private stagedBytes = 0;
  /** Byte index of the last batch that endOf() counted in. */
  private lastBatch = 0;
  private writtenPosition: number;

  /** `reader`: slot 0 with its cursor; `logNext`: offset behind what the log has. */
  constructor(table: Int32Array, reader: RingReader, identity: PartitionIdentity, logNext: number) {
    this.table = table;
    this.id = reader.partition;
    this.reader = reader;
    this.identity = identity;
    this.stagedNext = logNext;
    this.writtenPosition = reader.position;
  }

  /** How far blocks have the ring. */
  get position(): number {
    return this.reader.position;
  }

  /** True if the ring has what the store has not taken yet. */
  get hasNews(): boolean {
    return this.reader.hasNews;
  }

  /** True if the ring has more, and most of it is not in blocks under way. */
  get mayGoOn(): boolean {
    const held = (this.reader.position - this.writtenPosition) | 0;
    return !this.gone && held <= this.reader.place.capacity / HELD_DIVISOR && this.hasNews;
  }

  /** A notice came: the next one is allowed. HOT */
  noticed(): void {
    this.reader.noticed();
  }

  /**
   * Copies about `shareBytes` of what is new into the block, at least one batch. The ring keeps the bytes until
   * written(). HOT
   */
  stage(builder: BlockBuilder, shareBytes: number): number {
    const available = this.reader.tryPin();
    if (available === EMPTY) return STAGE.nothing;
    assert(available !== EVICTED, 'the slot of the store was taken from it');
    const { start } = this.reader;
    const from = start + this.knownBytes(start, available);
    const limit = Math.min(shareBytes - RUN_HEADER_BYTES, builder.room);
    const to = this.endOf(from, start + available, limit, true);
    if (to > from && to - from > builder.room && !builder.empty) return STAGE.full;
    this.stagedBytes = this.withPadding(to, start + available) - start;
    if (to > from) this.copyRun(builder, from, to, this.stagedBytes === available ? limit - (to - from) : 0);
    this.reader.step(this.stagedBytes);
    return STAGE.staged;
  }

  /** A block that had the ring up to `position` is in the log: moves the cursor. HOT */
  written(position: number): void {
    this.reader.letGo(position);
    this.writtenPosition = position;
    this.adopted = false;
  }

  /** Tells the owner how far the log has the partition. HOT */
  show(level: 'written' | 'durable'): void {
    setStoredPosition(this.table, this.id, level, this.writtenPosition);
  }

  /** The partition was deleted: what the log does not have of it is not written. */
  giveUp(): void {
    this.gone = true;
    releaseJournalSlot(this.table, this.id);
  }

  /** Copies a span, and what follows behind the wrap of the ring, up to `moreBytes` of it. */
  private copyRun(builder: BlockBuilder, from: number, to: number, moreBytes: number): void {
    const { identity, reader } = this;
    const { bytes, words, byte } = reader.place;
    builder.openRun(identity.topic, identity.number, identity.epoch);
    builder.copy(bytes, from, to - from);
    const beyond = moreBytes > 0 ? reader.beyond(this.stagedBytes) : 0;
    if (beyond > 0) {
      const more = this.endOf(byte, byte + beyond, moreBytes, false) - byte;
      if (more > 0) builder.copy(bytes, byte, more);
      this.stagedBytes += more;
    }
    builder.closeRun();
    this.stagedNext = this.nextOffsetOf(words, this.lastBatch);
  }

  /** Padding goes with the batch before it. */
  private withPadding(to: number, end: number): number {
    const isPadding = to < end && this.reader.place.words[(to + BATCH_MAGIC) >> 2] === MAGIC_WORD_PADDING;
    return isPadding ? end : to;
  }

  /** Bytes at the beginning of the span that the log has already (from before a restart of this thread). */
  private knownBytes(start: number, available: number): number {
    const { words } = this.reader.place;
    let at = start;
    while (at < start + available && words[(at + BATCH_MAGIC) >> 2] !== MAGIC_WORD_PADDING) {
      if (this.nextOffsetOf(words, at) > this.stagedNext) break;
      at += words[(at + BATCH_SIZE) >> 2];
    }
    return at - start;
  }

  /** End of the batches from `from` on that fit `limitBytes`; with `atLeastOne` the first one fits always. */
  private endOf(from: number, end: number, limitBytes: number, atLeastOne: boolean): number {
    const { words } = this.reader.place;
    let at = from;
    while (at < end && words[(at + BATCH_MAGIC) >> 2] !== MAGIC_WORD_PADDING) {
      const size = words[(at + BATCH_SIZE) >> 2];
      assert(size > 0 && (size & 7) === 0, 'ring: broken batch size before the store');
      if ((at > from || !atLeastOne) && at + size - from > limitBytes) break;
      this.lastBatch = at;
      at += size;
    }
    return at;
  }

  private nextOffsetOf(words: Int32Array, at: number): number {
    return getInt64(words, (at + BATCH_BASE_OFFSET) >> 2) + words[(at + BATCH_COUNT) >> 2];
  }
}
