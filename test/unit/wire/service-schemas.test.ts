import { describe, expect, test } from 'vitest';
import type { RingmqError } from '../../../src/base/codes.ts';
import {
  CALL_MESSAGES_MAX,
  CALL_NUMBERS_MAX,
  CALL_QUEUES_MAX,
  COORDINATED_GROUP_LENGTH_MAX,
  checkParams,
  FILTER_LENGTH_MAX,
  isMethod,
  parseParams,
  RECEIVE_MAX,
  SERVICE_SCHEMAS,
} from '../../../src/wire/service-schemas.ts';
import {
  CALL_WAIT_MAX_MS,
  DELAY_MAX_MS,
  INVISIBLE_MAX_MS,
  type Method,
  type ParamsOf,
} from '../../../src/wire/services.ts';

const GROUP = { group: 'billing', topic: 'orders', member: 'm1' } as const;
const QUEUE = { topic: 'orders', partition: 3 } as const;
const PROGRESS = { ...QUEUE, epoch: 2, offset: 10, acked: [12, 14, 20, 21], attempts: [14, 1, 15, 2] } as const;

/** Every member of every method's parameters. */
const GOOD: { readonly [M in Method]: ParamsOf<M> } = {
  'group-sync': {
    ...GROUP,
    client: 'host 1',
    generation: 4,
    owned: [QUEUE],
    from: { time: 1_700_000_000_000 },
    order: 'none',
    filter: 'A || B',
    waitMs: 5_000,
  },
  'group-leave': GROUP,
  'group-commit': { ...GROUP, generation: 4, queues: [PROGRESS] },
  'group-list': { after: 'audit' },
  'group-describe': { group: 'billing' },
  'group-settings': { group: 'billing', settings: { retryDelaysMs: [1_000, 2_000], attemptsMax: 3 } },
  'group-reset': { group: 'billing', topic: 'orders', partition: 2, to: { offset: 17 } },
  'group-delete': { group: 'billing' },
  receive: {
    ...GROUP,
    from: 'earliest',
    order: 'partition',
    priority: true,
    filter: '*',
    maxMessages: 16,
    invisibleMs: 30_000,
    waitMs: 10_000,
  },
  settle: {
    group: 'billing',
    topic: 'orders',
    queues: [{ ...QUEUE, acks: [7, 1], nacks: [8, 2, -1], extensions: [9, 3, 60_000] }],
  },
  'send-back': {
    ...GROUP,
    queue: QUEUE,
    epoch: 1,
    offset: 17,
    attempts: 2,
    delayMs: 5_000,
    deadLetter: true,
    reason: 'the handler threw',
  },
  'dlq-replay': { group: 'billing', maxMessages: 10 },
  schedule: { topic: 'orders', deliverAt: [1_700_000_000_000, 0] },
  recall: { handle: 'h-1' },
  'transaction-prepare': { topic: 'orders', producerGroup: 'payers' },
  'transaction-end': { commits: ['t-1'], rollbacks: ['t-2'], receipts: true, own: true },
  'coordinator-figures': {},
  'transaction-checks': { producerGroup: 'payers', waitMs: 1_000 },
};

const METHODS = Object.keys(SERVICE_SCHEMAS) as Method[];

function refusalOf(method: Method, params: unknown): RingmqError {
  try {
    checkParams(method, params);
  } catch (error) {
    return error as RingmqError;
  }
  throw new Error(`${method} took ${JSON.stringify(params)}`);
}

/** Good parameters with one member changed. */
function withMember(method: Method, name: string, value: unknown): object {
  return { ...GOOD[method], [name]: value };
}

describe.each(METHODS)('%s', (method) => {
  test('takes all of its members as they are', () => {
    expect(parseParams(method, JSON.stringify(GOOD[method]))).toEqual(GOOD[method]);
  });

  test('refuses a member that it does not have, by name', () => {
    const error = refusalOf(method, withMember(method, 'propertes', 1));
    expect(error).toMatchObject({ code: 'illegal-argument', message: `${method}: propertes: no such field` });
  });

  test.each([['text'], [[]], [null], [17], [undefined]])('refuses %j for parameters', (value) => {
    expect(refusalOf(method, value).code).toBe('illegal-argument');
  });

  test('refuses text that is no JSON', () => {
    expect(() => parseParams(method, '{"group":')).toThrow(expect.objectContaining({ code: 'malformed-command' }));
  });

  test.each(Object.keys(GOOD[method]))('refuses a %s of another type', (name) => {
    for (const wrong of [{ no: 'such' }, Number.NaN, '\ud800']) {
      expect(refusalOf(method, withMember(method, name, wrong)).message).toContain(name);
    }
  });
});

