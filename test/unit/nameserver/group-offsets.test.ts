import { expect, test } from 'vitest';
import type { TopicRecord } from '../../../src/nameserver/directory.ts';
import { GroupOffsets } from '../../../src/nameserver/group-offsets.ts';
import { MemoryMetaStore } from '../../../src/state/meta.ts';
import type { CommandOf } from '../../../src/wire/commands.ts';

function topic(topicId: number): TopicRecord {
  const partitions = [0, 1].map((number) => {
    return { id: number, number, owner: 2, epoch: 1, permission: 6, epochs: [{ epoch: 1, offset: 0 }] };
  });
  const settings = { overflow: 'block', ringBytes: 65_536, direct: false, durable: true } as const;
  return { topic: `t${topicId}`, topicId, version: 1, ...settings, retentionMs: 0, retentionBytes: 0, partitions };
}

function commit(group: string, ...offsets: readonly (readonly [number, number])[]): CommandOf<'commit-offsets'> {
  const positions = offsets.map(([partition, offset]) => ({ partition, epoch: 1, offset }));
  return { type: 'commit-offsets', group, topic: 't', positions };
}

test('positions of partitions that a commit does not name stay as they are, also while nothing is written yet', () => {
  const meta = new MemoryMetaStore();
  const offsets = new GroupOffsets(meta, () => 100);
  const one = topic(1);
  offsets.note(one, commit('g', [1, 9]));
  offsets.note(one, commit('g', [0, 5]));
  offsets.note(one, commit('g', [1, 8], [1, 7]));
  expect([offsets.read(one, 'g'), offsets.pending.length]).toEqual([[], 1]);
  meta.commit({ offsets: offsets.pending });
  offsets.clear();
  expect(offsets.read(one, 'g').map((at) => at.offset)).toEqual([5, 7]);
  offsets.note(one, commit('g', [0, 3]));
  expect(offsets.pending[0].positions.map((at) => at.offset)).toEqual([3, 7]);
});

test('a commit that is refused leaves nothing pending', () => {
  const offsets = new GroupOffsets(new MemoryMetaStore(), (id) => (id === 0 ? 10 : 5));
  expect(() => offsets.note(topic(1), commit('g', [0, 10], [1, 6]))).toThrow(/its next message gets 5/);
  expect(offsets.pending).toEqual([]);
});

test('pairs of a group and a topic are bounded, known ones go on', () => {
  const meta = new MemoryMetaStore();
  const offsets = new GroupOffsets(meta, () => 100, 3);
  for (const group of ['a', 'b']) offsets.note(topic(1), commit(group, [0, 1]));
  meta.commit({ offsets: offsets.pending });
  offsets.clear();
  offsets.note(topic(2), commit('a', [0, 1]));
  const quota = expect.objectContaining({ code: 'group-quota' });
  expect(() => offsets.note(topic(2), commit('b', [0, 1]))).toThrow(quota);
  offsets.note(topic(2), commit('a', [0, 2]));
  offsets.note(topic(1), commit('b', [0, 2]));
  meta.commit({ offsets: offsets.pending, deleted: [1] });
  offsets.clear();
  expect(meta.offsetCount).toBe(1);
  offsets.note(topic(2), commit('b', [0, 1]));
  // What was gathered and could not be kept frees its place.
  offsets.note(topic(2), commit('c', [0, 1]));
  offsets.clear();
  offsets.note(topic(2), commit('d', [0, 1]));
});
