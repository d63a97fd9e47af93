import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { SESSION_MS } from '../../../src/wire/services.ts';
import { GroupHouse, isSettled, ScriptedMember } from '../../support/group-house.ts';

const coded = (code: string, text = '') => expect.objectContaining({ code, message: expect.stringContaining(text) });

function begun(partitions = 4): GroupHouse {
  const house = new GroupHouse();
  house.topics.make('t', partitions);
  for (let i = 0; i < partitions; i++) house.topics.publish('t', i, 100);
  return house;
}

describe('joining', () => {
  test('the first member gets all queues, from where it asked', async () => {
    const house = begun(2);
    const member = new ScriptedMember(house, 'a', { from: 'latest' });
    const { generation, sessionMs, queues, settings } = await member.sync();
    expect([generation, sessionMs, settings.attemptsMax]).toEqual([1, SESSION_MS, 17]);
    expect(queues.map(({ topic, partition, offset }) => [topic, partition, offset])).toEqual([
      ['t', 0, 100],
      ['t', 1, 100],
    ]);
  });

  test('settings that change between two calls of a member are told with the second one, at once', async () => {
    const house = begun(1);
    const member = new ScriptedMember(house, 'a');
    await member.sync();
    await house.call('group-settings', { group: 'g', settings: { attemptsMax: 3 } });
    const next = member.sync(5_000);
    expect(await isSettled(next)).toBe(true);
    expect((await next).settings.attemptsMax).toBe(3);
    expect(await isSettled(member.sync(5_000)), 'once').toBe(false);
  });

  test('where a group begins is decided once: what came while nobody was there is not lost', async () => {
    const house = begun(1);
    const first = new ScriptedMember(house, 'a', { from: 'latest' });
    await first.sync();
    house.pass(SESSION_MS);
    house.topics.publish('t', 0, 50);
    const second = new ScriptedMember(house.restarted(), 'b', { from: 'latest' });
    await second.sync();
    expect(second.progressOf('t/0').offset).toBe(100);
  });

  test('a time begins where it leads', async () => {
    const member = new ScriptedMember(begun(1), 'a', { from: { time: 40 } });
    await member.sync();
    expect(member.progressOf('t/0').offset).toBe(40);
  });

  test('an unknown topic is refused, and no group is made', async () => {
    const house = new GroupHouse();
    await expect(new ScriptedMember(house, 'a').sync()).rejects.toEqual(coded('unknown-topic'));
    expect([...house.book.groups]).toEqual([]);
  });

  test.each([
    ['a|b', 't'],
    ['g'.repeat(100), 't'.repeat(30)],
    ['g', '%RETRY%g|t'],
  ])('group %s on topic %s cannot be', async (group, topic) => {
    const house = new GroupHouse();
    house.topics.make(topic, 1);
    const member = new ScriptedMember(house, 'a', { group, topic });
    await expect(member.sync()).rejects.toEqual(
      expect.objectContaining({ code: expect.stringMatching(/^illegal-(group|argument)$/) }),
    );
  });

  test('more groups than the broker keeps are refused, those that are known go on', async () => {
    const house = new GroupHouse(undefined, [], 1);
    house.topics.make('t', 1).make('u', 1);
    await new ScriptedMember(house, 'a').sync();
    await expect(new ScriptedMember(house, 'a', { topic: 'u' }).sync()).rejects.toEqual(
      coded('group-quota', '1 group'),
    );
    await new ScriptedMember(house, 'b').sync();
  });

  test('members that want something else are refused with what it is', async () => {
    const house = begun();
    await new ScriptedMember(house, 'a').sync();
    const other = new ScriptedMember(house, 'b', { order: 'none' });
    await expect(other.sync()).rejects.toEqual(coded('group-mismatch', "order 'key' (by member 'a')"));
  });

  test('a filter is one however it is spelled; one that cannot be read is refused, and makes no group', async () => {
    const house = begun();
    const wrong = new ScriptedMember(house, 'a', { filter: 'sql:price >' });
    await expect(wrong.sync()).rejects.toEqual(coded('illegal-filter', 'column'));
    expect([...house.book.groups]).toEqual([]);
    await new ScriptedMember(house, 'a', { filter: 'x||y' }).sync();
    await new ScriptedMember(house, 'b', { filter: 'x || y' }).sync();
  });

  test('a second one with its id is refused while the first lives, and let in when it is gone', async () => {
    const house = begun();
    await new ScriptedMember(house, 'a').sync();
    const second = new ScriptedMember(house, 'a', {}, 9);
    await expect(second.sync()).rejects.toEqual(coded('member-exists', "live member 'a'"));
    house.pass(SESSION_MS);
    expect((await second.sync()).queues).toHaveLength(4);
  });

  test('one that joins again from the same place takes over, with what was acknowledged', async () => {
    const house = begun(1);
    const before = new ScriptedMember(house, 'a');
    await before.sync();
    await before.commit('t/0', 30);
    const again = new ScriptedMember(house, 'a');
    await again.sync();
    expect(again.progressOf('t/0').offset).toBe(30);
    await expect(before.sync()).rejects.toEqual(coded('stale-generation'));
    await expect(before.commit('t/0', 40)).rejects.toEqual(coded('stale-generation'));
  });

  test('one whose join cannot be written is no member', async () => {
    const house = begun(1);
    const other = new ScriptedMember(house, 'a');
    await other.sync();
    house.journal.failure = new Error('no room');
    await expect(new ScriptedMember(house, 'b').sync()).rejects.toThrow('no room');
    house.journal.failure = undefined;
    expect((await other.sync()).queues).toHaveLength(1);
    expect(house.book.topic('g', 't')?.membership.ids).toEqual(['a']);
  });
});

