// A log that a test fills, asks and damages by hand: its answers come when the test says so, as long as it says.
import { CODES } from '../../../src/base/codes.ts';
import type { LogLine } from '../../../src/frontend/history-feed.ts';
import type { Answered } from '../../../src/thread/history.ts';

export interface LoggedBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly storedAt: number;
  readonly bytes: Uint8Array;
}

interface Request {
  readonly number: number;
  readonly offset: number;
  readonly maxBytes: number;
  /** Milliseconds, of locate(). */
  readonly timeMs?: number;
  readonly answered: Answered;
}

/** Where answers lie in the lane: nothing may take it for 0. */
const AT = 512;

export class FakeLog implements LogLine {
  readonly batches: LoggedBatch[] = [];
  readonly requests: Request[] = [];
  readonly forgotten: number[] = [];
  /** Most requests that the lane takes. */
  laneMax = Number.POSITIVE_INFINITY;
  /** Newest batches that the log does not have yet. */
  behind = 0;
  /** Offsets before this one were removed. */
  oldest = 0;
  /** Base offsets of batches whose bytes are damaged. */
  readonly damaged = new Set<number>();
  private numbers = 0;

  append(bytes: Uint8Array, baseOffset: number, nextOffset: number, storedAt = 0): void {
    this.batches.push({ bytes, baseOffset, nextOffset, storedAt });
  }

  read(_topicId: number, _partition: number, offset: number, maxBytes: number, answered: Answered): number {
    return this.ask({ offset, maxBytes, answered });
  }

  locate(_topicId: number, _partition: number, timeMs: number, answered: Answered): number {
    return this.ask({ offset: 0, maxBytes: 0, timeMs, answered });
  }

  forget(request: number): void {
    this.forgotten.push(request);
    const at = this.requests.findIndex((one) => one.number === request);
    if (at >= 0) this.requests.splice(at, 1);
  }

  /** Answers one request: with at most so many batches. False if there is none. */
  answer(which = 0, batchesMax = Number.POSITIVE_INFINITY): boolean {
    const [request] = this.requests.splice(which % Math.max(1, this.requests.length), 1);
    if (request === undefined) return false;
    if (request.timeMs !== undefined) this.answerTime(request, request.timeMs);
    else this.answerRead(request, batchesMax);
    return true;
  }

  /** Answers with a refusal. */
  refuse(code: 'internal' | 'log-busy'): void {
    const request = this.requests.shift();
    request?.answered({ ...NOTHING, status: CODES[code].number });
  }

  get end(): number {
    return this.visible.at(-1)?.nextOffset ?? this.oldest;
  }

  private get visible(): readonly LoggedBatch[] {
    return this.batches.slice(0, this.batches.length - this.behind);
  }

  private ask(request: Omit<Request, 'number'>): number {
    if (this.requests.length >= this.laneMax) return 0;
    this.requests.push({ ...request, number: ++this.numbers });
    return this.numbers;
  }

  private answerTime({ answered }: Request, timeMs: number): void {
    const found = this.visible.find((one) => one.storedAt >= timeMs);
    answered({ ...NOTHING, baseOffset: found?.baseOffset ?? this.end, oldestOffset: this.oldest });
  }

  private answerRead({ offset, maxBytes, answered }: Request, batchesMax: number): void {
    const { oldest, damaged } = this;
    if (offset < oldest) {
      answered({ ...NOTHING, status: CODES['offset-out-of-range'].number, oldestOffset: oldest });
      return;
    }
    const rest = this.visible.filter((one) => one.nextOffset > offset);
    const good = rest.findIndex((one) => !damaged.has(one.baseOffset));
    if (good > 0 || (good < 0 && rest.length > 0)) {
      const nextOffset = rest[good]?.baseOffset ?? this.end;
      answered({ ...NOTHING, status: CODES['log-damaged'].number, nextOffset, oldestOffset: oldest });
      return;
    }
    const taken: LoggedBatch[] = [];
    let length = 0;
    for (const one of rest) {
      const full = taken.length > 0 && (length + one.bytes.length > maxBytes || taken.length >= batchesMax);
      if (full || damaged.has(one.baseOffset)) break;
      taken.push(one);
      length += one.bytes.length;
    }
    this.hand(taken, length, offset, answered);
  }

  private hand(taken: readonly LoggedBatch[], length: number, offset: number, answered: Answered): void {
    const bytes = new Uint8Array(AT + length);
    let at = AT;
    for (const one of taken) {
      bytes.set(one.bytes, at);
      at += one.bytes.length;
    }
    const baseOffset = taken[0]?.baseOffset ?? offset;
    const nextOffset = taken.at(-1)?.nextOffset ?? offset;
    const place = { bytes, words: new Int32Array(bytes.buffer), at: AT, length };
    answered({ status: 0, baseOffset, nextOffset, oldestOffset: this.oldest, ...place });
    // The lane's bytes are valid during the call only.
    bytes.fill(0xff);
  }
}

const NOTHING = {
  status: 0,
  baseOffset: 0,
  nextOffset: 0,
  oldestOffset: 0,
  bytes: new Uint8Array(0),
  words: new Int32Array(0),
  at: 0,
  length: 0,
};
