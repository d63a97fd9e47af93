// RocketMQ's SQL92, cut into words: keywords in any case, names, numbers, 'text' with '' for a quote, operators.
import { numberOf } from './property-places.ts';
import { illegalFilter } from './refusal.ts';

const KEYWORDS = new Set([
  ...['AND', 'OR', 'NOT', 'BETWEEN', 'IN', 'IS', 'NULL', 'TRUE', 'FALSE'],
  ...['CONTAINS', 'STARTSWITH', 'ENDSWITH'],
]);
const SPACE = /\s+/y;
const NAME = /[\p{L}_$][\p{L}\p{N}_$.]*/uy;
const NUMBER = /[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?/y;
const TEXT = /'(?:[^']|'')*'/y;
/** A name that is no word otherwise, as in MySQL. */
const QUOTED = /`(?:[^`]|``)+`/y;
const SYMBOL = /<>|<=|>=|[<>=(),]/y;
const AFTER_NUMBER = /[\p{L}\p{N}_$.]/uy;
const HINTS: Readonly<Record<string, string>> = {
  "'": 'the text that begins here has no end; a quote in a text is written as two',
  '`': 'the name that begins here is empty or has no end',
  '"': "text stands in 'single quotes', a name with special characters in `back quotes`",
  '!': 'not equal is `<>`',
  '&': 'and is `AND`',
  '|': 'or is `OR`',
};

export interface Token {
  /** `symbol` and `keyword`: `text` says which; keywords in upper case. */
  readonly kind: 'name' | 'number' | 'text' | 'keyword' | 'symbol' | 'end';
  readonly text: string;
  readonly number: number;
  /** Of its first character, from 1. */
  readonly column: number;
}

/** The words of a text, and an end. Linear in its length. Throws `illegal-filter`. */
export function tokensOf(sql: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    at += matchAt(SPACE, sql, at)?.length ?? 0;
    if (at >= sql.length) break;
    const found = tokenAt(sql, at);
    tokens.push(found.token);
    at = found.end;
  }
  tokens.push({ kind: 'end', text: '', number: 0, column: sql.length + 1 });
  return tokens;
}

function tokenAt(sql: string, at: number): { readonly token: Token; readonly end: number } {
  const column = at + 1;
  const token = (kind: Token['kind'], text: string, raw: string, number = 0) => {
    return { token: { kind, text, number, column }, end: at + raw.length };
  };
  const name = matchAt(NAME, sql, at);
  if (name !== undefined) {
    const upper = name.toUpperCase();
    return KEYWORDS.has(upper) ? token('keyword', upper, name) : token('name', name, name);
  }
  const number = matchAt(NUMBER, sql, at);
  if (number !== undefined) {
    const value = numberOf(number);
    if (Number.isNaN(value)) throw illegalFilter(column, `the number ${number} is too large`);
    const next = matchAt(AFTER_NUMBER, sql, at + number.length);
    if (next !== undefined) throw illegalFilter(at + number.length + 1, `found \`${next}\` right after a number`);
    return token('number', number, number, value);
  }
  const text = matchAt(TEXT, sql, at);
  if (text !== undefined) return token('text', text.slice(1, -1).replaceAll("''", "'"), text);
  const quoted = matchAt(QUOTED, sql, at);
  if (quoted !== undefined) return token('name', quoted.slice(1, -1).replaceAll('``', '`'), quoted);
  const symbol = matchAt(SYMBOL, sql, at);
  if (symbol !== undefined) return token('symbol', symbol, symbol);
  const character = String.fromCodePoint(sql.codePointAt(at) ?? 0);
  const hint = HINTS[character] ?? `found \`${character}\`, which means nothing here`;
  throw illegalFilter(column, hint);
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
