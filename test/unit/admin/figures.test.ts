import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import {
  STORE_BYTES_LOW,
  STORE_DAMAGED,
  STORE_DURABLE_LOW,
  STORE_STATES,
  STORE_WRITTEN_LOW,
} from '../../../native-layout/store.ts';
import { loadAssets } from '../../../src/admin/assets.ts';
import { BrokerFigures } from '../../../src/admin/broker-figures.ts';
import { GroupFigures } from '../../../src/admin/group-figures.ts';
import { HostMeter } from '../../../src/admin/host-figures.ts';
import { packageRoot, packageVersion } from '../../../src/admin/package-info.ts';
import { Prometheus } from '../../../src/admin/prometheus.ts';
import { SystemMetrics } from '../../../src/admin/system-metrics.ts';
import { COUNTER, Counters } from '../../../src/memory/counters.ts';
import { activatePartition } from '../../../src/memory/partition-entry.ts';
import { attachRegions, createRegions, type StoreRegion } from '../../../src/memory/regions.ts';
import { beat, claimSeat, releaseSeat, setPartitionsUsed, setRouteVersion } from '../../../src/memory/seats.ts';
import {
  addStoreCount,
  countCommit,
  setStoreFull,
  setStoreNumber,
  setStoreState,
} from '../../../src/memory/store-state.ts';
import { GROUP_DEFAULTS, type GroupDescription } from '../../../src/wire/services.ts';

const SIZES = {
  workerCount: 2,
  frontendCount: 1,
  partitionMax: 64,
  laneBytes: 65_536,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
};
const FACTS = { name: 'b', version: '1.2.3', startedAt: 1_000, transport: 'ws' };

function rig() {
  const regions = attachRegions(createRegions('x', SIZES));
  return { regions, figures: new BrokerFigures(regions) };
}

function netDev(rx: number, tx: number): string {
  const names = 'bytes packets errs drop';
  return `Inter-|   Receive  |  Transmit
 face |${names} fifo frame compressed multicast|${names} fifo colls carrier compressed
    lo: 999999 1 0 0 0 0 0 0 999999 1 0 0 0 0 0 0
  eth0:${rx} 10 0 0 0 0 0 0 ${tx} 10 0 0 0 0 0 0
  eth1: ${rx} 10 0 0 0 0 0 0 ${tx} 10 0 0 0 0 0 0
`;
}

test('the busy part of each core and the bytes a second are differences between two calls', () => {
  let step = 0;
  const sources = {
    cpus: () => [
      { times: { user: step * 300, nice: 0, sys: step * 100, idle: step * 600, irq: 0 } },
      { times: { user: 0, nice: 0, sys: 0, idle: step * 1_000, irq: 0 } },
    ],
    netDev: () => netDev(1_000 * step, 500 * step),
  };
  const meter = new HostMeter(10_000, sources);
  step = 1;
  const figures = meter.read(12_000);
  expect(figures.cpu.cores).toEqual([40, 0]);
  expect(figures.cpu.busy).toBe(20);
  expect(figures.network).toEqual({ rxBytesPerS: 1_000, txBytesPerS: 500 });
  expect(figures.memory.totalBytes).toBeGreaterThan(figures.memory.freeBytes);
  expect(figures.eventLoop.utilization).toBeLessThanOrEqual(1);
});

test('where the system says nothing about the network, nothing is said', () => {
  const meter = new HostMeter(0, { cpus: () => [], netDev: () => undefined });
  expect(meter.read(1_000).network).toBeUndefined();
});

test('totals go over all seats, also those that were given back; signs of life are compared with the last look', () => {
  const { regions, figures } = rig();
  const seat = claimSeat(regions.control, 2, 2, 'broker', 1);
  const counters = new Counters(regions.control, seat);
  counters.add(COUNTER.messagesIn, 7);
  counters.publish();
  expect(figures.workers()).toEqual({ alive: 1, expected: 2 });
  expect(figures.seats()).toEqual([{ seat: 2, role: 'broker', alive: true }]);
  expect(figures.seats()[0].alive).toBe(false);
  beat(regions.control, seat);
  expect(figures.seats()[0].alive).toBe(true);
  releaseSeat(regions.control, seat);
  expect(figures.totals().messagesIn).toBe(7);
  expect(figures.seats()).toEqual([]);
});

