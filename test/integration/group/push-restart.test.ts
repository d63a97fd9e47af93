// Groups over restarts: of the coordinator, of the whole broker, and of a member's connection.
import { expect, test } from 'vitest';
import type { Connection, Consumer } from '../../../src/client/connection.ts';
import { RetryLater } from '../../../src/client/messaging.ts';
import { connect } from '../../../src/client/node.ts';
import { dataFolder, kill, startConnected } from '../../support/engine.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { randomFrom } from '../../support/random.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { Handled, KEYS, member, sendNumbers } from './harness.ts';

test('what was committed before a coordinator died is not handled again, and everything else is', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 4 });
  const seen = new Handled();
  const consumer = member(connection, 'm', seen);
  await consumer.ready();
  for (let round = 0; round < 3; round++) {
    await sendNumbers(connection, round * 50, round * 50 + 50);
    await until(() => seen.times.size === round * 50 + 50, `round ${round}`, 20_000);
    await untilAnswer(
      () => connection.describeGroup('g').catch(() => undefined),
      (description) => description?.queues.every((one) => one.lag === 0) ?? false,
      'everything is acknowledged',
    );
    await kill(broker, 'coordinator');
  }
  await sendNumbers(connection, 150, 200);
  await until(() => seen.times.size === 200, 'the rest', 20_000);
  expect(seen.twice).toEqual([]);
  await consumer.close();
});

test('attempts of a message outlive the coordinator and the member', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 1 });
  await connection.setGroup('g', { retryDelaysMs: [60_000], attemptsMax: 5 });
  const attempts: number[] = [];
  const join = (): Consumer =>
    connection.consumer('t', {
      group: 'g',
      from: 'earliest',
      commitMs: 20,
      onMessage: (message) => {
        attempts.push(message.attempts);
        throw new RetryLater(60_000);
      },
    });
  const first = join();
  await connection.producer('t').send('a', { key: 'k' });
  await until(() => attempts.length === 1, 'the first attempt');
  await first.close();
  await kill(broker, 'coordinator');
  const second = join();
  await until(() => attempts.length === 2, 'the second attempt');
  expect(attempts).toEqual([1, 2]);
  await second.close();
});

test('a member over WebSocket goes on after a restart of the broker', async () => {
  const data = dataFolder();
  const first = await startConnected({ data, listen: { port: 0, transport: 'ws' } });
  const port = Number(new URL(first.broker.url ?? '').port);
  await first.connection.createTopic('t', { partitions: 4 });
  const bus = connect(`ws://127.0.0.1:${port}`, { reconnect: { minMs: 20, maxMs: 50 } });
  const seen = new Handled();
  const consumer = member(bus, 'm', seen);
  await consumer.ready();
  await sendNumbers(first.connection, 0, 50);
  await until(() => seen.times.size === 50, 'the first 50');
  await consumer.commit();
  await first.broker.stop();
  const second = await startConnected({ data, listen: { port, transport: 'ws' } });
  await sendNumbers(second.connection, 50, 100);
  await until(() => seen.times.size === 100, 'the rest', 30_000);
  expect(seen.twice).toEqual([]);
  await consumer.close();
  await bus.close();
});

test('a member whose connection was cut goes on, and nothing that was acknowledged comes again', async () => {
  const { broker, connection } = await startConnected({ listen: { port: 0, transport: 'ws' } });
  await connection.createTopic('t', { partitions: 4 });
  const proxy = await TcpProxy.start(Number(new URL(broker.url ?? '').port));
  const bus = connect(proxy.url, { reconnect: { minMs: 10, maxMs: 20 } });
  const seen = new Handled();
  const consumer = member(bus, 'm', seen);
  await consumer.ready();
  for (let round = 0; round < 3; round++) {
    await sendNumbers(connection, round * 50, round * 50 + 50);
    await until(() => seen.times.size === round * 50 + 50, `round ${round}`, 20_000);
    await consumer.commit();
    proxy.cut();
  }
  await sendNumbers(connection, 150, 200);
  await until(() => seen.times.size === 200, 'the rest', 20_000);
  expect(seen.twice).toEqual([]);
  await consumer.close();
  await bus.close();
  await proxy.stop();
});

test('members that come and go while handlers fail: each message once, each key in its order', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('t', { partitions: 4 });
  await connection.setGroup('g', { retryDelaysMs: [5], attemptsMax: 100 });
  const done: string[] = [];
  const seed = Math.floor(Math.random() * 1e9);
  const random = randomFrom(seed);
  const buses = [broker.connect(), broker.connect(), broker.connect()];
  const join = (bus: Connection): Consumer =>
    bus.consumer('t', {
      group: 'g',
      from: 'earliest',
      commitMs: 20,
      onMessage: async (message) => {
        await new Promise((resolve) => setTimeout(resolve, random(4)));
        if (random(8) === 0) throw new RetryLater(random(10));
        done.push(message.text());
      },
    });
  const members = buses.map(join);
  const sending = sendNumbers(connection, 0, 600);
  for (let round = 0; round < 6; round++) {
    const at = random(3);
    await members[at].close();
    await new Promise((resolve) => setTimeout(resolve, random(50)));
    members[at] = join(buses[at]);
    await members[at].ready();
  }
  await sending;
  await until(() => done.length >= 600, `everything (seed ${seed})`, 30_000);
  await Promise.all(members.map((one) => one.close()));
  expect(new Set(done).size, `seed ${seed}`).toBe(done.length);
  for (let key = 0; key < KEYS; key++) {
    const own = done.map(Number).filter((one) => one % KEYS === key);
    expect(own, `seed ${seed}, key ${key}`).toEqual([...own].sort((a, b) => a - b));
  }
});

test('consumers that leave a broker that is gone wait for nobody', async () => {
  const { broker } = await startConnected({ listen: { port: 0, transport: 'ws' } });
  const bus = connect(broker.url ?? '');
  bus.onError(() => {});
  const seen = new Handled();
  const pushed = member(bus, 'm', seen);
  await pushed.ready();
  const leasing = bus.simpleConsumer('t', { group: 'leases' });
  await leasing.receive({ waitMs: 0 });
  await broker.stop();
  await until(() => bus.state === 'reconnecting', 'the connection is lost');
  const began = performance.now();
  await Promise.all([pushed.close(), leasing.close()]);
  await bus.close();
  expect(performance.now() - began).toBeLessThan(2_000);
});
