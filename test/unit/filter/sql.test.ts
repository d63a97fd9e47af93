import { describe, expect, test } from 'vitest';
import { compileFilter, filterText } from '../../../src/filter/filter.ts';
import { PropertyPlaces } from '../../../src/filter/property-places.ts';
import { parseSql } from '../../../src/filter/sql-parser.ts';
import { FALSE, TRUE, UNKNOWN } from '../../../src/filter/sql-program.ts';
import type { RecordExtras } from '../../../src/record/batch-builder.ts';
import { encodeProperties } from '../../../src/record/properties.ts';
import { recordOf } from '../../support/tagged-batch.ts';

const VALUES = { [FALSE]: false, [UNKNOWN]: undefined, [TRUE]: true };

/** undefined: unknown. */
function ask(sql: string, extras: RecordExtras = {}): boolean | undefined {
  return VALUES[parseSql(sql).evaluate(recordOf(extras))];
}

const ITEM: RecordExtras = {
  key: 'order-7',
  tag: 'paid',
  properties: {
    price: '12.5',
    count: '3',
    minus: '-4',
    big: '123456789012345678',
    region: 'eu',
    name: "O'Neil",
    vip: 'TRUE',
    old: 'false',
    empty: '',
    'x-y': '1',
    größe: 'XL',
  },
};

test.each([
  ['price > 12', true],
  ['price > 12.5', false],
  ['price >= 12.5', true],
  ['price < 13', true],
  ['price <= 12.49', false],
  ['price = 12.50', true],
  ['price = 1.25e1', true],
  ['price <> 12.5', false],
  ['price <> 4', true],
  ['13 > price', true],
  ['minus = -4', true],
  ['minus<-3', true],
  ['minus < +1', true],
  ['big > 123456789012345000', true],
  ['count > minus', true],
  ['count = minus', false],
  ['count = count', true],
  ['price BETWEEN 12 AND 13', true],
  ['price BETWEEN 12.5 AND 12.5', true],
  ['price BETWEEN 13 AND 14', false],
  ['price NOT BETWEEN 13 AND 14', true],
  ['5 BETWEEN count AND price', true],
  ["region = 'eu'", true],
  ["'eu' = region", true],
  ["region <> 'eu'", false],
  ["region = 'EU'", false],
  ["name = 'O''Neil'", true],
  ["region IN ('us', 'eu')", true],
  ["region NOT IN ('us', 'eu')", false],
  ["region IN ('us')", false],
  ['count IN (1, 2, 3)', true],
  ['count IN (1, 2)', false],
  ["count IN ('x', 3)", true],
  ["name CONTAINS 'Nei'", true],
  ["name CONTAINS ''''", true],
  ["name NOT CONTAINS 'nei'", true],
  ["name STARTSWITH 'O'", true],
  ["name NOT STARTSWITH 'N'", true],
  ["name ENDSWITH 'l'", true],
  ["name ENDSWITH 'xO''Neil'", false],
  ["name NOT ENDSWITH 'l'", false],
  ["empty = ''", true],
  ["empty CONTAINS ''", true],
  ['empty IS NULL', false],
  ['nothing IS NULL', true],
  ['nothing IS NOT NULL', false],
  ['region IS NOT NULL', true],
  ['vip = TRUE', true],
  ['vip <> true', false],
  ['vip', true],
  ['NOT old', true],
  ['old = FALSE', true],
  ["TAGS = 'paid'", true],
  ["KEYS STARTSWITH 'order-'", true],
  ["TAGS IS NULL OR KEYS = 'order-7'", true],
  ['TRUE', true],
  ['FALSE', false],
  ['NOT FALSE', true],
  ['NOT NOT FALSE', false],
  ['1 = 1.0', true],
  ["'a' = 'b'", false],
  ['TRUE = FALSE', false],
  ['`x-y` = 1', true],
  ["größe = 'XL'", true],
  ['(price) > (12)', true],
  ['(price > 12)', true],
  ["price > 100 OR region = 'eu' AND count = 3", true],
  ["(price > 100 OR region = 'eu') AND count = 4", false],
  ['NOT price > 100 AND count = 3', true],
  ['NOT (price > 12 AND count = 3)', false],
  ["price>12 and region In('eu')aNd not(count=4)", true],
])('%s is %s', (sql, expected) => {
  expect(ask(sql, ITEM)).toBe(expected);
  expect(compileFilter(`sql:${sql}`)?.matches(recordOf(ITEM))).toBe(expected);
});

