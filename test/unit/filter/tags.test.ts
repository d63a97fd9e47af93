import { describe, expect, test } from 'vitest';
import { RECORD_TAG_HASH } from '../../../native-layout/record.ts';
import { compileFilter, filterText } from '../../../src/filter/filter.ts';
import { parseTags } from '../../../src/filter/tags.ts';
import { hash32 } from '../../../src/record/text.ts';
import { recordOf } from '../../support/tagged-batch.ts';

function wants(expression: string, tag: string | undefined): boolean | undefined {
  return compileFilter(expression)?.matches(recordOf({ tag }));
}

describe('tag expressions', () => {
  test.each([
    ['A', 'A', true],
    ['A', 'B', false],
    ['A', 'AA', false],
    ['AA', 'A', false],
    ['A', undefined, false],
    ['A || B', 'B', true],
    ['A||B||C', 'C', true],
    ['  A  ||\tB ', 'A', true],
    ['two words || B', 'two words', true],
    ['größe', 'größe', true],
    ['größe', 'grösse', false],
  ])('%s and the tag %s: %s', (expression, tag, expected) => {
    expect(wants(expression, tag)).toBe(expected);
  });

  test.each(['*', ' * ', '', '  '])('%j wants everything', (expression) => {
    expect(compileFilter(expression)).toBeUndefined();
    expect(filterText(expression)).toBe('');
  });

  test('two tags with one hash are told apart', () => {
    const byHash = new Map<number, string>();
    let pair: readonly [string, string] | undefined;
    for (let i = 0; pair === undefined; i++) {
      const tag = i.toString(36);
      const other = byHash.get(hash32(tag));
      if (other === undefined) byHash.set(hash32(tag), tag);
      else pair = [other, tag];
    }
    const [one, other] = pair;
    expect([wants(one, one), wants(one, other), wants(other, other), wants(`${one} || ${other}`, other)]).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  test('a hash that no tag of the record has delivers nothing', () => {
    const record = recordOf({ tag: 'B' });
    record.words[(record.at + RECORD_TAG_HASH) >> 2] = hash32('A');
    expect(compileFilter('A')?.matches(record)).toBe(false);
  });

  test('hundreds of tags are all found, and nothing else', () => {
    const tags = Array.from({ length: 400 }, (_, i) => `tag${i}`);
    const filter = compileFilter(tags.join('||'));
    for (let i = 0; i < 800; i++) expect(filter?.matches(recordOf({ tag: `tag${i}` }))).toBe(i < 400);
  });

  test('spaces and repetition do not make another filter', () => {
    expect(filterText('A||B')).toBe(filterText(' A  ||  B || A'));
    expect(parseTags('A || B || A')).toEqual(['A', 'B']);
  });
});

test.each([
  ['A || ', 5, /a tag is missing; expected `A`, `A \|\| B` or `\*`/],
  ['|| A', 1, /a tag is missing/],
  ['A || || B', 5, /a tag is missing/],
  ['A | B', 3, /found `\|`: tags are separated by `\|\|`/],
  ['A || B | C', 8, /found `\|`/],
  ['A || *', 6, /`\*` means every message and stands alone/],
  ['x'.repeat(256), 1, /a tag of 256 bytes; tags have at most 255/],
  [`A || ${'ß'.repeat(128)}`, 6, /a tag of 256 bytes/],
  ['A || '.repeat(1_000), 4_097, /it has 5000 characters, at most 4096/],
])('%j is refused at column %i', (expression, column, reason) => {
  for (const read of [compileFilter, filterText]) {
    expect(() => read(expression)).toThrow(expect.objectContaining({ code: 'illegal-filter' }));
    expect(() => read(expression)).toThrow(reason);
    expect(() => read(expression)).toThrow(`column ${column}:`);
  }
});
