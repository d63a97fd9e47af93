import { describe, expect, test } from 'vitest';
import { SEAT_LOG_READER } from '../../../native-layout/control.ts';
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
} from '../../../native-layout/store.ts';
import { CODES } from '../../../src/base/codes.ts';
import { Doorbell } from '../../../src/memory/bell.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../../../src/memory/lane.ts';
import { answerLane, readLane, storeRegions } from '../../../src/memory/regions.ts';
import { openLanes } from '../../../src/memory/seats.ts';
import { getInt64, putInt64 } from '../../../src/record/int64.ts';
import { History, openHistory } from '../../../src/thread/history.ts';
import { Table } from '../../support/engine-table.ts';

const SEAT = 40;

interface Asked {
  readonly id: number;
  readonly kind: number;
  readonly topic: number;
  readonly partition: number;
  readonly maxBytes: number;
  readonly from: number;
}

/** The log reader's ends of a seat's lanes, worked by hand. */
function rig() {
  const table = new Table(true);
  const regions = storeRegions(table.regions);
  const { store, sizes } = regions;
  const requests = new LaneReader(store.words, store.bytes, readLane(sizes, SEAT));
  const answers = new LaneWriter(store.words, store.bytes, answerLane(sizes, SEAT));
  const history = new History(regions, SEAT, table.bells);
  const take = (): Asked | undefined => {
    const at = requests.look();
    if (at === NONE) return undefined;
    const word = (place: number): number => requests.words[(at + place) >> 2];
    requests.consume();
    requests.release();
    return {
      id: word(READ_REQUEST_ID),
      kind: word(READ_KIND),
      topic: word(READ_TOPIC),
      partition: word(READ_PARTITION),
      maxBytes: word(READ_MAX_BYTES),
      from: getInt64(requests.words, (at + READ_FROM) >> 2),
    };
  };
  const answer = (id: number, bytes: readonly number[] = []): void => {
    const length = bytes.length;
    const at = answers.tryClaim(READ_ANSWER_BYTES + length);
    if (at === FULL) throw new Error('the lane of answers is full');
    const { words } = answers;
    words[at >> 2] = READ_ANSWER_BYTES + length;
    words[(at + ANSWER_REQUEST) >> 2] = id;
    words[(at + ANSWER_STATUS) >> 2] = 503;
    words[(at + ANSWER_LENGTH) >> 2] = length;
    putInt64(words, (at + ANSWER_BASE) >> 2, 5_000_000_000);
    putInt64(words, (at + ANSWER_NEXT) >> 2, 6_000_000_000);
    putInt64(words, (at + ANSWER_OLDEST) >> 2, 4_000_000_000);
    answers.bytes.set(bytes, at + READ_ANSWER_BYTES);
    answers.commit(READ_ANSWER_BYTES + length);
    answers.publish();
  };
  return { table, regions, history, take, answer };
}

describe('history', () => {
  test('a broker without data has none', () => {
    const table = new Table();
    expect(openHistory(table.regions, SEAT, table.bells)).toBeUndefined();
  });

  test('a request says what is wanted, opens the lane and rings the log reader', () => {
    const { regions, history, take } = rig();
    const doorbell = new Doorbell(regions.control, SEAT_LOG_READER);
    doorbell.park();
    expect(openLanes(regions.control, SEAT_LOG_READER, 1)).toBe(0);
    const first = history.read(7, 3, 9_000_000_000, 10 * READ_CHUNK_BYTES, () => {});
    expect(openLanes(regions.control, SEAT_LOG_READER, 1)).toBe(1 << (SEAT - 32));
    const before = performance.now();
    doorbell.wait(5_000); // Rung already: it does not sleep.
    expect(performance.now() - before).toBeLessThan(2_500);
    const second = history.locate(8, 4, 1_700_000_000_000.5, () => {});
    const read = { id: first, kind: READ_KINDS.read, topic: 7, partition: 3, maxBytes: READ_CHUNK_BYTES };
    expect(take()).toEqual({ ...read, from: 9_000_000_000 });
    const locate = { id: second, kind: READ_KINDS.locate, topic: 8, partition: 4, maxBytes: 0 };
    expect(take()).toEqual({ ...locate, from: 1_700_000_000_000 });
    expect(take()).toBeUndefined();
    expect(first).not.toBe(second);
  });

  test('an answer is handed out once, with its numbers and bytes', () => {
    const { history, take, answer } = rig();
    const heard: unknown[] = [];
    history.read(1, 1, 0, 100, (told) => {
      const { status, baseOffset, nextOffset, oldestOffset, bytes, at, length } = told;
      expect(at % 8).toBe(0);
      heard.push([status, baseOffset, nextOffset, oldestOffset, [...bytes.subarray(at, at + length)]]);
    });
    const id = take()?.id ?? 0;
    answer(id, [1, 2, 3, 4, 5, 6, 7, 8]);
    answer(id, [9, 9, 9, 9, 9, 9, 9, 9]); // A successor of a dead log reader answers again.
    expect(history.work()).toBeGreaterThan(0);
    expect(heard).toEqual([[503, 5_000_000_000, 6_000_000_000, 4_000_000_000, [1, 2, 3, 4, 5, 6, 7, 8]]]);
    expect(history.work()).toBe(0);
    expect(history.pending).toBe(0);
  });

  test('who hears an answer may ask the next thing, and one that throws is not called again', () => {
    const { history, take, answer } = rig();
    let next = 0;
    history.read(1, 1, 0, 100, () => {
      next = history.read(1, 1, 5, 100, () => {
        throw new Error('as asked');
      });
    });
    answer(take()?.id ?? 0);
    history.work();
    expect(take()?.id).toBe(next);
    answer(next);
    expect(() => history.work()).toThrow('as asked');
    expect(history.work()).toBe(0);
  });

  test('what a former holder of the seat left is not for its successor', () => {
    const { table, regions, history, take, answer } = rig();
    history.read(1, 1, 0, 100, () => {
      throw new Error('not mine');
    });
    answer(take()?.id ?? 0);
    const successor = new History(regions, SEAT, table.bells);
    let heard = 0;
    successor.read(1, 1, 0, 100, () => heard++);
    expect(successor.work()).toBe(0);
    answer(take()?.id ?? 0);
    successor.work();
    expect(heard).toBe(1);
  });

  test('a full lane takes no more, and takes again when the log reader has taken some', () => {
    const { history, take } = rig();
    while (history.read(1, 1, 0, 100, () => {}) !== 0);
    const pending = history.pending;
    expect(history.locate(1, 1, 0, () => {})).toBe(0);
    expect(history.pending).toBe(pending);
    take();
    take();
    expect(history.read(1, 1, 0, 100, () => {})).toBeGreaterThan(0);
  });
});

test('who waits when the thread leaves hears that it is closed, and nothing can be asked any more', () => {
  const { history } = rig();
  const heard: number[] = [];
  history.read(1, 0, 0, 100, ({ status }) => heard.push(status));
  history.locate(1, 0, 0, ({ status }) => {
    heard.push(status);
    expect(() => history.read(1, 0, 0, 100, () => {})).toThrow(expect.objectContaining({ code: 'closed' }));
  });
  history.close();
  expect([heard, history.pending]).toEqual([[CODES.closed.number, CODES.closed.number], 0]);
});
