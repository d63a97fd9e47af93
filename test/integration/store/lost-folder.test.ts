// The store thread dies, and the folder of the log cannot be read when its successor looks for it: the broker lives on
// with a store that has failed.
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../../support/command.ts';
import { dataFolder, errorOf, kill, startConnected } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { SEGMENT } from './failures-harness.ts';

test('a log that is gone when the store thread is started again: publishers are told, readers read on', async () => {
  const data = dataFolder();
  const { broker, connection } = await startConnected({ data, listen: { port: 0 }, logLevel: 'silent' });
  await connection.createTopic('t', { partitions: 1 });
  const producer = connection.producer('t');
  for (let i = 0; i < 20; i++) await producer.send(`m${i}`);
  const log = path.join(data, 'log');
  fs.renameSync(log, `${log}-elsewhere`);
  await kill(broker, 'store');

  const url = String(broker.url).replace('ws', 'http');
  const health = async (): Promise<{ status: string; store: string }> => (await fetch(`${url}/health`)).json();
  const isFailed = ({ store, status }: Awaited<ReturnType<typeof health>>) =>
    `${store} ${status}` === 'failed store-failed';
  await untilAnswer(health, isFailed, 'the store says that it has failed');
  expect(await errorOf(producer.send('late'))).toMatchObject({ code: 'store-failed' });
  const segments = fs.readdirSync(log).filter((name) => SEGMENT.test(name));
  expect(segments, 'no other log is begun').toEqual([]);
  const got: string[] = [];
  connection.consumer('t', { from: 'earliest', onMessage: (message) => void got.push(message.text()) });
  await until(() => got.length === 20, 'what is in memory is read');
  const volatile = connection.producer('gone');
  await connection.createTopic('gone', { durable: false });
  expect((await volatile.send('x')).offset).toBe(0);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/^ringmq_store_state\{state="failed"\} 1$/m);
  const doctor = await runCommand(['doctor', '--url', String(broker.url)]);
  expect(doctor.stdout).toMatch(/store is failed/);

  await connection.close();
  await broker.stop();
  fs.rmSync(log, { recursive: true });
  fs.renameSync(`${log}-elsewhere`, log);
  const again = await startConnected({ data });
  const kept: string[] = [];
  again.connection.consumer('t', { from: 'earliest', onMessage: (message) => void kept.push(message.text()) });
  await until(() => kept.length === 20, 'everything acknowledged is there after the next start');
});
