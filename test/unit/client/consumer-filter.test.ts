import { describe, expect, test } from 'vitest';
import {
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_SIZE,
  MAGIC_SPARSE,
} from '../../../native-layout/batch.ts';
import type { ConsumerOptions, Gap } from '../../../src/client/connection.ts';
import { RingConsumer, STOP, TAKEN } from '../../../src/client/consumer.ts';
import type { Batch } from '../../../src/client/message.ts';
import type { RecordExtras } from '../../../src/record/batch-builder.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import { taggedBatch } from '../../support/tagged-batch.ts';

const ID = 5;

/** A consumer of one partition, number 0, that wants tag `A`. */
class Rig {
  readonly errors: string[] = [];
  readonly gaps: Gap[] = [];
  readonly consumer: RingConsumer<Uint8Array>;
  private next = 0;

  constructor(options: ConsumerOptions<Uint8Array>) {
    const onGap = (gap: Gap): void => void this.gaps.push(gap);
    this.consumer = new RingConsumer('t', { filter: 'A', onGap, ...options }, (error) =>
      this.errors.push(error.message),
    );
    this.consumer.source = { wanted: () => {}, close: async () => {} };
    this.consumer.begin([{ id: ID, number: 0, epoch: 1, offset: 0, gap: false, gapFrom: 0 }]);
  }

  /** A batch of messages with these tags: one letter each. */
  deliver(tags: string): number {
    const messages = [...tags].map((tag): RecordExtras => ({ tag, key: `k${tag}`, properties: { tag } }));
    const bytes = taggedBatch(messages, { baseOffset: this.next, partition: ID });
    const view = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
    view.next();
    const cursor = this.consumer.cursor(ID);
    if (!cursor) throw new Error('no cursor');
    const outcome = this.consumer.deliver(view, cursor);
    if (outcome === TAKEN) this.next += tags.length;
    return outcome;
  }

  get position(): number {
    return this.consumer.positions()[0].offset;
  }

  get progress(): number {
    return this.consumer.progress()[0].offset;
  }
}

test('a handler gets the messages that match, and the position moves past the others', () => {
  const got: number[] = [];
  const rig = new Rig({ onMessage: (message) => void got.push(message.offset) });
  for (const tags of ['AB', 'BB', 'BAAB', 'B']) rig.deliver(tags);
  expect(got).toEqual([0, 5, 6]);
  expect([rig.position, rig.progress]).toEqual([9, 9]);
  expect(rig.gaps).toEqual([]);
});

test('SQL sees properties, tag and key', () => {
  const got: string[] = [];
  const sql = "tag IN ('A', 'C') AND TAGS <> 'C' OR KEYS = 'kD'";
  const rig = new Rig({ filter: { sql }, onMessage: (message) => void got.push(message.text()) });
  rig.deliver('ABCD');
  expect(got).toEqual(['0', '3']);
});

describe('a batch', () => {
  function offsets(batch: Batch): number[] {
    const found: number[] = [];
    while (batch.next()) found.push(batch.offset);
    return found;
  }

  test('shows what matches; one without a match is not handed on', () => {
    const got: number[][] = [];
    const rig = new Rig({
      onBatch: (batch) => {
        got.push(offsets(batch));
        batch.rewind();
        got.push(offsets(batch));
        expect(batch.count).toBeGreaterThanOrEqual(got[0].length);
      },
    });
    for (const tags of ['BBABA', 'BBB', 'A']) rig.deliver(tags);
    expect(got).toEqual([[2, 4], [2, 4], [8], [8]]);
    expect(rig.position).toBe(9);
  });

  test('of a consumer without a filter shows everything', () => {
    const got: number[][] = [];
    const rig = new Rig({ filter: '*', onBatch: (batch) => void got.push(offsets(batch)) });
    rig.deliver('AB');
    expect(got).toEqual([[0, 1]]);
  });
});

