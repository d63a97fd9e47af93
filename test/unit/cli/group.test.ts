import { expect, test } from 'vitest';
import { delays, resetTo } from '../../../src/cli/group.ts';
import { groupListText, groupText, settingsText } from '../../../src/cli/group-text.ts';
import { laterOf } from '../../../src/cli/pub-later.ts';
import { traceText } from '../../../src/cli/trace.ts';
import type { GroupDescription } from '../../../src/client/messaging.ts';

const PEOPLE = { url: '' };
const GROUP: GroupDescription = {
  group: 'billing',
  settings: { retryDelaysMs: [500, 10_000, 60_000], attemptsMax: 4 },
  subscriptions: [{ topic: 'orders', kind: 'push', order: 'key', filter: 'A || B', generation: 7 }],
  members: [{ member: 'm1', client: 'ringmq-cli', topic: 'orders', idleMs: 1_200 }],
  queues: [
    {
      topic: 'orders',
      partition: 0,
      owner: 'm1',
      epoch: 1,
      offset: 1_000,
      acked: [],
      attempts: [1_000, 2],
      nextOffset: 1_500,
      lag: 500,
      leased: 0,
    },
  ],
  deadLetters: 3,
};

test('retry delays and places to go on are read', () => {
  expect(delays('10ms,1s, 2m')).toEqual([10, 1_000, 120_000]);
  expect(() => delays('1s,,2s')).toThrow(/90s/);
  expect(() => delays(Array.from({ length: 65 }, () => '1s').join())).toThrow(/64/);
  expect([resetTo('earliest'), resetTo('latest'), resetTo('offset:12')]).toEqual([
    'earliest',
    'latest',
    { offset: 12 },
  ]);
  expect(resetTo('time:1795406400000')).toEqual({ time: 1_795_406_400_000 });
  for (const wrong of ['', 'offset:', 'offset:-1', 'last:3', 'EARLIEST'])
    expect(() => resetTo(wrong)).toThrow(/earliest/);
});

test('a delay goes with what it can go with', () => {
  expect([laterOf({}), laterOf({ delay: 5 }), laterOf({ at: 7 })]).toEqual([
    undefined,
    { delayMs: 5 },
    { deliverAt: 7 },
  ]);
  expect(() => laterOf({ delay: 5, at: 7 })).toThrow(/choose one/);
  expect(() => laterOf({ delay: 5, ack: 'none' })).toThrow(/--ack/);
  expect(() => laterOf({ at: 5, partition: 0 })).toThrow(/--partition/);
  expect(laterOf({ ack: 'none', partition: 0 })).toBeUndefined();
});

test('a group is described for people and for scripts', () => {
  const text = groupText(GROUP, PEOPLE);
  expect(text).toMatch(/^lag +500 messages$/m);
  expect(text).toMatch(/^dead letters +3 \(ringmq dlq show billing\)$/m);
  expect(text).toMatch(/^attempts +4, retries after 500 ms, 10 s, 1 min$/m);
  expect(text).toMatch(/^topic +orders: push, order key, filter A \|\| B, generation 7$/m);
  expect(text).toMatch(/^m1 +orders +ringmq-cli +1200 ms$/m);
  expect(text).toMatch(/^orders +0 +m1 +1,000 +500 +0 +1$/m);
  expect(JSON.parse(groupText(GROUP, { ...PEOPLE, json: true }))).toEqual(GROUP);
  expect(groupText({ ...GROUP, members: [], queues: [] }, PEOPLE)).toMatch(/no members\n$/);
  expect(settingsText('g', GROUP.settings)).toBe('g: 4 attempts, retries after 500 ms, 10 s, 1 min\n');
  expect(groupListText([], PEOPLE)).toMatch(/no groups yet: ringmq sub/);
});

test('steps of a message are a table', () => {
  const step = { messageId: 'AB', topic: 't', at: Date.UTC(2026, 10, 23) } as const;
  const text = traceText([
    { ...step, step: 'stored', tookMs: 3 },
    { ...step, step: 'delivered', group: 'g', member: 'm', attempt: 2 },
  ]);
  expect(text).toMatch(/^AB of t\n/);
  expect(text).toMatch(/^2026-11-23T00:00:00.000Z +stored +- +- +- +3 ms$/m);
  expect(text).toMatch(/ delivered +g +m +2 +-$/m);
});
