// The timer desk on a real broker: what is scheduled comes once, when it shall.
import { expect, test } from 'vitest';
import type { Message } from '../../../src/client/message.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';
import { FileBook } from '../../../src/memory/shared-file.ts';
import { TIMER_TOPIC } from '../../../src/wire/services.ts';
import { dataFolder, errorOf, startTestBroker } from '../../support/engine.ts';
import { type Scheduled, TimerRig } from '../../support/timer-rig.ts';
import { until } from '../../support/until.ts';

/** Everything that comes in a topic, with the time when it came. */
async function listen(rig: TimerRig, topic: string): Promise<{ message: Message; at: number }[]> {
  const heard: { message: Message; at: number }[] = [];
  await rig.connection
    .consumer(topic, { onMessage: (message) => void heard.push({ message, at: rig.now() }), from: 'earliest' })
    .ready();
  return heard;
}

test('a message comes when it is due, with all that it was sent with', async () => {
  const broker = await startTestBroker();
  const rig = new TimerRig(broker);
  const heard = await listen(rig, 'orders');
  const deliverAt = rig.now() + 150;
  const one: Scheduled = {
    body: 'later',
    deliverAt,
    key: 'k1',
    tag: 'red',
    properties: { REAL_TOPIC: 'mine' },
    flags: 49,
  };
  const handles = await rig.schedule('orders', [one]);
  expect(handles).toHaveLength(1);
  await until(() => heard.length > 0, 'the message comes');
  const [{ message, at }] = heard;
  expect(at).toBeGreaterThanOrEqual(deliverAt);
  expect(at).toBeLessThan(deliverAt + 500);
  expect(message.text()).toBe('later');
  expect([message.key, message.tag]).toEqual(['k1', 'red']);
  expect({ ...message.properties }).toEqual({ REAL_TOPIC: 'mine' });
  expect(rig.warnings).toEqual([]);
});

test('messages come in the order of their times, those of a key in one partition', async () => {
  const rig = new TimerRig(await startTestBroker());
  await rig.connection.createTopic('orders', { partitions: 3 });
  const heard = await listen(rig, 'orders');
  const now = rig.now();
  const all = Array.from({ length: 300 }, (_, i) => ({
    body: String(i),
    key: `key-${i % 7}`,
    deliverAt: now + 100 + ((i * 37) % 300),
  }));
  await rig.schedule('orders', all);
  await until(() => heard.length === 300, 'all come');
  for (let key = 0; key < 7; key++) {
    const ofKey = heard.filter(({ message }) => message.key === `key-${key}`);
    expect(new Set(ofKey.map(({ message }) => message.partition)).size).toBe(1);
    const expected = all.filter((one) => one.key === `key-${key}`).sort((a, b) => a.deliverAt - b.deliverAt);
    expect(ofKey.map(({ message }) => message.text())).toEqual(expected.map(({ body }) => body));
  }
});

test('what has passed comes at once, what lies too far ahead is refused with the limit', async () => {
  const rig = new TimerRig(await startTestBroker());
  const heard = await listen(rig, 'orders');
  await rig.schedule('orders', [{ body: 'past', deliverAt: 5 }]);
  await until(() => heard.length === 1, 'it comes');
  const far = await errorOf(rig.schedule('orders', [{ body: 'far', deliverAt: rig.now() + 367 * 86_400_000 }]));
  expect(far).toMatchObject({ code: 'delay-out-of-range', message: expect.stringContaining('366 days') });
});

test('a recalled message does not come, and is recalled once', async () => {
  const rig = new TimerRig(await startTestBroker());
  const heard = await listen(rig, 'orders');
  const deliverAt = rig.now() + 300;
  const handles = await rig.schedule('orders', [
    { body: 'stays', deliverAt },
    { body: 'goes', deliverAt },
    { body: 'far', deliverAt: deliverAt + 40 * 86_400_000 },
  ]);
  await rig.recall(handles[1]);
  await rig.recall(handles[2]);
  for (const handle of [handles[1], handles[2]]) {
    expect(await errorOf(rig.recall(handle))).toMatchObject({ code: 'too-late' });
  }
  await until(() => heard.length === 1, 'the other one comes');
  expect(await errorOf(rig.recall(handles[0]))).toMatchObject({ code: 'too-late' });
  await rig.schedule('orders', [{ body: 'end', deliverAt: 0 }]);
  await until(() => heard.length === 2, 'the end comes');
  expect(heard.map(({ message }) => message.text())).toEqual(['stays', 'end']);
});

