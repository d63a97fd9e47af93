// Topics while others use them: created, refused, wiped, deleted, by the thousand.
import { expect, test } from 'vitest';
import type { TopicOptions } from '../../../src/client/connection.ts';
import { errorOf, RoleThread, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

test('a topic that cannot be made is refused with its reason', async () => {
  const { connection } = await startConnected({ topicsMax: 3, partitionsPerTopicMax: 8, partitionMax: 64 });
  const codeOf = async (topic: string, options: TopicOptions = {}): Promise<string> =>
    connection.createTopic(topic, options).then(
      () => 'made',
      (error: { code: string }) => error.code,
    );
  for (const name of ['', '.', '..', 'a b', 'ä', 'a/b', 'x'.repeat(128)])
    expect(await codeOf(name)).toBe('illegal-topic');
  expect(await codeOf('t', { partitions: 9 })).toBe('partition-quota');
  expect(await codeOf('t', { ringBytes: 20_000 })).toBe('illegal-argument');
  expect(await codeOf('t', { ringBytes: 1024 })).toBe('illegal-argument');
  for (const partitions of [-1, 1.5, Number.NaN, 2 ** 33]) expect(await codeOf('t', { partitions })).not.toBe('made');
  expect(await codeOf('t', { overflow: 'drop_oldest' as never })).not.toBe('made');
  expect(await codeOf('one')).toBe('made');
  expect(await codeOf('one')).toBe('topic-exists');
  expect(await codeOf('one', { ifNotExists: true })).toBe('made');
  expect([await codeOf('two'), await codeOf('three'), await codeOf('four')]).toEqual(['made', 'made', 'topic-quota']);
  expect(await errorOf(connection.deleteTopic('five'))).toMatchObject({ code: 'unknown-topic' });
  expect(await errorOf(connection.route('five'))).toMatchObject({ code: 'unknown-topic' });
  expect(await errorOf(connection.setPermission('', 'r'))).toMatchObject({ code: 'illegal-argument' });
});

test('when the partition table is full topics are refused, and a deletion makes room', async () => {
  const { connection } = await startConnected({ partitionMax: 64 });
  for (let i = 0; i < 16; i++) await connection.createTopic(`t${i}`, { partitions: 4 });
  expect(await errorOf(connection.createTopic('more'))).toMatchObject({ code: 'partition-quota' });
  await connection.producer('t3').send('opens a ring');
  await connection.deleteTopic('t3');
  const made = async (): Promise<boolean> =>
    connection.createTopic('more', { partitions: 4 }).then(
      () => true,
      () => false,
    );
  const deadline = performance.now() + 10_000;
  while (!(await made()) && performance.now() < deadline);
  expect((await connection.route('more')).partitions).toHaveLength(4);
});

test('with auto-create off nothing makes a topic on first use', async () => {
  const { connection } = await startConnected({ autoCreateTopics: false });
  expect(await errorOf(connection.producer('none').send('x'))).toMatchObject({ code: 'auto-create-off' });
  expect(await errorOf(connection.consumer('none').ready())).toMatchObject({ code: 'auto-create-off' });
  expect(await errorOf(connection.directProducer('none'))).toMatchObject({ code: 'auto-create-off' });
  const producer = connection.producer('none', { createTopic: false });
  expect(await errorOf(producer.send('x'))).toMatchObject({ code: 'unknown-topic' });
  expect(await errorOf(producer.flush())).toMatchObject({ code: 'unknown-topic' });
  await producer.flush();
  await connection.createTopic('none');
  expect((await producer.send('x')).offset).toBe(0);
});

test('without write permission sends are refused, until it is granted again', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('perm', { partitions: 2 });
  const offsets: number[] = [];
  const consumer = connection.consumer('perm', { onMessage: (message) => void offsets.push(message.offset) });
  await consumer.ready();
  const producer = connection.producer('perm', { partition: 1 });
  await producer.send('x');
  await connection.setPermission('perm', 'r');
  expect(await errorOf(producer.send('x'))).toMatchObject({ code: 'no-write-permission' });
  expect(await errorOf(connection.producer('perm').send('x'))).toMatchObject({ code: 'no-write-permission' });
  await connection.setPermission('perm', 'rw');
  expect((await producer.send('x')).offset).toBe(1);
  await until(() => offsets.length === 2, 'both arrive');
  await connection.setPermission('perm', 'w');
  expect(await errorOf(connection.consumer('perm').ready())).toMatchObject({ code: 'no-read-permission' });
});

