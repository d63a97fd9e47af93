import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { avoidFor, PartitionSelector } from '../../../src/routing/selector.ts';
import type { PartitionRoute, TopicRoute } from '../../../src/wire/commands.ts';

function partition(number: number, more: Partial<PartitionRoute> = {}): PartitionRoute {
  const history = { nextOffset: 0, oldestOffset: 0, epochs: [] };
  return { id: number + 10, number, owner: 2, epoch: 1, permission: 6, available: true, ...history, ...more };
}

function route(partitions: readonly PartitionRoute[]): TopicRoute {
  const rest = { topicId: 1, version: 1, overflow: 'block', ringBytes: 65_536, messageMaxBytes: 16_000 } as const;
  return { topic: 't', ...rest, direct: false, durable: false, retentionMs: 0, retentionBytes: 0, partitions };
}

describe('without a key', () => {
  test('partitions take turns, from where the producer starts', () => {
    const selector = new PartitionSelector(route([partition(0), partition(1), partition(2)]), 7);
    expect(Array.from({ length: 6 }, () => selector.next(0)?.number)).toEqual([1, 2, 0, 1, 2, 0]);
  });

  test('the table of latencies and penalties is RocketMQ’s', () => {
    const table = [0, 49, 50, 99, 100, 549, 550, 1_800, 3_000, 5_000, 14_999, 15_000];
    expect(table.map(avoidFor)).toEqual([0, 0, 0, 0, 0, 0, 2_000, 5_000, 6_000, 10_000, 10_000, 30_000]);
  });

  test('an owner that was slow or failed is avoided for its time, and no longer', () => {
    const selector = new PartitionSelector(route([partition(0, { owner: 2 }), partition(1, { owner: 3 })]), 0);
    selector.answered(2, 600, 1_000);
    expect([selector.next(1_001)?.number, selector.next(2_999)?.number]).toEqual([1, 1]);
    expect(selector.next(3_000)?.number).toBe(0);
    selector.failed(3, 5_000);
    expect([selector.next(5_001)?.number, selector.next(14_999)?.number]).toEqual([0, 0]);
    expect([selector.next(15_000)?.number, selector.next(15_000)?.number].sort()).toEqual([0, 1]);
    selector.answered(2, 600, 20_000);
    selector.answered(2, 10, 20_001);
    expect([selector.next(20_002)?.number, selector.next(20_002)?.number].sort()).toEqual([0, 1]);
  });

  test('if all are avoided, an available one is taken; if none is available, any writable one', () => {
    const selector = new PartitionSelector(route([partition(0), partition(1, { owner: 3, available: false })]), 0);
    selector.failed(2, 0);
    selector.failed(3, 0);
    expect(selector.next(1)?.number).toBe(0);
    selector.update(route([partition(0, { available: false }), partition(1, { permission: 4 })]));
    expect([selector.next(1)?.number, selector.next(1)?.number]).toEqual([0, 0]);
  });

  test('without a writable partition there is none', () => {
    expect(new PartitionSelector(route([partition(0, { permission: 4 })]), 0).next(0)).toBeUndefined();
    expect(new PartitionSelector(route([]), 3).next(0)).toBeUndefined();
  });
});

describe('with a key', () => {
  test('the partition is the same whatever fails, and whoever asks', () => {
    const all = [0, 1, 2, 3, 4].map((number) => partition(number));
    const failing = all.map((one) => ({ ...one, available: false, permission: 4 }));
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(), (key, start) => {
        const selector = new PartitionSelector(route(all), start);
        const first = selector.byKey(key)?.number;
        selector.failed(2, 0);
        selector.update(route(failing));
        return first !== undefined && selector.byKey(key)?.number === first;
      }),
    );
  });

  test('keys spread over the partitions', () => {
    const selector = new PartitionSelector(route([0, 1, 2, 3].map((number) => partition(number))), 0);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4_000; i++) counts[selector.byKey(`order-${i}`)?.number ?? 0]++;
    for (const count of counts) expect(count).toBeGreaterThan(800);
  });

  test('numbers name partitions also where some are missing', () => {
    const selector = new PartitionSelector(route([partition(0), partition(3)]), 0);
    expect([selector.byNumber(3)?.id, selector.byNumber(1)]).toEqual([13, undefined]);
    expect(new PartitionSelector(route([]), 0).byKey('k')).toBeUndefined();
  });
});
