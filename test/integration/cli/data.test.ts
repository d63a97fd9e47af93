// The `ringmq` command with a broker that keeps its data: queries, retention, groups, the log's own commands.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ended, jsonLines, runCommand } from '../../support/command.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { untilAnswer } from '../../support/until.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-cli-data-'));
const data = path.join(folder, 'data');
let server: ServerProcess;

function run(args: readonly string[], input = ''): Promise<Ended> {
  return runCommand(args, { env: { RINGMQ_URL: server.url, RINGMQ_DATA: data } }, input);
}

beforeAll(async () => {
  server = await ServerProcess.start(['--data', data, '--segment-bytes', '1m'], { forFile: true });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
  fs.rmSync(folder, { recursive: true });
});

test('query finds by key, by time, by offset and by id, and says who stored what when', async () => {
  const before = Date.now();
  await run(['topic', 'create', 'orders', '--partitions', '2']);
  for (const [key, body] of [
    ['anna', 'a1'],
    ['ben', 'b1'],
    ['anna', 'a2'],
  ]) {
    expect((await run(['pub', 'orders', '--key', key, '--tag', 'drink', '--message', body])).code).toBe(0);
  }
  const found = await untilAnswer(
    () => run(['query', 'orders', '--key', 'anna', '--json']),
    ({ stdout }) => jsonLines(stdout).length === 2,
    'the key index has caught up with the log',
  );
  const [first, second] = jsonLines(found.stdout);
  expect([first, second]).toMatchObject([
    { topic: 'orders', key: 'anna', tag: 'drink', body: 'a1' },
    { topic: 'orders', key: 'anna', body: 'a2' },
  ]);
  expect(Number(first.storedAt)).toBeGreaterThanOrEqual(before);
  expect(String(first.id)).toMatch(/^[0-9A-F]{24}$/);

  const byId = await run(['query', 'orders', '--id', String(second.id), '--json']);
  expect(jsonLines(byId.stdout)).toMatchObject([{ offset: second.offset, body: 'a2' }]);
  const byOffset = await run(['query', 'orders', '--partition', String(first.partition), '--offset', '0', '--json']);
  expect(jsonLines(byOffset.stdout)[0]).toMatchObject({ offset: 0, partition: first.partition });
  const byTime = await run(['query', 'orders', '--from', '-1h', '--json']);
  expect(
    jsonLines(byTime.stdout)
      .map(({ body }) => body)
      .sort(),
  ).toEqual(['a1', 'a2', 'b1']);
  expect((await run(['query', 'orders', '--to', String(before)])).stderr).toMatch(/no such messages/);

  const people = await run(['query', 'orders', '--key', 'ben']);
  expect(people.stdout).toMatch(/^\d{4}-\d\d-\d\dT\S+Z {2}orders\/\d@0 {2}id [0-9A-F]{24} {2}sent \S+ by producer/);
  expect(people.stdout).toMatch(/key ben {2}tag drink\nb1\n$/);
});

test("retention of a topic is set, shown and kept apart from the broker's", async () => {
  await run(['topic', 'create', 'audit', '--retention-age', '30d']);
  expect((await run(['topic', 'retention', 'audit'])).stdout).toBe('audit: for 30 days\n');
  expect((await run(['topic', 'retention', 'audit', '--bytes', '64m'])).stdout).toMatch(/30 days, up to 67.1 MB/);
  const set = await run(['topic', 'retention', 'audit', '--age', '0s', '--json']);
  expect(jsonLines(set.stdout)).toEqual([
    { topic: 'audit', durable: true, retentionMs: 0, retentionBytes: 64 * 2 ** 20 },
  ]);
  expect((await run(['topic', 'describe', 'audit'])).stdout).toMatch(/kept +in the log/);
  await run(['topic', 'create', 'ticks', '--volatile']);
  expect((await run(['topic', 'retention', 'ticks'])).stdout).toMatch(/volatile/);
  const list = (await run(['topic', 'list'])).stdout;
  expect(list).toMatch(/^audit +4 +yes +block/m);
  expect(list).toMatch(/^ticks +4 +no +block/m);
  expect((await run(['topic', 'retention', 'nosuch'])).code).toBe(1);
});

test('pub asks for an ack that the topic knows; sub goes on where its group was', async () => {
  for (const ack of ['none', 'accepted', 'written', 'durable']) {
    expect((await run(['pub', 'levels', '--ack', ack, '--key', 'k', '--message', ack])).code).toBe(0);
  }
  const first = await run(['sub', 'levels', '--group', 'g', '--from', 'earliest', '--count', '4']);
  expect([first.code, first.stdout]).toEqual([0, 'none\naccepted\nwritten\ndurable\n']);
  await run(['pub', 'levels', '--key', 'k'], 'five\nsix\n');
  expect((await run(['sub', 'levels', '--group', 'g', '--count', '2'])).stdout).toBe('five\nsix\n');
  await run(['topic', 'create', 'fleeting', '--volatile']);
  const refused = await run(['pub', 'fleeting', '--ack', 'durable', '--message', 'x']);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('ack-unsupported')]);
});

test('sub starts at a time', async () => {
  await run(['pub', 'times', '--key', 'k', '--message', 'old']);
  const time = String(Date.now() + 1);
  await run(['pub', 'times', '--key', 'k', '--message', 'new']);
  expect((await run(['sub', 'times', '--from', `time:${time}`, '--count', '1'])).stdout).toBe('new\n');
  expect((await run(['sub', 'times', '--from', 'time:-1h', '--count', '2'])).stdout).toBe('old\nnew\n');
});

test('log inspect and log verify look at the folder of a broker that runs', async () => {
  await run(['pub', 'filler', '--message', 'x'.repeat(1_000), '--count', '3000']);
  const inspected = await run(['log', 'inspect']);
  expect([inspected.code, inspected.stderr]).toEqual([0, '']);
  expect(inspected.stdout).toMatch(/^\d{20}\.log/m);
  const verified = await run(['log', 'verify']);
  expect([verified.code, verified.stdout]).toEqual([0, expect.stringMatching(/sound/)]);
});
