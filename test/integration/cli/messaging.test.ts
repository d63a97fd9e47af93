// Groups, dead letters, delays and filters as a person or script meets them: real processes, their output, exit codes.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Connection } from '../../../src/client/connection.ts';
import { connect } from '../../../src/client/node.ts';
import { type Broker, startBroker } from '../../../src/server/broker.ts';
import { type Ended, jsonLines, RunningCommand, runCommand } from '../../support/command.ts';
import { until, untilAnswer } from '../../support/until.ts';

const data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-cli-groups-'));
let broker: Broker;
let connection: Connection;

beforeAll(async () => {
  broker = await startBroker({ data, workers: 1, listen: { port: 0, systemMetrics: false } });
  connection = broker.connect();
});

afterAll(async () => {
  await connection.close();
  await broker.stop();
  fs.rmSync(data, { recursive: true });
});

function env(): Record<string, string> {
  return { RINGMQ_URL: broker.url as string };
}

function start(...args: readonly string[]): RunningCommand {
  return new RunningCommand(args, { env: env() });
}

function run(...args: readonly string[]): Promise<Ended> {
  return runCommand(args, { env: env() });
}

test('two members of a group share a topic, and the group goes on where it was', async () => {
  const members = [start('sub', 'shared', '--group', 'team'), start('sub', 'shared', '--group', 'team')];
  const described = async () => (await connection.describeGroup('team').catch(() => undefined))?.queues ?? [];
  const owners = (queues: Awaited<ReturnType<typeof described>>) => new Set(queues.map((one) => one.owner));
  await untilAnswer(
    described,
    (queues) => owners(queues).size === 2 && !owners(queues).has(''),
    'both have a share',
    20_000,
  );
  const producer = connection.producer('shared');
  await producer.sendBatch(
    Array.from({ length: 200 }, (_, i) => `m${i}`),
    {},
  );
  for (let i = 0; i < 100; i++) await producer.send(`n${i}`, { key: `k${i}` });
  const printed = () => members.map((one) => one.stdout.split('\n').filter((line) => line !== ''));
  await until(() => printed().flat().length === 300, 'all are printed', 20_000);
  expect(new Set(printed().flat()).size).toBe(300);
  expect(Math.min(...printed().map((one) => one.length))).toBeGreaterThan(0);
  for (const one of members) one.child.kill('SIGINT');
  expect(await Promise.all(members.map((one) => one.ended))).toEqual([0, 0]);
  await producer.send('later');
  const { stdout } = await run('sub', 'shared', '--group', 'team', '--count', '1');
  expect(stdout).toBe('later\n');
}, 60_000);

test('groups are listed, described, reset and deleted', async () => {
  const producer = connection.producer('ledger', { partition: 0 });
  await producer.sendBatch(['a', 'b', 'c']);
  await run('sub', 'ledger', '--group', 'books', '--from', 'earliest', '--count', '2');
  expect((await run('group', 'list')).stdout).toMatch(/^books +0 +1 +ledger$/m);
  expect(jsonLines((await run('group', 'list', '--json')).stdout)).toContainEqual(
    expect.objectContaining({ group: 'books', lag: 1, members: 0 }),
  );
  const described = (await run('group', 'describe', 'books')).stdout;
  expect(described).toMatch(/^lag +1 messages$/m);
  expect(described).toMatch(/^dead letters +none$/m);
  expect(described).toMatch(/^ledger +0 +- +2 +1 /m);
  const reset = await run('group', 'reset', 'books', '--topic', 'ledger', '--to', 'earliest', '--json');
  expect([reset.code, reset.stderr]).toEqual([0, '']);
  expect(jsonLines(reset.stdout)[0]).toMatchObject({ queues: expect.arrayContaining([{ partition: 0, offset: 0 }]) });
  expect((await run('sub', 'ledger', '--group', 'books', '--count', '3')).stdout).toBe('a\nb\nc\n');
  const one = await run('group', 'reset', 'books', '--topic', 'ledger', '--to', 'offset:1', '--partition', '0');
  expect(one.stdout).toMatch(/0@1/);
  expect((await run('group', 'delete', 'books')).stdout).toBe('deleted books\n');
  const gone = await run('group', 'describe', 'books');
  expect([gone.code, gone.stderr]).toEqual([1, expect.stringMatching(/books/)]);
}, 60_000);

test('every member of a broadcasting group prints everything', async () => {
  await connection.createTopic('news', { partitions: 2 });
  const sub = ['sub', 'news', '--group', 'readers', '--broadcast', '--count', '20'] as const;
  const members = [start(...sub), start(...sub)];
  await until(() => members.every((one) => one.stderr.includes('subscribed')), 'both are there', 20_000);
  const texts = Array.from({ length: 20 }, (_, i) => `n${i}`);
  await connection.producer('news').sendBatch(texts);
  expect(await Promise.all(members.map((one) => one.ended))).toEqual([0, 0]);
  for (const { stdout } of members) expect(stdout.split('\n').slice(0, -1).sort()).toEqual([...texts].sort());
}, 60_000);

