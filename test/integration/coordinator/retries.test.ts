// Failed messages on a real broker: they come again in the group's retry topic when it is time, or go to its dead
// letters, and from there back to where they came from. Each once.
import { expect, test } from 'vitest';
import { dlqTopic, HALF_TOPIC, retryTopic, type SendBack } from '../../../src/wire/services.ts';
import { DeskRig } from '../../support/desk-rig.ts';
import { dataFolder, errorOf, listen, startTestBroker } from '../../support/engine.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { until } from '../../support/until.ts';

/** A group with one member, `m`, that holds the topic's only queue. */
async function join(rig: DeskRig, group: string, topic: string): Promise<void> {
  const terms = { from: 'earliest', order: 'none', filter: '' } as const;
  const names = { group, topic, member: 'm', client: 'test' };
  await rig.call('group-sync', { ...names, ...terms, generation: 0, owned: [], waitMs: 0 });
}

/** Messages of a topic with one queue. */
async function sent(rig: DeskRig, topic: string, ...bodies: string[]): Promise<void> {
  await rig.connection.createTopic(topic, { partitions: 1, ifNotExists: true });
  const producer = rig.connection.producer<string>(topic);
  for (const body of bodies) await producer.send(body, { key: `key-${body}`, tag: 'red', properties: { a: body } });
}

function failure(group: string, topic: string, offset: number, more: Partial<SendBack> = {}): SendBack {
  const rest = { member: 'm', epoch: 1, attempts: 1, delayMs: 0, deadLetter: false, reason: 'it threw' };
  return { group, topic, queue: { topic, partition: 0 }, offset, ...rest, ...more };
}

async function epochOf(rig: DeskRig, topic: string): Promise<number> {
  return (await rig.connection.route(topic)).partitions[0].epoch;
}

test('a failed message comes again in the retry topic, with where it was first and how often it failed', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  await sent(rig, 'orders', 'one', 'two');
  await join(rig, 'g', 'orders');
  const epoch = await epochOf(rig, 'orders');
  const { result } = await rig.call('send-back', failure('g', 'orders', 1, { epoch }));
  expect(result).toEqual({ deadLetter: false });
  const heard = await listen(broker.connect(), retryTopic('g', 'orders'));
  await until(() => heard.length === 1, 'it comes again');
  const [message] = heard;
  expect([message.text(), message.key, message.tag]).toEqual(['two', 'key-two', 'red']);
  const first = { REAL_TOPIC: 'orders', REAL_QID: '0', REAL_OFFSET: '1' };
  expect({ ...message.properties }).toEqual({ a: 'two', ...first, RECONSUME_TIME: '1' });
  const queue = rig.book.queue('g', 'orders', 0);
  expect([queue?.progress.contains(1), queue?.progress.contains(0)]).toEqual([true, false]);
  // Lost answers are asked for again.
  await rig.call('send-back', failure('g', 'orders', 1, { epoch }));
  expect(heard).toHaveLength(1);
  // It fails again: where it was first is kept.
  const retry = { topic: retryTopic('g', 'orders'), partition: 0 };
  await rig.retries.sendBack(failure('g', 'orders', 0, { queue: retry, attempts: 2, epoch: message.epoch }));
  await until(() => heard.length === 2, 'it comes once more');
  expect({ ...heard[1].properties }).toEqual({ a: 'two', ...first, RECONSUME_TIME: '2' });
});

test('it waits for as long as was asked, or by the delays of the group', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  await sent(rig, 'orders', 'one', 'two');
  await join(rig, 'g', 'orders');
  await rig.call('group-settings', { group: 'g', settings: { retryDelaysMs: [100, 300], attemptsMax: 5 } });
  const epoch = await epochOf(rig, 'orders');
  const begun = Date.now();
  await rig.call('send-back', failure('g', 'orders', 0, { epoch, delayMs: 200 }));
  await rig.call('send-back', failure('g', 'orders', 1, { epoch, delayMs: -1, attempts: 4 }));
  const came = new Map<string, number>();
  await broker
    .connect()
    .consumer(retryTopic('g', 'orders'), {
      from: 'earliest',
      onMessage: (message) => void came.set(message.text(), Date.now() - begun),
    })
    .ready();
  await until(() => came.size === 2, 'both come');
  expect(came.get('one')).toBeGreaterThanOrEqual(199);
  expect(came.get('two')).toBeGreaterThanOrEqual(299);
  expect(rig.warnings).toEqual([]);
});

