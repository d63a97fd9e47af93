import { expect, test } from 'vitest';
import { Doorbell } from '../../../src/memory/bell.ts';
import { createRegions } from '../../../src/memory/regions.ts';
import { HOUSEKEEP_MS, runBlocking, steadyClock } from '../../../src/thread/agent.ts';

function doorbell(): Doorbell {
  const sizes = { workerCount: 1, frontendCount: 0, partitionMax: 64, replyBytes: 256, controlLaneBytes: 4_096 };
  return new Doorbell(new Int32Array(createRegions('test', { ...sizes, laneBytes: 4_096 }).control), 5);
}

test('housekeeping goes on when somebody sets the clock back', () => {
  let now = 1_000_000;
  let turns = 0;
  const kept: number[] = [];
  const agent = {
    name: 'test',
    get finished() {
      return turns >= 400;
    },
    work: () => {
      turns++;
      now += 1;
      if (turns === 200) now -= 3_600_000;
      return 0;
    },
    housekeep: () => kept.push(turns),
  };
  runBlocking(agent, doorbell(), { spinTurns: 1_000, parkMs: 1 }, () => now);
  const [before, after] = [kept.filter((turn) => turn < 200).length, kept.filter((turn) => turn >= 200).length];
  expect(before).toBeGreaterThan(200 / HOUSEKEEP_MS / 2);
  expect(after).toBeGreaterThan(200 / HOUSEKEEP_MS / 2);
});

test('a steady clock starts as the wall clock does and is not set', () => {
  const real = Date.now;
  const clock = steadyClock();
  const start = clock();
  expect(Math.abs(start - real())).toBeLessThan(1_000);
  try {
    Date.now = () => real() - 3_600_000;
    expect(clock()).toBeGreaterThanOrEqual(start);
  } finally {
    Date.now = real;
  }
});

test('a thread that nobody rings sleeps no longer than its agent wants', () => {
  let turns = 0;
  const agent = {
    name: 'test',
    sleepMaxMs: 1,
    get finished() {
      return turns >= 20;
    },
    work: () => {
      turns++;
      return 0;
    },
    housekeep: () => {},
  };
  const begun = performance.now();
  runBlocking(agent, doorbell(), { spinTurns: 0, parkMs: 60_000 }, Date.now);
  expect(performance.now() - begun).toBeLessThan(30_000);
});
