import { describe, expect, test } from 'vitest';
import { GroupHouse, isSettled, ScriptedMember } from '../../support/group-house.ts';

const coded = (code: string, text = '') => expect.objectContaining({ code, message: expect.stringContaining(text) });

function begun(partitions = 4): GroupHouse {
  const house = new GroupHouse();
  house.topics.make('t', partitions);
  for (let i = 0; i < partitions; i++) house.topics.publish('t', i, 100);
  return house;
}

describe('queues', () => {
  test('partitions that are added begin at their oldest message', async () => {
    const house = begun(1);
    const a = new ScriptedMember(house, 'a', { from: 'latest' });
    await a.sync();
    const held = a.sync(5_000);
    await isSettled(held);
    house.topics.grow('t', 1);
    house.topics.publish('t', 1, 10);
    expect((await held).queues.map(({ partition, offset }) => [partition, offset])).toEqual([
      [0, 100],
      [1, 0],
    ]);
  });

  test('the retry topic is read from its beginning once it was made', async () => {
    const house = begun(1);
    const a = new ScriptedMember(house, 'a', { from: 'latest' });
    await a.sync();
    const held = a.sync(5_000);
    await isSettled(held);
    house.topics.make('%RETRY%g|t', 1);
    house.topics.publish('%RETRY%g|t', 0, 3);
    await house.book.retryTopicMade('g', 't');
    expect((await held).queues.map(({ topic, offset }) => [topic, offset])).toEqual([
      ['t', 100],
      ['%RETRY%g|t', 0],
    ]);
    await a.commit('%RETRY%g|t/0', 2);
    expect(house.book.queue('g', '%RETRY%g|t', 0)?.progress.floor).toBe(2);
  });

  test('a retry topic that is deleted is given up, and made again it is another one', async () => {
    const house = begun(1);
    house.topics.make('%RETRY%g|t', 1);
    house.topics.publish('%RETRY%g|t', 0, 3);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    await a.commit('%RETRY%g|t/0', 2);
    const held = a.sync(5_000);
    await isSettled(held);
    await house.topics.delete('%RETRY%g|t');
    expect((await held).queues.map(({ topic }) => topic)).toEqual(['t']);
    house.topics.make('%RETRY%g|t', 1);
    await house.book.retryTopicMade('g', 't');
    await a.sync();
    expect(a.progressOf('%RETRY%g|t/0').offset).toBe(0);
  });

  test('a topic without partitions can be asked for again', async () => {
    const house = begun(0);
    const a = new ScriptedMember(house, 'a');
    await expect(a.sync()).rejects.toEqual(expect.objectContaining({ code: 'unknown-partition', retryable: true }));
    house.topics.grow('t', 1);
    expect((await a.sync()).queues).toHaveLength(1);
  });

  test('a topic that is deleted takes progress and members with it, also if it is made again', async () => {
    const house = begun(1);
    const a = new ScriptedMember(house, 'a', { from: 'latest' });
    await a.sync();
    const held = a.sync(5_000);
    await isSettled(held);
    await house.topics.delete('t');
    await expect(held).rejects.toEqual(coded('unknown-topic', 'topic t was deleted'));
    expect(house.book.topic('g', 't')).toBeUndefined();
    house.topics.make('t', 1);
    house.topics.publish('t', 0, 5);
    a.generation = 0;
    await a.sync();
    expect(a.progressOf('t/0').offset).toBe(5);
  });

  test('made again while no coordinator ran, it is another topic', async () => {
    const house = begun(1);
    await new ScriptedMember(house, 'a').sync();
    const next = house.restarted();
    await next.topics.delete('t');
    next.topics.make('t', 1);
    const later = house.restarted();
    const a = new ScriptedMember(later, 'a');
    await a.sync();
    expect(a.progressOf('t/0').offset).toBe(0);
  });

  test('what a crash took back is taken out of the progress', async () => {
    const house = begun(2);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    await a.commit('t/0', 95);
    await a.commit('t/1', 50, [60, 70, 80, 99], [55, 2, 99, 1]);
    house.topics.restart('t', [90, 85]);
    const next = house.restarted();
    const b = new ScriptedMember(next, 'b');
    await b.sync();
    expect(b.progressOf('t/0')).toMatchObject({ offset: 90, acked: [] });
    expect(b.progressOf('t/1')).toMatchObject({ offset: 50, acked: [60, 70, 80, 85], attempts: [55, 2] });
    // The same again: nothing more is taken.
    next.topics.publish('t', 0, 20);
    await b.commit('t/0', 110);
    const last = new ScriptedMember(next.restarted(), 'c');
    await last.sync();
    expect(last.progressOf('t/0').offset).toBe(110);
  });

  test('a volatile topic begins anew after a restart', async () => {
    const house = new GroupHouse();
    house.topics.make('t', 1, false);
    house.topics.publish('t', 0, 100);
    const a = new ScriptedMember(house, 'a');
    await a.sync();
    await a.commit('t/0', 80);
    house.topics.restart('t', []);
    house.topics.publish('t', 0, 3);
    const b = new ScriptedMember(house.restarted(), 'b');
    await b.sync();
    expect(b.progressOf('t/0')).toMatchObject({ offset: 0, acked: [] });
  });
});