test('after the last attempt, or when asked, it is a dead letter; replay sends it back as it was', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  await sent(rig, 'orders', 'one', 'two', 'three');
  await join(rig, 'g', 'orders');
  await rig.call('group-settings', { group: 'g', settings: { attemptsMax: 3 } });
  const epoch = await epochOf(rig, 'orders');
  const last = await rig.call('send-back', failure('g', 'orders', 0, { epoch, attempts: 3 }));
  const asked = await rig.call('send-back', failure('g', 'orders', 2, { epoch, deadLetter: true, reason: 'poison' }));
  expect([last.result, asked.result]).toEqual([{ deadLetter: true }, { deadLetter: true }]);
  const dead = await listen(broker.connect(), dlqTopic('g'));
  await until(() => dead.length === 2, 'both are there');
  expect(dead.map((one) => one.properties?.DLQ_REASON)).toEqual(['it threw', 'poison']);
  expect((await rig.call('group-describe', { group: 'g' })).result.deadLetters).toBe(2);
  const heard = await listen(broker.connect(), 'orders');
  expect((await rig.call('dlq-replay', { group: 'g', maxMessages: 1 })).result).toEqual({ replayed: 1, left: 1 });
  expect((await rig.call('dlq-replay', { group: 'g', maxMessages: 9 })).result).toEqual({ replayed: 1, left: 0 });
  expect((await rig.call('dlq-replay', { group: 'g', maxMessages: 9 })).result).toEqual({ replayed: 0, left: 0 });
  await until(() => heard.length === 5, 'both come back');
  expect(heard.slice(3).map((one) => one.text())).toEqual(['one', 'three']);
  expect({ ...heard[3].properties }).toEqual({ a: 'one' });
  expect([heard[3].key, heard[3].tag]).toEqual(['key-one', 'red']);
});

test.each([0, 100])('the largest message that its topic takes comes again too (after %i ms)', async (delayMs) => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const route = await rig.connection.createTopic('orders', { partitions: 1, ringBytes: 64 * 1024 });
  const producer = rig.connection.producer<Uint8Array>('orders');
  await producer.send(new Uint8Array(route.messageMaxBytes));
  await join(rig, 'g', 'orders');
  const epoch = await epochOf(rig, 'orders');
  await rig.call('send-back', failure('g', 'orders', 0, { epoch, delayMs }));
  const heard = await listen(broker.connect(), retryTopic('g', 'orders'));
  await until(() => heard.length === 1, 'it comes again');
  expect(heard[0].body.length).toBe(route.messageMaxBytes);
  expect(rig.warnings).toEqual([]);
});

test('properties without room for those of the broker give way to them', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const route = await rig.connection.createTopic('orders', { partitions: 1, ringBytes: 1024 * 1024 });
  const properties = { a: 'x'.repeat(32_700) };
  await rig.connection.producer<string>('orders').send('full', { properties });
  await join(rig, 'g', 'orders');
  const [{ epoch }] = route.partitions;
  await rig.call('send-back', failure('g', 'orders', 0, { epoch, deadLetter: true }));
  const dead = await listen(broker.connect(), dlqTopic('g'));
  await until(() => dead.length === 1, 'it is a dead letter');
  expect({ ...dead[0].properties }).toEqual({
    REAL_TOPIC: 'orders',
    REAL_QID: '0',
    REAL_OFFSET: '0',
    RECONSUME_TIME: '1',
  });
  expect((await rig.call('dlq-replay', { group: 'g', maxMessages: 1 })).result).toEqual({ replayed: 1, left: 0 });
});

