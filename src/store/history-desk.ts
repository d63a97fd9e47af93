// Answers what other threads ask about the log: one answer for every asking thread in turn.
//
// Who writes: the answer lanes, the log reader thread; the request lanes, who asks (thread/history.ts).
// I1  A request is taken out of its lane only after its answer was published: whoever takes over from a dead log reader
//     finds it again.
import { SEAT_LOG_READER, SEAT_STATES, SEATS_MAX } from '../../native-layout/control.ts';
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
  READ_REQUEST_ID,
  READ_TOPIC,
} from '../../native-layout/store.ts';
import { CODES } from '../base/codes.ts';
import type { LogIndex } from '../log/log-index.ts';
import type { ReadResult, RunReader } from '../log/run-reader.ts';
import { Bells } from '../memory/bell.ts';
import { copyBytes } from '../memory/copy.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { answerLane, type Regions, readLane, type StoreRegion } from '../memory/regions.ts';
import { closeLane, openLanes, seatState } from '../memory/seats.ts';
import { getInt64, putInt64 } from '../record/int64.ts';
import type { ReadPace } from './read-pace.ts';

const STATUS = {
  ok: CODES.ok.number,
  'out-of-range': CODES['offset-out-of-range'].number,
  damaged: CODES['log-damaged'].number,
  later: CODES['log-busy'].number,
} as const;

/**
 * What serve() answers when the request has to wait: no room for the answer, the index is not up to date, or no file is
 * left to open.
 */
const LATER = 0;

/** One asking thread's two lanes. */
class Asker {
  readonly requests: LaneReader;
  readonly answers: LaneWriter;

  constructor(regions: Regions & { readonly store: StoreRegion }, seat: number) {
    const { sizes, store } = regions;
    this.requests = new LaneReader(store.words, store.bytes, readLane(sizes, seat));
    this.answers = new LaneWriter(store.words, store.bytes, answerLane(sizes, seat));
  }
}

export interface HistoryDeskContext {
  readonly regions: Regions & { readonly store: StoreRegion };
  readonly index: LogIndex;
  readonly reader: RunReader;
  /** True if the store has written what the index does not know yet. */
  readonly isBehind: () => boolean;
  readonly pace: ReadPace;
}

export class HistoryDesk {
  private readonly context: HistoryDeskContext;
  private readonly bells: Bells;
  private readonly askers: (Asker | undefined)[] = new Array(SEATS_MAX).fill(undefined);

  constructor(context: HistoryDeskContext) {
    this.context = context;
    this.bells = new Bells(context.regions.control);
  }

  /** Milliseconds for which the disk is left to the store. */
  get restMs(): number {
    return this.context.pace.restMs;
  }

