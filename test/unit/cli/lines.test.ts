import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineSplitter } from '../../../src/cli/lines.ts';

/** What a splitter makes of a stream that arrives in these chunks. */
function linesOf(chunks: readonly Uint8Array[], delimiter?: number): Buffer[] {
  const splitter = new LineSplitter(delimiter);
  const lines: Buffer[] = [];
  for (const chunk of chunks) {
    splitter.feed(chunk);
    for (let line = splitter.take(); line !== undefined; line = splitter.take()) lines.push(Buffer.from(line));
  }
  const last = splitter.end();
  if (last !== undefined) lines.push(Buffer.from(last));
  return lines;
}

/** The same, the obvious way. */
function simply(bytes: Buffer, delimiter = 10): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== delimiter) continue;
    lines.push(bytes.subarray(start, at));
    start = at + 1;
  }
  if (start < bytes.length) lines.push(bytes.subarray(start));
  return lines;
}

/** Bytes with many delimiters, zeros and carriage returns. */
const stream = fc.array(fc.constantFrom(0, 10, 10, 13, 65, 255), { maxLength: 60 }).map((bytes) => Buffer.from(bytes));

test('lines are those of the whole stream, however it is cut into chunks', () => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(60), { maxLength: 8 }), fc.constantFrom(10, 0), (bytes, cuts, delimiter) => {
      const at = [...new Set([0, ...cuts.filter((cut) => cut <= bytes.length), bytes.length])].sort((a, b) => a - b);
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      expect(linesOf(chunks, delimiter)).toEqual(simply(bytes, delimiter));
    }),
    { numRuns: 2_000 },
  );
});

test('lines are the same byte by byte', () => {
  fc.assert(
    fc.property(stream, (bytes) => {
      const chunks = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
      expect(linesOf(chunks)).toEqual(simply(bytes));
    }),
  );
});

test('a carriage return belongs to the line, an empty line is a line, nothing after the last newline is none', () => {
  expect(linesOf([Buffer.from('a\r\n\nb')]).map(String)).toEqual(['a\r', '', 'b']);
  expect(linesOf([Buffer.from('a\n')]).map(String)).toEqual(['a']);
  expect(linesOf([])).toEqual([]);
});