describe('NULL', () => {
  const T = 'TRUE';
  const F = 'FALSE';
  const U = 'NULL';

  test.each([
    [T, T, true, true],
    [T, F, false, true],
    [T, U, undefined, true],
    [F, F, false, false],
    [F, U, false, undefined],
    [U, U, undefined, undefined],
  ])('%s and %s: AND gives %s, OR gives %s, in both orders', (a, b, and, or) => {
    for (const [left, right] of [
      [a, b],
      [b, a],
    ]) {
      expect(ask(`${left} AND ${right}`)).toBe(and);
      expect(ask(`${left} OR ${right}`)).toBe(or);
    }
  });

  test.each([
    'NULL',
    'NOT NULL',
    'nothing',
    'nothing = 1',
    'nothing <> 1',
    'NOT nothing = 1',
    'nothing > 1',
    'nothing BETWEEN 1 AND 2',
    'nothing NOT BETWEEN 1 AND 2',
    'price BETWEEN nothing AND 100',
    "nothing = 'x'",
    "nothing IN ('x')",
    "nothing NOT IN ('x')",
    "nothing CONTAINS ''",
    "nothing NOT CONTAINS 'x'",
    "nothing STARTSWITH 'x'",
    "nothing ENDSWITH 'x'",
    'nothing = region',
    'region = nothing',
    'nothing = TRUE',
    'price = NULL',
    'price <> NULL',
    'price > NULL',
    'NULL = NULL',
    'NULL < 3',
  ])('%s is unknown, and delivers nothing', (sql) => {
    expect(ask(sql, ITEM)).toBeUndefined();
    expect(compileFilter(`sql:${sql}`)?.matches(recordOf(ITEM))).toBe(false);
  });

  test('a false side decides although the other one is unknown', () => {
    expect(ask('price BETWEEN nothing AND 3', ITEM)).toBe(false);
    expect(ask('nothing > 3 AND price > 100', ITEM)).toBe(false);
    expect(ask('nothing > 3 OR price > 10', ITEM)).toBe(true);
  });

  test.each([
    'region > 3',
    'region = 3',
    'region <> 3',
    'region IN (1, 2)',
    'region = TRUE',
    'count = FALSE',
    'region',
  ])('%s: a text that is no such value is unknown', (sql) => expect(ask(sql, ITEM)).toBeUndefined());

  test('IN knows a text among numbers', () => {
    expect(ask("region IN (1, 'eu')", ITEM)).toBe(true);
    expect(ask("region NOT IN (1, 'us')", ITEM)).toBeUndefined();
  });

  test('without properties, key and tag everything is NULL', () => {
    expect(ask('TAGS IS NULL AND KEYS IS NULL AND price IS NULL')).toBe(true);
  });
});

test.each([
  ['7', 7],
  ['-7', -7],
  ['+7', 7],
  ['007', 7],
  ['1e3', 1_000],
  ['.5', 0.5],
  ['5.', 5],
  ['999999999999999', 999_999_999_999_999],
  ['1234567890123456789', 1_234_567_890_123_456_800],
  ['', Number.NaN],
  ['-', Number.NaN],
  ['.', Number.NaN],
  [' 7', Number.NaN],
  ['7 ', Number.NaN],
  ['0x10', Number.NaN],
  ['1_000', Number.NaN],
  ['Infinity', Number.NaN],
  ['1e999', Number.NaN],
  ['NaN', Number.NaN],
  ['٣', Number.NaN],
  ['1'.repeat(65), Number.NaN],
])('the text %j is the number %d', (text, expected) => {
  const places = new PropertyPlaces(['n']);
  places.of(recordOf({ properties: { n: text } }));
  expect(places.number(0)).toBe(expected);
});