test('an async handler stops at a match, and what was left out before it is not looked at again', async () => {
  const got: number[] = [];
  let finish = (): void => {};
  const rig = new Rig({
    onMessage: (message) => {
      got.push(message.offset);
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    },
  });
  expect(rig.deliver('BABBAB')).toBe(STOP);
  expect([rig.position, rig.progress]).toEqual([4, 1]);
  finish();
  await new Promise(setImmediate);
  expect(rig.deliver('BABBAB')).toBe(TAKEN);
  expect([rig.position, rig.progress]).toEqual([6, 4]);
  finish();
  await new Promise(setImmediate);
  expect([got, rig.progress]).toEqual([[1, 4], 6]);
});

test('an iterator counts what was left out behind its last message as done, and not what it still holds', async () => {
  const rig = new Rig({ group: 'g', mode: 'broadcasting' });
  rig.consumer.group = { finish: async () => {} } as never;
  rig.deliver('BBB');
  expect(rig.progress).toBe(3);
  rig.deliver('ABAB');
  expect(rig.progress).toBe(0);
  const messages = rig.consumer[Symbol.asyncIterator]();
  await messages.next();
  expect(rig.progress).toBe(0);
  await messages.next();
  expect(rig.progress).toBe(4);
  const third = messages.next();
  await new Promise(setImmediate);
  expect(rig.progress).toBe(7);
  rig.deliver('BA');
  expect(rig.progress).toBe(4 + 2);
  expect((await third).value?.offset).toBe(8);
  await rig.consumer.close();
});

describe('what the broker has filtered', () => {
  /** A batch that covers `count` offsets and has the first `records` of them. */
  function sparse(rig: Rig, base: number, records: number, count: number): number {
    const bytes = taggedBatch(
      Array.from({ length: Math.max(records, 1) }, () => ({ tag: 'A' })),
      { baseOffset: base, partition: ID },
    );
    const words = new Int32Array(bytes.buffer);
    if (records === 0) words[BATCH_SIZE >> 2] = BATCH_HEADER_BYTES;
    words[BATCH_MAGIC >> 2] |= MAGIC_SPARSE;
    words[BATCH_COUNT >> 2] = count;
    const view = new BatchView().span(bytes, words, 0, words[BATCH_SIZE >> 2]);
    view.next();
    const cursor = rig.consumer.cursor(ID);
    if (!cursor) throw new Error('no cursor');
    return rig.consumer.deliver(view, cursor);
  }

  test('covers offsets that do not come: no gap, and the position moves on', () => {
    const got: number[] = [];
    const rig = new Rig({ onMessage: (message) => void got.push(message.offset) });
    rig.consumer.filteredByBroker();
    sparse(rig, 0, 0, 7);
    sparse(rig, 7, 2, 10);
    expect([got, rig.position, rig.gaps]).toEqual([[7, 8], 17, []]);
  });

  test('is handed on as batches only where there are records, and those are wanted', () => {
    const got: number[] = [];
    const rig = new Rig({
      onBatch: (batch) => {
        got.push(-1);
        while (batch.next()) got.push(batch.offset);
      },
    });
    rig.consumer.filteredByBroker();
    sparse(rig, 0, 0, 5);
    sparse(rig, 3, 2, 4);
    sparse(rig, 7, 1, 3);
    expect([got, rig.position]).toEqual([[-1, 7], 10]);
  });

  test('is not looked at again', () => {
    const got: number[] = [];
    const rig = new Rig({ filter: 'B', onMessage: (message) => void got.push(message.offset) });
    rig.consumer.filteredByBroker();
    sparse(rig, 0, 1, 1);
    expect(got).toEqual([0]);
  });
});

test.each([
  ['A |', 'filter, column 3: '],
  [{ sql: 'price >' }, 'filter, column 8: it ends'],
])('a filter that cannot be read is refused at once: %j', (filter, text) => {
  const make = (): unknown => new RingConsumer('t', { filter, onMessage: () => {} }, () => {});
  expect(make).toThrow(expect.objectContaining({ code: 'illegal-filter' }));
  expect(make).toThrow(text);
});
