// The NameServer with its state on a disk: what outlives the process, what a failing disk refuses, offsets of groups.
import { describe, expect, test } from 'vitest';
import { SEAT_FIRST_WORKER } from '../../../native-layout/control.ts';
import {
  nextOffset,
  oldestOffset,
  readIdentity,
  retentionOf,
  startOffset,
} from '../../../src/memory/partition-entry.ts';
import { routeVersion } from '../../../src/memory/seats.ts';
import type { Command } from '../../../src/wire/commands.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { at, Broker, commit, create, offsets, queue } from './support.ts';

describe('durability of a new topic', () => {
  test('is what it says, else what the broker does; direct topics are volatile', async () => {
    const broker = new Broker();
    expect(await broker.create('a')).toMatchObject({ durable: true });
    expect(await broker.create('b', { durable: false })).toMatchObject({ durable: false });
    expect(await broker.create('d', { direct: true })).toMatchObject({ durable: false });
    const auto = await broker.one({ type: 'route-request', topic: 'auto', create: true });
    expect(auto).toMatchObject({ route: { durable: true } });
    expect(await broker.one(create('x', { direct: true, durable: true }))).toBe('illegal-argument');
    expect(await broker.one(create('x', { durable: false, retentionMs: 1 }))).toBe('topic-volatile');
    const plain = new Broker(new FaultDisk(), { durable: false });
    expect(await plain.one(create('x', { durable: true }))).toBe('not-durable');
    expect(await plain.create('x')).toMatchObject({ durable: false });
  });

  test('is in the table, with its retention, shared out over the partitions', async () => {
    const broker = new Broker();
    const more = { retentionMs: 90_000, retentionBytes: 10 * 1024 * 1024 };
    const { partitions } = await broker.create('a', more);
    const { table } = broker.regions;
    for (const { id } of partitions) {
      expect(readIdentity(table, id)?.durable).toBe(true);
      expect(retentionOf(table, id)).toEqual({ minutes: 2, mebibytes: 5 });
    }
    const set = (topic: string, retentionMs: number): Command => {
      return { type: 'set-retention', topic, retentionMs, retentionBytes: 0 };
    };
    expect(await broker.one(set('a', 3_600_000))).toEqual({ type: 'done' });
    expect(retentionOf(table, partitions[1].id)).toEqual({ minutes: 60, mebibytes: 0 });
    expect(await broker.route('a')).toMatchObject({ retentionMs: 3_600_000, retentionBytes: 0 });
    expect(broker.news).toMatchObject([{ type: 'route-changed', topic: 'a' }]);
    expect(await broker.one(set('none', 1))).toBe('unknown-topic');
    await broker.create('v', { durable: false });
    expect(await broker.one(set('v', 1))).toBe('topic-volatile');
  });
});

describe('topics for replies', () => {
  test('are made on demand only, and end with the thread that made them', async () => {
    const broker = new Broker();
    expect(await broker.one({ type: 'route-request', topic: '%REPLY%a', create: true })).toBe('unknown-topic');
    await broker.create('%REPLY%a', { durable: false });
    expect(await broker.one({ type: 'route-request', topic: '%REPLY%a', create: true })).toMatchObject({ route: {} });
    await broker.create('kept');
    broker.leave();
    expect([...broker.journal.keys()]).toEqual(['kept']);
  });

  test('do not outlive the process, however it ended', async () => {
    const first = new Broker();
    await first.create('%REPLY%a', { durable: false });
    await first.create('kept');
    const second = new Broker(first.disk.crash(1));
    expect([...second.journal.keys()]).toEqual(['kept']);
    const third = new Broker(second.disk.crash(1));
    expect([[...third.journal.keys()], third.warnings]).toEqual([['kept'], []]);
  });
});

