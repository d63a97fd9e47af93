// Damage in the data folder of real broker processes: refused with words that help, or told as a gap, never served.
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { connect, type WsConnection } from '../../../src/client/node.ts';
import { runCommand } from '../../support/command.ts';
import { dataFolder } from '../../support/engine.ts';
import { Load } from '../../support/engine-ledger.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { until, untilAnswer } from '../../support/until.ts';
import {
  contentOf,
  fillLog,
  flip,
  flipMiddle,
  logFiles,
  lost,
  readBack,
  refusedStart,
  SEGMENT,
  SMALL,
} from './failures-harness.ts';

async function clientOf(server: ServerProcess): Promise<WsConnection> {
  const connection = connect(server.url);
  connection.onError(() => {});
  await connection.ready();
  return connection;
}

/** Damage as `ringmq log verify --json` lists it. */
async function verified(data: string): Promise<{ code: number | null; damage: Record<string, unknown>[] }> {
  const { code, stdout } = await runCommand(['log', 'verify', '--data', data, '--json']);
  const lines = stdout.trim().split('\n');
  const damage = lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((one) => 'damage' in one);
  return { code, damage };
}

test.each(['buffered', 'auto'] as const)(
  'bytes turned over in a log that has to be verified: refused, or set aside (%s)',
  async (mode) => {
    const data = dataFolder();
    const args = ['--data', data, '--disk-mode', mode, ...SMALL];
    const first = await ServerProcess.start(args);
    const writing = await clientOf(first);
    const load = await fillLog(writing, 'orders', 32);
    expect([load.failed, load.acked.size]).toEqual([[], 640]);
    await writing.close();
    await first.kill();

    const segments = logFiles(data, SEGMENT);
    expect(segments.length).toBeGreaterThanOrEqual(3);
    const newest = segments.at(-1) as string;
    const hit = flipMiddle(newest);
    const before = contentOf(data);
    const refused = await refusedStart(data, ['--disk-mode', mode]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/log-corrupt/);
    expect(refused.stderr).toContain(path.basename(newest));
    expect(refused.stderr).toMatch(/log position \d+/);
    expect(refused.stderr).toMatch(/--on-damage quarantine/);
    expect(contentOf(data)).toBe(before);

    const found = await verified(data);
    const bad = found.damage.find((one) => one.damage === 'block');
    expect([found.code, bad]).toMatchObject([1, { file: path.basename(newest) }]);
    expect(contentOf(data)).toBe(before);

    const second = await ServerProcess.start([...args, '--on-damage', 'quarantine']);
    const reading = await clientOf(second);
    const back = await readBack(reading, 'orders');
    expect(lost(back, load)).toEqual([]);
    expect(back.gaps).toMatchObject([{ reason: 'damaged', partition: 0 }]);
    expect(back.gaps[0].from).toBeLessThanOrEqual(hit);
    expect(back.gaps[0].to).toBeGreaterThan(hit);
    expect(back.got.size).toBeGreaterThan(500);
    const known = await verified(data);
    expect(known).toEqual({ code: 0, damage: found.damage.map((one) => ({ ...one, known: true })) });
    // What is written now is found behind the damage, by the next life too.
    const more = new Load(reading.producer('orders', { ack: 'durable' }), 'n');
    await more.sendBlock(20, ' more');
    await reading.close();
    await second.kill();
    const third = await ServerProcess.start(args);
    const again = await clientOf(third);
    const all = await readBack(again, 'orders');
    expect([lost(all, load), lost(all, more), more.failed]).toEqual([[], [], []]);
    expect(all.gaps.filter((gap) => gap.reason !== 'epoch-changed')).toMatchObject(
      back.gaps.map(({ from, to }) => ({ from, to, reason: 'damaged' })),
    );
    await again.close();
    expect(await third.stop()).toBe(0);
  },
  60_000,
);

