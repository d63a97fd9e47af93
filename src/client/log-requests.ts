// Single questions to the log reader as promises. Consumers, who ask all the time, do without: see history-source.ts.
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import { nextOffset } from '../memory/partition-entry.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { BatchView } from '../record/batch-view.ts';
import type { HistoryAnswer } from '../thread/history.ts';
import type { HistoryReads } from './history-source.ts';

const RETRY_MS = 10;
const RETRIES_MAX = 300;
/** Nothing is wrong with the question, only with the moment. */
const AGAIN: ReadonlySet<number> = new Set([CODES['log-busy'].number]);

/** Whole batches out of the log, in memory of their own. */
export interface LogPart {
  /** What was asked for is gone or damaged; it goes on at nextOffset. */
  readonly missing: boolean;
  readonly nextOffset: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** Offset of the first batch that was stored at a time or later; the next offset if there is none. */
export function locateInLog(log: HistoryReads, topicId: number, partition: number, timeMs: number): Promise<number> {
  return ask(
    (answered) => log.locate(topicId, partition, timeMs, answered),
    ({ status, baseOffset, oldestOffset }) => (status === CODES.ok.number ? baseOffset : oldestOffset),
  );
}

/** What the log has from an offset on, at most about `maxBytes`. No bytes: nothing yet. */
export function readFromLog(
  log: HistoryReads,
  topicId: number,
  partition: number,
  offset: number,
  maxBytes: number,
): Promise<LogPart> {
  return ask(
    (answered) => log.read(topicId, partition, offset, maxBytes, answered),
    (answer) => {
      const bytes = new Uint8Array(answer.length);
      bytes.set(answer.bytes.subarray(answer.at, answer.at + answer.length));
      const words = new Int32Array(bytes.buffer);
      const isOut = answer.status === CODES['offset-out-of-range'].number;
      const next = isOut ? Math.max(answer.oldestOffset, offset) : answer.nextOffset;
      return { missing: answer.status !== CODES.ok.number, nextOffset: next, bytes, words };
    },
  );
}

/** Repeats a question while the lane is full or the log reader busy; refuses what is no answer. */
function ask<T>(put: (answered: (answer: HistoryAnswer) => void) => number, read: (answer: HistoryAnswer) => T) {
  return new Promise<T>((resolve, reject) => {
    let tries = 0;
    const again = (): void => {
      if (++tries > RETRIES_MAX) reject(new RingmqError('log-busy'));
      else setTimeout(attempt, RETRY_MS);
    };
    const answered = (answer: HistoryAnswer): void => {
      if (AGAIN.has(answer.status)) again();
      else if (isAnswer(answer.status)) resolve(read(answer));
      else reject(new RingmqError(codeName(answer.status)));
    };
    const attempt = (): void => {
      try {
        if (put(answered) === 0) again();
      } catch (error) {
        reject(error); // The line was closed meanwhile.
      }
    };
    attempt();
  });
}

function isAnswer(status: number): boolean {
  return [CODES.ok, CODES['offset-out-of-range'], CODES['log-damaged']].some((code) => code.number === status);
}

/** The same as locateInLog() for what a ring has. The reader has joined somewhere in the ring afterwards. */
export function locateInRing(reader: RingReader, timeMs: number): number {
  const view = new BatchView();
  reader.joinHead();
  for (;;) {
    const available = reader.tryPin();
    if (available === EMPTY) return nextOffset(reader.table, reader.partition);
    if (available === EVICTED) {
      reader.joinHead();
      continue;
    }
    const { bytes, words } = reader.place;
    view.span(bytes, words, reader.start, available);
    let used = 0;
    let found = -1;
    while (found < 0 && view.next()) {
      if (view.storedAt >= timeMs) found = view.baseOffset;
      used = view.end - reader.start;
    }
    reader.advance(used);
    if (found >= 0) return found;
  }
}
