// Starting, taking part, leaving and stopping: seats, threads and the process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { SEAT_FIRST_FREE, SEAT_STATES, SEATS_MAX } from '../../../native-layout/control.ts';
import { attach } from '../../../src/client/in-process.ts';
import { seatState } from '../../../src/memory/seats.ts';
import { startBroker } from '../../../src/server/broker.ts';
import {
  controlOf,
  errorOf,
  kill,
  RoleThread,
  startConnected,
  startTestBroker,
  supervisorOf,
} from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/** The coordinator's own connection has the first one. */
const FIRST_SEAT = SEAT_FIRST_FREE + 1;
const PROCESS = fileURLToPath(new URL('../../support/engine-process.mjs', import.meta.url));

function seatsInUse(control: Int32Array): number {
  let used = 0;
  for (let seat = FIRST_SEAT; seat < SEATS_MAX; seat++) if (seatState(control, seat) !== SEAT_STATES.free) used++;
  return used;
}

afterEach(() => {
  vi.restoreAllMocks();
});

test('60 connections, one after the other, leak no seat', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('seats', { partitions: 1 });
  for (let i = 0; i < 60; i++) {
    const one = attach(broker.attachment);
    expect((await one.producer('seats').send('x')).offset).toBe(i);
    await one.close();
    expect(one.state).toBe('closed');
  }
  expect(seatsInUse(controlOf(broker))).toBe(1);
});

test('more threads than seats are refused, and a seat that is given back is taken', async () => {
  const broker = await startTestBroker();
  const connections = Array.from({ length: SEATS_MAX - FIRST_SEAT }, () => broker.connect());
  expect(() => broker.connect()).toThrow(expect.objectContaining({ code: 'seat-quota' }));
  await connections[7].close();
  expect((await broker.connect().createTopic('after')).partitions).toHaveLength(4);
});

test('what a closed connection left in its lane is not answered to the next one at its seat', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('narrow', { partitions: 1, ringBytes: 16 * 1024 });
  await connection.createTopic('other', { partitions: 1 });
  const consumer = connection.consumer('narrow', { onMessage: () => {} });
  await consumer.ready();
  consumer.pause();
  const leaving = broker.connect();
  leaving.onError(() => {});
  const producer = leaving.producer('narrow', { timeoutMs: 300 });
  const lost = Promise.allSettled(Array.from({ length: 60 }, () => producer.send('x'.repeat(1_000))));
  await lost;
  await leaving.close();
  expect(seatsInUse(controlOf(broker))).toBe(2);
  expect((await broker.connect().producer('other').send('z')).offset).toBe(0);
  consumer.resume();
  await until(() => seatsInUse(controlOf(broker)) === 2, 'the seat is free once its lane is empty');
  expect((await broker.connect().producer('other').send('z')).offset).toBe(1);
});

test('stop ends connections with messages in flight, here and in other threads', async () => {
  const broker = await startBroker({ workers: 1, drainMs: 2_000 });
  const connection = broker.connect();
  const waits = new RoleThread(broker, 'loop', {});
  const floods = new RoleThread(broker, 'flood', { topic: 'flood', count: 100_000_000 });
  await Promise.all([waits.heard('ready'), floods.heard('ready')]);
  const producer = connection.producer('mine');
  const sent = Array.from({ length: 100 }, () => producer.send('x'));
  await broker.stop();
  expect((await Promise.allSettled(sent)).map((one) => one.status)).toEqual(Array(100).fill('fulfilled'));
  expect(await waits.heard('done')).toEqual({ type: 'done', code: 'closed', state: 'closed' });
  expect(await floods.heard('failed')).toBeDefined();
  await broker.stopped;
  await broker.stop();
  expect(() => broker.connect()).toThrow(expect.objectContaining({ code: 'closed' }));
  expect(() => attach(broker.attachment)).toThrow(expect.objectContaining({ code: 'shutting-down' }));
  expect(supervisorOf(broker).threadsOf('broker')[0].threadId).toBe(-1);
});

test('a closed connection refuses everything and closes again without harm', async () => {
  const { connection } = await startConnected();
  const producer = connection.producer('t');
  const consumer = connection.consumer('t');
  await producer.send('x');
  const closing = connection.close();
  await Promise.all([closing, connection.close(), producer.close(), consumer.close()]);
  for (const call of [
    () => connection.producer('t'),
    () => connection.consumer('t'),
    () => connection.poll(),
    () => connection.wait(1),
  ]) {
    expect(call).toThrow(expect.objectContaining({ code: 'closed' }));
  }
  expect(await errorOf(connection.topics())).toMatchObject({ code: 'closed' });
  expect(await errorOf(producer.send('y'))).toMatchObject({ code: 'closed' });
});

test('a bad option starts no thread, and an unused broker stops at once', async () => {
  expect(await errorOf(startBroker({ workers: 99 }))).toMatchObject({ code: 'illegal-argument' });
  const broker = await startBroker({ workers: 16 });
  const started = performance.now();
  await broker.stop();
  expect(performance.now() - started).toBeLessThan(1_500);
});

test.each([
  ['stands still', 0],
  ['is set ahead all the time', 3_600_000],
])('a worker that dies again and again ends the broker with the reason, while the clock %s', async (_, aheadMs) => {
  const wall = Date.now.bind(Date);
  let ahead = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => wall() + ahead);
  const broker = await startBroker({ workers: 1 });
  const connection = broker.connect();
  connection.onError(() => {});
  const given = errorOf(broker.stopped);
  for (let i = 0; i < 5; i++) {
    ahead += aheadMs;
    await kill(broker, 'broker');
  }
  ahead += aheadMs;
  await supervisorOf(broker).threadsOf('broker')[0].terminate();
  expect((await given).message).toContain('broker thread died 6 times');
  await broker.stop();
  expect(connection.state).toBe('closed');
});

test.each(['stopped', 'idle', 'late', 'consumer'])('process: %s', async (how) => {
  const child = spawn(process.execPath, [PROCESS, how], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  expect({ code, signal, output }).toEqual({ code: 0, signal: null, output: `${how}\n` });
});
