// Single questions to the log reader: what stands at an offset, which offset a time has. Pulls, queries and
// subscriptions that begin at a time ask here; so many are under way at a time, the others wait their turn.
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import type { HistoryAnswer } from '../thread/history.ts';
import { LOG_ANSWER_MS, LOG_QUESTIONS, LOG_QUESTIONS_WAITING, TIMES_RUNNING } from './config.ts';
import type { LogLine } from './history-feed.ts';
import { Turns } from './turns.ts';

/** A partition as the log names it. */
export interface Queue {
  readonly topicId: number;
  /** Number of the partition in its topic. */
  readonly number: number;
}

/** What the log had at an offset: see HistoryAnswer. The bytes are a copy. */
export interface LogPart extends Pick<HistoryAnswer, 'baseOffset' | 'nextOffset' | 'oldestOffset'> {
  readonly code: 'ok' | 'offset-out-of-range' | 'log-damaged';
  readonly bytes: Uint8Array;
}

interface Question {
  /** Puts it into the lane; its request number, or 0. */
  readonly ask: (answered: (answer: HistoryAnswer) => void) => number;
  readonly hear: (answer: HistoryAnswer) => void;
  readonly fail: (error: RingmqError) => void;
  request: number;
  deadline: number;
}

const OK = CODES.ok.number;
const NOTHING = new Uint8Array(0);

export class LogQuestions {
  private readonly line: LogLine;
  private readonly clock: () => number;
  private readonly asked = new Set<Question>();
  private waiting: Question[] = [];
  private readonly times = new Turns(TIMES_RUNNING);
  private closed = false;

  constructor(line: LogLine, clock: () => number) {
    this.line = line;
    this.clock = clock;
  }

  /**
   * Batches of a partition from the one that holds `offset` on: about `maxBytes`, at least one if there is one. Rejects
   * with `log-busy`, or with what the log reader says.
   */
  read({ topicId, number }: Queue, offset: number, maxBytes: number): Promise<LogPart> {
    return this.question(
      (answered) => this.line.read(topicId, number, offset, maxBytes, answered),
      ({ status, baseOffset, nextOffset, oldestOffset, bytes, at, length }) => {
        const code = codeName(status);
        if (code !== 'ok' && code !== 'offset-out-of-range' && code !== 'log-damaged') throw new RingmqError(code);
        const copy = length > 0 ? bytes.slice(at, at + length) : NOTHING;
        return { code, baseOffset, nextOffset, oldestOffset, bytes: copy };
      },
    );
  }

  /** Offset of the first batch that was stored at a time or later; the next offset if there is none. */
  locate({ topicId, number }: Queue, timeMs: number): Promise<number> {
    return this.question(
      (answered) => this.line.locate(topicId, number, timeMs, answered),
      ({ status, baseOffset }) => {
        if (status !== OK) throw new RingmqError(codeName(status));
        return baseOffset;
      },
    );
  }

  /** The same for the partitions of a topic, of which there may be more than questions may wait. */
  locateAll(queues: readonly Queue[], timeMs: number): Promise<readonly number[]> {
    return this.times.take(async () => {
      const offsets: number[] = [];
      for (let first = 0; first < queues.length; first += LOG_QUESTIONS) {
        const some = queues.slice(first, first + LOG_QUESTIONS);
        offsets.push(...(await Promise.all(some.map((one) => this.locate(one, timeMs)))));
      }
      return offsets;
    });
  }

  /** Asks what could not be asked, and gives up what has waited too long. Returns how many wait for their turn. */
  housekeep(): number {
    const now = this.clock();
    for (const one of this.asked) {
      if (now < one.deadline) continue;
      this.line.forget(one.request);
      this.asked.delete(one);
      one.fail(new RingmqError('log-busy', `the log reader did not answer within ${LOG_ANSWER_MS} ms`));
    }
    this.askNext();
    return this.waiting.length;
  }

  close(): void {
    this.closed = true;
    const all = [...this.asked, ...this.waiting];
    for (const { request } of this.asked) this.line.forget(request);
    this.asked.clear();
    this.waiting = [];
    for (const one of all) one.fail(new RingmqError('shutting-down'));
  }

  private question<T>(ask: Question['ask'], read: (answer: HistoryAnswer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.closed) throw new RingmqError('shutting-down');
      if (this.waiting.length >= LOG_QUESTIONS_WAITING) throw new RingmqError('log-busy');
      const hear = (answer: HistoryAnswer): void => {
        try {
          resolve(read(answer));
        } catch (error) {
          reject(error);
        }
      };
      this.waiting.push({ ask, hear, fail: reject, request: 0, deadline: 0 });
      this.askNext();
    });
  }

  private askNext(): void {
    let taken = 0;
    for (; taken < this.waiting.length && this.asked.size < LOG_QUESTIONS; taken++) {
      const one = this.waiting[taken];
      one.request = one.ask((answer) => this.answered(one, answer));
      if (one.request === 0) break;
      one.deadline = this.clock() + LOG_ANSWER_MS;
      this.asked.add(one);
    }
    if (taken > 0) this.waiting.splice(0, taken);
  }

  private answered(one: Question, answer: HistoryAnswer): void {
    this.asked.delete(one);
    one.hear(answer);
    this.askNext();
  }
}