describe('a restart', () => {
  test('after a clean stop goes on as it was: ids, owners, epochs of durable topics, settings', async () => {
    const first = new Broker();
    const a = await first.create('a', { partitions: 3, overflow: 'reject', ringBytes: 131_072, retentionMs: 60_000 });
    const v = await first.create('v', { durable: false });
    await first.create('d', { direct: true });
    await first.one({ type: 'open-direct', topic: 'd' });
    await first.one({ type: 'set-permission', topic: 'a', owner: -1, permission: 4 });
    first.agent.close();
    const queues = [queue(a.topicId, 0, 3, 10), queue(a.topicId, 2, 0, 7)];
    const second = new Broker(first.disk, { recovered: { queues, clean: true } });
    const again = await second.route('a');
    expect(again).toMatchObject({ topicId: a.topicId, overflow: 'reject', ringBytes: 131_072, retentionMs: 60_000 });
    expect(again.partitions.map(({ id, owner, epoch }) => [id, owner, epoch])).toEqual(
      a.partitions.map(({ id, owner, epoch }) => [id, owner, epoch]),
    );
    expect(again.partitions.map((one) => [one.nextOffset, one.oldestOffset, one.permission])).toEqual([
      [10, 3, 4],
      [0, 0, 4],
      [7, 0, 4],
    ]);
    const { table } = second.regions;
    expect(startOffset(table, a.partitions[0].id)).toBe(10);
    const volatile = await second.route('v');
    expect(volatile.partitions.map((one) => one.id)).toEqual(v.partitions.map((one) => one.id));
    for (const [i, { epoch }] of volatile.partitions.entries()) expect(epoch).toBeGreaterThan(v.partitions[i].epoch);
    expect(volatile.partitions.map((one) => one.epochs)).toEqual([[], []]);
    expect(await second.route('d')).toMatchObject({ direct: true, partitions: [] });
    expect(routeVersion(second.regions.control)).toBeGreaterThan(0);
    expect(new Set([...second.journal.keys()])).toEqual(new Set(['a', 'v', 'd']));
  });

  test('after an unclean stop has new epochs that begin where the log ends, and remembers 16', async () => {
    let broker = new Broker();
    const { topicId, partitions } = await broker.create('a', { partitions: 1 });
    const known = [{ epoch: partitions[0].epoch, offset: 0 }];
    for (let life = 1; life <= 20; life++) {
      const queues = [queue(topicId, 0, 0, life * 10)];
      broker = new Broker(broker.disk.crash(life), { recovered: { queues, clean: false } });
      const [one] = (await broker.route('a')).partitions;
      expect(one.epoch).toBeGreaterThan(known[known.length - 1].epoch);
      known.push({ epoch: one.epoch, offset: life * 10 });
      expect(one.epochs).toEqual(known.slice(-16));
      expect([one.id, one.nextOffset]).toEqual([partitions[0].id, life * 10]);
    }
  });

  test('never uses a topic id again, also of topics that are gone', async () => {
    let broker = new Broker();
    const ids: number[] = [];
    for (let life = 0; life < 4; life++) {
      ids.push((await broker.create('a')).topicId, (await broker.create('b')).topicId);
      await broker.ask({ type: 'delete-topic', topic: 'a' }, { type: 'delete-topic', topic: 'b' });
      if (life === 1) broker.start();
      broker = new Broker(broker.disk.killed());
    }
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  });

  test('with another number of workers spreads the partitions anew', async () => {
    const first = new Broker(new FaultDisk(), { workers: 1 });
    const { topicId } = await first.create('a', { partitions: 6 });
    first.agent.close();
    const second = new Broker(first.disk, { workers: 3, recovered: { queues: [], clean: true } });
    const owners = (await second.route('a')).partitions.map((one) => one.owner);
    expect(owners).toEqual([0, 1, 2, 3, 4, 5].map((number) => SEAT_FIRST_WORKER + ((topicId + number) % 3)));
  });

  test('goes on behind what retention took from the log', async () => {
    const first = new Broker();
    const { topicId, partitions } = await first.create('a', { partitions: 1 });
    first.agent.close();
    const second = new Broker(first.disk, { recovered: { queues: [queue(topicId, 0, 5, 42)], clean: true } });
    second.agent.close();
    const third = new Broker(second.disk, { recovered: { queues: [], clean: true } });
    const { table } = third.regions;
    const { id } = partitions[0];
    expect([startOffset(table, id), nextOffset(table, id), oldestOffset(table, id)]).toEqual([42, 42, 42]);
  });

  test('brings back what the log has and the state has lost, and leaves alone what somebody deleted', async () => {
    const first = new Broker();
    const gone = await first.create('gone');
    const kept = await first.create('kept');
    await first.one({ type: 'delete-topic', topic: 'gone' });
    const queues = [queue(gone.topicId, 0, 0, 4), queue(kept.topicId, 0, 0, 5), queue(9, 2, 1, 6), queue(9, 0, 0, 3)];
    const second = new Broker(first.disk, { recovered: { queues, clean: true } });
    expect([...second.journal.keys()].sort()).toEqual(['kept', 'lost.9']);
    expect(second.warnings.join()).toContain('lost.9');
    const lost = await second.route('lost.9');
    expect(lost).toMatchObject({ topicId: 9, durable: true });
    expect(lost.partitions.map((one) => [one.number, one.oldestOffset, one.nextOffset])).toEqual([
      [0, 0, 3],
      [1, 0, 0],
      [2, 1, 6],
    ]);
    const ids = [...lost.partitions, ...(await second.route('kept')).partitions].map((one) => one.id);
    expect(new Set(ids).size).toBe(5);
    expect((await second.create('next')).topicId).toBe(10);
    second.agent.close();
    const third = new Broker(second.disk, { recovered: { queues, clean: true } });
    expect([third.warnings, (await third.route('lost.9')).topicId]).toEqual([[], 9]);
  });

  test('says what to do when the partition table has become too small', async () => {
    const first = new Broker();
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      await first.create(name, { partitions: 16, ifNotExists: true }).catch(() => {});
    expect(() => new Broker(first.disk, { partitionMax: 32 })).toThrow(/partitionMax is 32: start with a larger one/);
    const queues = Array.from({ length: 9 }, (_, i) => queue(50 + i, 15, 0, 1));
    expect(() => new Broker(new FaultDisk(), { recovered: { queues, clean: true } })).toThrow(/raise partitionMax/);
  });

  test('a successor of a NameServer that died changes no epoch, no offset, no owner', async () => {
    const first = new Broker();
    const { topicId } = await first.create('a', { partitions: 2 });
    const broker = new Broker(first.disk.killed(), { recovered: { queues: [queue(topicId, 1, 2, 8)], clean: false } });
    const direct = await broker.one({ type: 'open-direct', topic: 'd' });
    const before = await broker.route('a');
    broker.start();
    const after = await broker.route('a');
    expect({ ...after, version: before.version }).toEqual(before);
    expect(after.partitions).toEqual(before.partitions);
    expect(direct).toMatchObject({ route: { partitions: [{ number: 0 }] } });
    expect((await broker.route('d')).partitions).toHaveLength(1);
  });
});