test('no sender says where its message was first: a replay publishes to no other topic', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  await rig.connection.createTopic('orders', { partitions: 1 });
  const properties = { REAL_TOPIC: HALF_TOPIC, REAL_QID: '7', REAL_OFFSET: '7' };
  await rig.connection.producer<string>('orders').send('forged', { properties });
  await join(rig, 'g', 'orders');
  const epoch = await epochOf(rig, 'orders');
  await rig.call('send-back', failure('g', 'orders', 0, { epoch, deadLetter: true }));
  const heard = await listen(broker.connect(), 'orders');
  await rig.call('dlq-replay', { group: 'g', maxMessages: 1 });
  await until(() => heard.length === 2, 'it comes back to where it was');
  expect(heard[1].text()).toBe('forged');
});

test('what cannot be sent back is refused, and says why', async () => {
  const rig = new DeskRig(await startTestBroker());
  await sent(rig, 'orders', 'one');
  await join(rig, 'g', 'orders');
  const epoch = await epochOf(rig, 'orders');
  const code = (params: SendBack): Promise<string | undefined> =>
    errorOf(rig.call('send-back', params)).then((error) => error.code);
  expect(await code(failure('nobody', 'orders', 0, { epoch }))).toBe('unknown-group');
  expect(await code(failure('g', 'orders', 0, { epoch, queue: { topic: 'orders', partition: 7 } }))).toBe(
    'unknown-partition',
  );
  expect(await code(failure('g', 'orders', 0, { epoch, member: 'other' }))).toBe('stale-generation');
  expect(await code(failure('g', 'orders', 0, { epoch: epoch + 7 }))).toBe('offset-out-of-range');
  expect(await code(failure('g', 'orders', 5, { epoch }))).toBe('not-found');
  expect((await rig.call('dlq-replay', { group: 'g', maxMessages: 9 })).result).toEqual({ replayed: 0, left: 0 });
});

test('dead letters of a topic that is gone wait for it', async () => {
  const rig = new DeskRig(await startTestBroker());
  await sent(rig, 'orders', 'one');
  await join(rig, 'g', 'orders');
  const epoch = await epochOf(rig, 'orders');
  await rig.call('send-back', failure('g', 'orders', 0, { epoch, deadLetter: true }));
  await rig.connection.deleteTopic('orders');
  const refusal = await errorOf(rig.call('dlq-replay', { group: 'g', maxMessages: 9 }));
  expect(refusal).toMatchObject({ code: 'unknown-topic', message: expect.stringContaining('orders') });
  await rig.connection.createTopic('orders');
  expect((await rig.call('dlq-replay', { group: 'g', maxMessages: 9 })).result).toEqual({ replayed: 1, left: 0 });
});

test('the disk dies at any call: a failed message comes again once, and is acknowledged when it does', async () => {
  const broker = await startTestBroker({ data: dataFolder() });
  const admin = broker.connect();
  for (let at = 1; at <= 14; at++) {
    const topic = `crash-${at}`;
    const group = `g-${at}`;
    const disk = new FaultDisk();
    const first = new DeskRig(broker, disk, { durable: true });
    await sent(first, topic, 'one', 'two', 'three');
    await join(first, group, topic);
    const epoch = await epochOf(first, topic);
    disk.calls = 0;
    disk.plan = { at, code: 'EIO', forever: true };
    const asked = [0, 1, 2].map((offset) => failure(group, topic, offset, { epoch, deadLetter: offset === 2 }));
    for (const one of asked) {
      const answer = first.call('send-back', one).catch(() => {});
      await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 200).unref())]);
    }
    const left = disk.killed();
    await first.kill();
    const second = new DeskRig(broker, left, { durable: true });
    await second.book.open(group, topic, 'earliest');
    for (const one of asked) await second.retries.sendBack(one);
    expect(second.book.queue(group, topic, 0)?.progress.floor, `call ${at}`).toBe(3);
    await until(() => second.mover.size === 0, 'all is moved');
    const count = async (name: string): Promise<number> => (await admin.route(name)).partitions[0].nextOffset;
    expect([await count(retryTopic(group, topic)), await count(dlqTopic(group))], `call ${at}`).toEqual([2, 1]);
    await second.stop();
  }
});