describe('names', () => {
  const withGroup = METHODS.filter((method) => 'group' in GOOD[method]);
  const withTopic = METHODS.filter((method) => 'topic' in GOOD[method]);

  test.each(withGroup)('%s refuses groups that the coordinator keeps nothing for', (method) => {
    for (const group of ['', 'a b', 'a|b', 'x'.repeat(COORDINATED_GROUP_LENGTH_MAX + 1)]) {
      expect(refusalOf(method, withMember(method, 'group', group)).code).toBe('illegal-group');
    }
    checkParams(method, withMember(method, 'group', 'x'.repeat(COORDINATED_GROUP_LENGTH_MAX)));
  });

  test.each(withTopic)('%s refuses what is no name of a topic', (method) => {
    for (const topic of ['', '..', 'a/b', 'x'.repeat(128)]) {
      expect(refusalOf(method, withMember(method, 'topic', topic)).code).toBe('illegal-topic');
    }
  });

  test.each(['schedule', 'transaction-prepare'] as const)('%s writes to no topic of the broker', (method) => {
    for (const topic of ['RMQ_SYS_TIMER', '%DLQ%billing', '%RETRY%billing|orders', 'TRANS_CHECK_MAX_TIME_TOPIC']) {
      expect(refusalOf(method, withMember(method, 'topic', topic)).code).toBe('no-write-permission');
    }
    checkParams(method, withMember(method, 'topic', 'RMQ_SYS_TRACE_TOPIC'));
  });

  test('a retry topic may be read', () => {
    checkParams('receive', withMember('receive', 'topic', '%RETRY%billing|orders'));
  });

  test('a member is named, and not with control characters', () => {
    for (const member of ['', 'a\nb', 'x'.repeat(129)]) {
      expect(refusalOf('group-sync', withMember('group-sync', 'member', member)).code).toBe('illegal-argument');
    }
  });
});

describe('limits', () => {
  const cases: readonly (readonly [Method, string, unknown])[] = [
    ['group-sync', 'waitMs', CALL_WAIT_MAX_MS + 1],
    ['group-sync', 'waitMs', -1],
    ['group-sync', 'waitMs', 1.5],
    ['group-sync', 'generation', -1],
    ['group-sync', 'order', 'some'],
    ['group-sync', 'from', { time: -1 }],
    ['group-sync', 'from', { offset: 1 }],
    ['group-sync', 'filter', 'x'.repeat(FILTER_LENGTH_MAX + 1)],
    ['group-sync', 'client', 'x'.repeat(257)],
    ['group-sync', 'owned', Array.from({ length: CALL_QUEUES_MAX + 1 }, () => QUEUE)],
    ['group-commit', 'queues', [{ ...PROGRESS, partition: -1 }]],
    ['group-commit', 'queues', [{ ...PROGRESS, offset: 2 ** 53 }]],
    ['group-commit', 'queues', [{ ...PROGRESS, acked: [1] }]],
    ['group-commit', 'queues', [{ ...PROGRESS, acked: [5, 3] }]],
    ['group-commit', 'queues', [{ ...PROGRESS, acked: [5, 7, 7, 9] }]],
    ['group-commit', 'queues', [{ ...PROGRESS, attempts: [9, 1, 8, 1] }]],
    ['group-commit', 'queues', [{ ...PROGRESS, acked: new Array(CALL_NUMBERS_MAX + 2).fill(0).map((_, i) => i) }]],
    ['group-commit', 'queues', [{ ...PROGRESS, extra: 1 }]],
    ['group-settings', 'settings', { attemptsMax: 0 }],
    ['group-settings', 'settings', { retryDelaysMs: [] }],
    ['group-settings', 'settings', { retryDelaysMs: [DELAY_MAX_MS + 1] }],
    ['group-reset', 'partition', -2],
    ['group-reset', 'to', { offset: -1 }],
    ['receive', 'maxMessages', 0],
    ['receive', 'maxMessages', RECEIVE_MAX + 1],
    ['receive', 'invisibleMs', 0],
    ['receive', 'invisibleMs', INVISIBLE_MAX_MS + 1],
    ['settle', 'queues', [{ ...QUEUE, acks: [1] }]],
    ['settle', 'queues', [{ ...QUEUE, nacks: [1, 2] }]],
    ['settle', 'queues', [{ ...QUEUE, nacks: [1, 2, DELAY_MAX_MS + 1] }]],
    ['settle', 'queues', [{ ...QUEUE, extensions: [1, 2, -2] }]],
    ['settle', 'queues', [{ ...QUEUE, extensions: [1, 2, INVISIBLE_MAX_MS + 1] }]],
    ['send-back', 'attempts', 0],
    ['send-back', 'delayMs', DELAY_MAX_MS + 1],
    ['send-back', 'reason', 'x'.repeat(1_025)],
    ['dlq-replay', 'maxMessages', 0],
    ['schedule', 'deliverAt', new Array(CALL_MESSAGES_MAX + 1).fill(0)],
    ['schedule', 'deliverAt', [-1]],
    ['recall', 'handle', 'x'.repeat(257)],
    ['transaction-end', 'commits', [7]],
  ];

  test.each(cases)('%s refuses %s beyond them', (method, name, value) => {
    const error = refusalOf(method, withMember(method, name, value));
    expect(error.code).toBe('illegal-argument');
    expect(error.message).toContain(`${method}: ${name}`);
    expect(error.message.length).toBeLessThanOrEqual(400);
  });
});

test('what may be left out has a default', () => {
  expect(checkParams('receive', GROUP)).toEqual({
    ...GROUP,
    from: 'latest',
    order: 'key',
    priority: false,
    filter: '',
    maxMessages: 32,
    invisibleMs: 60_000,
    waitMs: 0,
  });
  expect(checkParams('group-sync', GROUP)).toMatchObject({ generation: 0, owned: [], client: '', waitMs: 0 });
  expect(checkParams('group-reset', { group: 'g', topic: 't', to: 'latest' }).partition).toBe(-1);
});

test('names of methods are taken from the list, not from the prototype', () => {
  expect(['receive', 'toString', '__proto__', ''].map(isMethod)).toEqual([true, false, false, false]);
});
