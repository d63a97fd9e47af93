import { describe, expect, test } from 'vitest';
import { wholeDescription } from '../../../src/wire/group-pages.ts';
import { GroupHouse, ScriptedMember } from '../../support/group-house.ts';

const coded = (code: string, text = '') => expect.objectContaining({ code, message: expect.stringContaining(text) });

function begun(partitions = 4): GroupHouse {
  const house = new GroupHouse();
  house.topics.make('t', partitions);
  for (let i = 0; i < partitions; i++) house.topics.publish('t', i, 100);
  return house;
}

describe('commits', () => {
  async function member() {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    return { house, a };
  }

  test('never go back, and are written only where they say something new', async () => {
    const { house, a } = await member();
    await a.commit('t/0', 50, [60, 70]);
    const written = house.journal.records.length;
    await a.commit('t/0', 40, [55, 57, 62, 64]);
    expect(house.book.queue('g', 't', 0)?.progress.wire()).toMatchObject({ offset: 50, acked: [55, 57, 60, 70] });
    expect(JSON.parse(house.journal.records.at(-1) ?? '')).toMatchObject({
      type: 'add',
      queues: [[false, 0, 50, [55, 57], []]],
    });
    await a.commit('t/0', 50);
    expect(house.journal.records).toHaveLength(written + 1);
  });

  test('that begin anew may go back, and are checked like others', async () => {
    const { house, a } = await member();
    await a.commit('t/0', 50, [60, 70], [55, 2]);
    a.anew = true;
    await a.commit('t/0', 20, [30, 40]);
    const progress = { offset: 20, acked: [30, 40], attempts: [] };
    expect(house.book.queue('g', 't', 0)?.progress.wire()).toMatchObject(progress);
    await expect(a.commit('t/0', 101)).rejects.toEqual(coded('offset-out-of-range'));
    await expect(new ScriptedMember(house, 'x').commit('t/0', 0)).rejects.toEqual(coded('stale-generation'));
    const b = new ScriptedMember(house.restarted(), 'b');
    await b.sync();
    expect(b.progressOf('t/0')).toMatchObject(progress);
  });

  test('that cannot be written are refused and not taken', async () => {
    const { house, a } = await member();
    house.journal.failure = new Error('disk full');
    await expect(a.commit('t/0', 50)).rejects.toThrow('disk full');
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(0);
  });

  test.each([
    ['t/9', 1, [], 'unknown-partition', 'no queue t/9'],
    ['t/0', 101, [], 'offset-out-of-range', 'offset 101 of t/0: its next message gets 100'],
    ['t/0', 5, [99, 102], 'offset-out-of-range', 'offset 101'],
    ['t/0', 5, [4, 6], 'illegal-argument', 'acked names [4, 6)'],
  ])('of %s at %i %j are refused', async (queue, offset, acked, code, text) => {
    const { house, a } = await member();
    await expect(a.commit(queue, offset, acked)).rejects.toEqual(coded(code, text));
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(0);
  });

  test('of strangers are refused', async () => {
    const { house, a } = await member();
    await expect(new ScriptedMember(house, 'x').commit('t/0', 5)).rejects.toEqual(
      coded('stale-generation', "'x' is not"),
    );
    const { generation } = a;
    a.generation = generation + 5;
    await expect(a.commit('t/0', 5)).rejects.toEqual(coded('stale-generation'));
    const params = { group: 'nobody', topic: 't', member: 'a', generation: 1, queues: [] };
    await expect(house.call('group-commit', params)).rejects.toEqual(coded('unknown-group'));
    const other = { ...params, group: 'g', topic: 'other' };
    await expect(house.call('group-commit', other)).rejects.toEqual(
      coded('unknown-group', 'does not read topic other'),
    );
  });

  test('name the epoch of what was read, which of a durable topic may be an older one', async () => {
    const { house } = await member();
    const { epoch } = house.book.queue('g', 't', 0)?.progress ?? { epoch: 0 };
    house.topics.restart('t', [100, 100]);
    const b = new ScriptedMember(house.restarted(), 'b');
    await b.sync();
    await b.commit('t/0', 20, [], [], epoch);
    await expect(b.commit('t/0', 30, [], [], epoch - 1)).rejects.toEqual(coded('offset-out-of-range', 'is over'));
    await expect(b.commit('t/0', 30, [], [], epoch + 99)).rejects.toEqual(coded('route-stale', 'commit again'));
    await b.sync();
    expect(b.progressOf('t/0').offset).toBe(20);
  });

  test('of messages of another life of a volatile partition are refused', async () => {
    const house = new GroupHouse();
    house.topics.make('t', 1, false);
    house.topics.publish('t', 0, 10);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const { epoch } = a.progressOf('t/0');
    await expect(a.commit('t/0', 5, [], [], epoch - 1)).rejects.toEqual(coded('offset-out-of-range', 'is over'));
    house.topics.restart('t', []);
    house.topics.publish('t', 0, 10);
    await expect(a.commit('t/0', 5, [], [], epoch)).rejects.toEqual(coded('offset-out-of-range', 'is over'));
    await a.commit('t/0', 5, [], [], epoch + 1);
    expect(house.book.queue('g', 't', 0)?.progress).toMatchObject({ epoch: epoch + 1, floor: 5 });
  });

  test('are bounded in ranges', async () => {
    const house = begun(1);
    house.topics.publish('t', 0, 100_000);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const every = (first: number, count: number) =>
      Array.from({ length: 2 * count }, (_, i) => first + 2 * (i >> 1) + (i & 1));
    await a.commit('t/0', 0, every(1, 8_000));
    await expect(a.commit('t/0', 0, every(20_001, 8_000))).rejects.toEqual(coded('lease-quota', '8192'));
    // Most of what was there lies below the new floor.
    await a.commit('t/0', 15_000, every(20_001, 7_000));
    expect(house.book.queue('g', 't', 0)?.progress.floor).toBe(15_000);
  });

  test('are bounded in messages that failed', async () => {
    const house = begun(1);
    house.topics.publish('t', 0, 100_000);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    const failed = (first: number) => Array.from({ length: 16_000 }, (_, i) => (i % 2 === 0 ? first + i / 2 : 1));
    await a.commit('t/0', 0, [], failed(0));
    await a.commit('t/0', 0, [], failed(0));
    await expect(a.commit('t/0', 0, [], failed(8_000))).rejects.toEqual(coded('lease-quota', '8192'));
    await a.commit('t/0', 8_000, [], failed(8_000));
  });
});

