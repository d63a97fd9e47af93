// Takes a publish frame apart: checks every batch before one byte of it is trusted, and hands it to the desk.
//
// The transport's buffer is valid only during the call and begins anywhere; copying from an unaligned place into shared
// memory goes byte by byte (3 instead of 26 GB/s). So the frame is copied once into aligned memory (50 GB/s) and from
// there, batch by batch, into the lanes.
import {
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_MAGIC_VALUE,
  BATCH_PARTITION,
  BATCH_SIZE,
  REQUEST_ACK,
  REQUEST_EPOCH,
  REQUEST_ID,
} from '../../native-layout/batch.ts';
import { PERMISSION_WRITE } from '../../native-layout/partition-table.ts';
import { CODES, type CodeName } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import { COUNTER, type Counters } from '../memory/counters.ts';
import type { LaneWriter } from '../memory/lane.ts';
import { validateBatch } from '../record/validate.ts';
import { OWN_ROOM_BYTES } from '../wire/services.ts';
import { FRAME_MAX_BYTES } from './config.ts';
import type { PartitionBook } from './partition-book.ts';
import type { PublishDesk, Publisher } from './publish-desk.ts';

/** Where batches may go. */
export interface Owners {
  /** The lane to a broker worker; undefined if that seat is none. */
  laneOf(owner: number): LaneWriter | undefined;
}

export class FramePublisher {
  private readonly desk: PublishDesk;
  private readonly book: PartitionBook;
  private readonly owners: Owners;
  private readonly counters: Counters;
  private readonly bytes = new Uint8Array(FRAME_MAX_BYTES);
  private readonly words = new Int32Array(this.bytes.buffer);
  /** Seat of the owner of the batch that refusal() found nothing wrong with. */
  private owner = 0;
  /** While the broker stops: this code for everything. */
  refusing: CodeName | undefined;

  constructor(desk: PublishDesk, book: PartitionBook, owners: Owners, counters: Counters) {
    this.desk = desk;
    this.book = book;
    this.owners = owners;
    this.counters = counters;
  }

  /**
   * Publishes the batches of a frame of at most FRAME_MAX_BYTES. False if they cannot be told apart: what came before
   * the broken one was taken, and the session must be closed. Call the desk's push() at the end of the turn. HOT
   */
  publish(publisher: Publisher, data: Uint8Array): boolean {
    const end = data.length;
    const { bytes, words } = this;
    bytes.set(data);
    let at = 0;
    while (at < end) {
      const verdict = validateBatch(bytes, words, at, end);
      if (verdict !== 'ok' && !this.isWalkable(at, end)) break;
      const code = verdict === 'ok' ? this.refusal(at) : verdict;
      const size = words[(at + BATCH_SIZE) >> 2];
      if (code === 'ok') this.desk.submit(publisher, this.owner, bytes, words, at);
      else this.refuse(publisher, at, code);
      at += size;
    }
    this.desk.pushMuch();
    return at === end;
  }

  /** What speaks against a batch that is well formed. HOT */
  private refusal(at: number): CodeName {
    const { words } = this;
    if (this.refusing !== undefined) return this.refusing;
    const ack = words[(at + REQUEST_ACK) >> 2];
    if (ack < ACK_LEVELS.none || ack > ACK_LEVELS.durable) return 'ack-unsupported';
    const partition = this.book.find(words[(at + BATCH_PARTITION) >> 2]);
    if (partition === undefined) return 'unknown-partition';
    if (partition.epoch !== words[(at + REQUEST_EPOCH) >> 2]) return 'route-stale';
    const lane = this.owners.laneOf(partition.owner);
    if (lane === undefined) return 'direct-only';
    if (ack > ACK_LEVELS.accepted && !partition.durable) return 'ack-unsupported';
    if ((partition.permission & PERMISSION_WRITE) === 0 || partition.reserved) return 'no-write-permission';
    if (words[(at + BATCH_SIZE) >> 2] > lane.frameMax - OWN_ROOM_BYTES) return 'message-too-large';
    this.owner = partition.owner;
    return 'ok';
  }

  private refuse(publisher: Publisher, at: number, code: CodeName): void {
    const { words } = this;
    const broken = code === 'malformed-batch' || code === 'bad-checksum';
    this.counters.add(broken ? COUNTER.protocolErrors : COUNTER.rejected, 1);
    if (words[(at + REQUEST_ACK) >> 2] === ACK_LEVELS.none) return;
    const count = Math.max(0, words[(at + BATCH_COUNT) >> 2]);
    const partition = Math.max(-1, words[(at + BATCH_PARTITION) >> 2]);
    publisher.answered(words[(at + REQUEST_ID) >> 2], CODES[code].number, partition, count, -1);
  }

  /** True if a batch that is wrong still says who sent it and where the next one begins. */
  private isWalkable(at: number, end: number): boolean {
    if (end - at < BATCH_HEADER_BYTES) return false;
    const size = this.words[(at + BATCH_SIZE) >> 2];
    if (size < BATCH_HEADER_BYTES || (size & 7) !== 0 || size > end - at) return false;
    return (this.words[(at + BATCH_MAGIC) >> 2] & 0xffff) === BATCH_MAGIC_VALUE;
  }
}