test('topics and partitions are counted anew when routes have changed', () => {
  const { regions, figures } = rig();
  expect(figures.partitions()).toEqual({ topics: 0, partitions: 0, ringBytes: 0, ringUsedBytes: 0 });
  const identity = { number: 0, owner: 2, epoch: 1, permission: 6, overflow: 0, ringBytes: 65_536, durable: false };
  for (let id = 0; id < 3; id++) activatePartition(regions.table, id, { ...identity, topic: id >> 1, number: id });
  setPartitionsUsed(regions.control, 3);
  expect(figures.partitions().partitions).toBe(0);
  setRouteVersion(regions.control, 1);
  expect(figures.partitions()).toMatchObject({ topics: 2, partitions: 3 });
});

test('a sample has rates a second and sums', () => {
  const { regions, figures } = rig();
  const counters = new Counters(regions.control, 20);
  const metrics = new SystemMetrics(FACTS, figures, new HostMeter(0, { cpus: () => [], netDev: () => undefined }), 0);
  counters.add(COUNTER.messagesIn, 500);
  counters.add(COUNTER.connectionsOpened, 3);
  counters.add(COUNTER.connectionsClosed, 1);
  counters.publish();
  const sample = metrics.sample(2_000);
  expect(sample.rates.messagesIn).toBe(250);
  expect(sample.totals.messagesIn).toBe(500);
  expect(sample.connections).toBe(2);
  expect(sample.uptimeS).toBe(1);
  expect(metrics.sample(3_000).rates.messagesIn).toBe(0);
});

