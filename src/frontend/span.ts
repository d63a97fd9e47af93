// A run of whole batches of one partition where they lie in the ring: what one delivery frame is made of. One object
// per thread, cut anew for every frame; valid only while the bytes are held.
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_EPOCH,
  BATCH_MAGIC,
  BATCH_SIZE,
  MAGIC_WORD_PADDING,
} from '../../native-layout/batch.ts';
import { assert } from '../base/fault.ts';
import type { RingPlace } from '../memory/ring-writer.ts';
import { getInt64 } from '../record/int64.ts';

export class Span {
  private place: RingPlace | undefined;
  topic = '';
  /** Number of the partition in its topic. */
  number = 0;
  /** Of the first batch, and of the last one. */
  epoch = 0;
  lastEpoch = 0;
  /** Byte index in the arena. */
  start = 0;
  /** Bytes of the batches. */
  length = 0;
  /** Bytes up to where the next run begins: `length` and, at the ring's end, its padding. */
  advance = 0;
  batches = 0;
  messages = 0;
  firstOffset = 0;
  nextOffset = 0;
  /** Times that it was cut: tells one span from the next one. */
  cuts = 0;
  private view: Uint8Array | undefined;
  private texts: readonly SpanText[] | undefined;

  /** Whose batches are cut from now on. */
  of(place: RingPlace, topic: string, number: number): this {
    this.place = place;
    this.topic = topic;
    this.number = number;
    return this;
  }

  /**
   * Takes batches from byte `start` on, out of `available` bytes that begin with a batch: as many as fit `limit` bytes,
   * at least one. HOT
   */
  cut(start: number, available: number, limit: number): void {
    const { words } = this.ring;
    const end = start + available;
    let at = start;
    let last = start;
    this.batches = 0;
    this.messages = 0;
    this.length = 0;
    while (at < end) {
      const size = words[(at + BATCH_SIZE) >> 2];
      assert(size > 0 && (size & 7) === 0, 'ring: broken batch size on the way out');
      if (words[(at + BATCH_MAGIC) >> 2] === MAGIC_WORD_PADDING) {
        at += size;
        break;
      }
      if (this.length > 0 && this.length + size > limit) break;
      this.length += size;
      this.batches++;
      this.messages += words[(at + BATCH_COUNT) >> 2];
      last = at;
      at += size;
    }
    this.cuts++;
    this.start = start;
    this.advance = at - start;
    this.epoch = words[(start + BATCH_EPOCH) >> 2];
    this.lastEpoch = words[(last + BATCH_EPOCH) >> 2];
    this.firstOffset = getInt64(words, (start + BATCH_BASE_OFFSET) >> 2);
    this.nextOffset = getInt64(words, (last + BATCH_BASE_OFFSET) >> 2) + words[(last + BATCH_COUNT) >> 2];
    this.view = undefined;
    this.texts = undefined;
  }

  /** Instead of cut(): batches that were made elsewhere. */
  show(start: number, lengthBytes: number): void {
    this.start = start;
    this.length = lengthBytes;
    this.view = undefined;
    this.texts = undefined;
  }

  /** The same messages, with more or less in front of them. HOT */
  move(start: number, lengthBytes: number): void {
    if (start === this.start && lengthBytes === this.length) return;
    this.start = start;
    this.length = lengthBytes;
    this.view = undefined;
  }

  /** Memory of the ring. */
  get ring(): RingPlace {
    return this.place as RingPlace;
  }

  /** An owned copy of whole batches from the one with this offset on: at most `maxBytes`, at least one. */
  copyFrom(offset: number, maxBytes: number): { readonly bytes: Uint8Array; readonly nextOffset: number } {
    const { bytes, words } = this.ring;
    const end = this.start + this.length;
    let from = this.start;
    let at = from;
    let nextOffset = this.nextOffset;
    while (at < end) {
      const size = words[(at + BATCH_SIZE) >> 2];
      const next = getInt64(words, (at + BATCH_BASE_OFFSET) >> 2) + words[(at + BATCH_COUNT) >> 2];
      if (next <= offset) from = at + size;
      else if (at > from && at + size - from > maxBytes) break;
      else nextOffset = next;
      at += size;
    }
    const copy = new Uint8Array(at - from);
    copy.set(bytes.subarray(from, at));
    return { bytes: copy, nextOffset };
  }

  /** The batches as bytes, for the kernel: made once for all binary subscribers. */
  bytes(): Uint8Array {
    const { bytes } = this.ring;
    this.view ??= bytes.subarray(this.start, this.start + this.length);
    return this.view;
  }

  /** The messages as text frames: made once for all readable subscribers. */
  messageTexts(make: (span: Span) => readonly SpanText[]): readonly SpanText[] {
    this.texts ??= make(this);
    return this.texts;
  }
}

/** One message as a text frame. */
export interface SpanText {
  readonly offset: number;
  readonly text: string;
}