describe('held syncs', () => {
  test('are answered when the time is up, at most after half a session', async () => {
    const house = begun();
    const member = new ScriptedMember(house, 'a');
    await member.sync();
    const short = member.sync(2_000);
    await isSettled(short);
    house.pass(1_999);
    expect(await isSettled(short)).toBe(false);
    house.pass(1);
    expect(await isSettled(short)).toBe(true);
    const long = member.sync(30_000);
    await isSettled(long);
    house.pass(SESSION_MS / 2);
    expect((await long).queues).toHaveLength(4);
  });

  test('are answered when another member comes, and the member lives meanwhile', async () => {
    const house = begun();
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const held = a.sync(5_000);
    expect(await isSettled(held)).toBe(false);
    await new ScriptedMember(house, 'b').sync();
    expect((await held).queues.map(({ partition }) => partition)).toEqual([0, 1]);
  });

  test('a later sync takes the place of one that is held', async () => {
    const house = begun();
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const first = a.sync(5_000);
    const second = a.sync(0);
    await expect(first).rejects.toEqual(coded('timeout', 'a later sync'));
    expect((await second).queues).toHaveLength(4);
  });

  test('an answer that got lost is told again', async () => {
    const house = begun();
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    a.owned = [];
    expect((await a.sync(5_000)).queues).toHaveLength(4);
    expect(a.progressOf('t/0').offset).toBe(0);
  });

  test('are refused when the coordinator stops, and so are later ones', async () => {
    const house = begun();
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const held = a.sync(5_000);
    await isSettled(held);
    await house.desk.stop();
    await expect(held).rejects.toEqual(coded('shutting-down'));
    await expect(a.sync()).rejects.toEqual(coded('shutting-down'));
  });

  test('new settings are told at once', async () => {
    const house = begun();
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const held = a.sync(5_000);
    await isSettled(held);
    await house.call('group-settings', { group: 'g', settings: { attemptsMax: 3 } });
    expect((await held).settings.attemptsMax).toBe(3);
  });
});

