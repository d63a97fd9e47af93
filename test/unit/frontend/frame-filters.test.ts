import { describe, expect, test } from 'vitest';
import { FLAG_CRC, hasCrc, isSparse } from '../../../native-layout/batch.ts';
import type { Cursor } from '../../../src/frontend/cursor.ts';
import { FrameFilters } from '../../../src/frontend/frame-filters.ts';
import { Span } from '../../../src/frontend/span.ts';
import { COUNTER, Counters, readCounter } from '../../../src/memory/counters.ts';
import type { RecordExtras } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { taggedBatch } from '../../support/tagged-batch.ts';
import { controlBlock } from '../memory/support.ts';
import { FakeSession, ROUTE } from './support.ts';

/** `A` or `AB…`: one batch with a message for each tag. */
interface Piece {
  readonly tags: string;
  readonly epoch?: number;
  /** Default: behind the one before. */
  readonly offset?: number;
  readonly key?: string;
}

/** What a client is given, as it is written. */
interface Got {
  readonly from: number;
  readonly to: number;
  readonly offsets: number[];
  readonly epoch: number;
  readonly sparse: boolean;
}

class Rig {
  readonly control = controlBlock();
  readonly counters = new Counters(this.control, 20);
  readonly filters = new FrameFilters(this.counters);
  private next = 0;

  span(...pieces: readonly (string | Piece)[]): Span {
    const batches = pieces.map((one) => {
      const { tags, epoch = 7, offset = this.next, key }: Piece = typeof one === 'string' ? { tags: one } : one;
      const messages = [...tags].map((tag): RecordExtras => ({ tag, key }));
      this.next = offset + tags.length;
      return taggedBatch(messages, { baseOffset: offset, partition: ROUTE.id, epoch });
    });
    const bytes = new Uint8Array(Buffer.concat(batches));
    const place = { bytes, words: new Int32Array(bytes.buffer), byte: 0, capacity: bytes.length };
    const span = new Span().of(place, 't', 0);
    span.cut(0, bytes.length, Number.MAX_SAFE_INTEGER);
    return span;
  }

  cursor(session = new FakeSession()): Cursor {
    return {
      session,
      feed: { topic: 't', route: ROUTE },
      owedFrom: -1,
      owedTo: 0,
      owedEpoch: 0,
      start: 0,
    } as unknown as Cursor;
  }

  send(cursor: Cursor, span: Span, filter = 'A', least = false): boolean {
    return this.filters.filter(filter)?.trySend(span, cursor, least) ?? false;
  }
}

function got({ session }: Cursor): Got[][] {
  return (session as FakeSession).fake.frames.map((frame) => {
    const bytes = (frame as Uint8Array).slice();
    const view = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
    const record = new RecordView();
    const batches: Got[] = [];
    while (view.next()) {
      const offsets: number[] = [];
      record.open(view);
      while (record.next()) {
        expect(record.text()).toBe(String(record.offset));
        offsets.push(record.offset);
      }
      expect(view.partition).toBe(ROUTE.id);
      const { baseOffset: from, count, epoch } = view;
      batches.push({ from, to: from + count, offsets, epoch, sparse: isSparse(view.magic) });
    }
    return batches;
  });
}

const brief = (cursor: Cursor): unknown[] =>
  got(cursor).map((frame) => frame.map(({ from, to, offsets }) => [from, to, offsets]));

describe('what is left of a frame', () => {
  test('covers every offset: what was left out counts into the batch before it', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    expect(rig.send(cursor, rig.span('BA', 'BB', 'B', 'AAB'))).toBe(true);
    expect(brief(cursor)).toEqual([
      [
        [0, 5, [1]],
        [5, 8, [5, 6]],
      ],
    ]);
    expect(got(cursor)[0].every((one) => one.sparse)).toBe(true);
  });

  test('begins with an empty batch where nothing stands before the first match', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    rig.send(cursor, rig.span('BB', 'B', 'A'));
    expect(brief(cursor)).toEqual([
      [
        [0, 3, []],
        [3, 4, [3]],
      ],
    ]);
  });

  test('is the batch itself, with its CRC, where everything matches', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    const span = rig.span('AA');
    rig.send(cursor, span);
    expect((cursor.session as FakeSession).fake.frames[0]).toEqual(span.bytes());
    expect(hasCrc(span.ring.words[1])).toBe(true);
  });

  test('has no CRC where a record is missing', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    rig.send(cursor, rig.span('AB'));
    expect(((cursor.session as FakeSession).fake.frames[0] as Uint8Array)[7] & FLAG_CRC).toBe(0);
  });

  test('hides no hole that was there', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    rig.send(cursor, rig.span('A', { tags: 'B', offset: 10 }, 'B', { tags: 'A', offset: 20 }));
    expect(brief(cursor)).toEqual([
      [
        [0, 1, [0]],
        [10, 12, []],
        [20, 21, [20]],
      ],
    ]);
  });

  test('counts no batch into one of another epoch: a position names both', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    rig.send(cursor, rig.span('B', 'A', 'B', { tags: 'B', epoch: 8 }, { tags: 'B', epoch: 8 }));
    rig.send(cursor, rig.span({ tags: 'B', epoch: 8 }, { tags: 'B', epoch: 9 }, { tags: 'A', epoch: 9 }));
    expect(got(cursor).map((frame) => frame.map(({ from, to, epoch }) => [from, to, epoch]))).toEqual([
      [
        [0, 1, 7],
        [1, 3, 7],
        [3, 5, 8],
      ],
      [
        [5, 6, 8],
        [6, 7, 9],
        [7, 8, 9],
      ],
    ]);
  });

  test('is made once for all with the same filter, whatever they are owed', () => {
    const rig = new Rig();
    const [one, other] = [rig.cursor(), rig.cursor()];
    rig.send(one, rig.span('BB'));
    const span = rig.span('AB');
    rig.send(one, span);
    rig.send(other, span);
    expect(brief(one)).toEqual([
      [
        [0, 2, []],
        [2, 4, [2]],
      ],
    ]);
    expect(brief(other)).toEqual([[[2, 4, [2]]]]);
  });

  test('differs from filter to filter, for more of them than frames are kept', () => {
    const rig = new Rig();
    const span = rig.span('ABCD'.repeat(10));
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 50; i++) {
        const cursor = rig.cursor();
        const tag = 'ABCD'[i % 4];
        rig.send(cursor, span, `${tag} || other${i}`);
        expect(got(cursor)[0][0].offsets).toEqual(Array.from({ length: 10 }, (_, k) => 4 * k + (i % 4)));
      }
    }
  });

  test('large records and large frames keep their bytes', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    const key = 'k'.repeat(1_000);
    rig.send(cursor, rig.span(...Array.from({ length: 40 }, () => ({ tags: 'ABABAB', key }))));
    expect(got(cursor)[0].flatMap((one) => one.offsets)).toEqual(Array.from({ length: 120 }, (_, i) => 2 * i));
  });

  test('a batch shorter than the one before it leaves nothing of it', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    rig.send(cursor, rig.span('AAAAAAAA'));
    rig.send(cursor, rig.span('A'));
    expect(brief(cursor)[1]).toEqual([[8, 9, [8]]]);
  });
});

