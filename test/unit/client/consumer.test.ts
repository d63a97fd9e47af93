import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { ConsumerOptions, Gap } from '../../../src/client/connection.ts';
import { RingConsumer, STOP, TAKEN } from '../../../src/client/consumer.ts';
import { deliverTo } from './deliver.ts';

const ID = 5;

/** A consumer of one partition, number 0, whose source is this test. */
class Rig {
  readonly errors: string[] = [];
  readonly gaps: Gap[] = [];
  readonly consumer: RingConsumer<Uint8Array>;
  wanted = 0;
  closed = 0;

  constructor(options: ConsumerOptions<Uint8Array>, offset = 0) {
    const onGap = (gap: Gap): void => void this.gaps.push(gap);
    this.consumer = new RingConsumer('t', { onGap, ...options }, (error) => this.errors.push(error.message));
    this.consumer.source = {
      wanted: () => void this.wanted++,
      close: async () => void this.closed++,
    };
    this.consumer.begin([{ id: ID, number: 0, epoch: 1, offset, gap: false, gapFrom: 0 }]);
  }

  /** Delivers a batch of `count` messages, named by their offsets. */
  deliver(base: number, count: number, epoch = 1): number {
    return deliverTo(this.consumer, base, count, epoch);
  }
}

describe('messages', () => {
  test('arrive one by one, each once, from the offset wanted on', () => {
    const texts: string[] = [];
    const rig = new Rig({ onMessage: (message) => void texts.push(message.text()) }, 2);
    expect([rig.deliver(0, 2), rig.deliver(0, 4), rig.deliver(2, 2), rig.deliver(4, 1)]).toEqual(Array(4).fill(TAKEN));
    expect(texts).toEqual(['2', '3', '4']);
    expect(rig.consumer.positions()).toEqual([{ partition: 0, epoch: 1, offset: 5 }]);
    expect(rig.gaps).toEqual([]);
  });

  test('that are missing are told with their exact offsets, before what follows', () => {
    const log: string[] = [];
    const rig = new Rig({
      onMessage: (message) => void log.push(message.text()),
      onGap: (gap) => log.push(`gap ${gap.from}-${gap.to} ${gap.reason}`),
    });
    rig.deliver(0, 1);
    rig.deliver(7, 1);
    expect(log).toEqual(['0', 'gap 1-7 evicted', '7']);
  });

  test('without a gap handler the gap is an error', () => {
    const errors: string[] = [];
    const consumer = new RingConsumer('t', { onMessage: () => {} }, (error) => errors.push(error.message));
    consumer.begin([{ id: ID, number: 0, epoch: 1, offset: 9, gap: true, gapFrom: 4 }]);
    expect(errors).toEqual(['t/0: offsets 4 to 8 are gone (expired); set onGap to handle this']);
  });

  test('of a later epoch that go on where the one before ended are no gap', () => {
    const rig = new Rig({ onMessage: () => {} });
    rig.deliver(0, 3);
    rig.deliver(3, 2, 2);
    expect(rig.gaps).toEqual([]);
    expect(rig.consumer.positions()).toEqual([{ partition: 0, epoch: 2, offset: 5 }]);
  });

  test('of an earlier epoch than is known are history: they are taken, or stepped over', () => {
    const texts: string[] = [];
    const rig = new Rig({ onMessage: (message) => void texts.push(`${message.epoch}:${message.text()}`) });
    rig.consumer.begin([{ id: ID, number: 0, epoch: 4, offset: 1, gap: false, gapFrom: 0 }]);
    rig.deliver(0, 3, 2);
    rig.deliver(1, 2, 3);
    rig.deliver(3, 2, 4);
    expect(texts).toEqual(['2:1', '2:2', '4:3', '4:4']);
    expect(rig.gaps).toEqual([]);
  });

  test('that a later epoch takes back are told, and it goes on where that one begins', () => {
    const rig = new Rig({ onMessage: () => {} });
    rig.deliver(0, 9);
    rig.deliver(6, 2, 2);
    expect(rig.gaps).toMatchObject([{ from: 6, to: 6, reason: 'epoch-changed' }]);
    expect(rig.consumer.positions()).toEqual([{ partition: 0, epoch: 2, offset: 8 }]);
  });

  test('that a start leaves out are told with the reason', () => {
    const positions = [{ partition: 0, epoch: 1, offset: 9 }];
    const starts = [
      { epoch: 1, offset: 12, gapFrom: 9 },
      { epoch: 2, offset: 7, gapFrom: 7 },
      { epoch: 1, offset: 5, gapFrom: 5 },
    ];
    const reasons = starts.map((start) => {
      const rig = new Rig({ from: { positions } });
      rig.consumer.begin([{ id: ID, number: 0, gap: true, ...start }]);
      return rig.gaps[0];
    });
    expect(reasons).toMatchObject([
      { from: 9, to: 12, reason: 'expired' },
      { from: 7, to: 7, reason: 'epoch-changed' },
      { from: 5, to: 5, reason: 'ahead' },
    ]);
  });

  test('of another epoch are taken from their beginning, and the change is told', () => {
    const texts: string[] = [];
    const rig = new Rig({ onMessage: (message) => void texts.push(`${message.epoch}:${message.text()}`) });
    rig.deliver(0, 3);
    rig.deliver(0, 2, 2);
    expect(texts).toEqual(['1:0', '1:1', '1:2', '2:0', '2:1']);
    expect(rig.gaps).toMatchObject([{ reason: 'epoch-changed' }]);
    expect(rig.consumer.positions()).toEqual([{ partition: 0, epoch: 2, offset: 2 }]);
  });
});