test('a group is reset to the latest, and to a time', async () => {
  const producer = connection.producer('diary', { partition: 0 });
  await producer.sendBatch(['a', 'b']);
  await run('sub', 'diary', '--group', 'diarists', '--from', 'earliest', '--count', '1');
  const lag = async () => (await connection.describeGroup('diarists')).queues.reduce((sum, one) => sum + one.lag, 0);
  expect(await lag()).toBe(1);
  expect((await run('group', 'reset', 'diarists', '--topic', 'diary', '--to', 'latest')).code).toBe(0);
  expect(await lag()).toBe(0);
  expect((await run('group', 'reset', 'diarists', '--topic', 'diary', '--to', 'time:-1h')).stdout).toMatch(/0@0/);
  expect(await lag()).toBe(2);
  expect((await run('sub', 'diary', '--group', 'diarists', '--count', '2')).stdout).toBe('a\nb\n');
}, 60_000);

test('settings are shown and set', async () => {
  const set = await run('group', 'settings', 'strict', '--retry-delays', '10ms,1s', '--attempts', '3');
  expect([set.code, set.stdout]).toEqual([0, 'strict: 3 attempts, retries after 10 ms, 1 s\n']);
  expect(jsonLines((await run('group', 'settings', 'strict', '--json')).stdout)[0]).toMatchObject({
    attemptsMax: 3,
    retryDelaysMs: [10, 1000],
  });
});

test('dead letters are listed, shown with their reason, and replayed', async () => {
  await connection.setGroup('picky', { retryDelaysMs: [10], attemptsMax: 2 });
  const consumer = connection.consumer('parcels', {
    group: 'picky',
    order: 'none',
    onMessage: () => {
      throw new Error('it is broken');
    },
    onError: () => {},
  });
  await consumer.ready();
  await connection.producer('parcels').send('glass', { key: 'k1', tag: 'fragile' });
  const dead = async () => (await connection.describeGroup('picky')).deadLetters;
  await untilAnswer(dead, (count) => count === 1, 'it is dead', 30_000);
  await consumer.close();
  expect((await run('dlq', 'list')).stdout).toMatch(/^picky +1$/m);
  const shown = (await run('dlq', 'show', 'picky')).stdout;
  expect(shown).toMatch(/from parcels\/\d@0 {2}key k1 {2}tag fragile.*because: it is broken\nglass\n$/);
  expect(jsonLines((await run('dlq', 'show', 'picky', '--json')).stdout)[0]).toMatchObject({
    body: 'glass',
    key: 'k1',
  });
  expect((await run('dlq', 'replay', 'picky')).stdout).toBe('replayed 1 dead letters of picky, 0 are left\n');
  const { stdout } = await run('sub', 'parcels', '--from', 'earliest', '--count', '2');
  expect(stdout).toBe('glass\nglass\n');
  expect((await run('dlq', 'show', 'picky')).stderr).toMatch(/no dead letters/);
  expect((await run('dlq', 'list')).stdout).not.toMatch(/picky/);
}, 60_000);

test('a delayed message comes when it is due, and one that was taken back does not', async () => {
  await connection.createTopic('reminders', { partitions: 1 });
  const sub = start('sub', 'reminders', '--count', '1', '--json');
  await until(() => sub.stderr.includes('subscribed'), 'subscribed');
  const second = await run('pub', 'reminders', '--delay', '1h', '--message', 'too late', '--json');
  const [{ handle }, totals] = jsonLines(second.stdout);
  expect(totals).toMatchObject({ topic: 'reminders', messages: 1 });
  const before = Date.now();
  const first = await run('pub', 'reminders', '--delay', '800ms', '--message', 'now', '--tag', 't', '--priority', '7');
  expect(first.stderr).toMatch(/delivered at .*; to take it back: ringmq recall /);
  expect(await sub.ended).toBe(0);
  expect(Date.now() - before).toBeGreaterThanOrEqual(800);
  expect(jsonLines(sub.stdout)).toMatchObject([{ body: 'now', tag: 't', priority: 7 }]);
  expect((await run('recall', handle as string)).stdout).toMatch(/recalled/);
  const again = await run('recall', handle as string);
  expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/too-late|delivered or recalled/)]);
}, 60_000);

test('filters leave out what is not wanted', async () => {
  const producer = connection.producer('moods', { partition: 0 });
  for (const [tag, price] of [
    ['good', '1'],
    ['bad', '20'],
    ['odd', '30'],
    ['good', '40'],
  ]) {
    await producer.send(`${tag} ${price}`, { tag, properties: { price } });
  }
  const tags = await run('sub', 'moods', '--from', 'earliest', '--count', '3', '--filter', 'good || odd');
  expect(tags.stdout).toBe('good 1\nodd 30\ngood 40\n');
  const sql = await run('sub', 'moods', '--from', 'earliest', '--count', '1', '--sql', "price > 30 AND TAGS = 'good'");
  expect(sql.stdout).toBe('good 40\n');
  const wrong = await run('sub', 'moods', '--sql', 'price >');
  expect([wrong.code !== 0, wrong.stderr]).toEqual([true, expect.stringMatching(/illegal-filter|position/)]);
}, 60_000);

