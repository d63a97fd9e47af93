import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { ConsumerOptions } from '../../../src/client/connection.ts';
import { RingConsumer } from '../../../src/client/consumer.ts';
import { GroupOffsets } from '../../../src/client/group-offsets.ts';
import type { Command, PartitionPosition } from '../../../src/wire/commands.ts';
import { deliverTo } from './deliver.ts';

/** A broker that keeps positions, or refuses. */
class Keeper {
  readonly kept = new Map<number, PartitionPosition>();
  readonly commits: (readonly PartitionPosition[])[] = [];
  refusal: RingmqError | undefined;
  /** Answers wait until they are let go. */
  held: (() => void)[] | undefined;

  readonly ask = async (command: Command): Promise<Command> => {
    if (command.type === 'offsets-request') return { type: 'offsets-reply', positions: [...this.kept.values()] };
    if (command.type !== 'commit-offsets') throw new Error(command.type);
    this.commits.push(command.positions);
    await new Promise<void>((resolve) => (this.held ? this.held.push(resolve) : resolve()));
    if (this.refusal) throw this.refusal;
    for (const one of command.positions) this.kept.set(one.partition, one);
    return { type: 'done' };
  };
}

function at(...offsets: number[]): PartitionPosition[] {
  return offsets.map((offset, partition) => ({ partition, epoch: 1, offset }));
}

