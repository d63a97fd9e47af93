import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeLog } from '../../../src/base/log.ts';
import { NodeDisk } from '../../../src/log/disk-node.ts';
import { recoverLog, segmentsToVerify } from '../../../src/log/recovery.ts';
import { type SegmentVerdict, verifySegment } from '../../../src/log/segment-verdict.ts';
import { openStore } from '../../../src/server/store.ts';
import { type StoreOptions, settleStore } from '../../../src/server/store-options.ts';
import { verifyInParallel } from '../../../src/server/verify-pool.ts';
import { SampleLog } from '../log/sample-log.ts';

const LOG = makeLog('silent');
let data = '';

beforeEach(() => {
  data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-store-'));
});

afterEach(() => {
  fs.rmSync(data, { recursive: true });
});

function open(options: StoreOptions = {}) {
  return openStore({ ...settleStore({ data, ...options }), data, ringBytes: 65_536 }, LOG);
}

test('every start has a number of its own, and the folder is free again after it', async () => {
  for (const generation of [1, 2, 3]) {
    const store = await open();
    expect(store.forStoreThread()).toMatchObject({ generation, recovered: { end: 0, queues: [], segments: [] } });
    await expect(open()).rejects.toMatchObject({ code: 'data-in-use' });
    store.release();
  }
  expect(fs.readdirSync(data).sort()).toEqual(['log', 'ringmq.json', 'state']);
});

test('only the first start of a thread is told what the log was: a successor looks for itself', async () => {
  const store = await open({ segmentBytes: 2 ** 21, retentionMs: 5_000, retentionBytes: 9 });
  expect(store.forStoreThread()).toHaveProperty('recovered');
  expect(store.forLogReader()).toMatchObject({ segmentBytes: 2 ** 21, retentionMs: 5_000, retentionBytes: 9 });
  for (const again of [store.forStoreThread(), store.forLogReader()]) {
    expect(again).not.toHaveProperty('recovered');
  }
  store.release();
});

test('what cannot be opened is refused by name, and the folder is free again', async () => {
  (await open()).release();
  const state = path.join(data, 'state');
  fs.renameSync(state, `${state}.away`);
  fs.writeFileSync(state, 'no folder');
  await expect(open()).rejects.toMatchObject({ code: 'store-failed', message: expect.stringContaining(state) });
  fs.rmSync(state);
  fs.renameSync(`${state}.away`, state);
  const store = await open();
  expect(store.forStoreThread().generation).toBe(2);
  store.release();
});

test('segments verified by a pool of threads are what one thread finds', async () => {
  const sample = new SampleLog(256 * 1024);
  for (let i = 0; i < 40; i++) sample.block({ topicId: 1, partition: i % 3, counts: [10, 10], bodyBytes: 2_000 });
  const { folder } = sample;
  const disk = new NodeDisk(folder);
  const bases = segmentsToVerify(disk);
  expect(bases.length).toBeGreaterThan(3);
  const verdicts = new Map<number, SegmentVerdict>();
  await verifyInParallel(
    bases.map((base) => ({ folder, base, options: {} })),
    (verdict) => verdicts.set(verdict.base, verdict),
  );
  expect([...verdicts.keys()].sort((a, b) => a - b)).toEqual(bases);
  for (const base of bases) expect(verdicts.get(base)).toEqual(verifySegment(disk, base));
  const options = { onDamage: 'stop', ringBytesMax: 65_536 } as const;
  const { report: _one, ...alone } = recoverLog(disk, options);
  const { report: _two, ...parallel } = recoverLog(disk, { ...options, verdicts });
  expect(parallel).toEqual(alone);
  sample.remove();
});

test('damage stops the start and changes nothing; with quarantine it goes on', async () => {
  (await open()).release();
  const sample = new SampleLog(256 * 1024);
  for (let i = 0; i < 40; i++) sample.block({ topicId: 1, partition: 0, counts: [10, 10], bodyBytes: 2_000 });
  fs.cpSync(sample.folder, path.join(data, 'log'), { recursive: true });
  sample.remove();
  const first = path.join(data, 'log', `${'0'.repeat(20)}.log`);
  const bytes = fs.readFileSync(first);
  bytes[50_000] ^= 1;
  fs.writeFileSync(first, bytes);
  const before = fs.readdirSync(path.join(data, 'log'));
  await expect(open()).rejects.toMatchObject({ code: 'log-corrupt', message: expect.stringContaining('quarantine') });
  expect(fs.readdirSync(path.join(data, 'log'))).toEqual(before);
  const store = await open({ onDamage: 'quarantine' });
  expect(store.forStoreThread().recovered?.report.damaged).toHaveLength(1);
  store.release();
});