test('nonsense is refused by code', async () => {
  const broker = await startTestBroker({ autoCreateTopics: false });
  const rig = new TimerRig(broker);
  await rig.connection.createTopic('orders');
  const soon = rig.now() + 60_000;
  const [handle] = await rig.schedule('orders', [{ body: 'x', deliverAt: soon }]);
  const other = new TimerRig(await startTestBroker());
  const [foreign] = await other.schedule('orders', [{ body: 'x', deliverAt: soon }]);
  const codes = async (...calls: Promise<unknown>[]): Promise<unknown[]> =>
    Promise.all(calls.map(async (call) => (await errorOf(call)).code));
  expect(await codes(rig.recall(''), rig.recall(`${handle}x`), rig.recall(foreign))).toEqual([
    'illegal-argument',
    'illegal-argument',
    'not-found',
  ]);
  const one = (topic: string, body = 'x') => rig.schedule(topic, [{ body, deliverAt: soon }]);
  expect(await codes(one('nowhere'), one('RMQ_SYS_TIMER'), one('%DLQ%g'), one('orders', 'x'.repeat(20_000)))).toEqual([
    'auto-create-off',
    'no-write-permission',
    'no-write-permission',
    'message-too-large',
  ]);
});

test('timers of a topic that is gone are dropped, and a warning says how many', async () => {
  const rig = new TimerRig(await startTestBroker());
  const heard = await listen(rig, 'kept');
  await rig.connection.createTopic('gone');
  const deliverAt = rig.now() + 200;
  await rig.schedule(
    'gone',
    [1, 2, 3].map((one) => ({ body: String(one), deliverAt })),
  );
  await rig.schedule('kept', [{ body: 'kept', deliverAt: deliverAt + 1 }]);
  await rig.connection.deleteTopic('gone');
  await until(() => heard.length === 1, 'the message of the other topic comes');
  await until(() => rig.warnings.length > 0, 'a warning', 5_000);
  expect(rig.warnings).toEqual(['3 scheduled messages were dropped: gone: unknown-topic']);
});

test('of messages that are due together only those are dropped that the topic does not take any more', async () => {
  const rig = new TimerRig(await startTestBroker());
  await rig.connection.createTopic('shrunk', { partitions: 1, ringBytes: 1024 * 1024 });
  const deliverAt = rig.now() + 300;
  const bodies = ['1', '2', 'x'.repeat(100_000), '4', '5', '6'];
  await rig.schedule(
    'shrunk',
    bodies.map((body) => ({ body, deliverAt })),
  );
  await rig.connection.deleteTopic('shrunk');
  await rig.connection.createTopic('shrunk', { partitions: 1, ringBytes: 16 * 1024 });
  const heard = await listen(rig, 'shrunk');
  await until(() => heard.length === 5, 'the others come');
  expect(heard.map(({ message }) => message.text()).sort()).toEqual(['1', '2', '4', '5', '6']);
  await until(() => rig.warnings.length > 0, 'a warning', 5_000);
  expect(rig.warnings).toEqual(['1 scheduled messages were dropped: shrunk: message-too-large']);
});

test.each([true, false])(
  'handles of a timer topic that was deleted are not good in the next (durable: %s)',
  async (durable) => {
    const broker = await startTestBroker(durable ? { data: dataFolder(), ringBytes: 1024 * 1024 } : {});
    const book = new FileBook();
    const open = (): MemoryDisk => new MemoryDisk(book.files, (change) => book.hear(change));
    let rig = new TimerRig(broker, open(), { durable });
    const heard: string[] = [];
    const consumer = broker.connect().consumer('orders', { onMessage: (message) => void heard.push(message.text()) });
    await consumer.ready();
    const deliverAt = rig.now() + 3_600_000;
    const [first] = await rig.schedule('orders', [{ body: 'first', deliverAt }]);
    await until(() => rig.desk.pending === 1, 'it is in a file');
    await rig.connection.deleteTopic(TIMER_TOPIC);
    await until(() => rig.warnings.some((text) => text.includes('was deleted')), 'the desk hears of it');
    const [second] = await rig.schedule('orders', [{ body: 'second', deliverAt }]);
    expect(await errorOf(rig.recall(first))).toMatchObject({ code: 'not-found' });
    await rig.recall(second);
    await rig.stop();
    rig = new TimerRig(broker, open(), { durable, ahead: 2 * 3_600_000 });
    expect(await errorOf(rig.recall(first))).toMatchObject({ code: 'not-found' });
    await rig.schedule('orders', [{ body: 'third', deliverAt }]);
    await until(() => heard.length === 2, 'two come');
    expect(heard.sort()).toEqual(['first', 'third']);
  },
);