describe('nothing left of a frame', () => {
  test('sends nothing, needs no room, and the next frame covers it', () => {
    const rig = new Rig();
    const session = new FakeSession();
    session.openWindow(64);
    session.fake.takes = 1;
    const cursor = rig.cursor(session);
    expect(rig.send(cursor, rig.span('BB'))).toBe(true);
    expect(rig.send(cursor, rig.span('B', 'B'))).toBe(true);
    expect(brief(cursor)).toEqual([]);
    expect(rig.send(cursor, rig.span('A'), 'A', true)).toBe(true);
    expect(brief(cursor)).toEqual([
      [
        [0, 4, []],
        [4, 5, [4]],
      ],
    ]);
    expect(cursor.owedFrom).toBe(-1);
  });

  test('is still owed when the session does not take the next frame', () => {
    const rig = new Rig();
    const session = new FakeSession();
    const cursor = rig.cursor(session);
    rig.send(cursor, rig.span('BB'));
    session.openWindow(8);
    const span = rig.span('A');
    expect(rig.send(cursor, span)).toBe(false);
    expect(rig.send(cursor, span, 'A', true)).toBe(true);
    expect(brief(cursor)).toEqual([
      [
        [0, 2, []],
        [2, 3, [2]],
      ],
    ]);
  });

  test('is told by itself when no frame comes, once, in the epoch it was written in', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    rig.send(cursor, rig.span('BB', { tags: 'B', epoch: 7 }));
    rig.filters.tellProgress(10_000);
    rig.filters.tellProgress(20_000);
    expect(got(cursor)).toEqual([[{ from: 0, to: 3, offsets: [], epoch: 7, sparse: true }]]);
    rig.send(cursor, rig.span('A'));
    expect(brief(cursor)[1]).toEqual([[3, 4, [3]]]);
  });

  test('is told in the newest epoch, from where the subscriber began', () => {
    const rig = new Rig();
    const cursor = rig.cursor();
    cursor.start = 3;
    rig.send(cursor, rig.span('BB'));
    rig.send(cursor, rig.span('BB', { tags: 'BB', epoch: 8 }));
    rig.filters.tellProgress(10_000);
    expect(got(cursor)).toEqual([[{ from: 3, to: 6, offsets: [], epoch: 8, sparse: true }]]);
  });

  test('is not told more often than twice a second, nor to a session without room, nor to one that has left', () => {
    const rig = new Rig();
    const session = new FakeSession();
    const [cursor, left] = [rig.cursor(session), rig.cursor()];
    rig.filters.tellProgress(10_000);
    rig.send(cursor, rig.span('B'));
    rig.send(left, rig.span('B'));
    rig.filters.tellProgress(10_400);
    expect(brief(cursor)).toEqual([]);
    session.fake.takes = 1;
    session.fake.buffered = 1;
    (session as unknown as { beCongested(): void }).beCongested();
    rig.filters.forget(left);
    rig.filters.tellProgress(10_600);
    expect([brief(cursor), brief(left)]).toEqual([[], []]);
    session.drain(10);
    rig.filters.tellProgress(11_200);
    expect(brief(cursor)).toEqual([[[0, 1, []]]]);
  });
});

test('counters count what was sent', () => {
  const rig = new Rig();
  const cursor = rig.cursor();
  rig.send(cursor, rig.span('BBBB'));
  rig.send(cursor, rig.span('AB', 'A', 'B'));
  rig.counters.publish();
  const { framesOut, batchesOut, messagesOut } = COUNTER;
  const figures = [framesOut, batchesOut, messagesOut].map((which) => readCounter(rig.control, 20, which));
  expect(figures).toEqual([1, 2, 2]);
});
