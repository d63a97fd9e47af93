// Notice rings: "partition p has news" from one broker worker to one reading thread.
//
// Who writes: TAIL and entries, the worker; HEAD, the reading thread.
// I1  At most one notice per partition is under way to a seat: the slot's NOTICED word is set before the notice is
//     pushed and cleared before the partition is read. The ring holds one entry for every partition, so it never fills.
// I2  A reader clears NOTICED first and loads the ring's tail after; a writer stores the tail first and swaps NOTICED
//     after: news is either seen now or noticed again.
import { LANE_HEAD, LANE_TAIL, NOTICE_CONTROL_BYTES } from '../../native-layout/lane.ts';
import { assert } from '../base/fault.ts';
import { type LanePlace, NONE } from './lane.ts';

/** The worker's end. `place.capacity` counts bytes: four for each partition that can exist. */
export class NoticeWriter {
  private readonly words: Int32Array;
  private readonly tailWord: number;
  private readonly headWord: number;
  private readonly data: number;
  private readonly mask: number;
  private tail: number;
  /** As seen last: the reader writes that line with every notice that it takes. */
  private headCache: number;

  constructor(words: Int32Array, place: LanePlace) {
    this.words = words;
    this.tailWord = (place.byte >> 2) + LANE_TAIL;
    this.headWord = (place.byte >> 2) + LANE_HEAD;
    this.data = (place.byte + NOTICE_CONTROL_BYTES) >> 2;
    this.mask = entryMask(place);
    this.tail = Atomics.load(words, this.tailWord);
    this.headCache = Atomics.load(words, this.headWord);
  }

  /** Adds one notice and shows it. HOT */
  push(partition: number): void {
    if (((this.tail - this.headCache) | 0) > this.mask) {
      this.headCache = Atomics.load(this.words, this.headWord); // OBSERVE: NoticeReader.take()
      assert(((this.tail - this.headCache) | 0) <= this.mask, 'notice ring full: I1 is broken');
    }
    this.words[this.data + (this.tail & this.mask)] = partition;
    this.tail = (this.tail + 1) | 0;
    Atomics.store(this.words, this.tailWord, this.tail); // PUBLISH: entry -> NoticeReader.take()
  }
}

/** The reading thread's end. */
export class NoticeReader {
  private readonly words: Int32Array;
  private readonly tailWord: number;
  private readonly headWord: number;
  private readonly data: number;
  private readonly mask: number;
  private head: number;
  /** As seen last: the worker writes that line with every notice that it pushes. */
  private tailCache: number;

  constructor(words: Int32Array, place: LanePlace) {
    this.words = words;
    this.tailWord = (place.byte >> 2) + LANE_TAIL;
    this.headWord = (place.byte >> 2) + LANE_HEAD;
    this.data = (place.byte + NOTICE_CONTROL_BYTES) >> 2;
    this.mask = entryMask(place);
    this.head = Atomics.load(words, this.headWord);
    this.tailCache = this.head;
  }

  /** True if take() would find something. */
  get hasNews(): boolean {
    return Atomics.load(this.words, this.tailWord) !== this.head;
  }

  /** The next partition with news, or NONE. HOT */
  take(): number {
    if (this.head === this.tailCache) {
      this.tailCache = Atomics.load(this.words, this.tailWord); // OBSERVE: NoticeWriter.push()
      if (this.head === this.tailCache) return NONE;
    }
    const partition = this.words[this.data + (this.head & this.mask)];
    this.head = (this.head + 1) | 0;
    Atomics.store(this.words, this.headWord, this.head); // PUBLISH: free entry -> NoticeWriter.push()
    return partition;
  }
}

function entryMask(place: LanePlace): number {
  assert((place.capacity & (place.capacity - 1)) === 0, `notice ring of ${place.capacity} bytes: no power of two`);
  return (place.capacity >> 2) - 1;
}