test('a topic that is deleted while it is used ends its producers and consumers, and disturbs no other', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('doomed', { partitions: 2 });
  await connection.createTopic('other', { partitions: 1 });
  const other = new RoleThread(broker, 'count', { topic: 'other', count: 50_000 });
  await other.heard('ready');
  const writer = new RoleThread(broker, 'flood', { topic: 'other', count: 50_000 });
  const reasons: (string | undefined)[] = [];
  const consumer = connection.consumer('doomed', {
    onMessage: () => {},
    onError: (error) => reasons.push((error as { code?: string }).code),
  });
  await consumer.ready();
  const producer = connection.producer('doomed', { createTopic: false });
  const codes = new Set<string>();
  let running = true;
  const load = (async () => {
    while (running) {
      const sent = Array.from({ length: 20 }, () => producer.send('x'));
      for (const one of sent) await one.then(undefined, (error: { code: string }) => codes.add(error.code));
    }
  })();
  await until(() => (consumer.positions()[0]?.offset ?? 0) > 100, 'messages flow');
  const ids = (await connection.route('doomed')).partitions.map((one) => one.id);
  await connection.deleteTopic('doomed');
  await until(() => reasons.length > 0 && codes.has('unknown-topic'), 'both hear of it');
  running = false;
  await load;
  expect(reasons).toEqual(['unknown-topic']);
  expect([...codes].filter((code) => code !== 'unknown-topic' && code !== 'route-stale')).toEqual([]);
  expect(await other.heard('done')).toMatchObject({ received: 50_000, wrong: 0 });
  expect(await writer.heard('done')).toMatchObject({ sent: 50_000 });
  const used = async (): Promise<boolean> => {
    const name = `again-${Math.random()}`;
    const route = await connection.createTopic(name, { partitions: 4 });
    expect((await connection.producer(name, { partition: 0 }).send('x')).offset).toBe(0);
    return route.partitions.some((one) => ids.includes(one.id));
  };
  let again = false;
  for (let i = 0; i < 50 && !again; i++) again = await used();
  expect(again, 'ids of the deleted topic are used again').toBe(true);
});

test('a topic made again under its name starts at offset 0 with new epochs', async () => {
  const { connection } = await startConnected();
  const before = await connection.createTopic('again', { partitions: 1 });
  const producer = connection.producer('again');
  await producer.sendBatch(['a', 'b', 'c']);
  await connection.deleteTopic('again');
  await connection.createTopic('again', { partitions: 1 });
  const { epoch } = before.partitions[0];
  const receipt = await producer.send('d');
  expect(receipt.offset).toBe(0);
  const after = await connection.route('again');
  expect(after.partitions[0].epoch).toBeGreaterThan(epoch);
  expect(after.partitions[0].nextOffset).toBe(1);
  expect(after.version).toBeGreaterThan(before.version);
  const gaps: unknown[] = [];
  const consumer = connection.consumer('again', {
    from: { positions: [{ partition: 0, epoch, offset: 3 }] },
    onMessage: () => {},
    onGap: (gap) => gaps.push(gap),
  });
  expect(await consumer.ready()).toMatchObject([{ offset: 0 }]);
  expect(gaps).toHaveLength(1);
});

test('a consumer that waits for its rings is told when the topic is deleted', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('short');
  const consumer = connection.consumer('short');
  const refused = consumer.ready().then(
    () => 'ready',
    (error: { code: string }) => error.code,
  );
  await connection.deleteTopic('short');
  const iterated = errorOf(consumer[Symbol.asyncIterator]().next());
  expect(['ready', 'unknown-topic']).toContain(await refused);
  expect(await iterated).toMatchObject({ code: 'unknown-topic' });
});

test('the route listener hears of permissions and deletion, and what others do', async () => {
  const { broker, connection } = await startConnected();
  const other = broker.connect();
  const heard: string[] = [];
  other.onRoute((topic, version, deleted) => heard.push(`${topic} ${version > 0} ${deleted}`));
  await connection.createTopic('seen');
  await other.route('seen');
  await connection.setPermission('seen', 'r');
  await connection.deleteTopic('seen');
  await until(() => heard.length === 2, 'it hears of both');
  expect(heard).toEqual(['seen true false', 'seen true true']);
});

test('5,000 topics are made, listed, used and deleted', async () => {
  const { connection } = await startConnected({ ringBytes: 16 * 1024 });
  const started = performance.now();
  const names = Array.from({ length: 5_000 }, (_, i) => `topic-${String(i).padStart(4, '0')}`);
  await Promise.all(names.map((name) => connection.createTopic(name, { partitions: 2 })));
  const made = performance.now();
  expect((await connection.topics()).map((one) => one.topic)).toEqual(names);
  const listed = performance.now();
  for (const name of [names[0], names[2_500], names[4_999]]) {
    expect((await connection.producer(name).send('x')).offset).toBe(0);
  }
  await Promise.all(names.map((name) => connection.deleteTopic(name)));
  expect(await connection.topics()).toEqual([]);
  const seconds = (from: number, to: number): number => Math.round(to - from) / 1000;
  const memory = Math.round(process.memoryUsage().rss / 1024 / 1024);
  console.log(
    `5,000 topics: made in ${seconds(started, made)} s, listed in ${seconds(made, listed)} s, ` +
      `all in ${seconds(started, performance.now())} s; process ${memory} MiB`,
  );
  expect(performance.now() - started).toBeLessThan(20_000);
});

test('topics of many partitions are listed in pages that fit', async () => {
  const { connection } = await startConnected({ partitionsPerTopicMax: 4_096 });
  for (let i = 0; i < 12; i++) await connection.createTopic(`wide-${i}`, { partitions: 4_096 });
  const topics = await connection.topics();
  expect(topics).toHaveLength(12);
  expect(topics.every((one) => one.partitions.length === 4_096)).toBe(true);
});