test('a successor knows what its predecessor had put on the disk and told nobody', async () => {
  const broker = new Broker();
  const kept = await broker.create('kept');
  await broker.create('gone');
  const told = new Map(broker.journal);
  const lost = await broker.create('lost', { retentionMs: 60_000 });
  await broker.ask(
    { type: 'delete-topic', topic: 'gone' },
    { type: 'set-permission', topic: 'kept', owner: -1, permission: 4 },
  );
  // It died after the transaction: the supervisor heard of none of it.
  broker.journal.clear();
  for (const [topic, record] of told) broker.journal.set(topic, record);
  const version = routeVersion(broker.regions.control);
  broker.start();
  expect((await broker.route('lost')).partitions).toEqual(lost.partitions);
  expect((await broker.route('kept')).partitions.map((one) => [one.id, one.permission])).toEqual(
    kept.partitions.map((one) => [one.id, 4]),
  );
  expect(await broker.one({ type: 'route-request', topic: 'gone', create: false })).toBe('unknown-topic');
  expect(routeVersion(broker.regions.control)).toBeGreaterThan(version);
  const taken = [...lost.partitions, ...kept.partitions].map((one) => one.id);
  const fresh = await broker.create('fresh');
  expect(fresh.partitions.filter((one) => taken.includes(one.id))).toEqual([]);
  expect([...new Broker(broker.disk.crash(4)).journal.keys()].sort()).toEqual(['fresh', 'kept', 'lost']);
});

