// A participant's line to the log reader thread: requests for what is in the log, answers with whole batches back.
//
// Who writes: the request lane, this thread; the answer lane, the log reader. On which thread: the participant's own.
// I1  The log reader takes a request out of its lane only after the answer was published. One that died in between
//     answers again: an answer to a request that nobody waits for is stepped over.
// I2  The bytes of an answer belong to the lane: they are valid during the call of `answered` and no longer.
import { SEAT_LOG_READER } from '../../native-layout/control.ts';
import {
  ANSWER_BASE,
  ANSWER_LENGTH,
  ANSWER_NEXT,
  ANSWER_OLDEST,
  ANSWER_REQUEST,
  ANSWER_STATUS,
  READ_ANSWER_BYTES,
  READ_CHUNK_BYTES,
  READ_FROM,
  READ_KIND,
  READ_KINDS,
  READ_MAX_BYTES,
  READ_PARTITION,
  READ_REQUEST_BYTES,
  READ_REQUEST_ID,
  READ_TOPIC,
} from '../../native-layout/store.ts';
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import type { Bells } from '../memory/bell.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { answerLane, type Regions, readLane, type StoreRegion } from '../memory/regions.ts';
import { openLane } from '../memory/seats.ts';
import { getInt64, putInt64 } from '../record/int64.ts';

/** What the log has, as `answered` is told. One object, used again for every answer. */
export interface HistoryAnswer {
  /**
   * Number of a code: `ok`; `offset-out-of-range` (go on at `oldestOffset`, or the offset was never written);
   * `log-damaged` (what lies before `nextOffset` is lost); `closed` (see close()); `internal`.
   */
  readonly status: number;
  /** Offset of the first record of the batches, perhaps before the one that was asked for. Of `locate`: the answer. */
  readonly baseOffset: number;
  /** Offset to read from next. */
  readonly nextOffset: number;
  /** Oldest offset that the log has of the partition. */
  readonly oldestOffset: number;
  /** Views of the lane's memory; the batches, 8-byte aligned, begin at byte `at`. Valid during the call only. */
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly at: number;
  /** Bytes of whole batches; 0 with `ok`: the log has nothing at that offset yet. */
  readonly length: number;
}

/** Hears an answer, from inside History.work(). It may ask the next thing. */
export type Answered = (answer: HistoryAnswer) => void;

/** Why a place in the log is not read, for those who wait for it. It is asked for again every now and then. */
export function logRefusal(status: number, topic: string, partition: number, offset: number): RingmqError {
  const code = codeName(status);
  const what =
    code === 'frame-too-large'
      ? 'a batch is larger than the lanes of this broker: start it with a larger laneBytes'
      : `${CODES[code].text}; it is tried again`;
  return new RingmqError(code, `${topic}/${partition}: the log cannot be read at offset ${offset}: ${what}`);
}

/** What there is of a request number: int32, never 0. */
const REQUEST_MASK = 0x7fff_ffff;

class LaneAnswer implements HistoryAnswer {
  status = 0;
  baseOffset = 0;
  nextOffset = 0;
  oldestOffset = 0;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  at = 0;
  length = 0;

  constructor(store: StoreRegion) {
    this.bytes = store.bytes;
    this.words = store.words;
  }

  /** Takes over the answer at byte `at` of the lane. */
  wrap(at: number): this {
    const { words } = this;
    this.status = words[(at + ANSWER_STATUS) >> 2];
    this.length = words[(at + ANSWER_LENGTH) >> 2];
    this.baseOffset = getInt64(words, (at + ANSWER_BASE) >> 2);
    this.nextOffset = getInt64(words, (at + ANSWER_NEXT) >> 2);
    this.oldestOffset = getInt64(words, (at + ANSWER_OLDEST) >> 2);
    this.at = at + READ_ANSWER_BYTES;
    return this;
  }

  /** There is no answer, for this reason. */
  none(status: number): this {
    this.status = status;
    this.length = 0;
    this.baseOffset = 0;
    this.nextOffset = 0;
    this.oldestOffset = 0;
    return this;
  }
}

export class History {
  private readonly regions: Regions;
  private readonly seat: number;
  private readonly bells: Bells;
  private readonly there: LaneWriter;
  private readonly back: LaneReader;
  private readonly answer: LaneAnswer;
  private readonly waiting = new Map<number, Answered>();
  private requests = 0;
  private opened = false;
  private closed = false;