describe('batches', () => {
  test('show only the records from the offset wanted on, and count only those', () => {
    const seen: string[] = [];
    const rig = new Rig(
      {
        onBatch: (batch) => {
          seen.push(`${batch.count}`);
          while (batch.next()) seen.push(batch.text());
        },
      },
      3,
    );
    rig.deliver(0, 5);
    rig.deliver(5, 1);
    expect(seen).toEqual(['2', '3', '4', '1', '5']);
  });

  test('a handler that throws is reported, and delivery goes on behind the batch', () => {
    let calls = 0;
    const rig = new Rig({
      onBatch: () => {
        calls++;
        throw new Error(`call ${calls}`);
      },
    });
    rig.deliver(0, 2);
    rig.deliver(2, 2);
    expect([calls, rig.errors, rig.consumer.positions()[0].offset]).toEqual([2, ['call 1', 'call 2'], 4]);
  });

  test('pause inside the handler stops before the next batch', () => {
    const rig = new Rig({ onBatch: () => rig.consumer.pause() });
    expect([rig.deliver(0, 2), rig.deliver(2, 2)]).toEqual([TAKEN, STOP]);
    rig.consumer.resume();
    expect([rig.wanted, rig.deliver(2, 2)]).toEqual([1, TAKEN]);
  });
});

