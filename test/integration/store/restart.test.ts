// A broker that is stopped in order and started again with the same data: topics, messages, offsets.
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { dataFolder, errorOf, startConnected, startTestBroker } from '../../support/engine.ts';
import { Load, readAll } from '../../support/engine-ledger.ts';

test.each(['accepted', 'written', 'durable'] as const)(
  'what was acknowledged as %s is there after a stop',
  async (ack) => {
    const data = dataFolder();
    const first = await startConnected({ data, workers: 2 });
    await first.connection.createTopic('kept', { partitions: 4 });
    const load = new Load(first.connection.producer('kept', { ack }));
    for (let i = 0; i < 20; i++) await load.sendBlock(100);
    expect([load.failed, load.acked.size]).toEqual([[], 2_000]);
    await first.broker.stop();

    const { connection } = await startConnected({ data, workers: 2 });
    const check = await readAll(connection, 'kept');
    expect([check.faults, check.missing(load.acked), check.doubled()]).toEqual([[], [], []]);
    expect(check.got.size).toBe(2_000);
    const more = new Load(connection.producer('kept', { ack }), 'n');
    await more.sendBlock(200);
    expect(more.failed).toEqual([]);
    expect([...more.acked.keys()].filter((place) => load.acked.has(place))).toEqual([]);
    const both = await readAll(connection, 'kept');
    expect([both.faults, both.missing(load.acked), both.missing(more.acked)]).toEqual([[], [], []]);
  },
);

test('topics come back with their settings, identities and epochs; deleted ones do not', async () => {
  const data = dataFolder();
  const first = await startConnected({ data });
  const made = await first.connection.createTopic('orders', {
    partitions: 3,
    overflow: 'reject',
    ringBytes: 128 * 1024,
    retentionMs: 3_600_000,
    retentionBytes: 64 * 2 ** 20,
  });
  await first.connection.createTopic('doomed');
  await first.connection.setPermission('orders', 'r');
  await first.connection.deleteTopic('doomed');
  await first.broker.stop();

  const second = await startConnected({ data });
  const route = await second.connection.route('orders');
  expect(route).toMatchObject({
    topicId: made.topicId,
    overflow: 'reject',
    ringBytes: 128 * 1024,
    durable: true,
    retentionMs: 3_600_000,
    retentionBytes: 64 * 2 ** 20,
  });
  expect(route.partitions.map(({ id, epoch, permission }) => [id, epoch, permission])).toEqual(
    made.partitions.map(({ id, epoch }) => [id, epoch, 4]),
  );
  expect((await errorOf(second.connection.route('doomed'))).code).toBe('unknown-topic');
  const fresh = await second.connection.createTopic('fresh');
  expect(fresh.topicId).toBeGreaterThan(made.topicId + 1);
});

test('a volatile topic keeps its settings over a restart and not its messages', async () => {
  const data = dataFolder();
  const first = await startConnected({ data });
  await first.connection.createTopic('ticks', { partitions: 1, durable: false });
  const producer = first.connection.producer('ticks', { ack: 'accepted' });
  await producer.send('gone');
  expect((await errorOf(first.connection.producer('ticks', { ack: 'durable' }).send('x'))).code).toBe(
    'ack-unsupported',
  );
  await first.broker.stop();

  const { connection } = await startConnected({ data });
  const route = await connection.route('ticks');
  expect(route).toMatchObject({ durable: false, partitions: [{ nextOffset: 0 }] });
  expect((await connection.producer('ticks').send('first')).offset).toBe(0);
});

test('a restart with another number of workers finds everything', async () => {
  const data = dataFolder();
  const acked = new Map<string, string>();
  for (const [life, workers] of [3, 1, 2].entries()) {
    const { broker, connection } = await startConnected({ data, workers });
    await connection.createTopic('spread', { partitions: 5, ifNotExists: true });
    const load = new Load(connection.producer('spread'), `life${life}-`);
    await load.sendBlock(300);
    expect(load.failed).toEqual([]);
    for (const [place, body] of load.acked) acked.set(place, body);
    const check = await readAll(connection, 'spread');
    expect([check.faults, check.missing(acked), check.doubled()]).toEqual([[], [], []]);
    await broker.stop();
  }
  expect(acked.size).toBe(900);
});

test.each(['auto', 'buffered'] as const)(
  'both ways to write work, and either reads what the other wrote: %s',
  async (diskMode) => {
    const data = dataFolder();
    const other = diskMode === 'auto' ? 'buffered' : 'auto';
    const acked = new Map<string, string>();
    for (const mode of [diskMode, other, diskMode] as const) {
      const { broker, connection } = await startConnected({ data, diskMode: mode, segmentBytes: 2 ** 20 });
      const load = new Load(connection.producer('modes', { ack: 'durable' }), `${mode}${acked.size}-`);
      for (let i = 0; i < 4; i++) await load.sendBlock(100, 'x'.repeat(2_000));
      expect(load.failed).toEqual([]);
      for (const [place, body] of load.acked) acked.set(place, body);
      await broker.stop();
    }
    const { connection } = await startConnected({ data });
    const check = await readAll(connection, 'modes');
    expect([check.faults, check.missing(acked), check.got.size]).toEqual([[], [], acked.size]);
    // 2.4 MB in segments of 1 MiB.
    const segments = fs.readdirSync(path.join(data, 'log')).filter((name) => /^\d{20}\.log$/.test(name));
    expect(segments.length).toBeGreaterThan(2);
  },
);

test('a second broker is refused the folder, and gets it when the first has stopped', async () => {
  const data = dataFolder();
  const first = await startTestBroker({ data });
  const error = await errorOf(startTestBroker({ data }));
  expect([error.code, error.message]).toEqual(['data-in-use', expect.stringContaining(data)]);
  await first.stop();
  const { connection } = await startConnected({ data });
  expect((await connection.producer('after').send('x')).offset).toBe(0);
});

test('a start that fails gives the folder back', async () => {
  const data = dataFolder();
  const listen = { port: 0, transport: 'ws' } as const;
  const first = await startTestBroker({ listen });
  const port = Number(new URL(first.url ?? '').port);
  await errorOf(startTestBroker({ data, listen: { ...listen, port } }));
  await startTestBroker({ data });
});

test('data of a newer format is refused and left alone', async () => {
  const data = dataFolder();
  fs.writeFileSync(path.join(data, 'ringmq.json'), '{"format": 2}');
  expect((await errorOf(startTestBroker({ data }))).code).toBe('data-unknown');
  expect(fs.readdirSync(data)).toEqual(['ringmq.json']);
});
