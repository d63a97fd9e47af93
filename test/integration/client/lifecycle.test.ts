// How a connection begins, ends and comes back, against a broker that can be made to misbehave.
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import type { StateChange } from '../../../src/client/connection.ts';
import { connect } from '../../../src/client/node.ts';
import type { WsConnection } from '../../../src/client/ws-connection.ts';
import { FakeBroker, type FakeOptions } from '../../support/fake-broker.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { until } from '../../support/until.ts';

const FAST = { reconnect: { minMs: 5, maxMs: 20 } } as const;
const open: { close?(): Promise<void>; stop?(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await (one.close?.() ?? one.stop?.());
});

async function fake(options: Partial<FakeOptions> = {}): Promise<FakeBroker> {
  const broker = await FakeBroker.start(options);
  open.push(broker);
  return broker;
}

async function proxied(broker: FakeBroker): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(broker.port);
  open.push(proxy);
  return proxy;
}

function client(...args: Parameters<typeof connect>): WsConnection {
  const connection = connect(...args);
  open.push(connection);
  return connection;
}

function statesOf(connection: WsConnection): StateChange[] {
  const states: StateChange[] = [];
  connection.onState((change) => states.push(change));
  return states;
}

test('connecting tells its steps, and closing ends them', async () => {
  const broker = await fake();
  const connection = client(broker.url, { name: 'me' });
  const states = statesOf(connection);
  expect(connection.state).toBe('connecting');
  await connection.ready();
  await connection.close();
  expect(states.map(({ from, to, code }) => [from, to, code])).toEqual([
    ['connecting', 'connected', 'ok'],
    ['connected', 'closed', 'closed'],
  ]);
  await expect(connection.ready()).rejects.toMatchObject({ code: 'closed' });
  expect(() => connection.producer('t')).toThrow(/closed/);
  await expect(connection.topics()).rejects.toMatchObject({ code: 'closed' });
});

test('nobody at the address: ready() says what to do, while the connection goes on trying', async () => {
  const port = await freePort();
  const connection = client(`ws://127.0.0.1:${port}`, FAST);
  await expect(connection.ready()).rejects.toMatchObject({
    code: 'connection-lost',
    message: `no broker at ws://127.0.0.1:${port} (ECONNREFUSED): start one with \`npx ringmq serve\``,
  });
  expect(connection.state).toBe('connecting');
  await fake({ port });
  await until(() => connection.state === 'connected', 'connected');
  await connection.ready();
});

test('reconnecting can be off or limited', async () => {
  const port = await freePort();
  const once1 = client(`ws://127.0.0.1:${port}`, { reconnect: false });
  await expect(once1.ready()).rejects.toMatchObject({ code: 'connection-lost' });
  await until(() => once1.state === 'closed', 'closed');
  const few = client(`ws://127.0.0.1:${port}`, { reconnect: { minMs: 1, maxMs: 2, attemptsMax: 3 } });
  const states = statesOf(few);
  await until(() => few.state === 'closed', 'closed');
  expect(states.filter(({ retryInMs }) => retryInMs !== undefined)).toHaveLength(3);
});

test('the next address is tried when one does not answer', async () => {
  const broker = await fake();
  const connection = client([`ws://127.0.0.1:${await freePort()}`, broker.url], FAST);
  await connection.ready();
  expect(connection.state).toBe('connected');
});

