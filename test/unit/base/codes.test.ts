import { describe, expect, test } from 'vitest';
import { type Advice, CODES, type CodeName, codeName, codeNumber, RingmqError } from '../../../src/base/codes.ts';

const NAMES = Object.keys(CODES) as CodeName[];

/** The ranges that the head of codes.ts states, with the advice that a code in each may give. */
const RANGES: readonly { readonly from: number; readonly to: number; readonly advice: readonly Advice[] }[] = [
  { from: 0, to: 99, advice: ['done'] },
  { from: 100, to: 199, advice: ['retry', 'refresh-route'] },
  { from: 200, to: 499, advice: ['fix', 'refresh-route', 'retry'] },
  { from: 500, to: 599, advice: ['report', 'fix'] },
  { from: 4000, to: 4499, advice: ['reconnect'] },
  { from: 4500, to: 4999, advice: ['stay-away'] },
];

describe('the table of codes', () => {
  test('gives every number to one name only', () => {
    const numbers = NAMES.map(codeNumber);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test('puts every number into a stated range, with the advice of that range', () => {
    for (const name of NAMES) {
      const { number, advice } = CODES[name];
      const range = RANGES.find(({ from, to }) => number >= from && number <= to);
      expect(range?.advice, name).toContain(advice);
    }
  });

  test('lists numbers in rising order, so that a gap is seen', () => {
    const numbers = NAMES.map(codeNumber);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  test('finds every name by its number', () => {
    for (const name of NAMES) expect(codeName(codeNumber(name))).toBe(name);
  });

  test('names codes in kebab case and says what is wrong', () => {
    for (const name of NAMES) {
      expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(CODES[name].text.length, name).toBeGreaterThan(5);
    }
  });

  test('a number that this version does not know is an internal error', () => {
    for (const number of [-1, 99, 599, 4999, 1e9, Number.NaN]) expect(codeName(number)).toBe('internal');
  });
});

/** Numbers are never reused: what was published once stays as it was. New codes are added here when released. */
const PUBLISHED: Readonly<Record<string, number>> = {
  ok: 0,
  duplicate: 1,
  busy: 100,
  'lane-full': 101,
  'out-of-order': 102,
  timeout: 103,
  'connection-lost': 104,
  'window-exceeded': 105,
  'broker-unavailable': 106,
  'route-stale': 107,
  'buffer-full': 108,
  'unknown-topic': 200,
  'unknown-partition': 201,
  'topic-exists': 202,
  'illegal-topic': 203,
  'no-write-permission': 204,
  'no-read-permission': 205,
  'topic-quota': 206,
  'partition-quota': 207,
  'memory-quota': 208,
  'auto-create-off': 209,
  'ring-full': 210,
  'not-direct': 211,
  'direct-only': 212,
  'message-too-large': 300,
  'malformed-batch': 301,
  'bad-checksum': 302,
  'key-too-long': 303,
  'illegal-tag': 304,
  'properties-too-large': 305,
  'ack-unsupported': 306,
  'frame-too-large': 307,
  'malformed-command': 400,
  'unknown-command': 401,
  'unknown-subscription': 402,
  'offset-out-of-range': 403,
  'subscription-quota': 404,
  'reader-quota': 405,
  'illegal-argument': 406,
  'not-found': 407,
  'method-not-allowed': 408,
  'seat-quota': 409,
  'hello-expected': 410,
  'origin-refused': 411,
  internal: 500,
  closed: 501,
  'shutting-down': 4000,
  'too-slow': 4001,
  idle: 4002,
  'protocol-error': 4500,
  'hello-timeout': 4501,
};

test('no published number has changed', () => {
  expect(Object.fromEntries(NAMES.map((name) => [name, codeNumber(name)]))).toMatchObject(PUBLISHED);
});

describe('RingmqError', () => {
  test('carries code, number, advice and the text of the table', () => {
    const error = new RingmqError('unknown-topic');
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'RingmqError',
      code: 'unknown-topic',
      number: 200,
      advice: 'fix',
      message: 'no such topic',
    });
  });

  test('says what exactly was wrong', () => {
    expect(new RingmqError('illegal-argument', 'partitions: must be positive').message).toBe(
      'partitions: must be positive',
    );
  });

  test.each([
    ['busy', true],
    ['route-stale', true],
    ['shutting-down', true],
    ['unknown-topic', false],
    ['internal', false],
    ['protocol-error', false],
  ] as const)('%s is retryable: %s', (code, retryable) => {
    expect(new RingmqError(code).retryable).toBe(retryable);
  });
});