test('when the clock jumps ahead timers fire at once, when it jumps back they wait', async () => {
  const rig = new TimerRig(await startTestBroker());
  const heard = await listen(rig, 'orders');
  const now = rig.now();
  await rig.schedule('orders', [
    { body: 'an hour', deliverAt: now + 3_600_000 },
    { body: 'two days', deliverAt: now + 2 * 86_400_000 },
  ]);
  rig.ahead = 3_600_000 + 5;
  await until(() => heard.length === 1, 'the first one comes');
  rig.ahead = 0;
  await rig.schedule('orders', [{ body: 'soon', deliverAt: rig.now() + 100 }]);
  await until(() => heard.length === 2, 'one that is due by the new time comes');
  rig.ahead = 3 * 86_400_000;
  await until(() => heard.length === 3, 'the last one comes');
  expect(heard.map(({ message }) => message.text())).toEqual(['an hour', 'soon', 'two days']);
});

test('a topic that takes nothing holds up no other', async () => {
  const broker = await startTestBroker();
  const rig = new TimerRig(broker);
  await rig.connection.createTopic('full', { partitions: 1, overflow: 'block', ringBytes: 1024 * 1024 });
  let count = 0;
  const slow = broker.connect().consumer('full', {
    onBatch: (batch) => {
      count += batch.count;
    },
  });
  await slow.ready();
  slow.pause();
  const heard = await listen(rig, 'orders');
  const body = 'x'.repeat(1_000);
  const deliverAt = rig.now() + 100;
  for (let i = 0; i < 12; i++) {
    await rig.schedule(
      'full',
      Array.from({ length: 1_000 }, () => ({ body, deliverAt })),
    );
  }
  await rig.schedule('orders', [{ body: 'free', deliverAt: deliverAt + 200 }]);
  await until(() => heard.length === 1, 'the other topic gets its message');
  slow.resume();
  await until(() => count >= 12_000, 'everything comes when there is room', 20_000);
  expect(count).toBe(12_000);
}, 30_000);

test('however many topics take nothing, the others get their messages', async () => {
  const broker = await startTestBroker({ ringBytes: 1024 * 1024 });
  const rig = new TimerRig(broker);
  const stuck = ['stuck-1', 'stuck-2', 'stuck-3', 'stuck-4', 'stuck-5'];
  const counts = new Map<string, number>();
  const readers = [];
  for (const topic of stuck) {
    await rig.connection.createTopic(topic, { partitions: 1, overflow: 'block', ringBytes: 64 * 1024 });
    const count = (more: number) => counts.set(topic, (counts.get(topic) ?? 0) + more);
    const reader = broker.connect().consumer(topic, { onBatch: (batch) => void count(batch.count) });
    await reader.ready();
    reader.pause();
    readers.push(reader);
  }
  const heard = await listen(rig, 'orders');
  const body = 'x'.repeat(10_000);
  const deliverAt = rig.now() + 100;
  for (const topic of stuck) {
    const some = Array.from({ length: 90 }, () => ({ body, deliverAt }));
    for (let i = 0; i < 10; i++) await rig.schedule(topic, some);
  }
  await until(() => rig.now() > deliverAt, 'they are due');
  for (let i = 0; i < 20; i++) await rig.schedule('orders', [{ body: `free ${i}`, deliverAt: rig.now() + 10 * i }]);
  await until(() => heard.length === 20, 'the other topic gets its messages');
  for (const reader of readers) reader.resume();
  await until(() => stuck.every((topic) => counts.get(topic) === 900), 'everything comes when there is room', 20_000);
}, 40_000);
