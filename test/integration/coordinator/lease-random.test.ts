// Random histories of simple consumers on a real broker: acks, failures, leases that run out, restarts of the
// coordinator. Nothing that was acknowledged comes again, nothing is lost, and no message of a key overtakes another.
import { expect, test } from 'vitest';
import type { RingmqError } from '../../../src/base/codes.ts';
import type { Message } from '../../../src/client/message.ts';
import { startConnected } from '../../support/engine.ts';
import { randomFrom } from '../../support/random.ts';
import { LeaseHouse } from './lease-harness.ts';

const MESSAGES = 400;
const KEYS = 7;

/** What the consumers know: which numbers are acknowledged, and by key which come next. */
class Ledger {
  readonly acked = new Set<number>();
  readonly orders = new Map<string, number[]>();

  sent(number: number, key: string | undefined): void {
    if (key === undefined) return;
    const order = this.orders.get(key);
    if (order) order.push(number);
    else this.orders.set(key, [number]);
  }

  came(number: number, key: string | undefined): void {
    expect(this.acked.has(number), `${number} was acknowledged and came again`).toBe(false);
    if (key === undefined) return;
    const first = this.orders.get(key)?.find((one) => !this.acked.has(one));
    expect(number, `the oldest of key ${key}`).toBe(first);
  }
}

test.each([1, 2, 3])('seed %i', async (seed) => {
  const random = randomFrom(seed);
  const { broker, connection } = await startConnected({ workers: 1, ringBytes: 256 * 1024 });
  await connection.createTopic('t', { partitions: 2 });
  const ledger = new Ledger();
  const producer = connection.producer('t');
  for (let i = 0; i < MESSAGES; i++) {
    const key = random(3) === 0 ? undefined : `k${random(KEYS)}`;
    ledger.sent(i, key);
    await producer.send(String(i), { key });
  }
  const house = new LeaseHouse(broker);
  const consumers = [house.consumer('t'), house.consumer('t')];
  let held: Message[] = [];
  const ack = async (message: Message): Promise<void> => {
    try {
      await consumers[0].ack(message);
      ledger.acked.add(Number(message.text()));
    } catch (error) {
      expect((error as RingmqError).code).toBe('stale-lease');
    }
  };
  for (let step = 0; ledger.acked.size < MESSAGES; step++) {
    expect(step, 'it comes to an end').toBeLessThan(3_000);
    const what = random(40);
    if (what === 0) await house.restart(random(2) === 0 ? 'killed' : 'compacted');
    else if (what === 1) {
      house.ahead += 60_001;
      held = [];
    } else if (what < 18) {
      // Seldom long: most of the time somebody holds what could come.
      const waitMs = random(8) === 0 ? 20 : 0;
      const messages = await consumers[random(2)].receive({ max: 1 + random(20), waitMs });
      for (const one of messages) ledger.came(Number(one.text()), one.key);
      held.push(...messages);
    } else if (held.length > 0) {
      const [message] = held.splice(random(held.length), 1);
      if (what < 22) await consumers[1].nack(message, random(2) * 20).catch(() => {});
      else await ack(message);
    }
  }
  for (const partition of [0, 1]) {
    const end = (await connection.route('t')).partitions[partition].nextOffset;
    expect(house.book.queue('g', 't', partition)?.progress.floor).toBe(end);
  }
});
