// Requests and replies against a real broker: every mixture of transports, and what ends with whom.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Connection } from '../../../src/client/connection.ts';
import { connect } from '../../../src/client/node.ts';
import { type Broker, startBroker } from '../../../src/server/broker.ts';
import { until, untilAnswer } from '../../support/until.ts';

const CLIENT = fileURLToPath(new URL('../../../dist/src/client/node.js', import.meta.url));
const data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-request-'));
const open: Connection[] = [];
let broker: Broker;
let watcher: Connection | undefined;

beforeAll(async () => {
  broker = await startBroker({ data, workers: 1, listen: { port: 0, systemMetrics: false } });
});

afterAll(async () => {
  for (const one of open) await one.close();
  await broker.stop();
  fs.rmSync(data, { recursive: true });
});

function client(kind: 'in process' | 'ws'): Connection {
  const connection = kind === 'ws' ? connect(broker.url as string) : broker.connect();
  open.push(connection);
  return connection;
}

async function replyTopics(): Promise<readonly string[]> {
  watcher ??= client('in process');
  const topics = await watcher.topics();
  return topics.map((one) => one.topic).filter((topic) => topic.startsWith('%REPLY%'));
}

for (const asking of ['in process', 'ws'] as const) {
  for (const answering of ['in process', 'ws'] as const) {
    test(`a request ${asking} is answered ${answering}, many at once and each by its own reply`, async () => {
      const topic = `sums-${asking}-${answering}`.replaceAll(' ', '');
      const server = client(answering);
      const seen: (string | undefined)[] = [];
      const consumer = server.consumer(topic, {
        onMessage: (message) => {
          seen.push(message.key);
          return message.reply(`${message.text()}!`, { tag: 'answer', properties: { by: answering } });
        },
      });
      await consumer.ready();
      const requester = client(asking);
      const replies = await Promise.all(
        Array.from({ length: 50 }, (_, i) => requester.request(topic, `question ${i}`, { key: `k${i}` })),
      );
      expect(replies.map((one) => one.text())).toEqual(Array.from({ length: 50 }, (_, i) => `question ${i}!`));
      expect(replies[0]).toMatchObject({ tag: 'answer', properties: { by: answering } });
      expect(new Set(seen).size).toBe(50);
      await consumer.close();
    });
  }
}

test('handlers of a group and simple consumers can reply too, also to a retried request', async () => {
  const server = client('ws');
  await server.setGroup('answerers', { retryDelaysMs: [50] });
  let failed = 0;
  const consumer = server.consumer('work', {
    group: 'answerers',
    order: 'none',
    onMessage: async (message) => {
      if (message.attempts === 1 && ++failed) throw new Error('not yet');
      await message.reply(`attempt ${message.attempts}`);
    },
    onError: () => {},
  });
  await consumer.ready();
  const requester = client('in process');
  const reply = await requester.request('work', 'x', { timeoutMs: 20_000 });
  expect([reply.text(), failed]).toEqual(['attempt 2', 1]);
  await consumer.close();

  const simple = server.simpleConsumer('leased', { group: 'leasers', from: 'earliest' });
  const asked = requester.request('leased', 'y', { timeoutMs: 20_000 });
  const [message] = await simple.receive({ max: 1, waitMs: 10_000 });
  await message.reply('leased and answered');
  await simple.ack(message);
  expect((await asked).text()).toBe('leased and answered');
  await simple.close();
}, 60_000);

