// A broker process that ends at a named place of its code (src/log/crash-point.ts), under load or while it starts: what
// was acknowledged is there afterwards.
import { expect, test } from 'vitest';
import { connect } from '../../../src/client/node.ts';
import { type CrashPoint, STORE_CRASH_POINTS } from '../../../src/log/crash-point.ts';
import { dataFolder } from '../../support/engine.ts';
import { Load, readAll } from '../../support/engine-ledger.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { until } from '../../support/until.ts';

/** Retention takes the oldest away. */
const MORE_ARGS: Partial<Record<CrashPoint, readonly string[]>> = { 'log.retained': ['--retention-bytes', '3m'] };
const AT_START: readonly CrashPoint[] = ['recovery.verified', 'recovery.done'];
/** How often the place is passed before the end: not at the very first message. */
const TIMES: Partial<Record<CrashPoint, number>> = {
  'broker.appended': 50,
  'broker.released': 20,
  // The first topic is sys.metrics, while the broker starts.
  'state.topic-created': 2,
  'store.staged': 30,
  'store.torn-write': 30,
  'store.written': 30,
  'store.noticed': 30,
  // It writes the first ones while it starts.
  'journal.appended': 4,
};

test.each(STORE_CRASH_POINTS)('ended at %s', async (point) => {
  const data = dataFolder();
  const args = ['--data', data, '--segment-bytes', '1m', ...(MORE_ARGS[point] ?? [])];
  const atStart = AT_START.includes(point);
  const env = { RINGMQ_CRASH: `${point}:${TIMES[point] ?? 1}` };
  const first = await ServerProcess.start(args, atStart ? {} : { env });
  const client = new AbortController();
  const bus = connect(first.url, { signal: client.signal });
  bus.onError(() => {});
  const group = { group: 'g', mode: 'broadcasting', commitMs: 50 } as const;
  bus.consumer('load', { ...group, onMessage: () => {}, onError: () => {} });
  const load = new Load(bus.producer('load', { ack: 'durable', timeoutMs: 1_500 }));
  if (atStart) {
    for (let i = 0; i < 10; i++) await load.sendBlock(100, 'x'.repeat(2_000));
    await first.kill();
    await expect(ServerProcess.start(args, { env })).rejects.toThrow(/the server ended/);
  } else {
    load.start(100, 2_000);
    await until(() => first.ended, 'the process ends at the place', 30_000);
  }
  // close() would wait some seconds for the broker to come back: what is unsent could still go.
  client.abort();
  await load.stop();

  const second = await ServerProcess.start(args);
  const reader = connect(second.url);
  const known = (await reader.topics()).some((one) => one.topic === 'load');
  if (known) {
    const check = await readAll(reader, 'load');
    const oldest = new Map((await reader.route('load')).partitions.map((one) => [one.number, one.oldestOffset]));
    const kept = [...load.acked].filter(([place]) => {
      const [partition, offset] = place.split('@').map(Number);
      return offset >= (oldest.get(partition) ?? 0);
    });
    if (MORE_ARGS[point] === undefined) expect(kept).toHaveLength(load.acked.size);
    expect([check.faults, check.missing(new Map(kept)), check.doubled()]).toEqual([[], [], []]);
  } else expect(load.acked.size).toBe(0);
  await reader.producer('load', { ack: 'durable' }).send('goes on');
  await reader.close();
  expect(await second.stop()).toBe(0);
});

const THREADS: readonly [CrashPoint, string][] = [
  ['broker.appended', 'broker'],
  ['store.torn-write', 'store'],
  ['store.written', 'store'],
  ['store.sealed', 'store'],
  ['store.segment-created', 'store'],
  ['log.index-written', 'log-reader'],
  ['state.topic-created', 'nameserver'],
  ['journal.appended', 'coordinator'],
];

test.each(THREADS)('only a thread ends at %s, once', async (point, thread) => {
  const env = { RINGMQ_CRASH: `${point}:${TIMES[point] ?? 1}:thread` };
  const server = await ServerProcess.start(['--data', dataFolder(), '--segment-bytes', '1m'], { env });
  const bus = connect(server.url);
  bus.onError(() => {});
  const load = new Load(bus.producer('load', { ack: 'durable', timeoutMs: 30_000 }));
  load.start(100, 2_000);
  const group = bus.consumer('load', { group: 'g', from: 'earliest', onMessage: () => {}, onError: () => {} });
  const ends = (): string[] => server.stderr.split('\n').filter((line) => line.includes('thread ended'));
  await until(() => ends().length > 0, 'a thread ends at the place', 30_000);
  const before = load.acked.size;
  // A second segment, a second index: its successor passes the place as well.
  await until(() => load.acked.size > before + 2_000, 'it goes on', 30_000);
  await load.stop();
  await group.close();
  const check = await readAll(bus, 'load');
  expect([load.failed, check.faults, check.missing(load.acked), check.doubled()]).toEqual([[], [], [], []]);
  expect(ends()).toEqual([expect.stringContaining(`"thread":"${thread}"`)]);
  expect(server.ended).toBe(false);
  await bus.close();
});
