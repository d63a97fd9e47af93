// kill -9 of a broker process under load: what was acknowledged as written or durable is there afterwards, once, in
// order, at the offsets that its receipts named; clients go on.
import { expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { connect } from '../../../src/client/node.ts';
import { dataFolder } from '../../support/engine.ts';
import { Check, Load, readAll } from '../../support/engine-ledger.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { until } from '../../support/until.ts';

const SILENT = { onError: () => {} };

test.each([
  ['written', ['--disk-mode', 'buffered']],
  ['durable', ['--disk-mode', 'buffered', '--workers', '2']],
  ['durable', ['--disk-mode', 'auto']],
] as const)('killed under load: everything acknowledged as %s is there (%s)', async (ack, more) => {
  const data = dataFolder();
  const acked = new Map<string, string>();
  const port = String(await freePort());
  for (let round = 0; round < 3; round++) {
    const server = await ServerProcess.start(['--data', data, '--port', port, ...more]);
    const client = new AbortController();
    const connection = connect(server.url, { signal: client.signal });
    connection.onError(() => {});
    await connection.ready();
    const before = await readAll(connection, 'load').catch((error: { code?: string }) => {
      if (round === 0 && error.code === 'unknown-topic') return new Check();
      throw error;
    });
    expect([before.faults, before.missing(acked), before.doubled()]).toEqual([[], [], []]);
    const load = new Load(connection.producer('load', { ack, timeoutMs: 2_000 }), `r${round}-`);
    load.start(200, 100);
    await until(() => load.acked.size >= 3_000, 'messages are acknowledged', 30_000);
    await server.kill();
    // close() would wait for the broker to come back: what is unsent could still go.
    client.abort();
    await load.stop();
    for (const [place, body] of load.acked) {
      expect(acked.has(place), `${place} was given out twice`).toBe(false);
      acked.set(place, body);
    }
  }
  const server = await ServerProcess.start(['--data', data, '--port', port, ...more]);
  const connection = connect(server.url);
  const check = await readAll(connection, 'load');
  expect([check.faults, check.missing(acked), check.doubled()]).toEqual([[], [], []]);
  await connection.close();
  expect(await server.stop()).toBe(0);
});

test('a consumer and a producer over WebSocket live through kill -9 and a restart', async () => {
  const data = dataFolder();
  const first = await ServerProcess.start(['--data', data, '--workers', '2']);
  const bus = connect(first.url);
  bus.onError(() => {});
  const check = new Check();
  const epochs: object[] = [];
  const consumer = bus.consumer('life', {
    from: 'earliest',
    onMessage: check.take,
    // What was seen before it was written may be taken back: that is told, and is no fault.
    onGap: (gap) => (gap.reason === 'epoch-changed' ? epochs.push(gap) : check.gap(gap)),
    ...SILENT,
  });
  await consumer.ready();
  const load = new Load(bus.producer('life', { timeoutMs: 30_000, attemptsMax: Number.POSITIVE_INFINITY }));
  load.start(100);
  await until(() => load.acked.size >= 2_000, 'messages are acknowledged', 20_000);
  await first.kill();
  const second = await ServerProcess.start(['--data', data, '--port', first.port, '--workers', '2']);
  const before = load.acked.size;
  await until(() => load.acked.size >= before + 2_000, 'and again after the restart', 30_000);
  await load.stop();
  expect(load.failed).toEqual([]);
  await until(() => check.missing(load.acked).length === 0, 'everything acknowledged arrives', 20_000);
  expect(check.faults.filter((fault) => epochs.length === 0 || !/came for/.test(fault))).toEqual([]);
  await bus.close();
  const reader = connect(second.url);
  const all = await readAll(reader, 'life');
  expect([all.faults, all.missing(load.acked), all.doubled()]).toEqual([[], [], []]);
  await reader.close();
  expect(await second.stop()).toBe(0);
});

test('a server that is started while the killed one still has the lock file takes the folder over', async () => {
  const data = dataFolder();
  const first = await ServerProcess.start(['--data', data]);
  await expect(ServerProcess.start(['--data', data])).rejects.toThrow(/data-in-use|is used by/);
  await first.kill();
  const second = await ServerProcess.start(['--data', data]);
  expect(await second.stop()).toBe(0);
});
