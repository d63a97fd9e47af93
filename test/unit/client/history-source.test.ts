import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CODES } from '../../../src/base/codes.ts';
import type { ConsumerOptions, Gap } from '../../../src/client/connection.ts';
import { RingConsumer } from '../../../src/client/consumer.ts';
import { ChunkPool, HistorySource } from '../../../src/client/history-source.ts';
import { RingSubscription } from '../../../src/client/ring-source.ts';
import { joinAt } from '../../../src/partition/join.ts';
import type { StartFrom } from '../../../src/wire/commands.ts';
import { DurableRig, ID, NUMBER, TOPIC } from './durable-rig.ts';

/** A consumer of the rig's partition as RingReaders would drive it: drained when something rang, and only then. */
class Reading {
  readonly rig: DurableRig;
  readonly consumer: RingConsumer<Uint8Array>;
  readonly subscription: RingSubscription;
  readonly pool = new ChunkPool();
  readonly gaps: Gap[] = [];
  readonly errors: string[] = [];
  private hot = true;

  constructor(rig: DurableRig, from: StartFrom, options: ConsumerOptions<Uint8Array>) {
    this.rig = rig;
    const onGap = (gap: Gap): void => void this.gaps.push(gap);
    this.consumer = new RingConsumer('t', { onGap, ...options }, (error) => this.errors.push(error.message));
    const reader = rig.reader();
    const start = joinAt(rig.regions.table, reader, rig.route, from);
    const past = new HistorySource(rig, this.pool, TOPIC, NUMBER, {
      wake: () => this.ring(),
      refused: (status, offset) => this.errors.push(`${status} at ${offset}`),
    });
    this.subscription = new RingSubscription(rig.route, reader, this.consumer as RingConsumer<unknown>, past);
    if (from !== 'latest') this.subscription.startAt(start.offset);
    this.consumer.source = { wanted: () => this.ring(), close: async () => this.subscription.close() };
    this.consumer.begin([start]);
  }

  /** What wakes the thread: a notice, an answer, a consumer that wants more. */
  ring(): void {
    this.hot = true;
  }

  drain(): void {
    if (!this.hot) return;
    if (this.subscription.drain() === 0) this.hot = false;
  }

  housekeep(): void {
    this.subscription.past?.rouse();
  }

  /** Until the consumer has everything; fails if it does not get there. */
  settle(): void {
    for (let i = 0; i < 5_000; i++) {
      this.drain();
      this.rig.answer(3);
      this.housekeep();
      if (this.consumer.positions()[0].offset === this.rig.next) return;
    }
    throw new Error(`stuck at ${this.consumer.positions()[0].offset} of ${this.rig.next}`);
  }
}

