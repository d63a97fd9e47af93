import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { checkProgress, Progress, RANGES_MAX } from '../../../src/group/progress.ts';
import type { QueueProgress } from '../../../src/wire/services.ts';

const END = 60;

/** The same with a set of offsets and no cleverness. */
class Model {
  readonly acked = new Set<number>();
  readonly attempts = new Map<number, number>();

  add(from: number, to: number): void {
    for (let at = from; at < to; at++) this.acked.add(at);
    for (const at of this.attempts.keys()) if (this.acked.has(at)) this.attempts.delete(at);
  }

  failed(offset: number, deliveries: number): void {
    if (this.acked.has(offset) || deliveries <= (this.attempts.get(offset) ?? 0)) return;
    this.attempts.set(offset, deliveries);
  }

  clip(end: number): void {
    for (const at of this.acked) if (at >= end) this.acked.delete(at);
    for (const at of this.attempts.keys()) if (at >= end) this.attempts.delete(at);
  }

  get floor(): number {
    let floor = 0;
    while (this.acked.has(floor)) floor++;
    return floor;
  }
}

const range = fc.tuple(fc.nat(END - 1), fc.integer({ min: 1, max: 12 })).map(([from, n]) => [from, from + n] as const);
const step = fc.oneof(
  { weight: 8, arbitrary: range.map(([from, to]) => ({ type: 'add', from, to }) as const) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.nat(END), fc.integer({ min: 1, max: 5 }))
      .map(([at, count]) => ({ type: 'failed', at, count }) as const),
  },
  { weight: 1, arbitrary: fc.nat(END).map((end) => ({ type: 'clip', end }) as const) },
);

function check(progress: Progress, model: Model): void {
  const { floor } = model;
  expect(progress.floor).toBe(floor);
  const offsets = Array.from({ length: END + 20 }, (_, at) => at);
  expect(offsets.filter((at) => progress.contains(at))).toEqual(offsets.filter((at) => model.acked.has(at)));
  expect(progress.ackedAbove).toBe([...model.acked].filter((at) => at > floor).length);
  expect(progress.lag(100)).toBe(100 - model.acked.size);
  const wire = progress.wire();
  expect(() => checkProgress(wire, 't/0')).not.toThrow();
  expect(wire.attempts).toEqual([...model.attempts].sort((a, b) => a[0] - b[0]).flat());
  // I1: neither overlapping nor touching.
  let before = wire.offset;
  for (let i = 0; i < wire.acked.length; i += 2) {
    expect(wire.acked[i]).toBeGreaterThan(before);
    expect(wire.acked[i + 1]).toBeGreaterThan(wire.acked[i]);
    before = wire.acked[i + 1];
  }
  for (const at of offsets) {
    let open = at;
    while (model.acked.has(open)) open++;
    expect(progress.nextOpen(at)).toBe(open);
  }
}

describe('progress (I1, I2)', () => {
  test('is what a set of offsets would be, after every step', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const progress = new Progress(1, 0);
        const model = new Model();
        for (const one of steps) {
          if (one.type === 'add') {
            const isNew = !Array.from({ length: one.to - one.from }, (_, i) => one.from + i).every((at) =>
              model.acked.has(at),
            );
            expect(progress.add(one.from, one.to)).toBe(isNew);
            model.add(one.from, one.to);
          } else if (one.type === 'failed') {
            progress.failed(one.at, one.count);
            model.failed(one.at, one.count);
          } else {
            progress.clip(one.end);
            model.clip(one.end);
          }
          check(progress, model);
        }
      }),
    );
  });

  test('merged with another is the union of both, and newsIn() is exactly what was missing', () => {
    const made = fc.array(step, { maxLength: 20 }).map((steps) => {
      const progress = new Progress(3, 0);
      for (const one of steps) {
        if (one.type === 'add') progress.add(one.from, one.to);
        if (one.type === 'failed') progress.failed(one.at, one.count);
      }
      return progress;
    });
    fc.assert(
      fc.property(made, made, (mine, other) => {
        const merged = mine.clone();
        const news = mine.newsIn(other.wire());
        expect(merged.merge(other.wire())).toBe(news !== undefined);
        for (let at = 0; at < END + 20; at++) {
          expect(merged.contains(at)).toBe(mine.contains(at) || other.contains(at));
          const most = Math.max(mine.attemptsOf(at), other.attemptsOf(at));
          expect(merged.attemptsOf(at)).toBe(merged.contains(at) ? 0 : most);
        }
        const byNews = mine.clone();
        if (news) byNews.merge(news);
        expect(byNews.wire()).toEqual(merged.wire());
        expect(merged.newsIn(other.wire())).toBeUndefined();
        // Never back.
        expect(merged.floor).toBeGreaterThanOrEqual(mine.floor);
      }),
    );
  });

  test('a copy in its wire form is the same, and shares nothing', () => {
    const progress = new Progress(7, 10);
    progress.add(12, 14);
    progress.failed(11, 2);
    const copy = Progress.of(progress.wire());
    expect(copy.wire()).toEqual({ epoch: 7, offset: 10, acked: [12, 14], attempts: [11, 2] });
    progress.add(10, 12);
    expect(progress.wire()).toEqual({ epoch: 7, offset: 14, acked: [], attempts: [] });
    expect(copy.floor).toBe(10);
  });

  test('reset() begins anew, also further back', () => {
    const progress = new Progress(7, 100);
    progress.add(105, 110);
    progress.failed(103, 4);
    progress.reset(8, 50);
    expect(progress.wire()).toEqual({ epoch: 8, offset: 50, acked: [], attempts: [] });
  });
});

describe('checkProgress()', () => {
  const good: QueueProgress = { epoch: 1, offset: 5, acked: [6, 8, 9, 12], attempts: [5, 1, 8, 3] };
  const bad: readonly [string, Partial<QueueProgress>, string][] = [
    ['a broken epoch', { epoch: 1.5 }, 'epoch is 1.5'],
    ['a negative offset', { offset: -1 }, 'offset is -1'],
    ['half a pair', { acked: [6, 8, 9] }, 'acked and attempts are pairs'],
    ['a range below the floor', { acked: [4, 8] }, 'acked names [4, 8) behind 5'],
    ['an empty range', { acked: [8, 8] }, 'acked names [8, 8)'],
    ['overlapping ranges', { acked: [6, 9, 8, 10] }, 'acked names [8, 10) behind 9'],
    ['attempts out of order', { attempts: [8, 1, 5, 1] }, 'attempts names [5, 1]'],
    ['no deliveries', { attempts: [8, 0] }, 'attempts names [8, 0]'],
  ];

  test('takes what a member commits', () => expect(() => checkProgress(good, 't/0')).not.toThrow());

  test.each(bad)('refuses %s, and says where', (_name, wrong, text) => {
    const call = () => checkProgress({ ...good, ...wrong }, 't/0');
    expect(call).toThrow(RingmqError);
    expect(call).toThrow(`t/0: ${text}`);
  });

  test('refuses more ranges than there may be', () => {
    const acked = Array.from({ length: 2 * RANGES_MAX + 2 }, (_, i) => 10 + 2 * i);
    expect(() => checkProgress({ ...good, acked }, 't/0')).toThrow(expect.objectContaining({ code: 'lease-quota' }));
  });
});
