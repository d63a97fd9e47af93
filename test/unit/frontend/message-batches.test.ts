import { expect, test } from 'vitest';
import { BATCH_HEADER_BYTES, REQUEST_ACK } from '../../../native-layout/batch.ts';
import { ACK_LEVELS } from '../../../src/base/units.ts';
import { defaultAck, MessageBatches } from '../../../src/frontend/message-batches.ts';
import type { LaneWriter } from '../../../src/memory/lane.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { validateBatch } from '../../../src/record/validate.ts';
import type { PartitionRoute, TopicRoute } from '../../../src/wire/commands.ts';
import type { JsonMessage } from '../../../src/wire/json.ts';

const lane = { frameMax: 1024 * 1024 } as LaneWriter;
const batches = new MessageBatches({ laneOf: (owner) => (owner < 10 ? lane : undefined) }, () => 1_000);

function routeOf(change: Partial<TopicRoute> = {}, partitions = 4): TopicRoute {
  const one = (number: number): PartitionRoute => {
    const history = { nextOffset: 0, oldestOffset: 0, epochs: [] };
    return { id: 10 + number, number, owner: 2, epoch: 7, permission: 6, available: true, ...history };
  };
  return {
    topic: `t${Math.random()}`,
    topicId: 1,
    version: 1,
    overflow: 'block',
    ringBytes: 65_536,
    messageMaxBytes: 16_000,
    direct: false,
    durable: false,
    retentionMs: 0,
    retentionBytes: 0,
    partitions: Array.from({ length: partitions }, (_, number) => one(number)),
    ...change,
  };
}

function message(body: string, key = ''): JsonMessage {
  return { key, tag: '', properties: {}, body: new TextEncoder().encode(body), flags: 0 };
}

const options = { ack: 'accepted', request: () => 5 } as const;

function bodiesOf(bytes: Uint8Array, words: Int32Array): string[] {
  const view = new BatchView().span(bytes, words, 0, bytes.length);
  const record = new RecordView();
  const bodies: string[] = [];
  while (view.next()) for (record.open(view); record.next(); ) bodies.push(record.text());
  return bodies;
}

test('one call without keys goes to one partition, the next call to the next', () => {
  const route = routeOf();
  const calls = [0, 1, 2, 3].map(() => batches.build(route, [message('a'), message('b')], options));
  for (const built of calls) {
    expect(built).toHaveLength(1);
    expect(validateBatch(built[0].bytes, built[0].words, 0, built[0].bytes.length)).toBe('ok');
    expect(bodiesOf(built[0].bytes, built[0].words)).toEqual(['a', 'b']);
  }
  expect(new Set(calls.map(([batch]) => batch.partition.number)).size).toBe(4);
});

test('messages of one key go to one partition, in order, and every message is in exactly one batch', () => {
  const route = routeOf();
  const messages = Array.from({ length: 300 }, (_, i) => message(`${i}`, `key${i % 7}`));
  const built = batches.build(route, messages, options);
  expect(built.flatMap((batch) => batch.indexes).toSorted((a, b) => a - b)).toEqual(messages.map((_, i) => i));
  for (const { bytes, words, indexes } of built) {
    expect(bodiesOf(bytes, words)).toEqual(indexes.map(String));
    expect(indexes).toEqual(indexes.toSorted((a, b) => a - b));
  }
  const again = batches.build(route, [message('x', 'key3')], options)[0].partition.number;
  expect(built.find((batch) => batch.indexes.includes(3))?.partition.number).toBe(again);
});

test('many messages make several batches, none larger than the ring takes', () => {
  const route = routeOf({ ringBytes: 16_384, messageMaxBytes: 4_000 }, 1);
  const built = batches.build(
    route,
    Array.from({ length: 100 }, (_, i) => message(`${i}`.padEnd(500, '.'))),
    options,
  );
  expect(built.length).toBeGreaterThan(10);
  for (const { bytes } of built) expect(bytes.length).toBeLessThanOrEqual(4_096);
});

test('a record larger than a usual batch makes a batch of its own, and the next ones are small again', () => {
  const route = routeOf({ ringBytes: 4 * 1024 * 1024, messageMaxBytes: 500_000 }, 1);
  const built = batches.build(route, [message('x'.repeat(300_000)), message('y')], options);
  expect(built.map((batch) => batch.indexes)).toEqual([[0], [1]]);
  expect(built[1].bytes.length).toBe(BATCH_HEADER_BYTES + 32);
});

test('a durable topic acknowledges what is written and what is on the disk; the latter by default', () => {
  const route = routeOf({ durable: true });
  for (const ack of ['written', 'durable'] as const) {
    const [{ words }] = batches.build(route, [message('x')], { ...options, ack });
    expect(words[REQUEST_ACK >> 2]).toBe(ACK_LEVELS[ack]);
  }
  expect(defaultAck(route)).toBe('durable');
  expect(defaultAck(routeOf())).toBe('accepted');
});

test.each<[string, Partial<TopicRoute>, JsonMessage[], object, string]>([
  ['a message too large', {}, [message('x'.repeat(17_000))], {}, 'message-too-large'],
  ['a key too long', {}, [message('x', 'k'.repeat(1_025))], {}, 'key-too-long'],
  ['a key of many bytes', {}, [message('x', 'ü'.repeat(600))], {}, 'key-too-long'],
  ['a tag with a bar', {}, [message('fine'), { ...message('x'), tag: 'a|b' }], {}, 'illegal-tag'],
  ['a partition that is not there', {}, [message('x')], { partition: 9 }, 'unknown-partition'],
  ['a direct topic', { direct: true }, [message('x')], {}, 'direct-only'],
  ['a topic without partitions', { partitions: [] }, [message('x')], {}, 'no-write-permission'],
  ['an acknowledgement that there is not', {}, [message('x')], { ack: 'durable' }, 'ack-unsupported'],
  ['more than a durable topic promises', { durable: true }, [message('x')], { ack: 'replicated' }, 'ack-unsupported'],
])('%s refuses the whole call', (_, change, messages, more, code) => {
  const build = () => batches.build(routeOf(change), messages, { ...options, ...more });
  expect(build).toThrow(expect.objectContaining({ code }));
});
