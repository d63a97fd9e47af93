// Requests to a NameServer that dies with them in hand.
import { expect, test } from 'vitest';
import { SEAT_NAMESERVER } from '../../../native-layout/control.ts';
import { LaneReader, NONE } from '../../../src/memory/lane.ts';
import { laneTo } from '../../../src/memory/regions.ts';
import { claimSeat, releaseSeat } from '../../../src/memory/seats.ts';
import type { Command } from '../../../src/wire/commands.ts';
import { Broker, CLIENT } from '../nameserver/support.ts';

const SOON_MS = 50;
const LATE_MS = 3_001;

/** A broker whose NameServer has taken the client's request out of the lane, and died before it answered. */
function bereaved(command: Command): { readonly broker: Broker; readonly answer: Promise<Command | string> } {
  const broker = new Broker();
  const { control, laneWords, laneBytes, sizes } = broker.regions;
  claimSeat(control, SEAT_NAMESERVER, SEAT_NAMESERVER, 'nameserver', 1);
  const answer = broker.lane.request(command, broker.now).catch((error) => error.code as string);
  const taken = new LaneReader(laneWords, laneBytes, laneTo(sizes, CLIENT, SEAT_NAMESERVER));
  expect(taken.look()).not.toBe(NONE);
  taken.consume();
  taken.release();
  releaseSeat(control, SEAT_NAMESERVER);
  return { broker, answer };
}

/** The successor is there; time passes. */
function succeed(broker: Broker): void {
  claimSeat(broker.regions.control, SEAT_NAMESERVER, SEAT_NAMESERVER, 'nameserver', 2);
  broker.start();
  broker.lane.expire(broker.now + SOON_MS);
  broker.lane.expire(broker.now + SOON_MS);
  broker.agent.work(broker.now + SOON_MS);
  broker.lane.work();
}

test('a question that a dead NameServer had taken is asked again, of its successor, once', async () => {
  const { broker, answer } = bereaved({ type: 'route-request', topic: 'fresh', create: true });
  broker.lane.expire(broker.now + SOON_MS);
  expect(broker.lane.pending).toBe(1);
  succeed(broker);
  expect(await answer).toMatchObject({ type: 'route-reply', route: { topic: 'fresh' } });
  expect(broker.news.filter(({ type }) => type === 'route-reply')).toEqual([]);
});

test('what must not be done twice is not asked again', async () => {
  const { broker, answer } = bereaved({ type: 'delete-topic', topic: 'gone' });
  succeed(broker);
  expect(broker.lane.pending).toBe(1);
  broker.lane.expire(broker.now + LATE_MS);
  expect(await answer).toBe('timeout');
});

test('without a successor a question fails in its time', async () => {
  const { broker, answer } = bereaved({ type: 'route-request', topic: 'fresh', create: true });
  broker.lane.expire(broker.now + LATE_MS);
  expect(await answer).toBe('timeout');
});
