import { expect, test } from 'vitest';
import { STORE_INDEXED_LOW, STORE_WRITTEN_LOW } from '../../../native-layout/store.ts';
import { LogQuestions } from '../../../src/frontend/log-questions.ts';
import { Queries, type QueriesContext, type QueryRequest } from '../../../src/frontend/queries.ts';
import { activatePartition, setOldestOffset } from '../../../src/memory/partition-entry.ts';
import { attachRegions, createRegions } from '../../../src/memory/regions.ts';
import { setStoreNumber } from '../../../src/memory/store-state.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { putInt64 } from '../../../src/record/int64.ts';
import type { History } from '../../../src/thread/history.ts';
import type { QueryMatch, TopicRoute } from '../../../src/wire/commands.ts';
import { FakeLog } from './fake-log.ts';
import { ROUTE, range } from './support.ts';

const SIZES = {
  workerCount: 1,
  frontendCount: 1,
  partitionMax: 16,
  laneBytes: 65_536,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
  durable: true,
};
const TOPIC: TopicRoute = {
  topic: 't',
  topicId: 5,
  version: 1,
  overflow: 'block',
  ringBytes: 65_536,
  messageMaxBytes: 1_000,
  direct: false,
  durable: true,
  retentionMs: 0,
  retentionBytes: 0,
  partitions: [
    { ...ROUTE, id: 1, number: 0 },
    { ...ROUTE, id: 2, number: 1 },
  ],
};

/** A stamped batch. */
function batch(base: number, records: number, storedAt: number): Uint8Array {
  const builder = new BatchBuilder(4_096);
  for (let i = 0; i < records; i++) builder.tryAddText(`${base + i}`, storedAt);
  const rest = { partition: 1, request: 1, ack: 1, requestFlags: 0, producerId: 0, baseSequence: 0, checksum: true };
  const bytes = builder.bytes.slice(0, builder.close({ ...rest, epoch: 7 }));
  const words = new Int32Array(bytes.buffer);
  putInt64(words, 16 >> 2, base);
  putInt64(words, 24 >> 2, storedAt);
  return bytes;
}

class Rig {
  readonly regions = attachRegions(createRegions('q', SIZES));
  readonly logs = [new FakeLog(), new FakeLog()];
  readonly queries: Queries;
  found: QueryMatch[] = [];
  readonly asked: number[] = [];
  route: TopicRoute = TOPIC;

  constructor() {
    const identity = { owner: 2, epoch: 7, permission: 6, overflow: 0, ringBytes: 65_536, durable: true };
    activatePartition(this.regions.table, 1, { ...identity, topic: 5, number: 0 });
    activatePartition(this.regions.table, 2, { ...identity, topic: 5, number: 1 });
    const keys: QueriesContext['keys'] = {
      open: async () => ({
        find: (topicId, key, fromMs, toMs, limit) => {
          this.asked.push(limit);
          expect([topicId, key]).toEqual([5, 'k']);
          return this.found.filter(({ storedAt }) => storedAt >= fromMs && storedAt < toMs).slice(0, limit);
        },
      }),
    };
    // Answers at once: what comes late is tested with the questions themselves.
    const line: Pick<History, 'read' | 'locate' | 'forget'> = {
      read: (topicId, number, ...rest) => this.now(number, (log) => log.read(topicId, number, ...rest)),
      locate: (topicId, number, ...rest) => this.now(number, (log) => log.locate(topicId, number, ...rest)),
      forget: () => {},
    };
    this.queries = new Queries({
      regions: this.regions,
      routes: { fetch: async () => this.route },
      questions: new LogQuestions(line, Date.now),
      keys,
      clock: Date.now,
    });
  }

  add(number: number, base: number, records: number, storedAt: number): void {
    this.logs[number].append(batch(base, records, storedAt), base, base + records, storedAt);
  }

  run(request: Partial<QueryRequest>) {
    return this.queries.run({ topic: 't', key: '', fromTime: 0, toTime: 0, limit: 0, ...request });
  }

  async offsets(request: Partial<QueryRequest>): Promise<number[][]> {
    const { matches } = await this.run(request);
    return matches.map(({ partition, offset }) => [partition, offset]);
  }

  private now(number: number, ask: (log: FakeLog) => number): number {
    const log = this.logs[number];
    const request = ask(log);
    queueMicrotask(() => log.answer(0, 2));
    return request;
  }
}

