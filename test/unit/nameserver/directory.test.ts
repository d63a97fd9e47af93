import { describe, expect, test } from 'vitest';
import type { RingmqError } from '../../../src/base/codes.ts';
import {
  Directory,
  type PartitionSlots,
  type TopicPartition,
  type TopicRecord,
} from '../../../src/nameserver/directory.ts';
import type { DirectoryOptions, TopicRequest } from '../../../src/nameserver/topic-request.ts';

const OPTIONS: DirectoryOptions = {
  topicsMax: 4,
  partitionsPerTopicMax: 8,
  partitionsDefault: 3,
  ringBytesDefault: 65_536,
  laneMessageMaxBytes: 32_768,
  overflowDefault: 'block',
  autoCreate: true,
  store: true,
  durableDefault: false,
};

/** Entries of a table that is not there. */
class FakeSlots implements PartitionSlots {
  room = 20;
  readonly live = new Map<number, TopicPartition>();
  readonly closed = new Set<number>();
  readonly permissions = new Map<number, number>();
  readonly retentions = new Map<number, number[]>();
  private next = 0;
  private epoch = 100;

  activate(_topic: unknown, number: number, owner: number, permission: number): TopicPartition {
    this.room--;
    const epoch = ++this.epoch;
    const partition = { id: this.next++, number, owner, epoch, permission, epochs: [{ epoch, offset: 0 }] };
    this.live.set(partition.id, partition);
    return partition;
  }
  remove(partition: TopicPartition): void {
    this.room++;
    this.live.delete(partition.id);
  }
  setPermission(partition: TopicPartition): void {
    this.permissions.set(partition.id, partition.permission);
  }
  setRetention(topic: TopicRecord): void {
    this.retentions.set(topic.topicId, [topic.retentionMs, topic.retentionBytes]);
  }
  oldestOffset(partition: TopicPartition): number {
    return partition.id;
  }
  nextOffset(partition: TopicPartition): number {
    return partition.id * 10;
  }
  isOpen(partition: TopicPartition): boolean {
    return !this.closed.has(partition.id);
  }
}

function rig(options: Partial<DirectoryOptions> = {}) {
  const slots = new FakeSlots();
  return { slots, directory: new Directory({ ...OPTIONS, ...options }, slots) };
}

function request(topic: string, more: Partial<TopicRequest> = {}): TopicRequest {
  const rest = { durable: undefined, retentionMs: 0, retentionBytes: 0 };
  return { topic, partitions: 0, overflow: 'block', ringBytes: 0, direct: false, ...rest, ...more };
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as RingmqError).code;
  }
  return 'none';
}

describe('create', () => {
  test('fills in the defaults and spreads partitions over the brokers, topic by topic', () => {
    const { directory } = rig();
    const first = directory.create(request('a'), [2, 3]);
    const second = directory.create(request('b', { partitions: 2 }), [2, 3]);
    expect(first).toMatchObject({ topicId: 1, ringBytes: 65_536, direct: false });
    expect(first.partitions.map((one) => [one.number, one.owner])).toEqual([
      [0, 3],
      [1, 2],
      [2, 3],
    ]);
    expect(second.partitions.map((one) => one.owner)).toEqual([2, 3]);
    const epochs = [...first.partitions, ...second.partitions].map((one) => one.epoch);
    expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b));
  });

  test.each(['', '.', '..', 'a b', 'tab\t', 'a/b', 'ä', 'x'.repeat(128)])('refuses the name %j', (name) => {
    expect(codeOf(() => rig().directory.create(request(name), [2]))).toBe('illegal-topic');
  });

  test.each(['a', '%RETRY%group', 'a|b', 'a.b-c_d', '...', 'x'.repeat(127)])('takes the name %j', (name) => {
    expect(rig().directory.create(request(name), [2]).topic).toBe(name);
  });

  test('refuses what is not a number of partitions, a ring or a policy, and changes nothing', () => {
    const { slots, directory } = rig();
    for (const partitions of [-1, 9, 1.5, Number.NaN]) {
      expect(codeOf(() => directory.create(request('t', { partitions }), [2]))).toBe('partition-quota');
    }
    for (const ringBytes of [-4, 1, 8_192, 20_000, 2 ** 29]) {
      expect(codeOf(() => directory.create(request('t', { ringBytes }), [2]))).toBe('illegal-argument');
    }
    expect(codeOf(() => directory.create(request('t', { overflow: 'explode' as 'block' }), [2]))).toBe(
      'illegal-argument',
    );
    expect(codeOf(() => directory.create(request('t'), []))).toBe('broker-unavailable');
    expect([slots.live.size, directory.find('t')]).toEqual([0, undefined]);
  });

  test('holds the quotas of topics and of the table, and takes no entry that it cannot use', () => {
    const { slots, directory } = rig();
    slots.room = 7;
    directory.create(request('a'), [2]);
    directory.create(request('b'), [2]);
    expect(codeOf(() => directory.create(request('c', { partitions: 2 }), [2]))).toBe('partition-quota');
    expect(slots.live.size).toBe(6);
    slots.room = 20;
    for (const name of ['c', 'd']) directory.create(request(name), [2]);
    expect(codeOf(() => directory.create(request('e'), [2]))).toBe('topic-quota');
    expect(codeOf(() => directory.create(request('a'), [2]))).toBe('topic-exists');
    directory.delete('a');
    expect(directory.create(request('e'), [2]).topic).toBe('e');
  });
});

