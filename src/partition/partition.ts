// One partition as its owner sees it: judges a batch, gives it offset and time, writes it into the ring.
import {
  BATCH_BASE_OFFSET,
  BATCH_BASE_SEQUENCE,
  BATCH_COUNT,
  BATCH_EPOCH,
  BATCH_HEADER_BYTES,
  BATCH_PRODUCER_ID,
  BATCH_STORED_AT,
  REQUEST_EPOCH,
  REQUEST_FLAGS,
  REQUEST_INSISTS,
  REQUEST_WAITS,
} from '../../native-layout/batch.ts';
import { OVERFLOW_CODES, PERMISSION_WRITE } from '../../native-layout/partition-table.ts';
import { CODES } from '../base/codes.ts';
import { copyBytes } from '../memory/copy.ts';
import { FULL } from '../memory/lane.ts';
import { type PartitionIdentity, permissionOf, readIdentity, startOffset } from '../memory/partition-entry.ts';
import { type RingPlace, RingWriter } from '../memory/ring-writer.ts';
import { BatchView } from '../record/batch-view.ts';
import { getInt64, putInt64 } from '../record/int64.ts';
import { isRepeat, repeatFloor } from '../record/repeat.ts';
import { Dedupe, DUPLICATE, FRESH, SKIPPED, UNPROVEN } from './dedupe.ts';

/** append(): readers hold the room; the same batch may fit later. */
export const NO_ROOM = -1;

const OK = CODES.ok.number;
const NOTHING_KNOWN = Number.POSITIVE_INFINITY;

export class Partition {
  readonly id: number;
  readonly identity: PartitionIdentity;
  readonly writer: RingWriter;
  /** Offset that the next record gets. */
  nextOffset: number;
  /** Offset behind the last record that readers can see. */
  published = 0;
  /** Offset that the last append() gave (or that a duplicate has had). */
  baseOffset = 0;
  /** In the owner's list of partitions to publish this turn. */
  dirty = false;
  /** Readers have been told that the writer waits. */
  blocked = false;
  private writable: boolean;
  /** Something was shown already by append(), which publish() must tell of. */
  private shown = false;
  private readonly table: Int32Array;
  private readonly dedupe = new Dedupe();
  private readonly rejects: boolean;

  /** `tail`: batches out of the log, from before this life: their producers may send them again. */
  constructor(table: Int32Array, id: number, identity: PartitionIdentity, place: RingPlace, tail?: Uint8Array) {
    this.id = id;
    this.table = table;
    this.identity = identity;
    // Offsets of a durable partition go on where the log ends.
    this.nextOffset = startOffset(table, id);
    this.rejects = identity.overflow === OVERFLOW_CODES.reject;
    this.writer = new RingWriter(table, id, place, identity.overflow);
    this.writable = (identity.permission & PERMISSION_WRITE) !== 0;
    this.dedupe.knownFrom = NOTHING_KNOWN;
    this.dedupe.rejects = this.rejects;
    if (tail) this.learnFrom(tail);
    this.recover();
    if (this.dedupe.knownFrom === NOTHING_KNOWN) this.dedupe.knownFrom = this.nextOffset;
    // A predecessor may have died while it waited; its batch comes again.
    this.writer.setBlocked(false);
    this.published = this.nextOffset;
  }

  /** Looks at the table again after routes have changed. False if the partition is gone. */
  refresh(): boolean {
    this.writable = (permissionOf(this.table, this.id) & PERMISSION_WRITE) !== 0;
    return readIdentity(this.table, this.id)?.epoch === this.identity.epoch;
  }

