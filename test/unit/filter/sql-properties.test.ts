// Programs against an evaluator of its own, which walks a tree; and texts of every kind against the parser.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { compileFilter } from '../../../src/filter/filter.ts';
import { parseSql } from '../../../src/filter/sql-parser.ts';
import { FALSE, TRUE, UNKNOWN } from '../../../src/filter/sql-program.ts';
import { recordOf } from '../../support/tagged-batch.ts';

type Message = Readonly<Record<string, string>>;
type Truth = boolean | null;

/** A condition as text, and what it must give. */
interface Node {
  readonly sql: string;
  holds(message: Message): Truth;
}

const NAMES = ['a', 'b', 'c', 'TAGS', 'KEYS'] as const;
const TEXTS = ['', 'x', 'xy', "it's", 'ü', 'true', 'FALSE', '1', '-2.5', '1e2', '0010', ' 1'] as const;
const NUMBERS = ['0', '1', '-2.5', '100', '1e2', '.5'] as const;
const name = fc.constantFrom(...NAMES);
const text = fc.constantFrom(...TEXTS);
const number = fc.constantFrom(...NUMBERS);
const not = fc.boolean();

const quoted = (value: string): string => `'${value.split("'").join("''")}'`;
const get = (message: Message, key: string): string | null => message[key] ?? null;
const negated = (negate: boolean, truth: Truth): Truth => (negate && truth !== null ? !truth : truth);

function numeric(value: string | null): number | null {
  if (value === null || !/^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$/.test(value)) return null;
  return Number.parseFloat(value);
}

function compare(op: string, left: number | null, right: number | null): Truth {
  if (left === null || right === null) return null;
  if (op === '=') return left === right;
  if (op === '<>') return left !== right;
  if (op === '<') return left < right;
  if (op === '<=') return left <= right;
  return op === '>' ? left > right : left >= right;
}

const and = (a: Truth, b: Truth): Truth =>
  a === false || b === false ? false : a === null || b === null ? null : true;
const or = (a: Truth, b: Truth): Truth => (a === true || b === true ? true : a === null || b === null ? null : false);

const leaf: fc.Arbitrary<Node> = fc.oneof(
  fc.tuple(name, fc.constantFrom('=', '<>', '<', '<=', '>', '>='), number, fc.boolean()).map(([n, op, v, turned]) => ({
    sql: turned ? `${v} ${op} ${n}` : `${n} ${op} ${v}`,
    holds: (m: Message) => {
      const [own, constant] = [numeric(get(m, n)), Number(v)];
      return turned ? compare(op, constant, own) : compare(op, own, constant);
    },
  })),
  fc.tuple(name, name, fc.constantFrom('<', '<=', '>', '>=')).map(([n, o, op]) => ({
    sql: `${n} ${op} ${o}`,
    holds: (m: Message) => compare(op, numeric(get(m, n)), numeric(get(m, o))),
  })),
  fc.tuple(name, fc.constantFrom('=', '<>'), text).map(([n, op, v]) => ({
    sql: `${n} ${op} ${quoted(v)}`,
    holds: (m: Message) => (get(m, n) === null ? null : (get(m, n) === v) === (op === '=')),
  })),
  fc.tuple(name, name, fc.constantFrom('=', '<>')).map(([n, o, op]) => ({
    sql: `${n}${op}${o}`,
    holds: (m: Message) =>
      get(m, n) === null || get(m, o) === null ? null : (get(m, n) === get(m, o)) === (op === '='),
  })),
  fc.tuple(name, not, number, number).map(([n, negate, low, high]) => ({
    sql: `${n} ${negate ? 'NOT ' : ''}BETWEEN ${low} AND ${high}`,
    holds: (m: Message) => {
      const own = numeric(get(m, n));
      return negated(negate, own === null ? null : own >= Number(low) && own <= Number(high));
    },
  })),
  fc
    .tuple(name, not, fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(number, { maxLength: 2 }))
    .map(([n, negate, texts, numbers]) => ({
      sql: `${n} ${negate ? 'not ' : ''}in (${[...texts.map(quoted), ...numbers].join(', ')})`,
      holds: (m: Message) => {
        const own = get(m, n);
        if (own === null) return null;
        const members = [
          ...texts.map((one): Truth => one === own),
          ...numbers.map((one) => compare('=', numeric(own), Number(one))),
        ];
        return negated(negate, members.reduce(or, false));
      },
    })),
  fc.tuple(name, not, fc.constantFrom('CONTAINS', 'STARTSWITH', 'ENDSWITH'), text).map(([n, negate, how, v]) => ({
    sql: `${n} ${negate ? 'NOT ' : ''}${how} ${quoted(v)}`,
    holds: (m: Message) => {
      const own = get(m, n);
      if (own === null) return null;
      const found = how === 'CONTAINS' ? own.includes(v) : how === 'STARTSWITH' ? own.startsWith(v) : own.endsWith(v);
      return negated(negate, found);
    },
  })),
  fc.tuple(name, not).map(([n, negate]) => ({
    sql: `${n} IS ${negate ? 'NOT ' : ''}NULL`,
    holds: (m: Message) => (get(m, n) === null) !== negate,
  })),
  fc.tuple(name, fc.constantFrom('TRUE', 'FALSE', '')).map(([n, flag]) => ({
    sql: flag === '' ? n : `${n} = ${flag}`,
    holds: (m: Message) => {
      const own = get(m, n)?.toLowerCase();
      return own !== 'true' && own !== 'false' ? null : (own === 'true') === (flag !== 'FALSE');
    },
  })),
  fc.constantFrom<Node>(
    { sql: 'TRUE', holds: () => true },
    { sql: 'FALSE', holds: () => false },
    { sql: 'NULL', holds: () => null },
  ),
);

