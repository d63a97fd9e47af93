// Which messages the dashboard shows of a fast stream.
import { expect, test } from 'vitest';
import { Sampler } from '../../../../src/admin/dashboard/sampler.ts';

/** Seconds at a rate; returns how many were shown in each. */
function run(sampler: Sampler, perSecond: number, seconds: number, startMs = 0): number[] {
  const shown: number[] = [];
  sampler.tick(startMs);
  for (let second = 1; second <= seconds; second++) {
    let count = 0;
    for (let i = 0; i < perSecond; i++) if (sampler.count()) count++;
    shown.push(count);
    sampler.tick(startMs + second * 1_000);
  }
  return shown;
}

test('a slow stream is shown whole', () => {
  const sampler = new Sampler();
  expect(run(sampler, 50, 10)).toEqual(Array.from({ length: 10 }, () => 50));
  expect(sampler.received).toBe(500);
  expect(sampler.oneOf).toBe(1);
  expect(sampler.perSecond).toBe(50);
});

test('a burst is shown whole, up to a page full', () => {
  const sampler = new Sampler();
  sampler.tick(0);
  let shown = 0;
  for (let i = 0; i < 500; i++) if (sampler.count()) shown++;
  expect(shown).toBe(200);
});

test('a fast stream is counted whole, shown at a bearable rate, and the ratio is true', () => {
  const sampler = new Sampler();
  const shown = run(sampler, 100_000, 6);
  expect(sampler.received).toBe(600_000);
  for (const count of shown.slice(2)) expect(count).toBeLessThanOrEqual(60);
  expect(shown.at(-1)).toBeGreaterThan(50);
  const lastTwo = shown.slice(-2).reduce((sum, count) => sum + count, 0);
  expect(sampler.oneOf).toBe(Math.ceil(200_000 / lastTwo));
});

test('what is skipped is counted', () => {
  const sampler = new Sampler();
  sampler.skip();
  sampler.skip();
  expect(sampler.received).toBe(2);
  expect(sampler.oneOf).toBe(1);
});