describe('handlers that take their time', () => {
  test('stop delivery inside a batch until they are done, whatever the outcome', async () => {
    const texts: string[] = [];
    let finish: (error?: Error) => void = () => {};
    const rig = new Rig({
      onMessage: (message) => {
        texts.push(message.text());
        return new Promise<void>((resolve, reject) => {
          finish = (error) => (error ? reject(error) : resolve());
        });
      },
    });
    expect(rig.deliver(0, 3)).toBe(STOP);
    expect(rig.deliver(0, 3)).toBe(STOP);
    finish();
    await rig.consumer.ready().then(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    expect([texts, rig.wanted]).toEqual([['0'], 1]);
    expect(rig.deliver(0, 3)).toBe(STOP);
    finish(new Error('bad'));
    await new Promise((resolve) => setImmediate(resolve));
    expect([texts, rig.wanted, rig.errors]).toEqual([['0', '1'], 2, ['bad']]);
    expect(rig.deliver(0, 3)).toBe(TAKEN);
    expect(texts).toEqual(['0', '1', '2']);
  });

  test('an error listener that throws does not stop delivery', async () => {
    const texts: string[] = [];
    const fallback: string[] = [];
    const options: ConsumerOptions = {
      onError: () => {
        throw new Error('listener');
      },
      onMessage: async (message) => {
        texts.push(message.text());
        throw new Error('handler');
      },
    };
    const consumer = new RingConsumer('t', options, (error) => fallback.push(error.message));
    const rig = new Rig({});
    Object.assign(rig, { consumer });
    consumer.source = { wanted: () => void rig.wanted++, close: async () => {} };
    consumer.begin([{ id: ID, number: 0, epoch: 1, offset: 0, gap: false, gapFrom: 0 }]);
    rig.deliver(0, 2);
    await new Promise((resolve) => setImmediate(resolve));
    expect([texts, fallback, consumer.full]).toEqual([['0'], ['listener'], false]);
  });
});

describe('iterators', () => {
  test('hold a bounded number of messages and ask for more when half are taken', async () => {
    const rig = new Rig({ bufferMessages: 4 });
    expect(rig.deliver(0, 10)).toBe(STOP);
    expect(rig.consumer.positions()[0].offset).toBe(4);
    const iterator = rig.consumer[Symbol.asyncIterator]();
    const next = async (): Promise<string> => (await iterator.next()).value?.text() ?? 'end';
    expect([await next(), rig.wanted, await next(), rig.wanted]).toEqual(['0', 0, '1', 1]);
    expect(rig.deliver(0, 10)).toBe(STOP);
    expect([await next(), await next(), await next(), await next()]).toEqual(['2', '3', '4', '5']);
  });

  test('end with the consumer, and closing twice is closing once', async () => {
    const rig = new Rig({});
    const pending = rig.consumer[Symbol.asyncIterator]().next();
    await Promise.all([rig.consumer.close(), rig.consumer.close()]);
    expect(await pending).toMatchObject({ done: true });
    expect([rig.closed, rig.deliver(0, 1)]).toEqual([1, STOP]);
  });

  test('fail with the reason when the source ends', async () => {
    const rig = new Rig({});
    rig.deliver(0, 1);
    const iterator = rig.consumer[Symbol.asyncIterator]();
    rig.consumer.refuse(new RingmqError('unknown-topic'));
    expect((await iterator.next()).value?.text()).toBe('0');
    await expect(iterator.next()).rejects.toMatchObject({ code: 'unknown-topic' });
  });

  test('are refused where there is a handler, and two handlers are refused too', async () => {
    const rig = new Rig({ onMessage: () => {} });
    await expect(rig.consumer[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'illegal-argument' });
    expect(() => new Rig({ onMessage: () => {}, onBatch: () => {} })).toThrow('one of the three');
    expect(() => new Rig({ bufferMessages: 0 })).toThrow('bufferMessages');
  });
});

test('a handler hears that its topic is gone; one that never began hears it from ready()', async () => {
  const rig = new Rig({ onMessage: () => {} });
  rig.consumer.refuse(new RingmqError('unknown-topic', 'gone'));
  expect(rig.errors).toEqual(['gone']);
  const early = new RingConsumer('t', { onMessage: () => {} }, (error) => rig.errors.push(error.message));
  early.refuse(new RingmqError('unknown-topic', 'never there'));
  await expect(early.ready()).rejects.toThrow('never there');
  expect(rig.errors).toEqual(['gone']);
});

test.each([-1, 1.5, Number.NaN])('a start of %d is refused', (number) => {
  for (const from of [{ offset: number }, { last: number }, { time: number }]) {
    expect(() => new Rig({ from })).toThrow('from is');
  }
  expect(() => new Rig({ from: { time: 1_700_000_000_000 } })).not.toThrow();
});

test('a signal closes the consumer, also one that was aborted before', async () => {
  const controller = new AbortController();
  const rig = new Rig({ signal: controller.signal });
  controller.abort();
  const early = new Rig({ signal: AbortSignal.abort() });
  await new Promise((resolve) => setImmediate(resolve));
  expect([rig.closed, early.closed]).toEqual([1, 1]);
});

test('no commit goes beyond a message whose handler is at work, whatever gap is told meanwhile', async () => {
  let finish: () => void = () => {};
  const rig = new Rig({ onMessage: () => new Promise<void>((resolve) => (finish = resolve)) });
  rig.deliver(0, 1);
  const cursor = rig.consumer.cursor(ID);
  if (!cursor) throw new Error('no cursor');
  // As the network source does it when the broker tells of a gap.
  cursor.expected = 50;
  expect(rig.consumer.progress()).toEqual([{ partition: 0, epoch: 1, offset: 0 }]);
  finish();
  await new Promise((resolve) => setImmediate(resolve));
  expect(rig.consumer.progress()).toEqual([{ partition: 0, epoch: 1, offset: 50 }]);
});

test('a position behind a gap is one of the newest epoch: in the one before it would count as taken back', () => {
  const rig = new Rig({ onMessage: () => {} });
  rig.consumer.begin([{ id: ID, number: 0, epoch: 4, offset: 0, gap: false, gapFrom: 0 }]);
  rig.deliver(0, 3, 2);
  const cursor = rig.consumer.cursor(ID);
  if (!cursor) throw new Error('no cursor');
  rig.consumer.lost(cursor, 90, 'damaged');
  expect(rig.consumer.positions()).toEqual([{ partition: 0, epoch: 4, offset: 90 }]);
});