describe('N1: one transaction for a turn', () => {
  test('covers all its commands, and nothing is seen before it', async () => {
    const broker = new Broker();
    const before = broker.disk.history.filter((one) => one.startsWith('sync ')).length;
    const names = Array.from({ length: 10 }, (_, i) => `t${i}`);
    const answers = await broker.ask(...names.map((name) => create(name)), { type: 'delete-topic', topic: 't3' });
    expect(answers.map((one) => (one as Command).type).filter((type) => type === 'route-reply')).toHaveLength(9);
    const after = broker.disk.history.filter((one) => one.startsWith('sync ')).length;
    expect(after - before).toBe(1);
    const again = new Broker(broker.disk.crash(3));
    expect([...again.journal.keys()].sort()).toEqual(names.filter((name) => name !== 't3'));
  });

  test('a failing disk refuses what it cannot keep, answers the rest, and leaves nothing behind', async () => {
    const broker = new Broker();
    const kept = await broker.create('kept', { retentionMs: 60_000 });
    await broker.create('other');
    const identities = () =>
      kept.partitions.map(({ id }) => [readIdentity(broker.regions.table, id), retentionOf(broker.regions.table, id)]);
    const seen = identities();
    broker.disk.calls = 0;
    broker.disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    broker.news.length = 0;
    const answers = await broker.ask(
      create('new'),
      { type: 'route-request', topic: 'kept', create: false },
      { type: 'route-request', topic: 'new', create: false },
      { type: 'route-request', topic: 'auto', create: true },
      { type: 'set-permission', topic: 'kept', owner: -1, permission: 0 },
      { type: 'set-retention', topic: 'kept', retentionMs: 0, retentionBytes: 0 },
      { type: 'delete-topic', topic: 'kept' },
      { type: 'open-direct', topic: 'direct' },
      commit('kept', 'g', [at(0, 0)]),
      { type: 'delete-topic', topic: 'none' },
    );
    const [full, unknown] = ['disk-full', 'unknown-topic'];
    const [refused, read, ...rest] = answers;
    expect([refused, ...rest]).toEqual([full, unknown, full, full, full, full, full, full, unknown]);
    expect(read).toMatchObject({ type: 'route-reply', route: { retentionMs: 60_000, topicId: kept.topicId } });
    expect([broker.news, identities()]).toEqual([[], seen]);
    broker.disk.plan = undefined;
    const listed = await broker.one({ type: 'topics-request', after: '', limit: 10 });
    expect(listed).toMatchObject({ topics: [{ topic: 'kept' }, { topic: 'other' }], more: false });
    // There is room again: everything works, with ids of its own.
    const fresh = await broker.create('new');
    expect(fresh.topicId).toBeGreaterThan(kept.topicId);
    expect(await broker.one({ type: 'delete-topic', topic: 'kept' })).toEqual({ type: 'done' });
    expect([...new Broker(broker.disk.crash(1)).journal.keys()].sort()).toEqual(['new', 'other']);
  });

  test('a broken disk refuses changes for good, and routes are still told', async () => {
    const broker = new Broker();
    await broker.create('a');
    broker.disk.calls = 0;
    broker.disk.plan = { at: 1, code: 'EIO' };
    expect(await broker.one(create('b'))).toBe('store-failed');
    broker.disk.plan = undefined;
    expect(await broker.one(create('b'))).toBe('store-failed');
    expect(await broker.route('a')).toMatchObject({ topic: 'a' });
  });
});