  /**
   * Takes a batch of `size` bytes at byte `at` of a lane: returns a code number, or NO_ROOM. Nothing is seen by readers
   * before publish(), unless the ring is too small for a turn. `refusal`, unless 0, is the code that the store's state
   * refuses new batches with. HOT
   */
  append(bytes: Uint8Array, words: Int32Array, at: number, size: number, nowMs: number, refusal = 0): number {
    if (words[(at + REQUEST_EPOCH) >> 2] !== this.identity.epoch) return CODES['route-stale'].number;
    // No records: somebody wanted the ring to be opened (see openRequest()), and it is. Nothing of it is stored.
    if (size === BATCH_HEADER_BYTES) return OK;
    if (!this.writable) return CODES['no-write-permission'].number;
    if (size > this.writer.batchMax) return CODES['message-too-large'].number;
    const producerId = getInt64(words, (at + BATCH_PRODUCER_ID) >> 2);
    const sequence = words[(at + BATCH_BASE_SEQUENCE) >> 2];
    const count = words[(at + BATCH_COUNT) >> 2];
    if (producerId !== 0) {
      // Over the network a first batch may have been refused before it came here, and comes again: were a later one
      // taken as the first, that one would pass for a duplicate. In process nothing is refused on the way.
      const strict = (words[(at + REQUEST_FLAGS) >> 2] & REQUEST_WAITS) === 0;
      const floor = isRepeat(words, at) ? repeatFloor(words, at) : Number.MAX_SAFE_INTEGER;
      const verdict = this.dedupe.check(producerId, sequence, strict, floor);
      if (verdict !== FRESH) return this.notFresh(verdict, producerId, sequence);
    }
    if (refusal !== 0 && this.identity.durable) {
      this.defer(words, at);
      return refusal;
    }
    let target = this.writer.tryClaim(size);
    // A ring keeps what nobody could see yet: a turn that fills a whole ring shows its first part early.
    if (target === FULL && this.tryShow()) target = this.writer.tryClaim(size);
    if (target === FULL) return this.noRoom(words, at);
    const place = this.writer.place;
    copyBytes(place.bytes, target, bytes, at, size);
    const targetWords = place.words;
    targetWords[(target + BATCH_EPOCH) >> 2] = this.identity.epoch;
    putInt64(targetWords, (target + BATCH_BASE_OFFSET) >> 2, this.nextOffset);
    putInt64(targetWords, (target + BATCH_STORED_AT) >> 2, nowMs);
    this.writer.commit(size);
    this.baseOffset = this.nextOffset;
    this.nextOffset += count;
    if (producerId !== 0) this.dedupe.accepted(producerId, sequence, count, this.baseOffset);
    if (this.blocked) this.setBlocked(false);
    return OK;
  }

  /** The publisher was told to come again (`busy`, `disk-full`): later batches of it must not overtake this one. */
  defer(words: Int32Array, at: number): void {
    const producerId = getInt64(words, (at + BATCH_PRODUCER_ID) >> 2);
    if (producerId !== 0) this.dedupe.deferred(producerId, words[(at + BATCH_BASE_SEQUENCE) >> 2]);
  }

  private skip(words: Int32Array, at: number): void {
    const producerId = getInt64(words, (at + BATCH_PRODUCER_ID) >> 2);
    if (producerId === 0) return;
    this.dedupe.skipped(producerId, words[(at + BATCH_BASE_SEQUENCE) >> 2], words[(at + BATCH_COUNT) >> 2]);
  }

  /** Shows what was appended. True if readers have news. HOT */
  publish(): boolean {
    this.published = this.nextOffset;
    const news = this.writer.publish(this.nextOffset) || this.shown;
    this.shown = false;
    return news;
  }

  private tryShow(): boolean {
    if (!this.writer.publish(this.nextOffset)) return false;
    this.shown = true;
    return true;
  }

  private notFresh(verdict: number, producerId: number, sequence: number): number {
    if (verdict === UNPROVEN) return CODES['outcome-unknown'].number;
    if (verdict === SKIPPED) return CODES['ring-full'].number;
    if (verdict !== DUPLICATE) return CODES['out-of-order'].number;
    this.baseOffset = this.dedupe.offsetOf(producerId, sequence);
    return CODES.duplicate.number;
  }

  private noRoom(words: Int32Array, at: number): number {
    if (this.rejects) {
      if ((words[(at + REQUEST_FLAGS) >> 2] & REQUEST_INSISTS) !== 0) this.defer(words, at);
      else this.skip(words, at);
      return CODES['ring-full'].number;
    }
    if (!this.blocked) this.setBlocked(true);
    return NO_ROOM;
  }

  private setBlocked(blocked: boolean): void {
    this.blocked = blocked;
    this.writer.setBlocked(blocked);
  }

  /**
   * Takes over from a predecessor, or from the log: offsets and producers are read from what the ring has. Batches of a
   * durable partition keep the epoch that they were accepted in.
   */
  private recover(): void {
    const { writer, identity } = this;
    const place = writer.place;
    const view = new BatchView();
    let position = writer.oldest;
    while (position !== writer.position) {
      const index = position & (place.capacity - 1);
      const at = place.byte + index;
      const size = place.words[at >> 2];
      view.span(place.bytes, place.words, at, size);
      if (view.next() && (identity.durable || view.epoch === identity.epoch)) this.learn(view);
      position = (position + size) | 0;
    }
  }

  private learnFrom(tail: Uint8Array): void {
    const words = new Int32Array(tail.buffer, tail.byteOffset, tail.length >> 2);
    const view = new BatchView().span(tail, words, 0, tail.length);
    while (view.next()) this.learn(view);
  }

  private learn(batch: BatchView): void {
    this.nextOffset = batch.baseOffset + batch.count;
    // The oldest comes first, and none is missing behind it.
    if (this.dedupe.knownFrom === NOTHING_KNOWN) this.dedupe.knownFrom = batch.baseOffset;
    if (batch.producerId !== 0) {
      this.dedupe.accepted(batch.producerId, batch.baseSequence, batch.count, batch.baseOffset);
    }
  }
}
