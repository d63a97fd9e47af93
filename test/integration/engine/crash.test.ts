// Threads that die: what was acknowledged is delivered once and in order, others go on, seats come back.
import { expect, test } from 'vitest';
import { SEAT_FIRST_FREE, SEAT_STATES } from '../../../native-layout/control.ts';
import { seatState } from '../../../src/memory/seats.ts';
import { controlOf, kill, RoleThread, startConnected, supervisorOf } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/** The coordinator's own connection has the first one. */
const FIRST_SEAT = SEAT_FIRST_FREE + 1;

/** Takes every message once and in order of its partition; what is wrong is in `faults`. */
function orderCheck() {
  const next = new Map<number, number>();
  const bodies = new Set<string>();
  const faults: string[] = [];
  return {
    faults,
    bodies,
    take: (message: { partition: number; offset: number; text(): string }): void => {
      const expected = next.get(message.partition) ?? 0;
      if (message.offset !== expected) faults.push(`${message.partition}: ${message.offset} after ${expected - 1}`);
      next.set(message.partition, message.offset + 1);
      const text = message.text();
      if (bodies.has(text)) faults.push(`twice: ${text}`);
      bodies.add(text);
    },
  };
}

test('a broker worker that dies under load loses nothing and doubles nothing that was acknowledged', async () => {
  const { broker, connection } = await startConnected({ workers: 2 });
  await connection.createTopic('busy', { partitions: 4, ringBytes: 256 * 1024 });
  const check = orderCheck();
  const consumer = connection.consumer('busy', { onMessage: check.take });
  await consumer.ready();
  const producer = connection.producer('busy', { timeoutMs: 30_000 });
  const acked: string[] = [];
  const failed: string[] = [];
  let running = true;
  const load = (async () => {
    for (let i = 0; running; ) {
      const sent: PromiseLike<unknown>[] = [];
      for (const end = i + 50; i < end; i++) {
        const text = `m${i}`;
        sent.push(
          producer.send(text, { key: `k${i % 16}` }).then(
            () => void acked.push(text),
            (error: Error) => void failed.push(error.message),
          ),
        );
      }
      await Promise.all(sent);
    }
  })();
  for (let round = 0; round < 3; round++) {
    const before = acked.length;
    await until(() => acked.length > before + 1_000, 'messages are acknowledged');
    await kill(broker, 'broker', round % 2);
    const after = acked.length;
    await until(() => acked.length > after + 1_000, 'and again after the death');
  }
  running = false;
  await load;
  await until(() => check.bodies.size >= acked.length, 'everything acknowledged arrives');
  expect(check.faults).toEqual([]);
  expect(failed).toEqual([]);
  expect(acked.filter((text) => !check.bodies.has(text))).toEqual([]);
  expect(supervisorOf(broker).restarts).toBe(3);
});

test('threads in loops of their own do not notice that a broker worker died', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('loops', { partitions: 1, ringBytes: 1024 * 1024 });
  const count = 400_000;
  const reader = new RoleThread(broker, 'count', { topic: 'loops', count });
  await reader.heard('ready');
  const writer = new RoleThread(broker, 'flood', { topic: 'loops', producer: 1, count });
  await writer.heard('ready');
  await until(() => Number(reader.said.get('progress')?.received ?? 0) > 10_000, 'messages flow');
  await kill(broker, 'broker');
  expect(await reader.heard('done')).toMatchObject({ received: count, wrong: 0 });
  expect(await writer.heard('done')).toMatchObject({ sent: count });
});