test('damage in an old segment of a running broker is a gap, is counted, and nothing else is missing', async () => {
  const data = dataFolder();
  const first = await ServerProcess.start(['--data', data, ...SMALL]);
  const writing = await clientOf(first);
  const load = await fillLog(writing, 'orders', 40);
  expect(load.failed).toEqual([]);
  await writing.close();
  expect(await first.stop()).toBe(0);
  // One that has nothing of it in memory.
  const server = await ServerProcess.start(['--data', data, ...SMALL]);
  const connection = await clientOf(server);
  const hit = flipMiddle(logFiles(data, SEGMENT)[0]);
  const back = await readBack(connection, 'orders');
  expect(lost(back, load)).toEqual([]);
  expect(back.gaps).toMatchObject([{ reason: 'damaged', partition: 0 }]);
  expect(back.gaps[0].from <= hit && hit < back.gaps[0].to).toBe(true);
  expect(back.gaps[0].to - back.gaps[0].from).toBeLessThanOrEqual(40);
  const metrics = await (await fetch(`${server.url.replace('ws', 'http')}/metrics`)).text();
  expect(Number(/^ringmq_log_damaged_runs_total\S* (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(0);
  await until(() => /damaged/.test(server.stderr), 'the broker says so on stderr');
  await connection.close();
  expect(await server.stop()).toBe(0);
});

function each(data: string, pattern: RegExp, harm: (file: string) => void): void {
  const files = logFiles(data, pattern);
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) harm(file);
}

/** Aids that a broker can make again from the log. */
const AIDS: readonly (readonly [string, (data: string) => void])[] = [
  ['nothing', () => {}],
  [
    'index files and key index gone',
    (data) => {
      each(data, /\.idx$/, (file) => fs.rmSync(file));
      fs.rmSync(path.join(data, 'state/keys'), { recursive: true });
    },
  ],
  [
    'index files, key index and expired.json damaged',
    (data) => {
      each(data, /\.idx$/, (file) => flip(file, 200));
      flip(path.join(data, 'state/keys/data.mdb'), 4_096, 8_192);
      fs.writeFileSync(path.join(data, 'log/expired.json'), '{"crc":1,"queues":[[');
    },
  ],
  [
    'index files cut, checkpoint damaged, key index empty',
    (data) => {
      each(data, /\.idx$/, (file) => fs.truncateSync(file, 100));
      flip(path.join(data, 'log/checkpoint.json'), 20);
      fs.truncateSync(path.join(data, 'state/keys/data.mdb'), 0);
    },
  ],
  ['checkpoint gone', (data) => fs.rmSync(path.join(data, 'log/checkpoint.json'))],
];

test('after a stop in order index files vouch for the log: verify and doctor say what that means', async () => {
  const data = dataFolder();
  const first = await ServerProcess.start(['--data', data, ...SMALL]);
  const writing = await clientOf(first);
  const load = await fillLog(writing, 'orders', 32);
  await writing.close();
  expect(await first.stop()).toBe(0);
  const segments = logFiles(data, SEGMENT);
  const hit = flipMiddle(segments[0]);

  const doctor = await runCommand(['doctor', '--data', data, '--json']);
  const findings = doctor.stdout.trim().split('\n');
  const found = findings.map((one) => JSON.parse(one) as { what: string; text: string });
  const text = found.find(({ what }) => what === 'log')?.text;
  expect(text).toContain(`${segments.length} segments; a start verifies 0, index files vouch for ${segments.length}`);
  expect((await verified(data)).code).toBe(1);
  const again = await ServerProcess.start(['--data', data, ...SMALL]);
  const reading = await clientOf(again);
  const { got, gaps } = await readBack(reading, 'orders');
  expect(gaps.map((gap) => [gap.reason, gap.from <= hit && hit < gap.to])).toEqual([['damaged', true]]);
  expect(got.size).toBe(load.acked.size - gaps[0].to + gaps[0].from);
  await reading.close();
  expect(await again.stop()).toBe(0);
});

test('index files, checkpoint and key index are made again', async () => {
  const data = dataFolder();
  const loads: Load[] = [];
  for (const [what, harm] of AIDS) {
    harm(data);
    const server = await ServerProcess.start(['--data', data, ...SMALL]);
    const connection = await clientOf(server);
    loads.push(await fillLog(connection, 'orders', 16, `m${loads.length}x`));
    const back = await readBack(connection, 'orders');
    expect([what, ...loads.map((load) => lost(back, load))]).toEqual([what, ...loads.map(() => [])]);
    expect([what, back.gaps.filter((gap) => gap.reason !== 'epoch-changed')]).toEqual([what, []]);
    await untilAnswer(
      () => connection.query({ topic: 'orders', key: 'k1', limit: 1_000 }),
      // One of sixteen messages has this key.
      (matches) => matches.length === loads.length * 20,
      `${what}: the keys are found`,
    );
    await connection.close();
    expect([what, await server.stop()]).toEqual([what, 0]);
  }
}, 120_000);

test('a damaged journal of topics is refused; without it all messages are there under names of their own', async () => {
  const data = dataFolder();
  const args = ['--data', data, ...SMALL];
  const first = await ServerProcess.start(args);
  const writing = await clientOf(first);
  const load = await fillLog(writing, 'orders', 20);
  const { topicId } = await writing.route('orders');
  await writing.close();
  expect(await first.stop()).toBe(0);

  const journal = path.join(data, 'state/meta/meta.journal');
  const kept = fs.readFileSync(journal);
  flip(journal, 40);
  const before = contentOf(data);
  const refused = await refusedStart(data);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/state-corrupt/);
  expect(refused.stderr).toMatch(/Restore the folder from a copy/);
  expect(contentOf(data)).toBe(before);
  fs.writeFileSync(journal, kept);
  const restored = await ServerProcess.start(args);
  const reader = await clientOf(restored);
  expect(lost(await readBack(reader, 'orders'), load)).toEqual([]);
  await reader.close();
  expect(await restored.stop()).toBe(0);

  fs.rmSync(journal);
  const without = await ServerProcess.start(args);
  const finder = await clientOf(without);
  const back = await readBack(finder, `lost.${topicId}`);
  expect([lost(back, load), back.gaps]).toEqual([[], []]);
  const made = await finder.createTopic('orders', { partitions: 1 });
  expect(made.topicId).toBeGreaterThan(topicId);
  expect((await readBack(finder, 'orders')).got.size).toBe(0);
  await finder.close();
  expect(await without.stop()).toBe(0);
}, 60_000);