describe('what cannot be read', () => {
  test.each([
    ['', 1, 'it ends; expected a property, a number, a text, TRUE, FALSE, NULL or `(`'],
    ['   ', 4, 'it ends'],
    ['price >', 8, 'it ends; expected a property'],
    ['price > > 3', 9, 'found `>`; expected a property'],
    ['price ! 3', 7, 'not equal is `<>`'],
    ['price == 3', 8, 'found `=`'],
    ['price > 3 && count = 1', 11, 'and is `AND`'],
    ['a = 1 || b = 2', 7, 'or is `OR`'],
    ['price > 3 count', 11, 'found `count`; expected AND, OR or the end'],
    ['price > 3)', 10, 'found `)`; expected AND, OR or the end'],
    ['(price > 3', 11, 'it ends; expected `)`, AND or OR'],
    ["region = 'eu", 10, 'the text that begins here has no end'],
    ['region = "eu"', 10, "text stands in 'single quotes'"],
    ['`` = 1', 1, 'the name that begins here is empty or has no end'],
    ["price > 'x'", 9, 'a text has no order; expected a number or a property'],
    ['price > TRUE', 9, 'TRUE and FALSE have no order'],
    ["price BETWEEN 'a' AND 'b'", 15, 'a text has no order'],
    ['price BETWEEN 1 OR 2', 17, 'found `OR`; expected AND'],
    ["1 = 'a'", 3, 'a number and a text are never equal'],
    ['5', 1, 'a number alone is no condition; expected a comparison'],
    ["price > 3 AND 'x'", 15, 'a text alone is no condition'],
    ['region IN ()', 12, 'found `)`; expected a text or a number'],
    ['region IN (eu)', 12, 'found `eu`; expected a text or a number'],
    ["region IN ('a' 'b')", 16, "found `'b'`; expected `,` or `)`"],
    ["region IN 'a'", 11, "found `'a'`; expected `(`"],
    ["'a' IN ('a')", 1, '`IN` asks about a property'],
    ['5 IS NULL', 1, '`IS` asks about a property'],
    ['region IS 3', 11, 'found `3`; expected NULL'],
    ['region CONTAINS 3', 17, 'found `3`; expected a text'],
    ['region NOT = 3', 12, 'found `=`; expected BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH'],
    ['(a = 1) = TRUE', 9, '`=` compares values, and what stands in parentheses is a condition'],
    ['a = (b = 1)', 3, '`=` compares values'],
    ['a = 1e999', 5, 'the number 1e999 is too large'],
    ['a = 12x', 7, 'found `x` right after a number'],
    ['a + 1 = 2', 3, 'found `+`, which means nothing here'],
    ['a = 😀', 5, 'found `😀`, which means nothing here'],
    ['AND', 1, 'found `AND`; expected a property'],
  ])('%j is refused at column %i', (sql, column, reason) => {
    for (const read of [() => compileFilter(`sql:${sql}`), () => filterText({ sql })]) {
      expect(read).toThrow(expect.objectContaining({ code: 'illegal-filter' }));
      expect(read).toThrow(`filter, column ${column}: ${reason}`);
    }
  });

  test('parentheses nest 32 deep', () => {
    const nested = (depth: number) => `${'('.repeat(depth)}a = 1${')'.repeat(depth)}`;
    expect(ask(nested(32), { properties: { a: '1' } })).toBe(true);
    expect(() => parseSql(nested(33))).toThrow('column 33: nested deeper than 32');
  });

  test('a program has 1,024 operations', () => {
    const list = (count: number) => `a IN (${Array.from({ length: count }, () => '1').join(',')})`;
    expect(ask(list(1_023), { properties: { a: '1' } })).toBe(true);
    expect(() => parseSql(list(1_024))).toThrow('more than 1024 operations');
    expect(() => parseSql(`a${' OR a'.repeat(400)}`)).toThrow('more than 1024 operations');
  });

  test('operations that read a whole property count as 16: what a filter costs is bounded', () => {
    for (const whole of ["a CONTAINS 'x'", 'a = b', 'a <> b']) {
      const chain = (count: number) => Array.from({ length: count }, () => whole).join(' OR ');
      expect(ask(chain(50), { properties: { a: 'x', b: 'y' } })).toBe(whole !== 'a = b');
      expect(() => parseSql(chain(60))).toThrow('more than 1024 operations');
    }
  });

  test('a text has 4,096 characters', () => {
    const long = (length: number) => 'a = 1'.padEnd(length);
    expect(ask(long(4_096), { properties: { a: '1' } })).toBe(true);
    expect(() => filterText({ sql: long(4_097) })).toThrow('it has 4097 characters, at most 4096 are read');
  });
});

test.each([7, null, {}, { sql: 7 }, true, []])('%j is no filter at all', (filter) => {
  expect(() => filterText(filter as never)).toThrow(
    expect.objectContaining({ code: 'illegal-filter', message: expect.stringContaining('a filter is a text of tags') }),
  );
});

test('the canonical text says which kind it is', () => {
  expect(filterText(undefined)).toBe('');
  expect(filterText({ sql: 'a > 1' })).toBe('sql:a > 1');
  expect(filterText('sql:a > 1')).toBe('sql:a > 1');
  expect(filterText('A')).toBe('A');
});

test('of two properties with one name the last one counts, as in message.properties', () => {
  const bytes = encodeProperties({ first: '1', other: '2' });
  const text = Buffer.from(bytes).toString('latin1').replace('other', 'first');
  const broken = Buffer.from(text, 'latin1');
  const record = recordOf({ properties: { first: '1', other: '2' } });
  const at = Buffer.from(record.bytes).indexOf(Buffer.from(bytes));
  record.bytes.set(broken, at);
  expect(record.properties).toEqual({ first: record.properties?.first });
  expect(parseSql(`first = ${record.properties?.first}`).matches(record)).toBe(true);
});
