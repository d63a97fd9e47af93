import { expect, test, vi } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { RingConsumer } from '../../../src/client/consumer.ts';
import { Deliveries } from '../../../src/client/ws-deliveries.ts';
import type { Link } from '../../../src/client/ws-link.ts';
import { WsSubscription } from '../../../src/client/ws-subscription.ts';
import type { Command } from '../../../src/wire/commands.ts';

/** A session that keeps what it is asked until somebody refuses it. */
function rig() {
  const refusals: ((error: RingmqError) => void)[] = [];
  const asked: string[] = [];
  const link = {
    isUp: true,
    trySay: () => true,
    requests: {
      call: (command: Command, _answer: unknown, fail: (error: RingmqError) => void) => {
        asked.push(command.type);
        refusals.push(fail);
      },
    },
  };
  const host = { crowded: () => {}, started: () => {} };
  const deliveries = new Deliveries(link as unknown as Link, { windowBytes: 1_000, verifyChecksums: false }, host);
  const consumer = new RingConsumer('t', { onMessage: () => {} }, () => {});
  deliveries.add(new WsSubscription(1, consumer as RingConsumer<unknown>));
  return { deliveries, asked, refuse: (error: RingmqError) => refusals.shift()?.(error) };
}

test('a subscription that was refused for a moment is asked for again', () => {
  vi.useFakeTimers();
  try {
    const { asked, refuse } = rig();
    refuse(new RingmqError('broker-unavailable'));
    expect(asked).toHaveLength(1);
    vi.runAllTimers();
    expect(asked).toEqual(['subscribe', 'subscribe']);
  } finally {
    vi.useRealTimers();
  }
});

test('not in a later session, which has asked for it by itself: it would be in use', () => {
  vi.useFakeTimers();
  try {
    const { deliveries, asked, refuse } = rig();
    refuse(new RingmqError('broker-unavailable'));
    deliveries.lost();
    deliveries.up();
    vi.runAllTimers();
    expect(asked).toEqual(['subscribe', 'subscribe']);
  } finally {
    vi.useRealTimers();
  }
});