test('a time range is read from all partitions, oldest first, with its ends kept', async () => {
  const rig = new Rig();
  rig.add(0, 0, 2, 100);
  rig.add(0, 2, 2, 300);
  rig.add(0, 4, 1, 500);
  rig.add(1, 0, 1, 200);
  rig.add(1, 1, 1, 400);
  expect(await rig.offsets({})).toEqual([
    [0, 0],
    [0, 1],
    [1, 0],
    [0, 2],
    [0, 3],
    [1, 1],
    [0, 4],
  ]);
  expect(await rig.offsets({ fromTime: 200, toTime: 400 })).toEqual([
    [1, 0],
    [0, 2],
    [0, 3],
  ]);
  expect(await rig.offsets({ fromTime: 501 })).toEqual([]);
  const { matches, more } = await rig.run({ limit: 4 });
  expect(more).toBe(true);
  expect(matches.at(-1)).toEqual({ partition: 0, epoch: 7, offset: 2, storedAt: 300 });
  expect((await rig.run({ limit: 7 })).more).toBe(false);
});

test('a time range begins behind what retention took and steps over damage', async () => {
  const rig = new Rig();
  for (let i = 0; i < 8; i++) rig.add(0, i, 1, 100 + i);
  rig.logs[0].oldest = 3;
  rig.logs[0].damaged.add(5);
  expect(await rig.offsets({})).toEqual([3, 4, 6, 7].map((offset) => [0, offset]));
});

test('a key is found in the index, without what retention has taken meanwhile', async () => {
  const rig = new Rig();
  rig.found = range(0, 100).map((offset) => ({ partition: offset % 2, epoch: 7, offset, storedAt: 1_000 + offset }));
  expect(await rig.offsets({ key: 'k', limit: 3 })).toEqual([
    [0, 0],
    [1, 1],
    [0, 2],
  ]);
  expect(await rig.offsets({ key: 'k', fromTime: 1_050, toTime: 1_052 })).toEqual([
    [0, 50],
    [1, 51],
  ]);
  setOldestOffset(rig.regions.table, 1, 80);
  setOldestOffset(rig.regions.table, 2, 91);
  rig.asked.length = 0;
  const { matches, more } = await rig.run({ key: 'k', limit: 10 });
  expect(matches.map((one) => one.offset)).toEqual([80, 82, 84, 86, 88, 90, 91, 92, 93, 94]);
  expect(more).toBe(true);
  expect(rig.asked).toEqual([11, 88, 704]);
});

test('a key that was just stored is waited for until it is indexed', async () => {
  const rig = new Rig();
  const store = rig.regions.store as NonNullable<typeof rig.regions.store>;
  setStoreNumber(store, STORE_WRITTEN_LOW, 8_192);
  setStoreNumber(store, STORE_INDEXED_LOW, 4_096);
  const asked = rig.run({ key: 'k' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(rig.asked).toEqual([]);
  rig.found = [{ partition: 0, epoch: 7, offset: 9, storedAt: 1 }];
  setStoreNumber(store, STORE_INDEXED_LOW, 8_192);
  expect((await asked).matches).toHaveLength(1);
});

test.each<[string, Partial<QueryRequest>, Partial<TopicRoute>, string]>([
  ['a limit too large', { limit: 1_001 }, {}, 'illegal-argument'],
  ['a range without room', { fromTime: 5, toTime: 5 }, {}, 'illegal-argument'],
  ['a key too long', { key: 'ü'.repeat(600) }, {}, 'key-too-long'],
  ['a volatile topic', {}, { durable: false }, 'topic-volatile'],
  [
    'a topic that may not be read',
    {},
    { partitions: [{ ...TOPIC.partitions[0], permission: 2 }] },
    'no-read-permission',
  ],
])('%s is refused', async (_, request, route, code) => {
  const rig = new Rig();
  rig.route = { ...TOPIC, ...route };
  await expect(rig.run(request)).rejects.toMatchObject({ code });
});

test('more queries at a time than the log takes questions wait for their turn, and none is refused', async () => {
  const rig = new Rig();
  rig.route = { ...TOPIC, partitions: Array.from({ length: 8 }, () => TOPIC.partitions[0]) };
  rig.add(0, 0, 1, 100);
  const found = await Promise.all(Array.from({ length: 600 }, () => rig.run({ limit: 1 })));
  expect(found.every(({ matches, more }) => matches.length === 1 && more)).toBe(true);
});