const condition: fc.Arbitrary<Node> = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5, depthSize: 'medium' },
    leaf,
    fc.tuple(tie('node'), tie('node')).map(([l, r]) => ({
      sql: `(${l.sql}) AND (${r.sql})`,
      holds: (m: Message) => and(l.holds(m), r.holds(m)),
    })),
    fc.tuple(tie('node'), tie('node')).map(([l, r]) => ({
      sql: `(${l.sql} ) OR( ${r.sql})`,
      holds: (m: Message) => or(l.holds(m), r.holds(m)),
    })),
    tie('node').map((inner) => ({
      sql: `NOT (${inner.sql})`,
      holds: (m: Message) => negated(true, inner.holds(m)),
    })),
    // Without parentheses: NOT binds before AND, AND before OR.
    fc.tuple(leaf, leaf, leaf, leaf).map(([a, b, c, d]) => ({
      sql: `${a.sql} OR NOT ${b.sql} AND ${c.sql} OR ${d.sql}`,
      holds: (m: Message) => or(or(a.holds(m), and(negated(true, b.holds(m)), c.holds(m))), d.holds(m)),
    })),
  ),
})).node;

const message = fc.record(
  { a: text, b: text, c: text, TAGS: text.filter((one) => one !== ''), KEYS: text.filter((one) => one !== '') },
  { requiredKeys: [] },
);

test('a program gives what a walk over the tree gives', () => {
  fc.assert(
    fc.property(condition, fc.array(message, { minLength: 1, maxLength: 5 }), (node, messages) => {
      const program = parseSql(node.sql);
      for (const one of messages) {
        const { TAGS: tag, KEYS: key, ...properties } = one;
        // A property of that name does not stand for the tag.
        const record = recordOf({ tag, key, properties: { ...properties, TAGS: 'x' } });
        const expected = node.holds(one as Message);
        expect(program.evaluate(record)).toBe(expected === null ? UNKNOWN : expected ? TRUE : FALSE);
      }
    }),
    { numRuns: 1_500 },
  );
});

function readAnything(filter: string): void {
  try {
    compileFilter(filter)?.matches(recordOf({ properties: { a: '1' } }));
  } catch (error) {
    expect(error).toBeInstanceOf(RingmqError);
    expect((error as RingmqError).code).toBe('illegal-filter');
    const column = Number(/column (\d+):/.exec((error as RingmqError).message)?.[1]);
    expect(column).toBeGreaterThanOrEqual(1);
    expect(column).toBeLessThanOrEqual(filter.length + 1);
  }
}

test('any text is a filter or refused, with a column inside of it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (any) => {
      readAnything(any);
      readAnything(`sql:${any}`);
    }),
    { numRuns: 2_000 },
  );
});

test('any words of the language are a filter or refused', () => {
  const words = "a b 1 -2.5 'x' '' `y` ( ) , = <> < <= > >= AND OR NOT IN IS NULL BETWEEN CONTAINS TRUE || |".split(
    ' ',
  );
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words), { maxLength: 30 }), (chosen) => {
      readAnything(`sql:${chosen.join(' ')}`);
    }),
    { numRuns: 5_000 },
  );
});

test.each([
  ['parentheses', '('],
  ['NOT', 'NOT '],
  ['quotes', "'"],
  ['doubled quotes', "''"],
  ['back quotes', '`'],
  ['spaces', ' '],
  ['digits', '1'],
  ['exponents', '1e'],
  ['names', 'a'],
  ['comparisons', 'a<'],
  ['conditions', 'a AND '],
  ['lists', 'a IN (1,'],
  ['bars', '||'],
])('as many %s as fit are refused or read in no time', (_, piece) => {
  const started = performance.now();
  for (const prefix of ['', 'sql:']) {
    const full = piece.repeat(Math.floor(4_096 / piece.length));
    readAnything(`${prefix}${full}`);
    readAnything(`${prefix}${full.repeat(64)}`);
    readAnything(`${prefix}${full.slice(0, -4)}\u0000`);
  }
  expect(performance.now() - started).toBeLessThan(1_000);
});

test('damaged properties are absent or what they say, and nothing else of memory', () => {
  const program = parseSql("a = '1' AND b CONTAINS 'x' OR c > 3 OR a IS NULL");
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }), (changes) => {
      const record = recordOf({ properties: { a: '1', b: 'xyz', c: '4' } });
      const from = record.tagAt + ((8 - (record.tagAt % 8)) % 8);
      const length = record.at + record.size - from;
      for (const [at, value] of changes) record.bytes[from + (at % length)] = value;
      expect([TRUE, FALSE, UNKNOWN]).toContain(program.evaluate(record));
    }),
    { numRuns: 3_000 },
  );
});

test('CONTAINS finds what repeats itself too', () => {
  const repetitive = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b'), maxLength });
  fc.assert(
    fc.property(repetitive(30), repetitive(6), (own, part) => {
      const record = recordOf({ properties: { a: own } });
      expect(parseSql(`a CONTAINS '${part}'`).matches(record)).toBe(own.includes(part));
    }),
    { numRuns: 2_000 },
  );
});

test('CONTAINS takes no time that grows with both texts', () => {
  const record = recordOf({ properties: { a: 'a'.repeat(32_000) } });
  const program = parseSql(`a CONTAINS '${'a'.repeat(4_000)}b'`);
  const started = performance.now();
  for (let i = 0; i < 20; i++) expect(program.matches(record)).toBe(false);
  expect(performance.now() - started).toBeLessThan(1_000);
});
