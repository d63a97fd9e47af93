import { describe, expect, test } from 'vitest';
import { SESSION_MS } from '../../../src/wire/services.ts';
import { GroupHouse, ScriptedMember } from '../../support/group-house.ts';

const coded = (code: string, text = '') => expect.objectContaining({ code, message: expect.stringContaining(text) });

function begun(partitions = 4): GroupHouse {
  const house = new GroupHouse();
  house.topics.make('t', partitions);
  for (let i = 0; i < partitions; i++) house.topics.publish('t', i, 100);
  return house;
}

describe('a restarted coordinator', () => {
  /** Two members that share two queues, and what they have acknowledged. */
  async function shared() {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    const b = new ScriptedMember(house, 'b');
    await a.sync();
    await b.sync();
    // It is told to give one up, and then says that it has.
    await a.sync();
    await a.sync();
    await b.sync();
    await b.commit('t/1', 30);
    return { house, a, b };
  }

  /** The member as it goes on, with another coordinator. */
  function onward(house: GroupHouse, { id, generation, owned }: ScriptedMember): ScriptedMember {
    return Object.assign(new ScriptedMember(house, id), { generation, owned });
  }

  test('lets members go on with what they hold', async () => {
    const { house, a, b } = await shared();
    const next = house.revived();
    const [a2, b2] = [onward(next, a), onward(next, b)];
    await expect(b2.commit('t/1', 40)).rejects.toEqual(coded('coordinator-unavailable', 'was restarted'));
    await b2.sync();
    await b2.commit('t/1', 40);
    expect([b2.generation, b2.owned]).toEqual([b.generation, ['t/1']]);
    await a2.sync();
    expect([a2.generation, a2.owned]).toEqual([b.generation, ['t/0']]);
    // All have come: others may join from now on.
    const c = new ScriptedMember(next, 'c');
    await c.sync();
    expect(c.generation).toBe(b.generation + 1);
  });

  test('lets nobody else in before that, and gives nobody what another one may hold', async () => {
    const { house, a } = await shared();
    const next = house.revived();
    const c = new ScriptedMember(next, 'c');
    await expect(c.sync()).rejects.toEqual(coded('coordinator-unavailable', 'try again'));
    const a2 = onward(next, a);
    expect((await a2.sync()).queues.map(({ partition }) => partition)).toEqual([0]);
    await expect(next.call('group-delete', { group: 'g' })).rejects.toEqual(coded('group-in-use'));
    next.pass(SESSION_MS / 2);
    expect((await a2.sync()).queues).toHaveLength(2);
    await c.sync();
  });

  test('knows who comes too late, or was taken for gone before', async () => {
    const { house, a, b } = await shared();
    const late = onward(house.restarted(), a);
    await expect(late.sync()).rejects.toEqual(coded('stale-generation'));
    await house.call('group-leave', { group: 'g', topic: 't', member: 'a' });
    await b.sync();
    const next = house.revived();
    await expect(onward(next, a).sync()).rejects.toEqual(coded('stale-generation'));
    expect((await onward(next, b).sync()).queues).toHaveLength(2);
  });

  test('lets nobody go on after a restart of the broker: messages may be others', async () => {
    const { house, a } = await shared();
    house.topics.restart('t', [100, 100]);
    const a2 = onward(house.revived(), a);
    await expect(a2.sync()).rejects.toEqual(coded('stale-generation'));
    a2.generation = 0;
    a2.owned = [];
    expect((await a2.sync()).queues).toHaveLength(2);
  });

  test('refuses two that say they hold the same', async () => {
    const { house, a, b } = await shared();
    const next = house.revived();
    const liar = onward(next, b);
    liar.owned = ['t/0'];
    await onward(next, a).sync();
    await expect(liar.sync()).rejects.toEqual(coded('stale-generation'));
  });
});
