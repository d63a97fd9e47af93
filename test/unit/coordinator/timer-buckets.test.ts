import { expect, test } from 'vitest';
import type { Journal } from '../../../src/coordinator/journal.ts';
import { BUCKET_MESSAGES } from '../../../src/coordinator/timer-bucket.ts';
import { TimerBuckets } from '../../../src/coordinator/timer-buckets.ts';
import type { TimerRecord } from '../../../src/coordinator/timer-records.ts';
import type { Disk } from '../../../src/log/disk.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';

const START = 1_800_000_000_000;
const BODY = new Uint8Array(8);

class Rig {
  readonly records: TimerRecord[] = [];
  readonly warnings: string[] = [];
  offset = 0;
  readonly buckets: TimerBuckets;

  constructor(disk: Disk, before: readonly TimerRecord[] = []) {
    const journal: Journal = { append: (_, record) => void this.records.push(record as TimerRecord), sync: () => {} };
    const position = () => ({ topicId: 1, epoch: 1, offset: this.offset });
    const warn = (text: string) => void this.warnings.push(text);
    this.buckets = new TimerBuckets({ disk, journal, durable: true, warn, checkpointMs: 0, position });
    for (const record of before) this.buckets.replay(record);
    this.buckets.open();
  }

  /** Reads messages from one offset of the topic to another; dueOf says when each is due. */
  read(from: number, to: number, dueOf: (offset: number) => number): void {
    for (let offset = from; offset < to; offset++) this.buckets.add(dueOf(offset), offset, BODY, 0, 8);
    this.offset = to;
  }

  /** Offsets of all messages that are due by a time. */
  due(nowMs: number): number {
    this.buckets.prepare(nowMs);
    this.buckets.write();
    while (this.buckets.load());
    let count = 0;
    const into = new Uint32Array(1_000);
    for (const bucket of this.buckets.ready) {
      for (let taken = -1; taken !== 0; ) {
        taken = bucket.wheel?.takeDue(nowMs - bucket.start, into, into.length) ?? 0;
        count += taken;
        for (const ordinal of into.subarray(0, taken)) bucket.over.add(ordinal);
      }
    }
    return count;
  }
}

test('many messages of the same minutes go into several files, which are read again after a restart', () => {
  const disk = new MemoryDisk();
  const total = 2 * BUCKET_MESSAGES + 1_000;
  const dueOf = (offset: number): number => START + (offset % 600_000);
  const first = new Rig(disk);
  first.read(0, total, dueOf);
  first.buckets.keepAll(START - 3_600_000);
  expect(disk.list()).toHaveLength(3);
  first.read(total, total + 500, dueOf);
  expect(first.buckets.find(dueOf(5), 5)?.id).toBe(START);
  expect(first.buckets.find(dueOf(total), total)?.id).toBe(START + 2);

  const second = new Rig(disk, first.records);
  expect(second.buckets.find(dueOf(total - 1), total - 1)?.id).toBe(START + 2);
  // More than needed is read again: nothing is doubled.
  second.read(0, total + 500, dueOf);
  expect(second.due(START + 600_000)).toBe(total + 500);
  expect(second.warnings).toEqual([]);
});

test('T5: the file of a full bucket goes when all of it is over, before its minutes are', () => {
  const disk = new MemoryDisk();
  const rig = new Rig(disk);
  rig.read(0, BUCKET_MESSAGES + 10, (offset) => START + (offset < BUCKET_MESSAGES ? 5 : 1_000));
  expect(rig.due(START + 100)).toBe(BUCKET_MESSAGES);
  rig.buckets.prepare(START + 1_200);
  rig.buckets.keepAll(START + 1_200);
  rig.buckets.keep(START + 1_200);
  expect(rig.records.flatMap(({ removed = [] }) => removed)).toEqual([START]);
  expect(disk.list()).toEqual([`timers-${START + 1}.log`]);
  rig.read(BUCKET_MESSAGES + 10, BUCKET_MESSAGES + 12, () => START + 1_000);
  expect(rig.due(START + 2_000)).toBe(12);
});

test('files that the journal does not know are removed, a bucket of the same name writes over them', () => {
  const disk = new MemoryDisk();
  disk.open(`timers-${START}.log`, 'write').write(new Uint8Array(5_000).fill(7), 0);
  disk.open('timers-0.log', 'write').close();
  disk.open('other', 'write').close();
  const rig = new Rig(disk);
  rig.read(0, 3, () => START);
  expect(rig.due(START)).toBe(3);
  rig.buckets.keep(START);
  expect(disk.list()).toEqual(['other', `timers-${START}.log`]);
  expect(rig.warnings).toEqual([]);
});

test('what the topic has lost is over for nobody who gets its number, also after a restart', () => {
  const disk = new MemoryDisk();
  const dueOf = (): number => START + 5;
  const first = new Rig(disk);
  first.read(0, 10, dueOf);
  first.records.push({ over: START, pairs: [0, 10] });
  // None of it came into a file. A successor finds a gap instead, and what comes behind it.
  const second = new Rig(disk, first.records);
  second.buckets.forgetUnread();
  second.read(20, 23, dueOf);
  expect(second.due(START + 100)).toBe(3);

  const third = new Rig(disk, [...first.records, ...second.records]);
  third.read(20, 23, dueOf);
  expect(third.due(START + 100)).toBe(3);
});
