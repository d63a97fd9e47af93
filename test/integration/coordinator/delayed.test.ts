// Delayed messages as applications use them: through every door, and over a restart.
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Connection } from '../../../src/client/connection.ts';
import type { Message } from '../../../src/client/message.ts';
import type { Messaging } from '../../../src/client/messaging.ts';
import { connect } from '../../../src/client/node.ts';
import type { Broker } from '../../../src/server/broker.ts';
import { dataFolder, errorOf, kill, listen, startTestBroker } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

type Client = Connection & Pick<Messaging, 'schedule' | 'recall'>;

const open: { close(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

function startListening(options = {}): Promise<Broker> {
  return startTestBroker({ listen: { port: 0, systemMetrics: false }, ...options });
}

const clients: [string, (broker: Broker) => Client][] = [
  ['in process', (broker) => broker.connect()],
  ['over WebSocket', (broker) => connect(broker.url as string)],
];

describe.each(clients)('%s', (_, clientOf) => {
  test('a message is scheduled, delivered when it is due, and cannot be recalled then', async () => {
    const broker = await startListening();
    const client = clientOf(broker);
    open.push(client);
    const heard = await listen(client, 'orders');
    const begun = Date.now();
    const extras = { key: 'k', tag: 'red', properties: { a: 'b' }, priority: 7 };
    const receipt = await client.schedule('orders', 'later', { ...extras, delayMs: 200 });
    expect(receipt).toMatchObject({ topic: 'orders', handle: expect.any(String) });
    await until(() => heard.length === 1, 'the message comes');
    expect(Date.now() - begun).toBeGreaterThanOrEqual(200);
    const [message] = heard;
    expect([message.text(), message.key, message.tag, message.priority]).toEqual(['later', 'k', 'red', 7]);
    expect({ ...message.properties }).toEqual({ a: 'b' });
    expect(await errorOf(client.recall(receipt.handle))).toMatchObject({ code: 'too-late' });
  });

  test('what one turn schedules comes whole, what is recalled does not', async () => {
    const broker = await startListening();
    const client = clientOf(broker);
    open.push(client);
    const heard = await listen(client, 'orders');
    const deliverAt = Date.now() + 700;
    const receipts = await Promise.all(
      Array.from({ length: 3_000 }, (_, i) => client.schedule('orders', `${i}`, { key: `${i % 50}`, deliverAt })),
    );
    await Promise.all(receipts.filter((_, i) => i % 100 === 0).map(({ handle }) => client.recall(handle)));
    await until(() => heard.length >= 2_970, 'the others come');
    const numbers = heard.map((message) => Number(message.text()));
    expect(new Set(numbers).size).toBe(2_970);
    expect(numbers.filter((one) => one % 100 === 0)).toEqual([]);
  });

  test('what cannot be scheduled is refused by code', async () => {
    const broker = await startListening({ autoCreateTopics: false });
    const client = clientOf(broker);
    open.push(client);
    await client.createTopic('orders');
    const code = async (call: Promise<unknown>): Promise<unknown> => (await errorOf(call)).code;
    expect(await code(client.schedule('orders', 'x', { delayMs: 367 * 86_400_000 }))).toBe('delay-out-of-range');
    expect(await code(client.schedule('orders', 'x', { delayMs: -1 }))).toBe('illegal-argument');
    expect(await code(client.schedule('orders', 'x', {} as { delayMs: number }))).toBe('illegal-argument');
    expect(await code(client.schedule('orders', 'x', { delayMs: 1, priority: 10 }))).toBe('illegal-priority');
    expect(await code(client.schedule('orders', 'x', { delayMs: 1, tag: 'a|b' }))).toBe('illegal-tag');
    expect(await code(client.schedule('orders', 'x'.repeat(100_000), { delayMs: 1 }))).toBe('message-too-large');
    expect(await code(client.schedule('orders', 'x'.repeat(2_000_000), { delayMs: 1 }))).toBe('message-too-large');
    expect(await code(client.schedule('nowhere', 'x', { delayMs: 1 }))).toBe('auto-create-off');
    expect(await code(client.schedule('%DLQ%g', 'x', { delayMs: 1 }))).toBe('no-write-permission');
    expect(await code(client.recall('nonsense'))).toBe('illegal-argument');
  });
});

test('the readable protocol takes deliverAt, delayMs and priority in a publish', async () => {
  const broker = await startListening();
  const heard = await listen(broker.connect(), 'orders');
  const socket = new WebSocket(broker.url as string);
  open.push(socket);
  const said: Record<string, unknown>[] = [];
  socket.on('message', (data) => said.push(JSON.parse(String(data))));
  await new Promise((resolve) => socket.once('open', resolve));
  const ask = async (command: object): Promise<Record<string, unknown>> => {
    const count = said.length;
    socket.send(JSON.stringify({ op: 'publish', topic: 'orders', id: 7, ...command }));
    await until(() => said.length > count, 'an answer');
    return said[count];
  };
  const deliverAt = Date.now() + 300;
  const answer = await ask({
    messages: [
      { body: 'b', deliverAt: deliverAt + 50 },
      { body: { a: 1 }, deliverAt, priority: 9 },
    ],
  });
  const receipts = [deliverAt + 50, deliverAt].map((at) => ({ deliverAt: at, handle: expect.any(String) }));
  expect(answer).toEqual({ op: 'scheduled', id: 7, topic: 'orders', receipts });
  await until(() => heard.length === 2, 'both come');
  expect(heard.map((one) => [one.text(), one.priority])).toEqual([
    ['{"a":1}', 9],
    ['b', 0],
  ]);
  expect(await ask({ body: 'x', delayMs: 1, deliverAt: 5 })).toMatchObject({ op: 'error', code: 'malformed-command' });
  expect(await ask({ body: 'x', priority: 10 })).toMatchObject({
    op: 'error',
    text: /priority must be an integer from 0 to 9/,
  });
  expect(await ask({ messages: [{ body: 'x', delayMs: 1 }, { body: 'y' }] })).toMatchObject({
    code: 'illegal-argument',
  });
  const far = await ask({ body: 'x', delayMs: 367 * 86_400_000 });
  expect(far).toMatchObject({ code: 'delay-out-of-range', text: expect.stringContaining('366 days') });
});

test('HTTP takes them too, in JSON and behind the question mark', async () => {
  const broker = await startListening();
  const heard = await listen(broker.connect(), 'orders');
  const base = `${(broker.url as string).replace(/^ws/, 'http')}/api/topics/orders/messages`;
  const post = async (query: string, body: string, type: string): Promise<[number, Record<string, unknown>]> => {
    const response = await fetch(base + query, { method: 'POST', body, headers: { 'content-type': type } });
    return [response.status, (await response.json()) as Record<string, unknown>];
  };
  const stored = { scheduled: [{ deliverAt: expect.any(Number), handle: expect.any(String) }] };
  expect(await post('?delayMs=150&priority=3&key=k', 'raw', 'text/plain')).toEqual([200, stored]);
  expect(await post('', '{"body":"json","delayMs":50}', 'application/json')).toEqual([200, stored]);
  await until(() => heard.length === 2, 'both come');
  expect(heard.map((one) => `${one.text()} ${one.key} ${one.priority}`).sort()).toEqual([
    'json undefined 0',
    'raw k 3',
  ]);
  const [status, refusal] = await post('?delayMs=99999999999999', 'x', 'text/plain');
  expect([status, JSON.stringify(refusal)]).toEqual([400, expect.stringContaining('366 days')]);
  expect((await post('?priority=10', 'x', 'text/plain'))[0]).toBe(400);
  expect((await post('?delayMs=1&partition=0', 'x', 'text/plain'))[0]).toBe(400);
});

test('what is scheduled survives a restart: each message comes once, a recalled one never', async () => {
  const data = dataFolder();
  const first = await startTestBroker({ data });
  const before = first.connect();
  await before.createTopic('orders');
  const now = Date.now();
  const receipts = [];
  for (let i = 0; i < 20; i++)
    receipts.push(await before.schedule('orders', `${i}`, { deliverAt: now + 100 + i * 150 }));
  await before.recall(receipts[19].handle);
  await before.recall(receipts[10].handle);
  await first.stop();
  const second = await startTestBroker({ data });
  const after = second.connect();
  const heard = await listen(after, 'orders');
  await until(() => heard.length >= 18, 'all come');
  await after.schedule('orders', 'end', { delayMs: 0 });
  await until(() => heard.some((one) => one.text() === 'end'), 'the end comes');
  const texts = heard.map((one) => one.text());
  const expected = Array.from({ length: 19 }, (_, i) => `${i}`).filter((one) => one !== '10');
  expect(texts.sort()).toEqual([...expected, 'end'].sort());
  expect(await errorOf(after.recall(receipts[0].handle))).toMatchObject({ code: 'too-late' });
});

test('the coordinator may die at any time: each message comes once', async () => {
  const broker = await startTestBroker({ data: dataFolder() });
  const client = broker.connect();
  const heard = await listen(client, 'orders');
  const now = Date.now();
  const all = Array.from({ length: 2_000 }, (_, i) => i);
  await Promise.all(all.map((i) => client.schedule('orders', `${i}`, { key: `${i % 9}`, deliverAt: now + 200 + i })));
  for (let deaths = 0; deaths < 3; deaths++) {
    const count = heard.length;
    // On a slow machine all may have come by now: then nothing more does.
    await until(() => heard.length > count || heard.length >= all.length, 'some come');
    await kill(broker, 'coordinator');
  }
  await until(() => heard.length >= all.length, 'all come', 20_000);
  await untilDone(client, heard);
  const numbers = heard.map((one) => Number(one.text())).filter((one) => one >= 0);
  expect(numbers.length).toBe(all.length);
  expect(new Set(numbers).size).toBe(all.length);
}, 60_000);

/** Until one that is scheduled now has come: what came twice would have come before. */
async function untilDone(client: Client, heard: readonly Message[]): Promise<void> {
  await untilAnswer(
    () =>
      client.schedule('orders', '-1', { delayMs: 0 }).then(
        () => 'ok',
        ({ code }) => code,
      ),
    (code) => code === 'ok',
    'the coordinator takes messages again',
  );
  await until(() => heard.some((one) => one.text() === '-1'), 'the end comes');
}
