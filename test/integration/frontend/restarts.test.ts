// Threads that die: the front end's partners, and the front end itself (on the ws transport: ending a thread with
// native sockets from outside would end the process).
import { afterEach, expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import type { Supervisor } from '../../../src/thread/supervisor.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, start, stopAll } from './harness.ts';

afterEach(stopAll);

function supervisorOf(broker: Broker): Supervisor {
  return (broker as unknown as { readonly supervisor: Supervisor }).supervisor;
}

test('a broker worker that dies is taken over: what was under way is answered, subscribers miss nothing', async () => {
  const broker = await start();
  const [writer, reader] = await Promise.all([1, 2].map(() => BinaryClient.connect(broker.url as string)));
  const [partition] = (await writer.createTopic('t', { ringBytes: 4 * 1024 * 1024 })).partitions;
  await reader.subscribe('t');
  const identity = { producerId: 99 };
  let sent = 0;
  const send = () => writer.publish(partition, [`m${sent}`], { ...identity, baseSequence: sent++ });
  for (let i = 0; i < 500; i++) send();
  void supervisorOf(broker).threadsOf('broker')[0].terminate();
  for (let i = 0; i < 500; i++) send();
  await until(() => writer.acks.length === sent, 'everything is answered', 30_000);
  expect(writer.acks.every((entry) => entry.status <= 1)).toBe(true);
  expect(new Set(writer.acks.map((entry) => entry.request)).size).toBe(sent);
  await until(() => reader.delivered.length === sent, 'everything arrives', 30_000);
  expect(reader.delivered.map((one) => one.text)).toEqual(Array.from({ length: sent }, (_, i) => `m${i}`));
});

test('a NameServer that dies is taken over, and routes are served again', async () => {
  const broker = await start();
  const client = await BinaryClient.connect(broker.url as string);
  await client.createTopic('before');
  void supervisorOf(broker).threadsOf('nameserver')[0].terminate();
  let route: unknown;
  const deadline = performance.now() + 20_000;
  while (route === undefined && performance.now() < deadline) {
    route = await client.ask({ type: 'route-request', topic: 'before', create: false }).catch(() => undefined);
  }
  expect(route).toMatchObject({ route: { topic: 'before' } });
  const { partitions } = await client.createTopic('after');
  expect((await client.ack(client.publish(partitions[0], ['x']))).status).toBe(0);
});

test('a front end that dies comes back on the same port, and clients resume where they were', async () => {
  const broker = await start({ transport: 'ws' });
  const url = broker.url as string;
  const before = await BinaryClient.connect(url);
  const [partition] = (await before.createTopic('t')).partitions;
  await before.subscribe('t');
  await before.ack(before.publish(partition, ['one', 'two']));
  await until(() => before.delivered.length === 2, 'both arrive');
  void supervisorOf(broker).threadsOf('frontend')[0].terminate();
  await before.ended();
  let after: BinaryClient | undefined;
  const deadline = performance.now() + 20_000;
  while (after === undefined && performance.now() < deadline) {
    after = await BinaryClient.connect(url).catch(() => undefined);
  }
  const positions = [{ partition: 0, epoch: partition.epoch, offset: 2 }];
  const { starts } = await (after as BinaryClient).subscribe('t', { positions });
  expect(starts[0]).toMatchObject({ offset: 2, gap: false });
  await after?.ack(after.publish(partition, ['three']));
  await until(() => after?.delivered.length === 1, 'the next one arrives');
  expect(after?.delivered[0]).toMatchObject({ offset: 2, text: 'three' });
});