test('after the death of the NameServer topics are still known, and news of routes still arrive', async () => {
  const { broker, connection } = await startConnected();
  const other = broker.connect();
  await connection.createTopic('kept', { partitions: 3 });
  await connection.createTopic('doomed');
  const route = await other.route('kept');
  const changes: string[] = [];
  other.onRoute((topic, _version, deleted) => changes.push(`${topic} ${deleted}`));
  const ended: string[] = [];
  const consumer = other.consumer('doomed', { onMessage: () => {}, onError: (error) => ended.push(error.message) });
  await consumer.ready();
  await kill(broker, 'nameserver');
  expect((await connection.route('kept')).partitions.map((one) => [one.id, one.epoch])).toEqual(
    route.partitions.map((one) => [one.id, one.epoch]),
  );
  const producer = connection.producer('kept');
  expect((await producer.send('x')).offset).toBe(0);
  await connection.setPermission('kept', 'r');
  await until(() => changes.includes('kept false'), 'who asked the predecessor hears from the successor');
  await connection.deleteTopic('doomed');
  await until(() => ended.length === 1, 'the consumer hears of the deletion');
  const fresh = await connection.createTopic('fresh');
  const epochs = [...route.partitions, ...fresh.partitions].map((one) => one.epoch);
  expect(new Set(epochs).size).toBe(epochs.length);
  expect(fresh.version).toBeGreaterThan(route.version);
});

test('a publisher that dies in the middle leaves whole batches, and its seat is taken again', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('torn', { partitions: 1, ringBytes: 1024 * 1024 });
  const control = controlOf(broker);
  const check: number[] = [];
  const consumer = connection.consumer('torn', {
    onBatch: (batch) => {
      while (batch.next()) check.push(batch.int32(4));
    },
  });
  await consumer.ready();
  const seats: number[] = [];
  for (let round = 0; round < 4; round++) {
    const before = check.length;
    const writer = new RoleThread(broker, 'flood', { topic: 'torn', count: 10_000_000 });
    await writer.heard('ready');
    await until(() => check.length > before + 20_000, 'messages flow');
    seats.push(takenSeats(control).at(-1) as number);
    await writer.terminate();
    await until(() => takenSeats(control).length === 1, 'only the test itself still takes part');
    const received = check.slice(before);
    expect(received.every((sequence, i) => sequence === i)).toBe(true);
    check.length = 0;
  }
  expect(new Set(seats).size).toBe(1);
  expect((await connection.producer('torn').send('after')).offset).toBeGreaterThan(80_000);
});

test('a consumer that dies with a pinned reader frees the writer that waited for it', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('stuck', { partitions: 1, ringBytes: 16 * 1024 });
  const producer = connection.producer('stuck', { timeoutMs: 30_000 });
  await producer.send('first');
  const reader = new RoleThread(broker, 'pinned', { topic: 'stuck' });
  await reader.heard('pinned');
  let acked = 0;
  const sent = Array.from({ length: 40 }, () => producer.send('x'.repeat(1_000)).then(() => acked++));
  await until(() => acked > 0, 'the ring takes some');
  const before = performance.now();
  await until(() => performance.now() - before > 200, 'the rest has to wait');
  expect(acked).toBeLessThan(20);
  await reader.terminate();
  await Promise.all(sent);
  await until(() => takenSeats(controlOf(broker)).length === 1, 'its seat is given back');
});

test('a thread that leaves without closing is cleared away, also where the main thread has no connection', async () => {
  const { broker, connection } = await startConnected();
  await connection.close();
  const control = controlOf(broker);
  const stays = new RoleThread(broker, 'stay', {});
  await stays.heard('ready');
  const leaves = new RoleThread(broker, 'leave', { topic: 'left' });
  await leaves.heard('done');
  expect(await leaves.exited()).toBe(0);
  await until(() => takenSeats(control).length === 1, 'the seat of the one that left is free');
  await stays.terminate();
  await until(() => takenSeats(control).length === 0, 'the seat of the terminated one is free');
});

/** Seats of front ends and embedding threads that are not free. */
function takenSeats(control: Int32Array): number[] {
  return Array.from({ length: 64 - FIRST_SEAT }, (_, i) => FIRST_SEAT + i).filter(
    (seat) => seatState(control, seat) !== SEAT_STATES.free,
  );
}
