import { expect, test } from 'vitest';
import { GroupAdmin } from '../../../src/client/group-admin.ts';
import type { GroupSummary, Method, ParamsOf, ResultOf } from '../../../src/wire/services.ts';

type Answer = (method: Method, params: unknown) => unknown;

class Scripted extends GroupAdmin {
  readonly asked: [Method, unknown][] = [];
  private readonly answer: Answer;

  constructor(answer: Answer) {
    super('connected');
    this.answer = answer;
  }

  async call<M extends Method>(
    method: M,
    params: ParamsOf<M>,
  ): Promise<{ readonly result: ResultOf<M>; readonly payload: Uint8Array }> {
    this.asked.push([method, params]);
    return { result: this.answer(method, params) as ResultOf<M>, payload: new Uint8Array(0) };
  }
}

const coded = (code: string) => expect.objectContaining({ code });

test('groups() asks page by page, behind the last one', async () => {
  const all = ['a', 'b', 'c', 'd', 'e'].map((group): GroupSummary => ({ group, topics: [], members: 0, lag: 0 }));
  const admin = new Scripted((_method, params) => {
    const later = all.filter(({ group }) => group > (params as { after: string }).after);
    return { groups: later.slice(0, 2), more: later.length > 2 };
  });
  expect(await admin.groups()).toEqual(all);
  expect(admin.asked.map(([, params]) => params)).toEqual([{ after: '' }, { after: 'b' }, { after: 'd' }]);
});

test('groups() ends with a page that has none, whatever it says', async () => {
  const admin = new Scripted(() => ({ groups: [], more: true }));
  expect(await admin.groups()).toEqual([]);
});

test('describeGroup() asks for queues page by page, and ends with a page that has none', async () => {
  const queues = Array.from({ length: 5 }, (_, partition) => ({ topic: 't', partition }));
  const isBehind = (partition: number, params: unknown): boolean => {
    return partition > ((params as { after?: { partition: number } }).after?.partition ?? -1);
  };
  const admin = new Scripted((_method, params) => {
    const later = queues.filter(({ partition }) => isBehind(partition, params));
    return { group: 'g', queues: later.slice(0, 2), more: later.length > 2 };
  });
  expect(await admin.describeGroup('g')).toEqual({ group: 'g', queues });
  expect(admin.asked.map(([, params]) => params)).toEqual([
    { group: 'g' },
    { group: 'g', after: { topic: 't', partition: 1 } },
    { group: 'g', after: { topic: 't', partition: 3 } },
  ]);
  const endless = new Scripted((_method, params) => {
    return { group: 'g', queues: queues.filter(({ partition }) => isBehind(partition, params)), more: true };
  });
  expect((await endless.describeGroup('g')).queues).toEqual(queues);
});

test('replayDeadLetters() goes on until none are left, or as many as were asked for are replayed', async () => {
  const dlq = (count: number) => {
    let left = count;
    return new Scripted((_method, params) => {
      const replayed = Math.min(left, (params as { maxMessages: number }).maxMessages);
      left -= replayed;
      return { replayed, left };
    });
  };
  expect(await dlq(3_000).replayDeadLetters('g')).toEqual({ replayed: 3_000, left: 0 });
  const some = dlq(3_000);
  expect(await some.replayDeadLetters('g', 1_500)).toEqual({ replayed: 1_500, left: 1_500 });
  expect(some.asked.map(([, params]) => (params as { maxMessages: number }).maxMessages)).toEqual([1_024, 476]);
  expect(await dlq(0).replayDeadLetters('g')).toEqual({ replayed: 0, left: 0 });
});

test('replayDeadLetters() stops where nothing moves any more', async () => {
  const stuck = new Scripted(() => ({ replayed: 0, left: 5 }));
  expect(await stuck.replayDeadLetters('g')).toEqual({ replayed: 0, left: 5 });
});

test('what cannot be a name is refused before anybody is asked', async () => {
  const admin = new Scripted(() => ({}));
  for (const group of ['', 'a|b', 'a b', 'g'.repeat(121)]) {
    await expect(admin.describeGroup(group)).rejects.toEqual(coded('illegal-group'));
    await expect(admin.setGroup(group, {})).rejects.toEqual(coded('illegal-group'));
    await expect(admin.resetGroup(group, 't', 'latest')).rejects.toEqual(coded('illegal-group'));
    await expect(admin.deleteGroup(group)).rejects.toEqual(coded('illegal-group'));
    await expect(admin.replayDeadLetters(group)).rejects.toEqual(coded('illegal-group'));
  }
  await expect(admin.resetGroup('g', 'a b', 'latest')).rejects.toEqual(coded('illegal-topic'));
  for (const max of [0, -1, Number.NaN]) {
    await expect(admin.replayDeadLetters('g', max)).rejects.toEqual(coded('illegal-argument'));
  }
  expect(admin.asked).toEqual([]);
});
