import { describe, expect, test } from 'vitest';
import type { ConsumerOptions, Gap } from '../../../src/client/connection.ts';
import { RingConsumer } from '../../../src/client/consumer.ts';
import { WsSubscription } from '../../../src/client/ws-subscription.ts';
import type { CommandOf, PartitionStart } from '../../../src/wire/commands.ts';
import { deliverTo } from './deliver.ts';

const ID = 5;

/** A subscription that the broker has started at offset 0 of epoch 1. */
class Rig {
  readonly gaps: Gap[] = [];
  readonly consumer: RingConsumer<Uint8Array>;
  readonly subscription: WsSubscription;

  constructor(options: ConsumerOptions = {}) {
    const onGap = (gap: Gap): void => void this.gaps.push(gap);
    this.consumer = new RingConsumer('t', { onGap, onMessage: () => {}, ...options }, () => {});
    this.subscription = new WsSubscription(1, this.consumer as RingConsumer<unknown>);
  }

  start(start: Partial<PartitionStart> = {}): this {
    this.subscription.started([{ id: ID, number: 0, epoch: 1, offset: 0, gap: false, gapFrom: 0, ...start }]);
    return this;
  }

  gap(gap: Partial<CommandOf<'gap'>>): void {
    const whole = { type: 'gap', id: ID, number: 0, epoch: 1, topic: 't', reason: 'expired' } as const;
    this.subscription.gap({ ...whole, fromOffset: 0, toOffset: 0, ...gap });
  }

  get position(): object {
    return this.consumer.positions()[0];
  }
}

describe('where a subscription begins', () => {
  test('is what the user says, or where the group was', () => {
    expect(new Rig().subscription.from()).toBe('latest');
    expect(new Rig({ from: { time: 5 } }).subscription.from()).toEqual({ time: 5 });
    const grouped = new Rig({ from: 'earliest' });
    grouped.consumer.asked = [{ partition: 0, epoch: 1, offset: 9 }];
    expect(grouped.subscription.from()).toEqual({ positions: grouped.consumer.asked });
  });

  test('is where it was, with the epoch that was seen last, once it has begun', () => {
    const rig = new Rig({ from: 'earliest' }).start({ epoch: 3 });
    deliverTo(rig.consumer, 0, 4, 2);
    expect(rig.subscription.from()).toEqual({ positions: [{ partition: 0, epoch: 2, offset: 4 }] });
  });
});

describe('after a lost connection', () => {
  test('a later epoch in which offsets go on is no gap', () => {
    const rig = new Rig().start();
    deliverTo(rig.consumer, 0, 4);
    rig.start({ epoch: 2, offset: 4 });
    deliverTo(rig.consumer, 4, 2, 2);
    expect(rig.gaps).toEqual([]);
    expect(rig.position).toEqual({ partition: 0, epoch: 2, offset: 6 });
  });

  test('what a crash took back is told, and the offsets are taken again', () => {
    const rig = new Rig().start();
    deliverTo(rig.consumer, 0, 9);
    rig.start({ epoch: 2, offset: 6, gap: true, gapFrom: 6 });
    expect(rig.gaps).toMatchObject([{ from: 6, to: 6, reason: 'epoch-changed' }]);
    deliverTo(rig.consumer, 6, 2, 2);
    expect(rig.position).toEqual({ partition: 0, epoch: 2, offset: 8 });
  });

  test('what retention took is told once, whatever the epoch', () => {
    const rig = new Rig().start();
    deliverTo(rig.consumer, 0, 4);
    rig.start({ epoch: 2, offset: 10, gap: true, gapFrom: 4 });
    rig.gap({ epoch: 2, fromOffset: 4, toOffset: 10 });
    deliverTo(rig.consumer, 10, 1, 2);
    expect(rig.gaps).toMatchObject([{ from: 4, to: 10, reason: 'expired' }]);
    expect(rig.position).toEqual({ partition: 0, epoch: 2, offset: 11 });
  });
});

test('a gap in what was delivered meanwhile is told from where the consumer is', () => {
  const rig = new Rig().start();
  deliverTo(rig.consumer, 0, 4);
  rig.gap({ fromOffset: 2, toOffset: 8, reason: 'damaged' });
  rig.gap({ fromOffset: 2, toOffset: 3 });
  expect(rig.gaps).toMatchObject([{ from: 4, to: 8, reason: 'damaged' }]);
  expect(rig.position).toEqual({ partition: 0, epoch: 1, offset: 8 });
});