describe('first use', () => {
  test('makes the topic where both sides allow it', () => {
    const { directory } = rig();
    expect(directory.findOrCreate('t', true, [2])).toMatchObject({ created: true });
    expect(directory.findOrCreate('t', true, [2])).toMatchObject({ created: false });
    expect(codeOf(() => directory.findOrCreate('u', false, [2]))).toBe('unknown-topic');
    expect(codeOf(() => directory.findOrCreate('a b', false, [2]))).toBe('illegal-topic');
    const strict = rig({ autoCreate: false }).directory;
    expect(codeOf(() => strict.findOrCreate('t', true, [2]))).toBe('auto-create-off');
    expect(codeOf(() => strict.openDirect('t', 20))).toBe('auto-create-off');
  });
});

describe('changes', () => {
  test('every change has a higher version, also where something is deleted', () => {
    const { directory } = rig();
    const versions: number[] = [];
    const note = (): void => void versions.push(directory.version);
    directory.create(request('a'), [2]);
    note();
    directory.setPermission('a', -1, 4);
    note();
    directory.delete('a');
    note();
    directory.create(request('a'), [2]);
    note();
    directory.ownerChanged(2);
    note();
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
    expect(directory.find('a')?.version).toBe(directory.version);
  });

  test('permissions are wiped for one topic, or for all partitions of one owner', () => {
    const { directory } = rig();
    directory.create(request('a', { partitions: 2 }), [2, 3]);
    directory.create(request('b', { partitions: 2 }), [2, 3]);
    expect(directory.setPermission('a', -1, 4).map((one) => one.topic)).toEqual(['a']);
    expect(directory.find('a')?.partitions.map((one) => one.permission)).toEqual([4, 4]);
    expect(directory.setPermission('', 3, 0).map((one) => one.topic)).toEqual(['a', 'b']);
    const wiped = ['a', 'b'].flatMap((name) => directory.find(name)?.partitions ?? []).filter((one) => one.owner === 3);
    expect(wiped.map((one) => one.permission)).toEqual([0, 0]);
    expect(directory.setPermission('', 7, 0)).toEqual([]);
    expect(codeOf(() => directory.setPermission('', -1, 4))).toBe('illegal-argument');
    expect(codeOf(() => directory.setPermission('a', -1, 8))).toBe('illegal-argument');
    expect(codeOf(() => directory.setPermission('none', -1, 4))).toBe('unknown-topic');
    expect(codeOf(() => directory.delete('none'))).toBe('unknown-topic');
  });

  test('direct partitions come with their threads, and go when these close them or end', () => {
    const { slots, directory } = rig();
    directory.create(request('d', { direct: true, partitions: 5 }), []);
    expect(directory.find('d')?.partitions).toEqual([]);
    for (const owner of [20, 21, 20]) directory.openDirect('d', owner);
    expect(directory.find('d')?.partitions.map((one) => [one.number, one.owner])).toEqual([
      [0, 20],
      [1, 21],
      [2, 20],
    ]);
    slots.closed.add(directory.find('d')?.partitions[1].id ?? -1);
    expect(directory.dropClosed().map((one) => one.topic)).toEqual(['d']);
    expect(directory.dropClosed()).toEqual([]);
    expect(directory.closeDirect(20).map((one) => one.topic)).toEqual(['d']);
    expect([directory.find('d')?.partitions, slots.live.size]).toEqual([[], 0]);
    directory.create(request('ordinary'), [2]);
    expect(codeOf(() => directory.openDirect('ordinary', 20))).toBe('not-direct');
    for (let i = 0; i < 8; i++) directory.openDirect('d', 20);
    expect(codeOf(() => directory.openDirect('d', 20))).toBe('partition-quota');
  });
});

describe('answers', () => {
  test('pages list topics by name, and say if there are more', () => {
    const { directory } = rig();
    for (const name of ['b', 'd', 'a', 'c']) directory.create(request(name), [2]);
    const names = (after: string, limit: number) => {
      const { records, more } = directory.page(after, limit);
      return [records.map((one) => one.topic).join(''), more];
    };
    expect([names('', 3), names('c', 3), names('', 4), names('d', 1)]).toEqual([
      ['abc', true],
      ['d', false],
      ['abcd', false],
      ['', false],
    ]);
  });

  test('a route names the largest message, and who is there', () => {
    const { directory } = rig();
    const record = directory.create(request('a', { partitions: 2 }), [2, 3]);
    const route = directory.route(record, (owner) => owner === 2);
    expect(route.messageMaxBytes).toBe(65_536 / 4 - 96);
    expect(route.partitions.map((one) => one.available)).toEqual([false, true]);
    const wide = directory.create(request('b', { ringBytes: 2 ** 20 }), [2]);
    expect(directory.route(wide, () => true).messageMaxBytes).toBe(32_768 - 4_096 - 96);
    // With what the broker puts around it, in a topic of its own.
    const own = directory.create(request('%DLQ%g', { ringBytes: 2 ** 20 }), [2]);
    expect(directory.route(own, () => true).messageMaxBytes).toBe(32_768 - 96);
  });

  test('a successor knows the topics and goes on with versions and topic ids', () => {
    const { directory } = rig();
    const record = directory.create(request('a'), [2]);
    directory.create(request('b'), [2]);
    directory.delete('b');
    const successor = new Directory(OPTIONS, new FakeSlots(), [record], directory.version);
    expect(successor.find('a')).toEqual(record);
    expect(successor.create(request('c'), [2]).topicId).toBeGreaterThan(record.topicId);
    expect(successor.version).toBeGreaterThan(directory.version);
  });
});
