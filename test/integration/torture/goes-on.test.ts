// The torture's limit after the death of a thread, with a real broker whose worker has no successor that works.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { Run } from '../../../torture/run.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'ringmq-torture-'));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a broker that does not go on without a thread is found: somebody gets no answers', async () => {
  const report = await new Run(
    {
      // The fourth kill ends a thread, after it has passed the place a few times.
      kills: 4,
      seed: 34,
      folder,
      port: await freePort(),
      serveArgs: ['--workers', '1'],
      points: ['broker.appended'],
      program: fileURLToPath(new URL('../../support/no-successor.mjs', import.meta.url)),
      goesOnMaxMs: 2_000,
    },
    () => {},
  ).run();
  expect(report.kills).toMatchObject({ 'a thread at broker.appended': 1 });
  expect(report.anomalies).toEqual([]);
  expect(report.faults).toEqual([
    expect.stringMatching(/^after a thread has died at broker\.appended somebody gets no answers.* 2000 ms later/),
  ]);
  expect(report.ok).toBe(false);
}, 120_000);