test('another process answers', async () => {
  const script = `
    import { connect } from ${JSON.stringify(CLIENT)};
    const connection = connect(process.argv[1]);
    const consumer = connection.consumer('far', { onMessage: (m) => m.reply('from process ' + process.pid) });
    await consumer.ready();
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, broker.url as string]);
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  await until(() => said.includes('ready'), 'the other process listens', 10_000);
  const reply = await client('in process').request('far', 'who?', { timeoutMs: 10_000 });
  expect(reply.text()).toBe(`from process ${child.pid}`);
  child.kill();
});

test('no reply in time is a timeout, an abort ends the wait, and late replies do no harm', async () => {
  const server = client('in process');
  const late: (() => Promise<void>)[] = [];
  const consumer = server.consumer('slow', { onMessage: (message) => void late.push(() => message.reply('late')) });
  await consumer.ready();
  const requester = client('ws');
  await expect(requester.request('slow', 'x', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'timeout' });
  const stop = new AbortController();
  const aborted = requester.request('slow', 'x', { signal: stop.signal });
  setTimeout(() => stop.abort(new Error('never mind')), 20);
  await expect(aborted).rejects.toThrow('never mind');
  await expect(requester.request('slow', 'x', { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
  await until(() => late.length === 2, 'both requests were handled');
  for (const reply of late) await reply();
  const next = requester.request('slow', 'y', { timeoutMs: 10_000 });
  await until(() => late.length === 3, 'the third one was handled');
  await late[2]();
  expect((await next).text()).toBe('late');
  await expect(requester.request('slow', 'x', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'illegal-argument' });
});

test('what is no request cannot be replied to', async () => {
  const connection = client('ws');
  const errors: unknown[] = [];
  const consumer = connection.consumer('plain', {
    onMessage: (message) => message.reply('to whom?').catch((error: unknown) => void errors.push(error)),
  });
  await consumer.ready();
  const producer = connection.producer('plain');
  await producer.send('x');
  await producer.send('y', { properties: { REPLY_TO_CLIENT: 'orders', CORRELATION_ID: '1' } });
  await until(() => errors.length === 2, 'both replies were refused');
  expect(errors).toMatchObject([{ code: 'illegal-argument' }, { code: 'illegal-topic' }]);
});

test('a reply topic ends with the session or the seat that made it; a reply to it is refused then', async () => {
  const before = await replyTopics();
  const server = client('in process');
  const held: { reply(body: string): Promise<void> }[] = [];
  const consumer = server.consumer('held', { onMessage: (message) => void held.push(message) });
  await consumer.ready();
  const requesters = [client('ws'), client('in process')];
  const asked = requesters.map((one) => one.request('held', 'x', { timeoutMs: 30_000 }).catch((error) => error.code));
  await until(() => held.length === 2, 'both requests came');
  expect((await replyTopics()).length).toBe(before.length + 2);
  for (const one of requesters) await one.close();
  expect(await Promise.all(asked)).toEqual(['closed', 'closed']);
  await untilAnswer(replyTopics, (topics) => topics.length === before.length, 'both topics are gone');
  for (const one of held) await expect(one.reply('late')).rejects.toMatchObject({ code: 'unknown-topic' });
  expect((await replyTopics()).length).toBe(before.length);
});

test('by hand in JSON: ask, answer, and the topic goes with the session', async () => {
  const server = client('ws');
  const consumer = server.consumer('json', { onMessage: (message) => message.reply(`you said ${message.text()}`) });
  await consumer.ready();
  const socket = new WebSocket(broker.url as string, 'ringmq.json.v1');
  const said: Record<string, unknown>[] = [];
  socket.on('message', (text) => said.push(JSON.parse(text.toString())));
  await new Promise((resolve) => socket.on('open', resolve));
  const say = (command: object): void => socket.send(JSON.stringify(command));
  say({ op: 'create-topic', id: 1, topic: '%REPLY%me', partitions: 1, durable: false });
  await until(() => said.some(({ id }) => id === 1), 'the topic is there');
  say({ op: 'subscribe', id: 2, topic: '%REPLY%me' });
  await until(() => said.some(({ op }) => op === 'subscribed'), 'subscribed');
  const properties = { REPLY_TO_CLIENT: '%REPLY%me', CORRELATION_ID: '42' };
  say({ op: 'publish', id: 3, topic: 'json', body: 'hello', properties });
  await until(() => said.some(({ op }) => op === 'message'), 'the reply came');
  expect(said.find(({ op }) => op === 'message')).toMatchObject({ properties: { CORRELATION_ID: '42' } });
  socket.close();
  await untilAnswer(replyTopics, (topics) => !topics.includes('%REPLY%me'), 'its topic is gone');
});