describe('people', () => {
  test('see who reads what, and how much waits', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a', { filter: 'red' });
    await a.sync();
    await a.commit('t/0', 50, [60, 70]);
    house.topics.expire('t', 1, 30);
    house.pass(500);
    const described = await house.call('group-describe', { group: 'g' });
    expect(described.subscriptions).toEqual([{ topic: 't', kind: 'push', order: 'key', filter: 'red', generation: 1 }]);
    expect(described.members).toEqual([{ member: 'a', client: 'app', topic: 't', idleMs: 500 }]);
    expect(described.queues.map(({ owner, offset, nextOffset, lag }) => [owner, offset, nextOffset, lag])).toEqual([
      ['a', 50, 100, 40],
      ['a', 0, 100, 70],
    ]);
    expect(described.deadLetters).toBe(7);
    const { groups, more } = await house.call('group-list', {});
    expect(groups).toEqual([{ group: 'g', topics: ['t'], members: 1, lag: 110 }]);
    expect(more).toBe(false);
    await expect(house.call('group-describe', { group: 'x' })).rejects.toEqual(coded('unknown-group', 'named x'));
  });

  test('see ten thousand queues in answers that fit the smallest lane', async () => {
    const house = new GroupHouse();
    for (const letter of ['c', 'a', 'b']) {
      const topic = letter.repeat(110);
      house.topics.make(topic, 3_400);
      await new ScriptedMember(house, 'm'.repeat(128), { topic }).sync();
    }
    let pages = 0;
    const { queues } = await wholeDescription(async (after) => {
      pages++;
      const page = await house.call('group-describe', after ? { group: 'g', after } : { group: 'g' });
      expect(JSON.stringify(page).length).toBeLessThan(256 * 1024);
      return page;
    });
    expect(pages).toBe(21);
    expect(queues).toHaveLength(10_200);
    expect(new Set(queues.map(({ topic, partition }) => `${topic}/${partition}`)).size).toBe(10_200);
  });

  test('see lag also after a restart, before any member has come', async () => {
    const house = begun(1);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    await a.commit('t/0', 60);
    const next = house.restarted();
    expect((await next.call('group-list', {})).groups).toEqual([{ group: 'g', topics: ['t'], members: 0, lag: 40 }]);
  });

  test('see many groups page by page', async () => {
    const house = new GroupHouse(undefined, [], 2_000);
    for (let i = 0; i < 1_100; i++) {
      await house.call('group-settings', { group: `g${String(i).padStart(4, '0')}`, settings: { attemptsMax: 2 } });
    }
    const seen: string[] = [];
    for (let more = true; more; ) {
      const page = await house.call('group-list', { after: seen.at(-1) ?? '' });
      seen.push(...page.groups.map(({ group }) => group));
      more = page.more;
    }
    expect(seen).toHaveLength(1_100);
    expect(seen).toEqual([...new Set(seen)].sort());
  });

  test('set a group, before it exists too', async () => {
    const house = begun();
    const set = await house.call('group-settings', { group: 'g', settings: { retryDelaysMs: [5, 10] } });
    expect(set).toEqual({ retryDelaysMs: [5, 10], attemptsMax: 17 });
    const more = await house.restarted().call('group-settings', { group: 'g', settings: { attemptsMax: 3 } });
    expect(more).toEqual({ retryDelaysMs: [5, 10], attemptsMax: 3 });
  });

  test.each([[{ attemptsMax: 0 }], [{ attemptsMax: 1.5 }], [{ retryDelaysMs: [] }], [{ retryDelaysMs: [-1] }]])(
    'are told why %j cannot be',
    async (settings) => {
      const call = begun().call('group-settings', { group: 'g', settings });
      await expect(call).rejects.toEqual(coded('illegal-argument', 'attempt'));
    },
  );

  test('reset a group by offset, time, to the oldest and to the newest, one partition or all', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    await a.commit('t/0', 50, [60, 70], [55, 3]);
    const reset = (to: 'earliest' | 'latest' | { time: number } | { offset: number }, partition = -1) =>
      house.call('group-reset', { group: 'g', topic: 't', partition, to });
    await expect(reset('earliest')).rejects.toEqual(coded('group-in-use', '1 live members on topic t (a)'));
    house.desk.seatLeft(5);
    const offsets = async (to: Parameters<typeof reset>[0], partition?: number) =>
      (await reset(to, partition)).queues.map(({ partition, offset }) => [partition, offset]);
    expect(await offsets('earliest', 0)).toEqual([[0, 0]]);
    expect(house.book.queue('g', 't', 0)?.progress.wire()).toMatchObject({ offset: 0, acked: [], attempts: [] });
    expect(await offsets('latest')).toEqual([
      [0, 100],
      [1, 100],
    ]);
    expect(await offsets({ time: 33 })).toEqual([
      [0, 33],
      [1, 33],
    ]);
    expect(await offsets({ offset: 77 }, 1)).toEqual([[1, 77]]);
    await expect(reset({ offset: 101 })).rejects.toEqual(
      coded('offset-out-of-range', 'offsets from 0 to 100, not 101'),
    );
    await expect(reset('latest', 7)).rejects.toEqual(coded('unknown-partition', 'no partition 7'));
    const b = new ScriptedMember(house.restarted(), 'b');
    await b.sync();
    expect([b.progressOf('t/0').offset, b.progressOf('t/1').offset]).toEqual([33, 77]);
  });

  test('cannot make more groups than the broker keeps', async () => {
    const house = new GroupHouse(undefined, [], 2);
    const set = (group: string) => house.call('group-settings', { group, settings: { attemptsMax: 2 } });
    await set('a');
    await set('b');
    await expect(set('c')).rejects.toEqual(coded('group-quota', 'its 2 groups'));
    await set('a');
  });

  test('are told of groups and topics that there are not', async () => {
    const house = begun();
    const params = { topic: 't', partition: -1, to: 'latest' } as const;
    await expect(house.call('group-reset', { ...params, group: 'x' })).rejects.toEqual(coded('unknown-group'));
    await house.call('group-settings', { group: 'g', settings: {} });
    await expect(house.call('group-reset', { ...params, group: 'g', topic: 'x' })).rejects.toEqual(
      coded('unknown-topic'),
    );
    await expect(house.call('group-delete', { group: 'x' })).rejects.toEqual(coded('unknown-group'));
  });

  test('delete a group with its retry topics, when nobody reads for it', async () => {
    const house = begun();
    house.topics.make('%RETRY%g|t', 1).make('%RETRY%gg|t', 1);
    const a = new ScriptedMember(house, 'a', { from: 'latest' });
    await a.sync();
    await expect(house.call('group-delete', { group: 'g' })).rejects.toEqual(
      coded('group-in-use', 'stop its consumers'),
    );
    house.desk.seatLeft(5);
    await house.call('group-delete', { group: 'g' });
    expect(house.topics.deleted).toEqual(['%RETRY%g|t']);
    expect([...house.restarted().book.groups]).toEqual([]);
    house.topics.publish('t', 0, 1);
    const b = new ScriptedMember(house, 'b', { from: 'latest' });
    await b.sync();
    expect(b.progressOf('t/0').offset).toBe(101);
  });

  test('delete a group while somebody joins it: that one begins a new group', async () => {
    const house = begun(1);
    await new ScriptedMember(house, 'a').sync();
    house.desk.seatLeft(5);
    const { topics } = house;
    const named = topics.named.bind(topics);
    let joining: Promise<{ readonly generation: number }> | undefined;
    topics.named = (prefix) => {
      // In the middle of it.
      joining = new ScriptedMember(house, 'b').sync();
      return named(prefix);
    };
    await house.call('group-delete', { group: 'g' });
    expect([...house.book.groups]).toEqual([]);
    expect((await joining)?.generation).toBe(1);
    expect(house.book.topic('g', 't')?.membership.ids).toEqual(['b']);
  });
});