function grouped(
  keeper: Keeper,
  options: ConsumerOptions = {},
): { consumer: RingConsumer<Uint8Array>; errors: string[] } {
  const errors: string[] = [];
  const consumer = new RingConsumer('t', { group: 'g', ...options }, (error) => errors.push(error.message));
  consumer.source = { wanted: () => {}, close: async () => consumer.dropCursor(5) };
  consumer.group = GroupOffsets.of(consumer, keeper.ask);
  consumer.begin([{ id: 5, number: 0, epoch: 1, offset: 0, gap: false, gapFrom: 0 }]);
  return { consumer, errors };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('commits', () => {
  test('happen when they are due, and say only what is new', async () => {
    const keeper = new Keeper();
    const group = new GroupOffsets('g', 't', 100, keeper.ask, () => {});
    group.tick(1_000, () => at(1, 5));
    await turn();
    group.tick(1_050, () => at(2, 5));
    group.tick(1_100, () => at(2, 5));
    await turn();
    group.tick(1_200, () => at(2, 5));
    expect(keeper.commits).toEqual([at(1, 5), at(2)]);
  });

  test('go on where nobody hears the answers, as in a blocking loop', () => {
    const keeper = new Keeper();
    const group = new GroupOffsets('g', 't', 100, keeper.ask, () => {});
    keeper.held = [];
    for (let now = 0; now <= 9_000; now += 50) group.tick(now, () => at(now));
    expect(keeper.commits).toEqual([at(0), at(3_000), at(6_000), at(9_000)]);
    for (let now = 12_000; now <= 20_000; now += 50) group.tick(now, () => at(9_000));
    expect(keeper.commits).toHaveLength(4);
  });

  test('that failed are made again; a lasting failure is told once', async () => {
    const keeper = new Keeper();
    const errors: string[] = [];
    const group = new GroupOffsets('g', 't', 100, keeper.ask, (error) => errors.push(error.message));
    for (const [now, code] of [
      [0, 'timeout'],
      [100, 'store-failed'],
      [200, 'store-failed'],
      [300, undefined],
    ] as const) {
      keeper.refusal = code && new RingmqError(code, code);
      group.tick(now, () => at(4));
      await turn();
    }
    expect([keeper.commits.length, errors, [...keeper.kept.values()]]).toEqual([4, ['store-failed'], at(4)]);
  });

  test('of what a crash took back are no failure: the gap that says so is on its way', async () => {
    const keeper = new Keeper();
    const errors: string[] = [];
    const group = new GroupOffsets('g', 't', 100, keeper.ask, (error) => errors.push(error.message));
    keeper.refusal = new RingmqError('offset-out-of-range');
    group.tick(0, () => at(9));
    await turn();
    keeper.refusal = undefined;
    group.tick(100, () => at(4));
    await turn();
    expect([errors, [...keeper.kept.values()]]).toEqual([[], at(4)]);
  });

  test('of many partitions are split', async () => {
    const keeper = new Keeper();
    const group = new GroupOffsets('g', 't', 100, keeper.ask, () => {});
    await group.commit(at(...Array.from({ length: 2_500 }, (_, i) => i)));
    expect(keeper.commits.map((one) => one.length)).toEqual([1_024, 1_024, 452]);
    expect(keeper.kept.size).toBe(2_500);
  });

  test('by hand wait for the broker, and reject with what it refuses with', async () => {
    const keeper = new Keeper();
    const { consumer } = grouped(keeper, { onMessage: () => {} });
    deliverTo(consumer, 0, 3);
    keeper.refusal = new RingmqError('disk-full');
    await expect(consumer.commit()).rejects.toMatchObject({ code: 'disk-full' });
    keeper.refusal = undefined;
    await consumer.commit();
    expect([...keeper.kept.values()]).toEqual(at(3));
    const alone = new RingConsumer('t', {}, () => {});
    await expect(alone.commit()).rejects.toMatchObject({ code: 'illegal-argument' });
  });
});

describe('what is committed', () => {
  test('is behind the messages that a handler was given', () => {
    const { consumer } = grouped(new Keeper(), { onMessage: () => {} });
    deliverTo(consumer, 0, 3);
    expect(consumer.progress()).toEqual(at(3));
  });

  test('is behind the batches that a handler was given', () => {
    const { consumer } = grouped(new Keeper(), { onBatch: () => {} });
    deliverTo(consumer, 0, 7);
    expect(consumer.progress()).toEqual(at(7));
  });

  test('leaves out the message that an async handler is at', async () => {
    let finish: () => void = () => {};
    const onMessage = (): Promise<void> =>
      new Promise((resolve) => {
        finish = resolve;
      });
    const { consumer } = grouped(new Keeper(), { onMessage });
    deliverTo(consumer, 0, 3);
    expect(consumer.progress()).toEqual(at(0));
    finish();
    await turn();
    expect(consumer.progress()).toEqual(at(1));
    deliverTo(consumer, 0, 3);
    expect(consumer.progress()).toEqual(at(1));
  });

  test('leaves out what an iterator has not come to, and the message that it is at', async () => {
    const { consumer } = grouped(new Keeper());
    deliverTo(consumer, 0, 4);
    expect(consumer.progress()).toEqual(at(0));
    const iterator = consumer[Symbol.asyncIterator]();
    await iterator.next();
    expect(consumer.progress()).toEqual(at(0));
    await iterator.next();
    await iterator.next();
    expect(consumer.progress()).toEqual(at(2));
    await consumer.close();
  });

  test('is committed when the consumer is closed, whose source forgets where it was', async () => {
    const keeper = new Keeper();
    const { consumer, errors } = grouped(keeper, { onMessage: () => {} });
    deliverTo(consumer, 0, 6);
    await consumer.close();
    expect([[...keeper.kept.values()], errors]).toEqual([at(6), []]);
  });

  test('closing goes on when the last commit fails, and says so', async () => {
    const keeper = new Keeper();
    keeper.refusal = new RingmqError('store-failed', 'the disk');
    const { consumer, errors } = grouped(keeper, { onMessage: () => {} });
    deliverTo(consumer, 0, 6);
    await consumer.close();
    expect(errors).toEqual(['the disk']);
  });
});

test.each([
  ['illegal-group', { group: '' }],
  ['illegal-group', { group: 'a b' }],
  ['illegal-group', { group: 'x'.repeat(256) }],
  ['illegal-argument', { commitMs: 0 }],
  ['illegal-argument', { commitMs: Number.NaN }],
] as const)('refused: %s for %j', (code, options) => {
  expect(() => grouped(new Keeper(), options)).toThrow(expect.objectContaining({ code }));
});