function collecting(rig: DurableRig, from: StartFrom): { texts: string[]; reading: Reading } {
  const texts: string[] = [];
  const reading = new Reading(rig, from, { onMessage: (message) => void texts.push(message.text()) });
  return { texts, reading };
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${from + i}`);
}

function rigOf(batches: number, each = 5): DurableRig {
  const rig = new DurableRig();
  for (let i = 0; i < batches; i++) rig.publish(each);
  return rig;
}

describe('a consumer that starts before the ring', () => {
  test('reads the log up to the ring and goes on there, without a gap or a duplicate', () => {
    const rig = rigOf(40);
    const { texts, reading } = collecting(rig, 'earliest');
    expect(rig.asked).toHaveLength(1);
    reading.settle();
    for (let i = 0; i < 3; i++) rig.publish(4);
    reading.ring();
    reading.drain();
    expect(texts).toEqual(numbers(0, 212));
    expect(reading.gaps).toEqual([]);
    expect(rig.asked).toEqual([]);
    expect(reading.pool.reading).toBe(0);
  });

  test('begins in the middle of a batch where it was asked to', () => {
    const { texts, reading } = collecting(rigOf(40), { offset: 13 });
    reading.settle();
    expect(texts).toEqual(numbers(13, 200));
  });

  test('asks nothing where the ring has it all', () => {
    const rig = rigOf(2);
    const { texts, reading } = collecting(rig, 'earliest');
    reading.drain();
    expect([texts, rig.asked]).toEqual([numbers(0, 10), []]);
  });

  test('asks one chunk ahead and no more', () => {
    const rig = rigOf(60);
    const reading = new Reading(rig, 'earliest', { onMessage: () => {} });
    reading.consumer.pause();
    while (rig.answer(2));
    expect(rig.asked).toEqual([]);
    expect(reading.consumer.positions()[0].offset).toBe(0);
    reading.consumer.resume();
    reading.drain();
    expect(rig.asked).toHaveLength(1);
  });

  test('gives up its request when it is closed, also in the middle of a chunk', async () => {
    const rig = rigOf(60);
    const texts: string[] = [];
    const reading: Reading = new Reading(rig, 'earliest', {
      onMessage: (message) => {
        texts.push(message.text());
        if (texts.length === 3) void reading.consumer.close();
      },
    });
    rig.answer(4);
    reading.drain();
    await reading.consumer.close();
    expect([texts, rig.asked, reading.pool.reading]).toEqual([numbers(0, 3), [], 0]);
  });
});

describe('a consumer that the ring has passed', () => {
  test('goes on from the log, where it was', () => {
    const rig = rigOf(3);
    const { texts, reading } = collecting(rig, 'earliest');
    reading.drain();
    reading.consumer.pause();
    for (let i = 0; i < 50; i++) rig.publish(6);
    reading.consumer.resume();
    reading.settle();
    expect(texts).toEqual(numbers(0, 315));
    expect(reading.gaps).toEqual([]);
  });

  test('is told exactly what retention took, and what is damaged', () => {
    const rig = rigOf(60);
    rig.expire(52);
    rig.log[20].damaged = true;
    rig.log[21].damaged = true;
    const { texts, reading } = collecting(rig, { offset: 30 });
    reading.settle();
    expect(reading.gaps).toMatchObject([
      { partition: NUMBER, from: 30, to: 50, reason: 'expired' },
      { partition: NUMBER, from: 100, to: 110, reason: 'damaged' },
    ]);
    expect(texts).toEqual([...numbers(50, 100), ...numbers(110, 300)]);
  });

  test('waits while the lane is full or the log reader busy, and asks again', () => {
    const rig = rigOf(60);
    rig.full = true;
    const { texts, reading } = collecting(rig, 'earliest');
    reading.drain();
    expect(rig.asked).toEqual([]);
    rig.full = false;
    rig.busy = true;
    reading.housekeep();
    rig.answer();
    reading.drain();
    expect(rig.asked).toEqual([]);
    rig.busy = false;
    reading.settle();
    expect(texts).toEqual(numbers(0, 300));
  });
});

test('a log that refuses is told of once, and asked again', () => {
  const rig = rigOf(60);
  rig.refusing = true;
  const { texts, reading } = collecting(rig, 'earliest');
  for (let i = 0; i < 5; i++) {
    rig.answer();
    reading.housekeep();
  }
  expect(reading.errors).toEqual([`${CODES['frame-too-large'].number} at 0`]);
  rig.refusing = false;
  reading.settle();
  expect(texts).toEqual(numbers(0, 300));
});

test('handlers that take their time are waited for, and chunks wait in memory of their own', async () => {
  const rig = rigOf(30);
  const texts: string[] = [];
  const reading = new Reading(rig, 'earliest', {
    onMessage: async (message) => {
      const text = message.text();
      await Promise.resolve();
      texts.push(text);
    },
  });
  for (let i = 0; i < 2_000 && texts.length < 150; i++) {
    reading.drain();
    rig.answer(4);
    reading.housekeep();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(texts).toEqual(numbers(0, 150));
});

test('thousands of partitions that catch up together hold no more than the pool', () => {
  const pool = new ChunkPool();
  for (const reading of [1, 33, 600, 2_048, 2_049, 4_096]) {
    pool.reading = reading;
    expect(reading * pool.piecesMax * pool.share).toBeLessThanOrEqual(64 * 1024 * 1024);
  }
});

const STEPS = {
  publish: (rig: DurableRig, _: Reading, n: number) => rig.publish(1 + (n % 9)),
  flood: (rig: DurableRig, _: Reading, n: number) => {
    for (let i = 0; i < n; i++) rig.publish(1 + (i % 5));
  },
  answer: (rig: DurableRig, _: Reading, n: number) => void rig.answer(1 + (n % 7)),
  drain: (_: DurableRig, reading: Reading) => reading.drain(),
  notice: (_: DurableRig, reading: Reading) => {
    reading.subscription.reader.noticed();
    reading.subscription.past?.rouse();
    reading.ring();
  },
  housekeep: (_: DurableRig, reading: Reading) => reading.housekeep(),
  pause: (_: DurableRig, reading: Reading) => reading.consumer.pause(),
  resume: (_: DurableRig, reading: Reading) => reading.consumer.resume(),
  lag: (rig: DurableRig, _: Reading, n: number) => {
    rig.lag = n % 3;
  },
  full: (rig: DurableRig) => {
    rig.full = !rig.full;
  },
  busy: (rig: DurableRig) => {
    rig.busy = !rig.busy;
  },
  expire: (rig: DurableRig, _: Reading, n: number) => rig.expire(Math.max(0, rig.next - 100 + n)),
  damage: (rig: DurableRig, _: Reading, n: number) => {
    const one = rig.log.at(-1 - n);
    if (one) one.damaged = true;
  },
} as const;
type Step = keyof typeof STEPS;

const anyStep = fc.tuple(fc.constantFrom(...(Object.keys(STEPS) as Step[])), fc.nat(40));

test('in any order of events every message comes once and in order, or its loss is told', () => {
  const run = (start: number, steps: readonly (readonly [Step, number])[]): void => {
    const rig = rigOf(start);
    const story: { from: number; to: number }[] = [];
    const reading: Reading = new Reading(rig, 'earliest', {
      onMessage: ({ offset }) => void story.push({ from: offset, to: offset + 1 }),
      onGap: ({ from, to, reason }) => {
        story.push({ from, to });
        const lost = rig.log.filter((one) => one.base < to && one.base + one.count > from);
        const isTrue = reason === 'expired' ? to <= rig.oldest : lost.every((one) => one.damaged);
        expect(isTrue, `gap ${from}-${to} ${reason}`).toBe(true);
      },
    });
    for (const [step, n] of steps) STEPS[step](rig, reading, n);
    Object.assign(rig, { full: false, busy: false, lag: 0 });
    reading.ring();
    reading.consumer.resume();
    reading.settle();
    let at = 0;
    for (const { from, to } of story) {
      expect(from).toBe(at);
      at = to;
    }
    expect([at, reading.errors]).toEqual([rig.next, []]);
    reading.subscription.close();
    expect([rig.asked, reading.pool.reading]).toEqual([[], 0]);
    expect(reading.consumer.cursor(ID)?.expected).toBe(rig.next);
  };
  fc.assert(fc.property(fc.nat(30), fc.array(anyStep, { maxLength: 120 }), run), { numRuns: 300 });
});
