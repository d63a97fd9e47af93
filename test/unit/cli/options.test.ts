import { expect, test } from 'vitest';
import { size, summary } from '../../../src/cli/figures.ts';
import { property, startFrom, whole } from '../../../src/cli/options.ts';
import { byteCount } from '../../../src/cli/times.ts';

test('starts are read', () => {
  expect(startFrom('latest')).toBe('latest');
  expect(startFrom('earliest')).toBe('earliest');
  expect(startFrom('offset:12')).toEqual({ offset: 12 });
  expect(startFrom('last:3')).toEqual({ last: 3 });
  expect(startFrom('time:1795406400000')).toEqual({ time: 1_795_406_400_000 });
  expect(startFrom('time:2026-11-23T04:00:00Z')).toEqual({ time: Date.UTC(2026, 10, 23, 4) });
  expect(() => startFrom('time:tea')).toThrow(/-1h/);
  for (const wrong of ['', 'first', 'offset:', 'offset:-1', 'last:x', 'last:1.5']) {
    expect(() => startFrom(wrong)).toThrow(/earliest/);
  }
});

test('whole numbers have a range', () => {
  const parse = whole(1, 10);
  expect(parse('10')).toBe(10);
  for (const wrong of ['0', '11', '-1', '1e1', '', '2.0']) expect(() => parse(wrong)).toThrow(/from 1 to 10/);
});

test('properties gather, and values may contain equals signs', () => {
  expect(property('b=c=d', property('a='))).toEqual({ a: '', b: 'c=d' });
  expect(() => property('=x')).toThrow(/name=value/);
  expect(() => property('x')).toThrow(/name=value/);
});

test('sizes are read and written', () => {
  expect([byteCount('4m'), byteCount('512K'), byteCount('65536')]).toEqual([4_194_304, 524_288, 65_536]);
  expect([byteCount('4g'), byteCount('10GB'), byteCount('1GiB')]).toEqual([4 * 2 ** 30, 10 * 2 ** 30, 2 ** 30]);
  for (const wrong of ['', '4x', 'g', '-1', '1.5m', '999999999999t']) expect(() => byteCount(wrong)).toThrow(/bytes/);
  expect([size(5), size(1_500), size(30_000_000), size(2_000_000_000)]).toEqual([
    '5 B',
    '1.5 kB',
    '30.0 MB',
    '2.00 GB',
  ]);
  expect(summary({ messages: 500_000, bytes: 30_000_000, seconds: 0.5 })).toBe(
    '500,000 messages, 30.0 MB in 0.50 s: 1,000,000 msg/s, 60.0 MB/s',
  );
});