describe('offsets of groups', () => {
  test('are there after a crash once they are acknowledged, may go backwards, and end with their topic', async () => {
    let broker = new Broker();
    const { topicId } = await broker.create('a');
    const recovered = { queues: [queue(topicId, 0, 0, 100), queue(topicId, 1, 0, 50)], clean: true };
    broker = new Broker(broker.disk.killed(), { recovered });
    expect(await broker.one(offsets('a', 'g'))).toEqual({ type: 'offsets-reply', positions: [] });
    expect(await broker.one(commit('a', 'g', [at(1, 50), at(0, 100)]))).toEqual({ type: 'done' });
    expect(await broker.one(commit('a', 'g', [at(0, 7, 2)]))).toEqual({ type: 'done' });
    broker = new Broker(broker.disk.crash(5), { recovered });
    const reply = await broker.one(offsets('a', 'g'));
    expect(reply).toEqual({ type: 'offsets-reply', positions: [at(0, 7, 2), at(1, 50)] });
    await broker.one({ type: 'delete-topic', topic: 'a' });
    await broker.create('a');
    expect(await broker.one(offsets('a', 'g'))).toMatchObject({ positions: [] });
  });

  test('are refused for what is not there', async () => {
    const broker = new Broker();
    await broker.create('a');
    expect(await broker.one(commit('none', 'g', [at(0, 0)]))).toBe('unknown-topic');
    expect(await broker.one(offsets('none', 'g'))).toBe('unknown-topic');
    expect(await broker.one(commit('a', 'g', [at(0, 0), at(2, 0)]))).toBe('unknown-partition');
    expect(await broker.one(commit('a', 'g', [at(0, 1)]))).toBe('offset-out-of-range');
    expect(await broker.one(commit('a', 'g', [at(0, -1)]))).toBe('offset-out-of-range');
    for (const group of ['', 'a b', 'x'.repeat(256)]) {
      expect(await broker.one(commit('a', group, [at(0, 0)]))).toBe('illegal-group');
      expect(await broker.one(offsets('a', group))).toBe('illegal-group');
    }
    expect(await broker.one(offsets('a', 'g'))).toMatchObject({ positions: [] });
  });

  test('are written together: one transaction for all commits of 50 ms, none answered before it', async () => {
    const broker = new Broker();
    await broker.create('a');
    const syncs = () => broker.disk.history.filter((one) => one.startsWith('sync ')).length;
    await broker.one(commit('a', 'first', [at(0, 0)]));
    const before = syncs();
    const answers: Promise<Command>[] = [];
    broker.now += 1;
    await broker.one(commit('a', 'g', [at(0, 0)]));
    broker.now -= 49;
    for (let i = 0; i < 20; i++) {
      answers.push(broker.lane.request(commit('a', `g${i}`, [at(0, 0)]), broker.now));
      broker.agent.work(broker.now);
      broker.lane.work();
    }
    expect([broker.lane.pending, syncs() - before]).toEqual([20, 1]);
    broker.now += 50;
    broker.agent.work(broker.now);
    broker.lane.work();
    expect([broker.lane.pending, syncs() - before]).toEqual([0, 2]);
    expect(await Promise.all(answers)).toEqual(answers.map(() => ({ type: 'done' })));
  });

  test('that were gathered are written at an orderly stop', async () => {
    const broker = new Broker();
    await broker.create('a');
    await broker.one(commit('a', 'first', [at(0, 0)]));
    broker.now -= 50;
    const answer = broker.lane.request(commit('a', 'g', [at(1, 0)]), broker.now);
    broker.agent.work(broker.now);
    broker.agent.close();
    broker.lane.work();
    expect(await answer).toEqual({ type: 'done' });
    const again = new Broker(broker.disk.crash(1));
    expect(await again.one(offsets('a', 'g'))).toMatchObject({ positions: [at(1, 0)] });
  });
});