describe('handing over', () => {
  test('a queue goes on with its progress when the first member has given it up, and not before', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const b = new ScriptedMember(house, 'b');
    expect((await b.sync()).queues).toEqual([]);
    const waiting = b.sync(5_000);
    expect((await a.sync()).queues.map(({ partition }) => partition)).toEqual([0]);
    // Told, but its handlers are at work: it names the queue until their results are committed, and is not hurried.
    const working = a.sync(5_000, ['t/0', 't/1']);
    expect(await isSettled(working)).toBe(false);
    await a.commit('t/1', 50, [52, 60], [51, 2]);
    const done = a.sync(5_000, ['t/0']);
    await waiting;
    expect(b.owned).toEqual(['t/1']);
    expect(b.progressOf('t/1')).toMatchObject({ offset: 50, acked: [52, 60], attempts: [51, 2] });
    await expect(working).rejects.toEqual(coded('timeout'));
    await expect(a.commit('t/1', 70)).rejects.toEqual(coded('stale-generation', "'b' holds it"));
    expect(await isSettled(done)).toBe(false);
  });

  test('a member that never gives up keeps its queue until it is silent for a session', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const b = new ScriptedMember(house, 'b');
    await b.sync();
    for (let i = 0; i < 5; i++) {
      await a.sync(0, ['t/0', 't/1']);
      house.pass(SESSION_MS - 1);
      expect((await b.sync()).queues).toEqual([]);
    }
    const waiting = b.sync(5_000);
    expect(await isSettled(waiting)).toBe(false);
    house.pass(1);
    expect((await waiting).queues).toHaveLength(2);
    await expect(a.sync()).rejects.toEqual(coded('stale-generation', 'join again'));
  });

  test('a member that vanished in mid-batch leaves what it did not commit to others', async () => {
    const house = begun(1);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    await a.commit('t/0', 10, [12, 13]);
    house.desk.seatLeft(5);
    const b = new ScriptedMember(house, 'b', {}, 6);
    await b.sync();
    expect(b.progressOf('t/0')).toMatchObject({ offset: 10, acked: [12, 13] });
    await expect(a.commit('t/0', 20)).rejects.toEqual(coded('stale-generation', "'a' is not (or no more) a member"));
  });

  test('a member that leaves gives everything up at once', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    const b = new ScriptedMember(house, 'b');
    await a.sync();
    await b.sync();
    await house.call('group-leave', { group: 'g', topic: 't', member: 'a' });
    expect((await b.sync()).queues).toHaveLength(2);
    await house.call('group-leave', { group: 'g', topic: 't', member: 'a' });
    await house.call('group-leave', { group: 'nobody', topic: 't', member: 'a' });
  });

  test('more members than queues: one waits, and takes over', async () => {
    const house = begun(1);
    const a = new ScriptedMember(house, 'a');
    const b = new ScriptedMember(house, 'b');
    await a.sync();
    expect((await b.sync()).queues).toEqual([]);
    const waiting = b.sync(5_000);
    await house.call('group-leave', { group: 'g', topic: 't', member: 'a' });
    expect((await waiting).queues).toHaveLength(1);
  });

  test('a restarted coordinator knows progress and no members: they join again', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    const { generation } = await a.sync();
    await a.commit('t/0', 33);
    const next = house.restarted();
    const again = new ScriptedMember(next, 'a');
    again.generation = generation;
    await expect(again.sync()).rejects.toEqual(coded('stale-generation'));
    again.generation = 0;
    expect((await again.sync()).generation).toBeGreaterThan(generation);
    expect(again.progressOf('t/0').offset).toBe(33);
  });
});

describe('a journal that has no room', () => {
  test('who leaves is taken out, and others get its queues when that could be written down', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a', {}, 5);
    const b = new ScriptedMember(house, 'b', {}, 6);
    for (const one of [a, b, a, a, b]) await one.sync();
    const { generation } = b;
    expect([a.owned.length, b.owned.length]).toEqual([1, 1]);
    house.journal.failure = new RingmqError('disk-full');
    house.desk.seatLeft(5);
    expect((await b.sync()).queues).toHaveLength(1);
    house.journal.failure = undefined;
    house.pass(50);
    expect((await b.sync()).queues).toHaveLength(2);
    expect(b.generation).toBeGreaterThan(generation);
  });
});
