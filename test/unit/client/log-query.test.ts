import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { LogQueries, type QueryKeys } from '../../../src/client/log-query.ts';
import { locateInLog, locateInRing, readFromLog } from '../../../src/client/log-requests.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import { KeyFinder } from '../../../src/state/key-finder.ts';
import { KeyIndexWriter } from '../../../src/state/key-index.ts';
import type { CommandOf, TopicRoute } from '../../../src/wire/commands.ts';
import { routeOf } from '../../support/fake-outlet.ts';
import { DurableRig, NUMBER, TOPIC } from './durable-rig.ts';

/** Batches of three messages each, one every 10 ms from time 1,000 on; questions are answered by themselves. */
function timed(batches: number): DurableRig {
  const rig = new DurableRig();
  for (let i = 0; i < batches; i++) rig.publish(3, 1_000 + i * 10);
  return rig;
}

/** Answers what is asked until the promise settles. */
async function answered<T>(rig: DurableRig, promise: Promise<T>, most = 2): Promise<T> {
  let over = false;
  const settled = promise.finally(() => {
    over = true;
  });
  settled.catch(() => {});
  while (!over) {
    rig.answer(most);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return settled;
}

function topicOf(rig: DurableRig): TopicRoute {
  return { ...routeOf(1, { topicId: TOPIC, durable: true }), partitions: [rig.route] };
}

/** `indexed`: when the index knows what the log has. */
function keysIn(folder: string | undefined, indexed = Promise.resolve()): QueryKeys {
  const finder = new KeyFinder(folder, Date.now);
  return { open: () => finder.open(), close: () => finder.close(), indexed: () => indexed };
}

const ANY: CommandOf<'query'> = { type: 'query', topic: 't', key: '', fromTime: 0, toTime: 0, limit: 0 };

describe('a time', () => {
  test('is found in the log', async () => {
    const rig = timed(10);
    const places = [0, 1_000, 1_001, 1_090, 1_091];
    const found = [];
    for (const time of places) found.push(await answered(rig, locateInLog(rig, TOPIC, NUMBER, time)));
    expect(found).toEqual([0, 0, 3, 27, 30]);
  });

  test('is found in the ring: the oldest that it has, one in the middle, and what will come next', () => {
    const rig = timed(60);
    const reader = rig.reader();
    const oldest = locateInRing(reader, 0);
    expect(oldest).toBeGreaterThan(0);
    expect([locateInRing(reader, 1_580), locateInRing(reader, 1_581), locateInRing(reader, 5_000)]).toEqual([
      174, 177, 180,
    ]);
  });

  test('is refused with the reason, not asked for again, once the line is closed', async () => {
    const rig = timed(4);
    rig.busy = true;
    const asked = readFromLog(rig, TOPIC, NUMBER, 0, 1_000);
    asked.catch(() => {});
    rig.answer();
    rig.read = () => {
      throw new RingmqError('closed');
    };
    await expect(asked).rejects.toMatchObject({ code: 'closed' });
  });

  test('is asked for again while the log reader cannot be asked', async () => {
    const rig = timed(4);
    rig.full = true;
    setTimeout(() => {
      rig.full = false;
    }, 30);
    expect(await answered(rig, locateInLog(rig, TOPIC, NUMBER, 1_010))).toBe(3);
  });
});

test('a part of the log is whole batches in memory of their own; what is gone is said', async () => {
  const rig = timed(10);
  const part = await answered(rig, readFromLog(rig, TOPIC, NUMBER, 4, 1_000), 3);
  const view = new BatchView().span(part.bytes, part.words, 0, part.bytes.length);
  const bases: number[] = [];
  while (view.next()) bases.push(view.baseOffset);
  expect([bases, part.nextOffset, part.missing]).toEqual([[3, 6, 9], 12, false]);
  rig.expire(15);
  expect(await answered(rig, readFromLog(rig, TOPIC, NUMBER, 4, 1_000))).toMatchObject({
    missing: true,
    nextOffset: 15,
  });
  expect(await answered(rig, readFromLog(rig, TOPIC, NUMBER, 30, 1_000))).toMatchObject({ nextOffset: 30 });
});

describe('queries by time', () => {
  const offsetsOf = async (rig: DurableRig, query: Partial<CommandOf<'query'>>): Promise<readonly number[]> => {
    const reply = await answered(rig, new LogQueries(rig, keysIn(undefined)).find(topicOf(rig), { ...ANY, ...query }));
    return reply.matches.map((one) => one.offset);
  };

  test('find what was stored from a time on and before another', async () => {
    expect(await offsetsOf(timed(20), { fromTime: 1_020, toTime: 1_040 })).toEqual([6, 7, 8, 9, 10, 11]);
    expect(await offsetsOf(timed(3), { fromTime: 1_020 })).toEqual([6, 7, 8]);
    expect(await offsetsOf(timed(3), { fromTime: 9_000 })).toEqual([]);
    expect(await offsetsOf(timed(2), { toTime: 1_010 })).toEqual([0, 1, 2]);
  });

  test('say where, when, and whether there is more', async () => {
    const rig = timed(20);
    const reply = await answered(rig, new LogQueries(rig, keysIn(undefined)).find(topicOf(rig), { ...ANY, limit: 4 }));
    expect(reply.matches).toEqual([
      { partition: NUMBER, epoch: 1, offset: 0, storedAt: 1_000 },
      { partition: NUMBER, epoch: 1, offset: 1, storedAt: 1_000 },
      { partition: NUMBER, epoch: 1, offset: 2, storedAt: 1_000 },
      { partition: NUMBER, epoch: 1, offset: 3, storedAt: 1_010 },
    ]);
    expect(reply.more).toBe(true);
    const all = await answered(rig, new LogQueries(rig, keysIn(undefined)).find(topicOf(rig), { ...ANY, limit: 60 }));
    expect([all.matches.length, all.more]).toEqual([60, false]);
    const long = timed(30);
    const byDefault = await answered(long, new LogQueries(long, keysIn(undefined)).find(topicOf(long), ANY));
    expect([byDefault.matches.length, byDefault.more]).toEqual([64, true]);
  });

  test('go on behind what is gone or damaged', async () => {
    const rig = timed(10);
    rig.expire(6);
    rig.log[4].damaged = true;
    expect(await offsetsOf(rig, { limit: 8 })).toEqual([6, 7, 8, 9, 10, 11, 15, 16]);
  });

  test('by key come from the key index, without what retention has taken already', async () => {
    const rig = timed(12);
    rig.expire(9);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-keys-'));
    const writer = new KeyIndexWriter(folder, () => {}, 1);
    const entry = { topicId: TOPIC, partition: NUMBER, epoch: 1 };
    const offsets = Array.from({ length: 30 }, (_, i) => i);
    const entries = offsets.map((offset) => {
      return {
        ...entry,
        offset,
        key: offset % 3 === 0 ? 'fizz' : 'other',
        storedAt: 1_000 + Math.floor(offset / 3) * 10,
      };
    });
    writer.apply(entries, 1);
    await writer.pending;
    let isIndexed = (): void => {};
    const indexed = new Promise<void>((resolve) => {
      isIndexed = resolve;
    });
    const queries = new LogQueries(rig, keysIn(folder, indexed));
    const find = async (query: Partial<CommandOf<'query'>>): Promise<readonly number[]> => {
      const reply = await queries.find(topicOf(rig), { ...ANY, key: 'fizz', ...query });
      return [...reply.matches.map((one) => one.offset), ...(reply.more ? [-1] : [])];
    };
    let answers = 0;
    const early = find({}).finally(() => answers++);
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers, 'the index is not up to date').toBe(0);
    isIndexed();
    expect(await early).toEqual([9, 12, 15, 18, 21, 24, 27]);
    expect(await find({ limit: 2 })).toEqual([9, 12, -1]);
    expect(await find({ fromTime: 1_060, toTime: 1_080 })).toEqual([18, 21]);
    expect(await find({ key: 'nobody has it' })).toEqual([]);
    queries.close();
    await writer.close();
    fs.rmSync(folder, { recursive: true });
  });

  test('are refused for a volatile topic', async () => {
    const rig = timed(1);
    const volatile = new LogQueries(rig, keysIn(undefined)).find({ ...topicOf(rig), durable: false }, ANY);
    await expect(volatile).rejects.toMatchObject({ code: 'topic-volatile' });
    await expect(new LogQueries(undefined, keysIn(undefined)).find(topicOf(rig), ANY)).rejects.toMatchObject({
      code: 'topic-volatile',
    });
  });
});
