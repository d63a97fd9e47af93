import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { reportThreadEnds, stopReporting } from '../../../src/thread/thread-ends.ts';
import { until } from '../../support/until.ts';

test('the end of every worker is reported, also of one that was started before anybody asked', async () => {
  const idle = 'setInterval(() => {}, 1_000)';
  const first = new Worker(idle, { eval: true });
  const ended: number[] = [];
  const report = (threadId: number): void => void ended.push(threadId);
  reportThreadEnds(report);
  const second = new Worker('throw new Error("as asked")', { eval: true });
  second.on('error', () => {});
  const ids = [first.threadId, second.threadId];
  await first.terminate();
  await until(() => ended.length === 2, 'both are reported');
  expect(ended.sort()).toEqual(ids.sort());
  stopReporting(report);
  const third = new Worker(idle, { eval: true });
  await third.terminate();
  expect(ended).toHaveLength(2);
});
