// A thread that writes the key index may be terminated at any moment: a lock that it left behind would hang whoever
// writes next, and the end of the process.
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { KeyIndexReader } from '../../../src/state/key-index.ts';
import { dataFolder } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

const THREAD = new URL('key-index-thread.mjs', import.meta.url);
const DEATHS = 12;

test('a writer that is terminated leaves an index that the next one goes on with', async () => {
  const folder = dataFolder();
  const written = new SharedArrayBuffer(4);
  const count = new Int32Array(written);
  for (let death = 0; death < DEATHS; death++) {
    const before = Atomics.load(count, 0);
    const thread = new Worker(THREAD, { workerData: { folder, written } });
    let error: Error | undefined;
    thread.once('error', (reason: Error) => {
      error = reason;
    });
    await until(() => error !== undefined || Atomics.load(count, 0) > before + 2, 'it writes', 10_000);
    await new Promise((resolve) => setTimeout(resolve, (death * 7) % 10));
    let ended = false;
    void thread.terminate().then(() => {
      ended = true;
    });
    await until(() => ended, 'the thread ends', 10_000);
    expect(error).toBeUndefined();
  }
  const found = new KeyIndexReader(folder).find(1, 'k3', 0, 2 ** 40, 1_000_000);
  expect(found.length).toBeGreaterThanOrEqual(Atomics.load(count, 0) * 16);
});