test('a handshake that is refused with 4xx is final, one with 5xx is not', async () => {
  let status = 403;
  const server = http.createServer((_, response) => response.writeHead(status).end('no pages from there'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({ close: async () => void server.close() });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const refused = client(url, FAST);
  await expect(refused.ready()).rejects.toMatchObject({
    code: 'origin-refused',
    message: `${url} refused the connection: HTTP 403 (no pages from there)`,
  });
  expect(refused.state).toBe('closed');
  status = 503;
  const patient = client(url, FAST);
  await expect(patient.ready()).rejects.toMatchObject({ code: 'connection-lost' });
  expect(patient.state).toBe('connecting');
});

test('close codes say whether to come back', async () => {
  const broker = await fake();
  const back = client(broker.url, FAST);
  const states = statesOf(back);
  await back.ready();
  for (const session of broker.sessions) session.socket.close(4000, 'restarting');
  await until(() => states.filter(({ to }) => to === 'connected').length === 2, 'back');
  expect(states[1]).toMatchObject({ to: 'reconnecting', code: 'shutting-down' });
  expect(states[1].retryInMs).toBeGreaterThanOrEqual(0);
  for (const session of broker.sessions) session.socket.close(4500, 'what was that');
  await until(() => back.state === 'closed', 'closed');
  expect(states.at(-1)).toMatchObject({ code: 'protocol-error' });
});

test('a broker that refuses hello is believed', async () => {
  const broker = await fake({
    onCommand: (session, correlation, command) => {
      if (command.type === 'hello')
        session.say({ type: 'refused', code: 'origin-refused', text: 'not you' }, correlation);
      return true;
    },
  });
  const connection = client(broker.url, FAST);
  await expect(connection.ready()).rejects.toMatchObject({ code: 'origin-refused', message: 'not you' });
  expect(connection.state).toBe('closed');
});

test('silence is noticed: no welcome, and later no pong', async () => {
  const mute = await fake({ onCommand: () => true });
  const connection = client(mute.url, { ...FAST, connectTimeoutMs: 50 });
  await expect(connection.ready()).rejects.toThrow(/no answer within 50 ms/);

  const broker = await fake({ heartbeatMs: 40 });
  const proxy = await proxied(broker);
  const alive = client(proxy.url, FAST);
  const states = statesOf(alive);
  await alive.ready();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(alive.state).toBe('connected');
  proxy.stall();
  await until(() => states.some(({ code }) => code === 'idle'), 'idle noticed');
  proxy.resume();
  await until(() => alive.state === 'connected', 'connected again');
});

test('requests wait for a connection, go out again after a lost one, and fail in time', async () => {
  const broker = await fake();
  const proxy = await proxied(broker);
  proxy.closedForAll = true;
  const connection = client(proxy.url, { ...FAST, requestTimeoutMs: 300 });
  await expect(connection.route('t')).rejects.toMatchObject({ code: 'connection-lost' });
  const waiting = connection.route('t');
  proxy.closedForAll = false;
  expect((await waiting).topic).toBe('t');
  const made = connection.createTopic('made');
  await until(() => [...broker.sessions].some(({ commands }) => commands.at(-1)?.type === 'create-topic'), 'asked');
  expect((await made).topic).toBe('made');
});

test('a request that may not be repeated fails when the connection is lost before its answer', async () => {
  const broker = await fake({ onCommand: (_, __, command) => command.type === 'create-topic' });
  const connection = client(broker.url, FAST);
  await connection.ready();
  const made = connection.createTopic('t');
  await until(() => [...broker.sessions][0].commands.at(-1)?.type === 'create-topic', 'asked');
  for (const session of broker.sessions) session.socket.terminate();
  await expect(made).rejects.toMatchObject({ code: 'connection-lost' });
});

test('an AbortSignal closes at once', async () => {
  const broker = await fake();
  const controller = new AbortController();
  const connection = client(broker.url, { signal: controller.signal });
  await connection.ready();
  const producer = connection.producer('t');
  await producer.ready();
  [...broker.sessions][0].mute = true;
  const sent = producer.send('never acknowledged').then(
    () => 'ok',
    (error) => error.code,
  );
  await until(() => broker.inFlightMax > 0, 'sent');
  controller.abort();
  expect(connection.state).toBe('closed');
  expect(await sent).toBe('closed');
});

test('frames that break the protocol end the connection with 4500', async () => {
  const nonsense: readonly (readonly [string, Uint8Array])[] = [
    ['no batch', new Uint8Array(64).fill(7)],
    ['not a multiple of eight', new Uint8Array(13)],
    ['a command that cannot be read', Buffer.concat([Buffer.alloc(4, 255), Buffer.alloc(28)])],
    ['a batch size of zero', new Uint8Array(128)],
  ];
  for (const [what, bytes] of nonsense) {
    const broker = await fake();
    const connection = client(broker.url, FAST);
    const errors: Error[] = [];
    connection.onError((error) => errors.push(error));
    await connection.ready();
    const [session] = broker.sessions;
    const closed = once(session.socket, 'close');
    session.socket.send(bytes);
    const [code] = await closed;
    expect([what, code]).toEqual([what, 4500]);
    expect(connection.state).toBe('closed');
    expect(errors).toHaveLength(1);
  }
});