  /** One answer for every thread that waits for one. Returns bytes. */
  work(): number {
    if (this.restMs > 0) return 0;
    const { control } = this.context.regions;
    let did = 0;
    for (let half = 0; half < 2; half++) {
      let mask = openLanes(control, SEAT_LOG_READER, half as 0 | 1);
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask);
        mask &= mask - 1;
        did += this.serveSeat(half * 32 + bit);
      }
    }
    return did;
  }

  private serveSeat(seat: number): number {
    const { regions } = this.context;
    this.askers[seat] ??= new Asker(regions, seat);
    const asker = this.askers[seat];
    // Nobody waits for the answers of a thread that has ended; the next holder of the seat begins with an empty lane.
    if (seatState(regions.control, seat) === SEAT_STATES.dead) {
      while (asker.requests.look() !== NONE) asker.requests.consume();
      asker.requests.release();
      closeLane(regions.control, SEAT_LOG_READER, seat);
      return 0;
    }
    const at = asker.requests.look();
    if (at === NONE) return 0;
    const did = this.serve(asker, at);
    if (did === LATER) return 0;
    asker.answers.publish();
    asker.requests.consume(); // I1
    asker.requests.release();
    this.bells.ring(seat);
    return did;
  }

  /** Answers the request at byte `at`. Returns the answer's bytes, or LATER. */
  private serve(asker: Asker, at: number): number {
    const { words } = asker.requests;
    const topicId = words[(at + READ_TOPIC) >> 2];
    const partition = words[(at + READ_PARTITION) >> 2];
    const from = getInt64(words, (at + READ_FROM) >> 2);
    const request = words[(at + READ_REQUEST_ID) >> 2];
    if (words[(at + READ_KIND) >> 2] === READ_KINDS.locate) {
      return this.locate(asker.answers, request, topicId, partition, from);
    }
    const maxBytes = Math.min(words[(at + READ_MAX_BYTES) >> 2], READ_CHUNK_BYTES);
    return this.read(asker.answers, request, topicId, partition, from, maxBytes);
  }

  private locate(answers: LaneWriter, request: number, topicId: number, partition: number, timeMs: number): number {
    if (this.context.isBehind()) return LATER;
    const at = answers.tryClaim(READ_ANSWER_BYTES);
    if (at === FULL) return LATER;
    const { index, reader } = this.context;
    const offset = reader.locate(topicId, partition, timeMs);
    if (offset === undefined) return LATER;
    this.putHeader(answers, at, request, STATUS.ok, 0);
    putInt64(answers.words, (at + ANSWER_BASE) >> 2, offset);
    putInt64(answers.words, (at + ANSWER_NEXT) >> 2, offset);
    putInt64(answers.words, (at + ANSWER_OLDEST) >> 2, index.oldest(topicId, partition));
    answers.commit(READ_ANSWER_BYTES);
    return READ_ANSWER_BYTES;
  }

  private read(
    answers: LaneWriter,
    request: number,
    topicId: number,
    partition: number,
    offset: number,
    maxBytes: number,
  ): number {
    // Before the disk is asked: an answer without room would be read again.
    if (answers.tryClaim(READ_ANSWER_BYTES + maxBytes + (-maxBytes & 7)) === FULL) return LATER;
    const { reader, pace } = this.context;
    pace.begin();
    const result = reader.read(topicId, partition, offset, maxBytes);
    if (result.status === 'later') return LATER;
    if (result.length > 0) pace.end(result.length);
    const isNothing = result.status === 'ok' && result.length === 0;
    if (isNothing && this.context.isBehind()) return LATER;
    const length = READ_ANSWER_BYTES + result.length;
    if (length > answers.frameMax) return this.refuse(answers, request);
    const at = answers.tryClaim(length);
    if (at === FULL) return LATER;
    this.putResult(answers, at, request, result);
    return length;
  }

  private putResult(answers: LaneWriter, at: number, request: number, result: ReadResult): void {
    this.putHeader(answers, at, request, STATUS[result.status], result.length);
    putInt64(answers.words, (at + ANSWER_BASE) >> 2, result.baseOffset);
    putInt64(answers.words, (at + ANSWER_NEXT) >> 2, result.nextOffset);
    putInt64(answers.words, (at + ANSWER_OLDEST) >> 2, result.oldestOffset);
    copyBytes(answers.bytes, at + READ_ANSWER_BYTES, result.bytes, result.at, result.length);
    answers.commit(READ_ANSWER_BYTES + result.length);
  }

  /** A batch that no lane of this broker takes: the log was written with larger lanes. */
  private refuse(answers: LaneWriter, request: number): number {
    const at = answers.tryClaim(READ_ANSWER_BYTES);
    if (at === FULL) return LATER;
    answers.words.fill(0, at >> 2, (at + READ_ANSWER_BYTES) >> 2);
    this.putHeader(answers, at, request, CODES['frame-too-large'].number, 0);
    answers.commit(READ_ANSWER_BYTES);
    return READ_ANSWER_BYTES;
  }

  private putHeader(answers: LaneWriter, at: number, request: number, status: number, length: number): void {
    const { words } = answers;
    words[at >> 2] = READ_ANSWER_BYTES + length;
    words[(at + ANSWER_REQUEST) >> 2] = request;
    words[(at + ANSWER_STATUS) >> 2] = status;
    words[(at + ANSWER_LENGTH) >> 2] = length;
  }
}
