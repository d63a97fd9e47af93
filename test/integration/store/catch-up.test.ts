// Reading what the rings have left behind: from the beginning while others publish, and slowly, stopping nobody.
import { expect, test } from 'vitest';
import { connect } from '../../../src/client/node.ts';
import { dataFolder, startConnected } from '../../support/engine.ts';
import { Check, Load } from '../../support/engine-ledger.ts';
import { until } from '../../support/until.ts';

const LISTEN = { port: 0, transport: 'ws' } as const;

test('from the beginning while others publish: no gap, no duplicate, in process and over WebSocket', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder(), workers: 2, listen: LISTEN });
  await connection.createTopic('history', { partitions: 3, ringBytes: 64 * 1024 });
  const load = new Load(connection.producer('history', { timeoutMs: 30_000, ack: 'written' }));
  // Many times what the rings hold.
  for (let i = 0; i < 40; i++) await load.sendBlock(100, 'x'.repeat(500));
  load.start(50, 500);
  const remote = connect(broker.url ?? '');
  const checks = [connection, connection, remote, remote].map((bus) => {
    const check = new Check();
    bus.consumer('history', { from: 'earliest', onMessage: check.take, onGap: check.gap });
    return check;
  });
  await until(() => checks.every((check) => check.got.size > 4_000), 'the readers catch up', 40_000);
  await load.stop();
  expect(load.failed).toEqual([]);
  await until(() => checks.every((check) => check.got.size >= load.acked.size), 'and arrive at the end', 20_000);
  for (const check of checks) {
    expect([check.faults, check.missing(load.acked), check.doubled()]).toEqual([[], [], []]);
  }
  await remote.close();
});

test('a consumer that sleeps stops no publisher and misses nothing', async () => {
  const { connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('slow', { partitions: 1, ringBytes: 64 * 1024 });
  const check = new Check();
  const consumer = connection.consumer('slow', { from: 'earliest', onMessage: check.take, onGap: check.gap });
  await consumer.ready();
  consumer.pause();
  const load = new Load(connection.producer('slow', { timeoutMs: 20_000 }));
  // Twenty rings full.
  for (let i = 0; i < 26; i++) await load.sendBlock(100, 'x'.repeat(500));
  expect(load.failed).toEqual([]);
  expect(check.got.size).toBeLessThan(2_600);
  consumer.resume();
  await until(() => check.got.size === 2_600, 'it has everything', 20_000);
  expect([check.faults, check.missing(load.acked)]).toEqual([[], []]);
});

test('a subscription begins at a time', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder(), listen: LISTEN });
  await connection.createTopic('times', { partitions: 1, ringBytes: 16 * 1024 });
  const producer = connection.producer('times');
  for (let i = 0; i < 50; i++) await producer.send(`before ${i}`.padEnd(1_000));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const time = Date.now();
  for (let i = 0; i < 50; i++) await producer.send(`after ${i}`.padEnd(1_000));
  const remote = connect(broker.url ?? '');
  for (const bus of [connection, remote]) {
    const check = new Check();
    const consumer = bus.consumer('times', { from: { time }, onMessage: check.take, onGap: check.gap });
    expect(await consumer.ready()).toMatchObject([{ partition: 0, offset: 50 }]);
    await until(() => check.got.size === 50, 'what was stored since then');
    expect([check.faults, check.got.get('0@50')?.trim()]).toEqual([[], 'after 0']);
  }
  await remote.close();
});