test('the text for Prometheus says the same however often it is asked for, and bounds its labels', async () => {
  const { regions, figures } = rig();
  const counters = new Counters(regions.control, 20);
  counters.add(COUNTER.framesOut, 5);
  counters.publish();
  const prometheus = new Prometheus(regions, figures, FACTS);
  const topics = Array.from({ length: 150 }, (_, i) => {
    return {
      topic: `t"\\${i}`,
      topicId: i,
      version: 1,
      overflow: 'block',
      ringBytes: 0,
      messageMaxBytes: 0,
      direct: false,
      durable: false,
      retentionMs: 0,
      retentionBytes: 0,
      partitions: [],
    } as const;
  });
  await prometheus.render(topics);
  const text = await prometheus.render(topics);
  expect(text).toMatch(/^ringmq_frames_out_total\{seat="20",role="none"\} 5$/m);
  expect(text).toContain('ringmq_info{broker="b",version="1.2.3",transport="ws"');
  expect(text.match(/^ringmq_topic_messages_total\{/gm)).toHaveLength(100);
  expect(text).toContain('ringmq_topic_messages_total{topic="t\\"\\\\0"} 0');
});

test('groups have series by group and topic, a bounded number, and none when they are gone', async () => {
  const { regions, figures } = rig();
  const prometheus = new Prometheus(regions, figures, FACTS);
  const queue = { epoch: 1, offset: 0, acked: [], attempts: [], owner: '', nextOffset: 9 };
  const groups: GroupDescription[] = Array.from({ length: 120 }, (_, i) => ({
    group: `g${i}`,
    settings: GROUP_DEFAULTS,
    subscriptions: [],
    members: [{ member: 'm', client: '', topic: 'a', idleMs: 1 }],
    queues: [
      { topic: 'a', partition: 0, lag: 3, leased: 2, ...queue },
      { topic: 'a', partition: 1, lag: 4, leased: 0, ...queue },
      { topic: 'b', partition: 0, lag: 5, leased: 1, ...queue },
    ],
    deadLetters: i,
  }));
  const text = await prometheus.render([], { figures: { timers: 11, halfMessages: 12 }, groups });
  expect(text).toMatch(/^ringmq_timers 11$/m);
  expect(text).toMatch(/^ringmq_half_messages 12$/m);
  expect(text).toContain('ringmq_consumer_lag_messages{group="g7",topic="a"} 7\n');
  expect(text).toContain('ringmq_consumer_lag_messages{group="g7",topic="b"} 5\n');
  expect(text).toContain('ringmq_consumer_inflight_messages{group="g7",topic="a"} 2\n');
  expect(text).toContain('ringmq_consumer_members{group="g7"} 1\n');
  expect(text).toContain('ringmq_dlq_messages{group="g7"} 7\n');
  expect(text.match(/^ringmq_dlq_messages\{/gm)).toHaveLength(100);
  expect(await prometheus.render([])).not.toMatch(/group="/);
});

test('figures of groups are asked for now and then, and nobody waits for a coordinator that is silent', async () => {
  let now = 10_000;
  const asked: string[] = [];
  let answers = true;
  const groups = new GroupFigures(
    (method, params) => {
      asked.push(method);
      if (!answers) return new Promise(() => {});
      const group = 'group' in params ? params.group : '';
      if (group === 'gone') return Promise.reject(new Error('unknown-group'));
      const list = { groups: [{ group: 'gone' }, { group: 'here' }], more: false };
      return Promise.resolve({ result: method === 'group-list' ? list : { group, queues: [], more: false } } as never);
    },
    () => now,
  );
  const names = async () => (await groups.read()).groups.map((one) => one.group);
  expect([await names(), await names(), asked.length]).toEqual([['here'], ['here'], 4]);
  now += 5_000;
  answers = false;
  expect([await names(), asked.length]).toEqual([['here'], 6]);
});

test('the figures of a store: none without one, its state by name, rates a second', async () => {
  const volatile = rig();
  expect(volatile.figures.store).toBeUndefined();
  expect(volatile.figures.storeState).toBe('off');
  expect(await new Prometheus(volatile.regions, volatile.figures, FACTS).render([])).not.toContain('ringmq_store');

  const regions = attachRegions(createRegions('x', { ...SIZES, durable: true }));
  const store = regions.store as StoreRegion;
  const figures = new BrokerFigures(regions);
  const metrics = new SystemMetrics(FACTS, figures, new HostMeter(0, { cpus: () => [], netDev: () => undefined }), 0);
  expect(figures.storeState).toBe('starting');
  setStoreState(store, STORE_STATES.running, 0);
  for (let i = 0; i < 6; i++) countCommit(store);
  setStoreNumber(store, STORE_WRITTEN_LOW, 5_000_000_000);
  setStoreNumber(store, STORE_DURABLE_LOW, 4_999_999_000);
  setStoreNumber(store, STORE_BYTES_LOW, 300);
  addStoreCount(store, STORE_DAMAGED, 2);
  expect(metrics.sample(2_000).store).toEqual({
    state: 'running',
    commits: 6,
    commitsPerS: 3,
    writtenPosition: 5_000_000_000,
    writtenBytesPerS: 2_500_000_000,
    durablePosition: 4_999_999_000,
    oldestPosition: 0,
    indexedPosition: 0,
    logBytes: 300,
    damagedRuns: 2,
  });
  setStoreFull(store, true);
  expect(figures.storeState).toBe('full');
  setStoreState(store, STORE_STATES.failed, 502);
  const prometheus = new Prometheus(regions, figures, FACTS);
  await prometheus.render([]);
  const text = await prometheus.render([]);
  expect(text).toMatch(/^ringmq_store_state\{state="failed"\} 1$/m);
  expect(text).toMatch(/^ringmq_store_state\{state="running"\} 0$/m);
  expect(text).toMatch(/^ringmq_store_commits_total 6$/m);
  expect(text).toMatch(/^ringmq_log_written_bytes_total 5000000000$/m);
  expect(text).toMatch(/^ringmq_log_bytes 300$/m);
  expect(text).toMatch(/^ringmq_log_damaged_runs_total 2$/m);
});

test('assets are the files of two folders under known paths, and a plain page where there are none', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'ringmq-assets-'));
  try {
    const plain = loadAssets(root);
    expect([...plain.keys()]).toEqual(['/', '/dashboard', '/dashboard/']);
    expect(new TextDecoder().decode(plain.get('/')?.body)).toContain('npm run build');
    mkdirSync(path.join(root, 'dist', 'dashboard', 'deep'), { recursive: true });
    mkdirSync(path.join(root, 'dist', 'browser'), { recursive: true });
    writeFileSync(path.join(root, 'dist', 'dashboard', 'index.html'), '<html>');
    writeFileSync(path.join(root, 'dist', 'dashboard', 'main.js'), '1');
    writeFileSync(path.join(root, 'dist', 'dashboard', 'secret.txt'), 'no');
    writeFileSync(path.join(root, 'dist', 'browser', 'ringmq.js'), '2');
    const assets = loadAssets(root);
    expect(assets.get('/')).toBe(assets.get('/index.html'));
    expect(assets.get('/main.js')?.headers['content-type']).toContain('javascript');
    expect(assets.get('/browser/ringmq.js')).toBe(assets.get('/ringmq.js'));
    expect(assets.has('/secret.txt')).toBe(false);
    expect(assets.get('/main.js')?.etag).not.toBe(assets.get('/ringmq.js')?.etag);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('the package knows where it lies and its version', () => {
  expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/);
  expect(path.isAbsolute(packageRoot())).toBe(true);
});
