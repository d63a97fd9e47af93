import { expect, test } from 'vitest';
import { duration, durationText, moment, momentText } from '../../../src/cli/times.ts';

test('lengths of time are read in any unit', () => {
  expect([duration('500ms'), duration('90s'), duration('30m'), duration('72h')]).toEqual([
    500, 90_000, 1_800_000, 259_200_000,
  ]);
  expect([duration('7d'), duration('2w'), duration('1.5h'), duration('0s')]).toEqual([
    604_800_000, 1_209_600_000, 5_400_000, 0,
  ]);
  for (const wrong of ['', '5', 'h', '-1h', '1y', '1h30m', '1e3s']) {
    expect(() => duration(wrong), wrong).toThrow(/72h/);
  }
});

test('a moment is ISO, milliseconds since 1970, or an age', () => {
  const now = Date.UTC(2026, 10, 23, 4);
  expect(moment('2026-11-23T04:00:00Z')).toBe(now);
  expect(moment('2026-11-23')).toBe(Date.UTC(2026, 10, 23));
  expect(moment(String(now))).toBe(now);
  expect(moment('-1h', now)).toBe(now - 3_600_000);
  expect(moment('-90s', now)).toBe(now - 90_000);
  for (const wrong of ['', 'yesterday', '-1', '-h', '1h', '2026-13-01', '12', '-5 m']) {
    expect(() => moment(wrong, now), wrong).toThrow(/-1h \(an hour ago\)/);
  }
});

test('what is written for people can be read back', () => {
  const now = Date.UTC(2026, 10, 23, 4, 5, 6, 789);
  expect(moment(momentText(now))).toBe(now);
  expect([durationText(259_200_000), durationText(86_400_000), durationText(5_400_000)]).toEqual([
    '3 days',
    '24 h',
    '90 min',
  ]);
  expect([durationText(90_000), durationText(1_500), durationText(0)]).toEqual(['90 s', '1500 ms', '0 ms']);
});