test('a traced message tells who stored, delivered, failed and acknowledged it', async () => {
  const tracing = broker.connect({ trace: { sample: 1 } });
  await tracing.setGroup('traced', { retryDelaysMs: [10] });
  let failed = false;
  const consumer = tracing.consumer('watched', {
    group: 'traced',
    from: 'earliest',
    member: 'm1',
    onMessage: () => {
      if (failed) return;
      failed = true;
      throw new Error('once');
    },
    onError: () => {},
  });
  await consumer.ready();
  const { id } = await tracing.producer('watched').send('x', { key: 'k' });
  const remote = connect(broker.url as string, { trace: { sample: 1 } });
  const simple = remote.simpleConsumer('watched', { group: 'leasing', from: 'earliest' });
  const [leased] = await simple.receive({ max: 1, waitMs: 10_000 });
  await simple.ack(leased);
  const steps = async () => jsonLines((await run('trace', id, '--json')).stdout);
  const all = await untilAnswer(steps, (found) => found.length >= 7, 'all steps are told', 20_000);
  const of = (group: string | undefined) => all.filter((one) => one.group === group).map((one) => one.step);
  expect(of(undefined)).toEqual(['stored']);
  expect(of('traced')).toEqual(['delivered', 'failed', 'delivered', 'acknowledged']);
  expect(of('leasing')).toEqual(['delivered', 'acknowledged']);
  const shown = (await run('trace', id)).stdout;
  expect(shown).toMatch(new RegExp(`^${id} of watched\nAT +STEP`));
  expect(shown).toMatch(/ delivered +traced +m1 +2 /);
  await Promise.all([tracing.close(), remote.close()]);
  expect((await run('trace', '0'.repeat(24))).stderr).toMatch(/nothing was traced/);
  expect((await run('trace', 'x')).code).toBe(2);
}, 60_000);

test('what the commands show is there over HTTP and in the metrics too', async () => {
  const producer = connection.producer('counted', { partition: 0 });
  await producer.sendBatch(['a', 'b', 'c']);
  await run('sub', 'counted', '--group', 'countants', '--from', 'earliest', '--count', '1');
  const http = (broker.url as string).replace('ws:', 'http:');
  const get = async (path: string) => fetch(`${http}${path}`);
  const list = (await (await get('/api/groups')).json()) as { groups: { group: string }[] };
  expect(list.groups).toContainEqual({ group: 'countants', topics: ['counted'], members: 0, lag: 2 });
  const one = (await (await get('/api/groups/countants')).json()) as { queues: object[] };
  expect(one).toMatchObject({ group: 'countants', members: [], deadLetters: 0 });
  expect((await get('/api/groups/nobody')).status).toBe(404);
  expect((await get('/api/groups?since=1')).status).toBe(400);
  const metrics = async () => (await get('/metrics')).text();
  await connection.schedule('counted', 'later', { delayMs: 3_600_000 });
  const wanted = 'ringmq_consumer_lag_messages{group="countants",topic="counted"} 2';
  expect(await untilAnswer(metrics, (text) => text.includes(wanted), 'the metrics say so', 15_000)).toContain(
    'ringmq_consumer_members{group="countants"} 0',
  );
  const timers = (text: string) => Number(/^ringmq_timers (\d+)$/m.exec(text)?.[1]);
  await untilAnswer(metrics, (text) => timers(text) > 0, 'they count timers', 15_000);
}, 60_000);

test('wrong usage exits with 2 and says what to do; help teaches', async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['group describe', /missing required argument/],
    ['group reset g --to earliest', /--topic/],
    ['group reset g --topic t --to yesterday', /earliest, latest, offset:N, time:WHEN/],
    ['group reset g --topic t --to offset:5', /--partition/],
    ['group settings g --retry-delays soon', /90s/],
    ['group describe a/b', /A-Z a-z 0-9/],
    ['pub t --delay soon --message x', /90s/],
    ['pub t --delay 1s --at 2099-01-01 --message x', /choose one/],
    ['pub t --delay 1s --ack none --message x', /--ack/],
    ['pub t --delay 1s --partition 0 --message x', /--key/],
    ['pub t --priority 10 --message x', /0 to 9/],
    ['sub t --broadcast', /--group/],
    ['sub t --order key', /--group/],
    ['sub t --filter a --sql b', /cannot be used with/],
    ['sub t --group g --partition 1', /partitions/],
    ['dlq replay', /missing required argument/],
    ['dlq show g --count 0', /whole number/],
  ];
  for (const [args, text] of cases) {
    const { code, stderr } = await run(...args.split(' '));
    expect([args, code === 0, stderr]).toEqual([args, false, expect.stringMatching(text)]);
  }
  const tooFar = await run('pub', 't', '--delay', '400d', '--message', 'x');
  expect([tooFar.code, tooFar.stderr]).toEqual([1, expect.stringMatching(/366 days/)]);
  for (const command of ['group', 'dlq', 'recall']) expect((await run(command, '--help')).stdout).toMatch(/Examples:/);
}, 60_000);
