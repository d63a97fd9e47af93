// The state under kill -9 of its process and terminate() of its thread: what was answered is there.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, expect, test } from 'vitest';
import { openMetaStore } from '../../../src/state/meta-store.ts';

const PROCESS = fileURLToPath(new URL('../../support/state-process.mjs', import.meta.url));
const THREAD = new URL('../../support/state-thread.mjs', import.meta.url);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-state-'));

afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

test('kill -9 between a change and its answer, process after process: what was answered is there, ids are new', () => {
  const data = path.join(folder, 'killed');
  const answered: string[] = [];
  for (const [i, point] of [
    'state.topic-created:1',
    'state.topic-created:4',
    'state.offsets-committed:3',
    '',
  ].entries()) {
    const env = { ...process.env, RINGMQ_CRASH: point };
    const run = spawnSync(process.execPath, [PROCESS, data, '5'], { env, encoding: 'utf8', timeout: 30_000 });
    expect([run.signal, run.stderr]).toEqual([point === '' ? null : 'SIGKILL', '']);
    const lines = run.stdout.split('\n').filter((line) => line !== '');
    expect(lines.length).toBe([0, 6, 5, 10][i]);
    answered.push(...lines);
    const store = openMetaStore(data);
    const byName = new Map(store.topics().map((one) => [one.topic, one]));
    const ids = [...byName.values()].map((one) => one.topicId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const line of answered) {
      const [kind, topic, detail, offset] = line.split(' ');
      const record = byName.get(topic);
      if (kind === 'topic') expect(record?.topicId, line).toBe(Number(detail));
      else expect(store.offsets(record?.topicId ?? -1, detail)?.positions[0].epoch, line).toBe(Number(offset));
    }
    store.close();
  }
});

test('terminate() in the middle of commits, 20 times: the next one opens, and has what was committed', async () => {
  const data = path.join(folder, 'terminated');
  for (let i = 0; i < 20; i++) {
    const count = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(THREAD, { workerData: { folder: data, count } });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    const most = Atomics.load(count, 0) + 1 + ((i * 7) % 23);
    const deadline = Date.now() + 10_000;
    while (Atomics.load(count, 0) < most && Date.now() < deadline)
      await new Promise((resolve) => setImmediate(resolve));
    await worker.terminate();
    const committed = Atomics.load(count, 0);
    expect(committed).toBeGreaterThanOrEqual(most);
    const store = openMetaStore(data);
    expect(store.topics().length).toBeGreaterThanOrEqual(committed);
    expect(store.nextTopicId).toBe(store.topics().length + 1);
    store.close();
  }
}, 60_000);
