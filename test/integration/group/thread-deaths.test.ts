// Threads of the broker die while a feature is in use: what is promised of it holds all the same.
import { expect, test } from 'vitest';
import { dataFolder, kill, startConnected } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { Handled, member, sendNumbers } from './harness.ts';

async function started() {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 2 });
  const described = () => connection.describeGroup('g').catch(() => undefined);
  const lagIs = (expected: number) => {
    const lagOf = (found: Awaited<ReturnType<typeof described>>): number =>
      found?.queues.reduce((sum, one) => sum + one.lag, 0) ?? -1;
    return untilAnswer(described, (found) => lagOf(found) === expected, `the lag is ${expected}`);
  };
  return { broker, connection, lagIs };
}

test('a member that is paused while the coordinator dies gets nothing, and the rest when it resumes', async () => {
  const { broker, connection, lagIs } = await started();
  const seen = new Handled();
  const consumer = member(connection, 'm', seen);
  await sendNumbers(connection, 0, 20);
  await until(() => seen.times.size === 20, 'the first');
  await lagIs(0);
  consumer.pause();
  await sendNumbers(connection, 20, 60);
  await kill(broker, 'coordinator');
  await lagIs(40);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(seen.times.size).toBe(20);
  consumer.resume();
  await until(() => seen.times.size === 60, 'the rest');
  await lagIs(0);
  expect(seen.twice).toEqual([]);
  await consumer.close();
});

test.each(['coordinator', 'broker'] as const)(
  'batches of a group go on when the %s thread dies, and what was acknowledged does not come again',
  async (role) => {
    const { broker, connection, lagIs } = await started();
    const times = new Map<string, number>();
    const onBatch = (batch: { next(): boolean; text(): string }): void => {
      while (batch.next()) times.set(batch.text(), (times.get(batch.text()) ?? 0) + 1);
    };
    const options = { group: 'g', from: 'earliest', commitMs: 20, onBatch } as const;
    const consumer = connection.consumer('t', options);
    await sendNumbers(connection, 0, 100);
    await until(() => times.size === 100, 'the first');
    await lagIs(0);
    const sending = sendNumbers(connection, 100, 200);
    await kill(broker, role);
    await sending;
    await until(() => times.size === 200, 'the rest', 20_000);
    await lagIs(0);
    expect([...times].filter(([text, count]) => Number(text) < 100 && count > 1)).toEqual([]);
    await consumer.close();
  },
);

test('requests get their own replies or a timeout while a broker worker dies, and go on after it', async () => {
  const { broker, connection } = await started();
  const server = broker.connect();
  const onMessage = (message: { text(): string; reply(body: string): Promise<void> }) =>
    message.reply(`${message.text()}!`).catch(() => {});
  await server.consumer('t', { onMessage }).ready();
  const replies: string[] = [];
  const refused: string[] = [];
  const asked = Array.from({ length: 100 }, (_, i) =>
    connection.request('t', `${i}`, { timeoutMs: 10_000 }).then(
      (reply) => void replies.push(`${i} ${reply.text()}`),
      (error: { code: string }) => void refused.push(error.code),
    ),
  );
  await kill(broker, 'broker');
  await Promise.all(asked);
  expect(replies.filter((one) => !/^(\d+) \1!$/.test(one))).toEqual([]);
  expect(replies.length + refused.length).toBe(100);
  expect(refused.filter((code) => code !== 'timeout')).toEqual([]);
  expect((await connection.request('t', 'after')).text()).toBe('after!');
});

test('the highest priority comes first also after a coordinator has died', async () => {
  const { broker, connection } = await started();
  const producer = connection.producer('t', { partition: 0 });
  const consumer = connection.simpleConsumer('t', { group: 'g', from: 'earliest', order: 'none', priority: true });
  for (const priority of [1, 7, 3]) await producer.send(`${priority}`, { priority });
  const [seven] = await consumer.receive({ max: 1 });
  await consumer.ack(seven);
  await kill(broker, 'coordinator');
  await producer.send('9', { priority: 9 });
  const rest: string[] = [];
  while (rest.length < 3) for (const one of await consumer.receive({ max: 1 })) rest.push(one.text());
  expect([seven.text(), ...rest]).toEqual(['7', '9', '3', '1']);
  await consumer.close();
});

test('a trace goes on through the death of a coordinator, and invents nothing', async () => {
  const { broker } = await started();
  const connection = broker.connect({ trace: { sample: 1 } });
  const steps: string[] = [];
  await connection
    .consumer('RMQ_SYS_TRACE_TOPIC', {
      from: 'earliest',
      onMessage: (message) => {
        const { step, messageId } = JSON.parse(message.text()) as { step: string; messageId: string };
        steps.push(`${step} ${messageId}`);
      },
    })
    .ready();
  const seen = new Handled();
  const consumer = member(connection, 'm', seen);
  const ids: string[] = [];
  for (let i = 0; i < 10; i++) {
    if (i === 5) await kill(broker, 'coordinator');
    ids.push((await connection.producer('t').send(`${i}`)).id);
  }
  await until(() => seen.times.size === 10, 'all are handled');
  const expected = ids.flatMap((id) => ['stored', 'delivered', 'acknowledged'].map((step) => `${step} ${id}`));
  await until(() => expected.every((one) => steps.includes(one)), 'every step is told', 20_000);
  expect(steps.filter((one) => !expected.includes(one))).toEqual([]);
  await consumer.close();
});