  /** For the thread that holds the seat, once for as long as it does. */
  constructor(regions: Regions & { readonly store: StoreRegion }, seat: number, bells: Bells) {
    const { sizes, store } = regions;
    this.regions = regions;
    this.seat = seat;
    this.bells = bells;
    this.there = new LaneWriter(store.words, store.bytes, readLane(sizes, seat));
    this.back = new LaneReader(store.words, store.bytes, answerLane(sizes, seat));
    this.answer = new LaneAnswer(store);
    // What a former holder of the seat left behind is not for us.
    while (this.back.look() !== NONE) this.back.consume();
    this.back.release();
  }

  /** Number of requests without an answer yet. */
  get pending(): number {
    return this.waiting.size;
  }

  /**
   * Asks for batches of a partition from the one that holds `offset` on: about `maxBytes` (at most 1 MiB), at least one
   * batch if there is one. Returns the request's number, or 0 if the lane is full: try again later. Throws `closed`.
   */
  read(topicId: number, partition: number, offset: number, maxBytes: number, answered: Answered): number {
    const most = Math.max(1, Math.min(maxBytes, READ_CHUNK_BYTES));
    return this.ask(READ_KINDS.read, topicId, partition, offset, most, answered);
  }

  /**
   * Asks for the offset (`baseOffset` of the answer) of the first batch stored at `timeMs` or later: the next offset if
   * there is none. Returns the request's number, or 0 if the lane is full: try again later.
   */
  locate(topicId: number, partition: number, timeMs: number, answered: Answered): number {
    return this.ask(READ_KINDS.locate, topicId, partition, timeMs, 0, answered);
  }

  /** The answer is not wanted any more. */
  forget(request: number): void {
    this.waiting.delete(request);
  }

  /** Hands out answers that have come. Returns how much it did, in bytes. */
  work(): number {
    let did = 0;
    for (let at = this.back.look(); at !== NONE; at = this.back.look()) {
      const request = this.back.words[(at + ANSWER_REQUEST) >> 2];
      did += this.back.frameLength;
      this.back.consume(); // First: an `answered` that throws is not called again for the same answer.
      const answered = this.waiting.get(request);
      this.waiting.delete(request);
      answered?.(this.answer.wrap(at));
      this.back.release();
    }
    // The log reader stops where the lane is full, and nobody else tells it that there is room again.
    if (did > 0 && this.there.pendingBytes > 0) this.bells.ring(SEAT_LOG_READER);
    return did;
  }

  /** The thread gives its seat up, and nobody will answer it: everybody who waits hears `closed`. */
  close(): void {
    this.closed = true;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const answered of waiting) answered(this.answer.none(CODES.closed.number));
  }

  private ask(
    kind: number,
    topicId: number,
    partition: number,
    from: number,
    maxBytes: number,
    answered: Answered,
  ): number {
    const { there } = this;
    if (this.closed) throw new RingmqError('closed', 'this thread has left the broker: nothing can be asked any more');
    const at = there.tryClaim(READ_REQUEST_BYTES);
    if (at === FULL) return 0;
    const request = this.nextRequest();
    const { words } = there;
    words[at >> 2] = READ_REQUEST_BYTES;
    words[(at + READ_REQUEST_ID) >> 2] = request;
    words[(at + READ_KIND) >> 2] = kind;
    words[(at + READ_TOPIC) >> 2] = topicId;
    words[(at + READ_PARTITION) >> 2] = partition;
    words[(at + READ_MAX_BYTES) >> 2] = maxBytes;
    putInt64(words, (at + READ_FROM) >> 2, Math.trunc(from));
    there.commit(READ_REQUEST_BYTES);
    there.publish();
    this.waiting.set(request, answered);
    if (!this.opened) {
      this.opened = true;
      openLane(this.regions.control, SEAT_LOG_READER, this.seat);
    }
    this.bells.ring(SEAT_LOG_READER);
    return request;
  }

  private nextRequest(): number {
    do this.requests = (this.requests + 1) & REQUEST_MASK;
    while (this.requests === 0 || this.waiting.has(this.requests));
    return this.requests;
  }
}

/** The line to the log reader; undefined if the broker keeps no data. */
export function openHistory(regions: Regions, seat: number, bells: Bells): History | undefined {
  const { store } = regions;
  return store ? new History({ ...regions, store }, seat, bells) : undefined;
}
