// One partition's ring as a front end reads it: a single slot that serves every position its subscribers stand at.
//
// Where the topic may drop (drop-oldest), the slot moves to wherever is read next and is pinned for as long; in between
// the writer may pass it. Where nothing may be lost (block, reject), the slot never moves beyond the slowest
// subscriber, and everything from there to the tail can be read without moving it.
//
// Positions are `wide`: running counts that never wrap, whose low 32 bits are the ring's position. A session that was
// stuck for long would otherwise look as if it were ahead.
import { BATCH_BASE_OFFSET, BATCH_COUNT, BATCH_MAGIC, MAGIC_WORD_PADDING } from '../../native-layout/batch.ts';
import { assert } from '../base/fault.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import type { RingPlace } from '../memory/ring-writer.ts';
import { getInt64 } from '../record/int64.ts';

/** open(): the ring no longer has this position. */
export const GONE = -1;

/** A batch in the ring. */
export interface BatchPlace {
  readonly wide: number;
  /** Of its first record. */
  readonly offset: number;
}

export class FeedReader {
  readonly lossless: boolean;
  readonly place: RingPlace;
  /** Where the bytes begin that open() found, and their byte index in the arena. */
  wide = 0;
  start = 0;
  private reader: RingReader;
  private joined = true;
  private keptWide: number;

  /** `reader` has joined; it `holds` if nothing may be lost. */
  constructor(reader: RingReader, lossless: boolean) {
    this.reader = reader;
    this.lossless = lossless;
    this.place = reader.place;
    this.keptWide = reader.position;
  }

  /** Position of the slot. At first this is where the feed begins. */
  get position(): number {
    return this.reader.position;
  }

  /** Lossless: the slot's position as a wide one; nothing from here on is overwritten. */
  get kept(): number {
    return this.keptWide;
  }

  /** Bytes published behind `wide`. */
  lag(wide: number): number {
    return (this.reader.position + this.reader.lagBytes - (wide | 0)) | 0;
  }

  /** The wide position that is nearest to a known one. */
  wideOf(position: number, near: number): number {
    return near + ((position - (near | 0)) | 0);
  }

  /** Call it when a notice arrived, before open(). HOT */
  noticed(): void {
    this.reader.noticed();
  }

  /**
   * Bytes that can be read from `wide` on without a wrap, EMPTY or GONE. Padding is stepped over: what was found begins
   * at this.wide and this.start. If it is more than 0, done() must follow. HOT
   */
  open(wide: number): number {
    return this.lossless ? this.openHeld(wide) : this.openPinned(wide);
  }

  /** `lengthBytes` of what open() found were read. HOT */
  done(lengthBytes: number): void {
    if (!this.lossless) this.reader.advance(lengthBytes);
  }

  /** Lossless: nobody reads before `wide` any more. HOT */
  keep(wide: number): void {
    if (!this.lossless || wide <= this.keptWide) return;
    this.keptWide = wide;
    // Never evicted, so a plain step forward is safe without a pin.
    this.reader.release(wide | 0);
  }

  /** After GONE: goes to the oldest batch that is left. Returns its position, near a known one. */
  toHead(near: number): number {
    this.reader.joinHead();
    this.joined = true;
    return this.wideOf(this.reader.position, near);
  }

  /**
   * A second reader of the ring has joined further back: takes its place if the slot stands behind it, so that nothing
   * from there on is lost. A scan of the writer that misses the new slot began before it joined; the join has then seen
   * the head that the scan goes by. Closes one of the two. `wide` is where `other` stands.
   */
  adopt(other: RingReader, wide: number): void {
    if (!this.lossless || wide >= this.keptWide) {
      other.close();
      return;
    }
    const before = this.reader;
    this.reader = other;
    this.keptWide = wide;
    other.wantNotices();
    before.close();
  }

  /** Position and offset of the oldest batch that is left; with an empty ring, `tailOffset`. */
  oldest(near: number, tailOffset: () => number): BatchPlace {
    for (;;) {
      const wide = this.toHead(near);
      const available = this.open(wide);
      if (available === GONE) continue;
      if (available === EMPTY) return { wide: this.wide, offset: tailOffset() };
      const offset = getInt64(this.place.words, (this.start + BATCH_BASE_OFFSET) >> 2);
      this.done(0);
      return { wide: this.wide, offset };
    }
  }

  /**
   * The batch that has `offset`, looked for from the batch at `wide` on: at `end` it stands behind everything that is
   * wanted. Undefined if the writer was faster.
   */
  find(offset: number, wide: number, end: number): BatchPlace | undefined {
    const { words } = this.place;
    for (let at = wide; at < end; ) {
      const available = this.open(at);
      if (available === GONE) return undefined;
      at = this.wide;
      if (available === EMPTY) break;
      const stop = this.start + available;
      for (let index = this.start; index < stop; ) {
        const size = words[index >> 2];
        assert(size > 0 && (size & 7) === 0, 'ring: broken batch size in a search');
        if (words[(index + BATCH_MAGIC) >> 2] !== MAGIC_WORD_PADDING) {
          const base = getInt64(words, (index + BATCH_BASE_OFFSET) >> 2);
          if (base + words[(index + BATCH_COUNT) >> 2] > offset) {
            this.done(0);
            return { wide: at, offset: base };
          }
        }
        index += size;
        at += size;
      }
      this.done(0);
    }
    return { wide: end, offset };
  }

  close(): void {
    this.reader.close();
  }

  private openPinned(wide: number): number {
    const { reader } = this;
    const position = wide | 0;
    if (!this.joined || reader.position !== position) {
      this.joined = reader.tryJoin(position);
      if (!this.joined) return GONE;
    }
    const available = reader.tryPin();
    if (available === EVICTED) return GONE;
    this.wide = this.wideOf(reader.position, wide);
    this.start = reader.start;
    return available;
  }

  private openHeld(wide: number): number {
    const { words, byte, capacity } = this.place;
    let available = this.lag(wide);
    this.wide = wide;
    if (available <= 0) return EMPTY;
    let index = wide & (capacity - 1);
    const word = (byte + index) >> 2;
    if (words[word + (BATCH_MAGIC >> 2)] === MAGIC_WORD_PADDING) {
      const padding = words[word];
      this.wide += padding;
      available -= padding;
      index = 0;
      if (available === 0) return EMPTY;
    }
    this.start = byte + index;
    const toEnd = capacity - index;
    return available < toEnd ? available : toEnd;
  }
}
