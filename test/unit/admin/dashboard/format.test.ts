// Figures and bodies as the dashboard prints them.
import { expect, test } from 'vitest';
import { previewBody, printBody } from '../../../../src/admin/dashboard/body-preview.ts';
import * as format from '../../../../src/admin/dashboard/format.ts';

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

test('bytes change their unit before they get four digits', () => {
  expect([0, 999, 999.6, 1_234, 12_345, 123_456, 999_600, 1e15].map(format.bytes)).toEqual([
    '0 B',
    '999 B',
    '1.00 kB',
    '1.23 kB',
    '12.3 kB',
    '123 kB',
    '1.00 MB',
    '1.00 PB',
  ]);
  expect(format.binaryBytes(1.5 * 1024 ** 3)).toBe('1.50 GiB');
});

test('axes leave out what says nothing', () => {
  expect(['5.00 MB', '2.50 MB', '100 %', '10.0 kB', '0 B'].map(format.withoutZeros)).toEqual([
    '5 MB',
    '2.5 MB',
    '100 %',
    '10 kB',
    '0 B',
  ]);
  expect([950, 1_500, 2_000_000].map(format.compact)).toEqual(['950', '1.5 k', '2 M']);
});

test('durations have two units at most', () => {
  const day = 86_400_000;
  expect([42, 4_240, 42_900, 245_000, 12_000_000, 12 * day + 15_000_000].map(format.duration)).toEqual([
    '42 ms',
    '4.2 s',
    '42 s',
    '4 min 5 s',
    '3 h 20 min',
    '12 d 4 h',
  ]);
});

test('percent and plural', () => {
  expect([0, 0.42, 9.94, 9.96, 55.5].map(format.percent)).toEqual(['0 %', '0.4 %', '9.9 %', '10 %', '56 %']);
  expect(format.plural(1, 'message')).toBe('1 message');
  expect(format.plural(1_234, 'message')).toBe('1,234 messages');
});

test('JSON objects are printed over several lines, other text as it is', () => {
  const json = bytes('{"a":[1]}');
  expect(previewBody(json, json.length)).toEqual({ kind: 'json', line: '{"a":[1]}' });
  expect(printBody(json, json.length)).toBe('{\n  "a": [\n    1\n  ]\n}');
  const text = bytes('two\n  lines');
  expect(previewBody(text, text.length)).toEqual({ kind: 'text', line: 'two lines' });
  expect(printBody(text, text.length)).toBe('two\n  lines');
});

test('JSON whose numbers would come out changed stays as it is', () => {
  const json = bytes('{"id":12345678901234567890}');
  expect(printBody(json, json.length)).toBe('{"id":12345678901234567890}');
});

test('bytes that are no text are printed in hex', () => {
  const body = Uint8Array.of(0, 1, 65, 255);
  expect(previewBody(body, 4)).toEqual({ kind: 'binary', line: '00 01 41 ff' });
  expect(printBody(body, 4)).toBe(`000000  ${'00 01 41 ff'.padEnd(47)}  ..A.`);
  const colored = bytes('\u001b[31mred');
  expect(previewBody(colored, colored.length).kind).toBe('binary');
});

test('a body of which only the beginning was kept says so, and half a character does not matter', () => {
  const kept = bytes('aé').subarray(0, 2);
  expect(previewBody(kept, 5_000)).toEqual({ kind: 'text', line: 'a' });
  expect(printBody(kept, 5_000)).toBe('a\n… the first 2 B of 5.00 kB');
});

test('an empty body says that it is empty', () => {
  expect(previewBody(new Uint8Array(0), 0)).toEqual({ kind: 'empty', line: '(empty)' });
});
