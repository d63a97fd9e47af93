// The test suite. One kind of test alone: `npm test -- test/unit`; one project: `npm test -- --project=quick`.
//
// Files run in processes of their own (forks), never in worker threads: the tests start worker threads themselves, and
// a native WebSocket server ends the whole process when its thread exits with open sockets.
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Pure or single-threaded: as many at a time as there are cores. */
const QUICK = ['test/*.test.ts', 'test/{unit,layout,interleave,sim}/**/*.test.ts'];
/** They start brokers and wait for them most of the time: two files at a time, one works while the other waits. */
const HEAVY = ['test/integration/**/*.test.ts'];
const HEAVY_AT_A_TIME = 2;
/** They keep all cores busy or measure how busy they are: one file at a time, when nothing else runs any more. */
const ALONE = ['test/{stress,browser}/**/*.test.ts', 'test/integration/engine/**/*.test.ts'];

const LIMITS_MS = { testTimeout: 120_000, hookTimeout: 60_000, teardownTimeout: 10_000 };
/**
 * On a shared machine a test of real processes and clocks may meet a bad moment: in CI it gets a second chance, and the
 * report says so.
 */
const HEAVY_RETRIES = process.env.CI ? 1 : 0;
const HEAVY_LIMITS_MS = { testTimeout: 120_000, hookTimeout: 60_000, teardownTimeout: 20_000 };
const HEAVY_KIND = { pool: 'forks', retry: HEAVY_RETRIES, ...HEAVY_LIMITS_MS } as const;

export default defineConfig({
  test: {
    globalSetup: ['scripts/build.mjs'],
    // The projects do not extend this: they would inherit the global setup and run it once more each.
    projects: [
      {
        test: {
          name: 'quick',
          include: QUICK,
          pool: 'forks',
          maxWorkers: Math.max(2, availableParallelism()),
          sequence: { groupOrder: 0 },
          ...LIMITS_MS,
        },
      },
      {
        test: {
          name: 'heavy',
          include: HEAVY,
          exclude: ALONE,
          maxWorkers: HEAVY_AT_A_TIME,
          sequence: { groupOrder: 1 },
          ...HEAVY_KIND,
        },
      },
      {
        test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 2 }, ...HEAVY_KIND },
      },
    ],
  },
});
