// What an answer to `receive` brings: sparse batches with the records that were leased.
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_CRC,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_SIZE,
  FLAG_CRC,
  MAGIC_SPARSE,
} from '../../native-layout/batch.ts';
import { RECORD_SIZE } from '../../native-layout/record.ts';
import { putInt64 } from '../record/int64.ts';
import { type Chunk, NOT_KEPT, RECORD_MAX_BYTES } from './lease-chunks.ts';

/** A reply's batches are filled up to here; the last record may go beyond. */
const REPLY_BYTES = 80 * 1024;

/** Builds what a reply brings: sparse batches with the records that were leased. One a desk, used again. */
export class LeaseReply {
  private readonly bytes = new Uint8Array(REPLY_BYTES + RECORD_MAX_BYTES + 4 * BATCH_HEADER_BYTES);
  private readonly words = new Int32Array(this.bytes.buffer);
  private length = 0;
  /** Where the open batch begins; -1: none is open. */
  private batchAt = -1;
  private open: Chunk | undefined;
  /** Of the open chunk: records that are copied together. */
  private runAt = 0;
  private runEnd = 0;

  get full(): boolean {
    return this.length + (this.runEnd - this.runAt) >= REPLY_BYTES;
  }

  reset(): void {
    this.length = 0;
    this.batchAt = -1;
    this.open = undefined;
    this.runAt = 0;
    this.runEnd = 0;
  }

  /** The next record. One that is not kept stands as a batch of no records with its offset. HOT */
  add(chunk: Chunk, at: number, offset: number): void {
    if (at === NOT_KEPT) {
      this.close();
      this.begin(chunk);
      this.stamp(offset);
      this.close();
      return;
    }
    if (chunk !== this.open) {
      this.close();
      this.begin(chunk);
    }
    if (at !== this.runEnd) this.flush();
    if (this.runEnd === this.runAt) this.runAt = at;
    this.runEnd = at + chunk.words[(at + RECORD_SIZE) >> 2];
  }

  /** The batches, as bytes of their own. */
  finish(): Uint8Array {
    this.close();
    return this.bytes.slice(0, this.length);
  }

  private begin(chunk: Chunk): void {
    this.open = chunk;
    this.batchAt = this.length;
    this.bytes.set(chunk.bytes.subarray(0, BATCH_HEADER_BYTES), this.length);
    this.length += BATCH_HEADER_BYTES;
  }

  /** Makes the open batch one of no records that covers this offset alone. */
  private stamp(offset: number): void {
    putInt64(this.words, (this.batchAt + BATCH_BASE_OFFSET) >> 2, offset);
    this.words[(this.batchAt + BATCH_COUNT) >> 2] = 1;
  }

  private flush(): void {
    const { open, runAt, runEnd } = this;
    if (open === undefined || runEnd === runAt) return;
    this.bytes.set(open.bytes.subarray(runAt, runEnd), this.length);
    this.length += runEnd - runAt;
    this.runAt = 0;
    this.runEnd = 0;
  }

  private close(): void {
    if (this.batchAt < 0) return;
    this.flush();
    const { words, batchAt } = this;
    words[(batchAt + BATCH_SIZE) >> 2] = this.length - batchAt;
    words[(batchAt + BATCH_MAGIC) >> 2] = (words[(batchAt + BATCH_MAGIC) >> 2] & ~(FLAG_CRC << 24)) | MAGIC_SPARSE;
    words[(batchAt + BATCH_CRC) >> 2] = 0;
    this.batchAt = -1;
    this.open = undefined;
  }
}
