import { afterEach, describe, expect, test } from 'vitest';
import type { Disk } from '../../../src/log/disk.ts';
import { readExpired, writeExpired } from '../../../src/log/expired-queues.ts';
import { openLogIndex } from '../../../src/log/log-open.ts';
import { recoverLog } from '../../../src/log/recovery.ts';
import {
  decideRetention,
  type QueueLimits,
  REMOVED_PER_PASS,
  Retention,
  type RetentionFacts,
  type RetentionLimits,
} from '../../../src/log/retention.ts';
import { RunReader } from '../../../src/log/run-reader.ts';
import { indexName } from '../../../src/log/segment-directory.ts';
import { fileLength, segmentName, spareNames } from '../../../src/log/segment-files.ts';
import { SpareSegments } from '../../../src/log/spare-segments.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { SampleLog, T0 } from './sample-log.ts';

const SEGMENT = 2 * 4096;
const AS_BROKER: QueueLimits = { retentionMs: 0, retentionBytes: 0, deleted: false };
const logs: SampleLog[] = [];

afterEach(() => {
  for (const log of logs.splice(0)) log.remove();
});

function facts(change: Partial<RetentionFacts> = {}, wanted: readonly boolean[] = [true, true, true]): RetentionFacts {
  const segments = wanted.map((one) => ({ lengthBytes: 100, wanted: one }));
  const rest = { logBytes: 100 * (wanted.length + 1), retentionBytes: 0, spareBytes: 0, full: false };
  return { segments, ...rest, freeBytes: 5_000, totalBytes: 10_000, ...change };
}

describe('what goes', () => {
  test.each<[string, RetentionFacts, number, string]>([
    ['nothing while all is wanted', facts(), 0, 'none'],
    ['nothing of an empty log', facts({ segments: [], logBytes: 0 }), 0, 'none'],
    ['the oldest that nobody wants', facts({}, [false, true, true]), 1, 'age'],
    ['all of them, one after the other', facts({}, [false, false, false]), 3, 'age'],
    ['nothing behind one that is wanted', facts({}, [true, false, false]), 0, 'none'],
    ['what is too much, wanted or not', facts({ retentionBytes: 250 }), 2, 'size'],
    ['nothing at exactly the limit', facts({ retentionBytes: 400 }), 0, 'none'],
    ['all but the unsealed segment, if even that is too much', facts({ retentionBytes: 1 }), 3, 'size'],
    ['nothing at 85 % of the disk', facts({ freeBytes: 1_500 }), 0, 'none'],
    ['by force above, as much as it takes', facts({ freeBytes: 1_350 }), 2, 'disk'],
    ['spares before segments', facts({ freeBytes: 1_350, spareBytes: 100 }), 1, 'disk'],
    ['nothing if the spares are enough', facts({ freeBytes: 1_350, spareBytes: 200 }), 0, 'none'],
    ['no more than a pass may take', facts({}, new Array(50).fill(false)), REMOVED_PER_PASS, 'age'],
    ['nothing of a disk that says nothing of itself', facts({ freeBytes: 0, totalBytes: 0 }), 0, 'none'],
  ])('%s', (_, given, removeCount, reason) => {
    expect(decideRetention(given)).toMatchObject({ removeCount, reason });
  });

  test.each([
    [1_001, false, false],
    [999, false, true],
    [1_199, true, true],
    [1_200, true, true],
    [1_201, true, false],
  ])('with %i of 10,000 bytes free, and full: %s before, appends are refused: %s', (freeBytes, before, after) => {
    expect(decideRetention(facts({ freeBytes, full: before })).full).toBe(after);
  });
});

interface Kept {
  readonly log: SampleLog;
  readonly retention: Retention;
  readonly index: ReturnType<typeof openLogIndex>;
}

/** A log of six sealed segments and an unsealed one; 1/0 is in all of them, 2/0 in the first two only. */
function kept(limits: RetentionLimits, disk?: Disk): Kept {
  const log = new SampleLog(SEGMENT, 'buffered', disk);
  logs.push(log);
  for (let i = 0; i < 7; i++) {
    const storedAt = T0 + i * 1_000;
    const one = { topicId: 1, partition: 0, counts: [2], storedAt };
    log.block(one, ...(i < 2 ? [{ topicId: 2, partition: 0, counts: [3], storedAt }] : []));
  }
  return { log, ...retentionOn(log, log.disk, limits) };
}

function retentionOn(log: SampleLog, disk: Disk, limits: RetentionLimits): Omit<Kept, 'log'> {
  const index = openLogIndex(disk, log.extent());
  const reader = new RunReader(disk, index, { cacheBytes: 1 });
  const spares = new SpareSegments(disk, { segmentBytes: SEGMENT });
  const forget = (base: number, lengthBytes: number): void => reader.forget(base, lengthBytes);
  return { index, retention: new Retention(disk, index, spares, { ...limits, forget }) };
}

describe('a pass', () => {
  test('removes what is past its time; two segments become spares, index files go', () => {
    const { log, index, retention } = kept({ retentionMs: 10_000, retentionBytes: 0 });
    expect(retention.pass(T0 + 9_999, () => AS_BROKER).removed).toEqual([]);
    const outcome = retention.pass(T0 + 13_000, () => AS_BROKER);
    expect(outcome.removed.map((one) => one.base)).toEqual([0, 1, 2, 3].map((i) => i * SEGMENT));
    expect([index.oldest(1, 0), index.end(1, 0)]).toEqual([8, 14]);
    expect([index.oldest(2, 0), index.end(2, 0)]).toEqual([6, 6]);
    expect(spareNames(log.disk)).toEqual(['spare-1.tmp', 'spare-2.tmp']);
    expect(log.disk.list().filter((name) => name.endsWith('.log'))).toHaveLength(3);
    expect(log.disk.exists(indexName(0))).toBe(false);
    expect(log.disk.exists(indexName(4 * SEGMENT))).toBe(true);
    // However old it is, the unsealed segment stays.
    expect(retention.pass(T0 * 2, () => AS_BROKER).removed).toHaveLength(2);
    expect(retention.pass(T0 * 2, () => AS_BROKER).removed).toHaveLength(0);
    expect([index.oldest(1, 0), index.end(1, 0)]).toEqual([12, 14]);
  });

  test('keeps everything for ever where no limit is set', () => {
    const { retention } = kept({ retentionMs: 0, retentionBytes: 0 });
    expect(retention.pass(T0 * 2, () => AS_BROKER).removed).toEqual([]);
  });

  test('begins with the oldest segment also where its index file cannot be written', () => {
    const disk = new FaultDisk();
    const { log } = kept({ retentionMs: 10_000, retentionBytes: 0 }, disk);
    for (const name of disk.list().filter((one) => one.endsWith('.idx'))) disk.remove(name);
    disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    const index = openLogIndex(disk, log.extent());
    expect([index.segments.length, index.lostSegments]).toEqual([6, 0]);
    expect(index.find(1, 0, 0)?.baseOffset).toBe(0);
  });

  test('does not look any more for a segment whose removal could not be synced, and syncs before the next one', () => {
    const disk = new FaultDisk();
    const { index, retention } = kept({ retentionMs: 10_000, retentionBytes: 0 }, disk);
    const syncFolder = disk.syncFolder.bind(disk);
    disk.syncFolder = () => {
      throw Object.assign(new Error('EIO'), { code: 'EIO' });
    };
    for (let i = 0; i < 2; i++) expect(() => retention.pass(T0 + 11_000, () => AS_BROKER)).toThrow('EIO');
    expect(index.segments[0].base).toBe(SEGMENT);
    expect([index.oldest(1, 0), index.oldest(2, 0)]).toEqual([2, 3]);
    disk.syncFolder = syncFolder;
    expect(retention.pass(T0 + 11_000, () => AS_BROKER).removed.map((one) => one.base)).toEqual([SEGMENT]);
  });

  test('lets a segment that cannot be read go with the next one, and no segment before it', () => {
    const disk = new FaultDisk();
    const { log } = kept({ retentionMs: 10_000, retentionBytes: 0 }, disk);
    disk.remove(indexName(0));
    const open = disk.open.bind(disk);
    disk.open = (name, mode) => {
      const file = open(name, mode);
      if (name !== segmentName(0)) return file;
      file.read = () => {
        throw Object.assign(new Error('EIO'), { code: 'EIO' });
      };
      return file;
    };
    const { index, retention } = retentionOn(log, disk, { retentionMs: 10_000, retentionBytes: 0 });
    expect([index.segments.length, index.lostSegments]).toEqual([6, 1]);
    expect(retention.pass(T0 + 10_500, () => AS_BROKER).removed).toEqual([]);
    const { removed } = retention.pass(T0 + 11_000, () => AS_BROKER);
    expect(removed.map((one) => one.base)).toEqual([0, SEGMENT]);
  });

  test('a topic that keeps longer keeps the segments, one that is deleted keeps none', () => {
    const { retention } = kept({ retentionMs: 10_000, retentionBytes: 0 });
    const longer = { ...AS_BROKER, retentionMs: 100_000 };
    expect(retention.pass(T0 + 50_000, (topicId) => (topicId === 2 ? longer : AS_BROKER)).removed).toEqual([]);
    const deleted = { ...AS_BROKER, deleted: true };
    expect(retention.pass(T0 + 3_000, (topicId) => (topicId === 1 ? deleted : AS_BROKER)).removed).toEqual([]);
    const outcome = retention.pass(T0 + 11_000, (topicId) => (topicId === 1 ? deleted : AS_BROKER));
    expect(outcome.removed).toHaveLength(6);
  });

  test('a topic that keeps less serves less, to the run', () => {
    const { index, retention } = kept({ retentionMs: 100_000, retentionBytes: 0 });
    const shorter = { ...AS_BROKER, retentionMs: 3_000 };
    const own = (topicId: number): QueueLimits => (topicId === 1 ? shorter : AS_BROKER);
    expect(retention.pass(T0 + 6_000, own).removed).toEqual([]);
    expect([index.oldest(1, 0), index.oldest(2, 0)]).toEqual([8, 0]);
    retention.pass(T0 + 20_000, own);
    expect([index.oldest(1, 0), index.end(1, 0)]).toEqual([14, 14]);
    const runBytes = index.find(1, 0, 0)!.size;
    const small = kept({ retentionMs: 100_000, retentionBytes: 0 });
    const three = { ...AS_BROKER, retentionBytes: runBytes * 3 };
    small.retention.pass(T0, (topicId) => (topicId === 1 ? three : { ...AS_BROKER, deleted: true }));
    expect(small.index.oldest(1, 0)).toBe(8);
    // And what no topic wants any more goes.
    expect(small.index.segments[0].base).toBe(4 * SEGMENT);
  });

  test('the place where the offsets of a queue go on outlives its last run', () => {
    const { log, retention } = kept({ retentionMs: 10_000, retentionBytes: 0 });
    retention.pass(T0 + 13_000, () => AS_BROKER);
    expect(readExpired(log.disk)).toEqual([{ topicId: 2, partition: 0, nextOffset: 6 }]);
    const again = openLogIndex(log.disk, log.extent());
    expect([again.oldest(2, 0), again.end(2, 0)]).toEqual([6, 6]);
    const recovered = recoverLog(log.disk, { onDamage: 'stop', ringBytesMax: 4096 });
    expect(recovered.queues.find((queue) => queue.topicId === 2)).toMatchObject({ oldestOffset: 6, nextOffset: 6 });
    // Its topic is deleted: nobody asks any more.
    const later = retentionOn(log, log.disk, { retentionMs: 1, retentionBytes: 0 });
    later.retention.pass(T0 * 2, (topicId) => ({ ...AS_BROKER, deleted: topicId === 2 }));
    expect(readExpired(log.disk)).toEqual([]);
  });

  test('by force it leaves no spares', () => {
    const { log } = kept({ retentionMs: 0, retentionBytes: 0 });
    new SpareSegments(log.disk, { segmentBytes: SEGMENT }).ensure();
    const disk = Object.create(log.disk, { space: { value: () => ({ freeBytes: 5, totalBytes: 100 }) } });
    const { retention } = retentionOn(log, disk, { retentionMs: 0, retentionBytes: 0 });
    expect(retention.pass(T0, () => AS_BROKER)).toMatchObject({ full: true, sparesAllowed: false, reason: 'none' });
    expect(spareNames(log.disk)).toEqual([]);
  });
});

describe('a pass that is interrupted', () => {
  const LIMITS = { retentionMs: 10_000, retentionBytes: 0 };

  /** What is left is the log from some segment on, with the next offsets of all queues. */
  function expectSound(disk: Disk): number {
    const recovered = recoverLog(disk, { onDamage: 'stop', ringBytesMax: 4096 });
    const bases = recovered.segments.map((segment) => segment.base);
    expect(bases).toEqual(Array.from({ length: bases.length }, (_, i) => bases[0] + i * SEGMENT));
    expect(bases.length).toBeGreaterThanOrEqual(3);
    const next = recovered.queues.map((queue) => [queue.topicId, queue.nextOffset]);
    expect(next).toEqual([
      [1, 14],
      [2, 6],
    ]);
    const index = openLogIndex(disk, recovered);
    expect([index.end(1, 0), index.end(2, 0)]).toEqual([14, 6]);
    const reader = new RunReader(disk, index, { cacheBytes: 1 });
    for (let offset = index.oldest(1, 0); offset < 14; offset += 2) {
      expect(reader.read(1, 0, offset, 10)).toMatchObject({ status: 'ok', baseOffset: offset });
    }
    return bases.length;
  }

  test('by any failing call, then by kill -9 or a loss of power, leaves a log without a hole', () => {
    const lengths = new Set<number>();
    let fired = true;
    let calls = 0;
    for (let n = 1; fired; n++) {
      const disk = new FaultDisk();
      const { log, retention } = kept(LIMITS, disk);
      disk.plan = { code: 'EIO', at: disk.calls + n };
      fired = false;
      try {
        retention.pass(T0 + 13_000, () => AS_BROKER);
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('EIO');
        fired = true;
      }
      disk.plan = undefined;
      lengths.add(expectSound(disk.killed()));
      for (let seed = 0; seed < 5; seed++) lengths.add(expectSound(disk.crash(n * 100 + seed)));
      // The next pass does the rest.
      retention.pass(T0 + 13_000, () => AS_BROKER);
      expect(expectSound(disk.killed())).toBe(3);
      logs.splice(logs.indexOf(log), 1);
      calls = n;
    }
    expect(calls).toBeGreaterThan(10);
    expect([...lengths].sort()).toEqual([3, 4, 5, 6, 7]);
  });
});

describe('spare segments', () => {
  test('one is made ahead of time, in steps; a half made one is no spare', () => {
    const disk = new FaultDisk();
    const spares = new SpareSegments(disk, { segmentBytes: 3 * 1024 * 1024 });
    for (let i = 0; i < 3; i++) {
      expect(spareNames(disk)).toEqual([]);
      expect(spares.work()).toBe(true);
    }
    expect(spareNames(disk)).toEqual(['spare-1.tmp']);
    expect(fileLength(disk, 'spare-1.tmp')).toBe(3 * 1024 * 1024);
    expect(spares.work()).toBe(false);
    expect(spares.lengthBytes).toBe(3 * 1024 * 1024);
    expect(fileLength(disk.crash(1), 'spare-1.tmp')).toBe(3 * 1024 * 1024);
  });

  test('where there is no room nothing is left behind, and it is tried again later', () => {
    const disk = new FaultDisk();
    const spares = new SpareSegments(disk, { segmentBytes: 3 * 1024 * 1024 });
    spares.work();
    disk.plan = { code: 'ENOSPC', at: disk.calls + 1 };
    expect(() => spares.work()).toThrow();
    disk.plan = undefined;
    expect(disk.list()).toEqual([]);
    spares.ensure();
    expect(spareNames(disk)).toEqual(['spare-1.tmp']);
  });

  test('none is made that would fill the disk above the watermark', () => {
    const disk = new FaultDisk();
    disk.space = () => ({ freeBytes: 18 * SEGMENT, totalBytes: 100 * SEGMENT });
    const spares = new SpareSegments(disk, { segmentBytes: 4 * SEGMENT });
    expect([spares.work(), disk.list()]).toEqual([false, []]);
    disk.space = () => ({ freeBytes: 20 * SEGMENT, totalBytes: 100 * SEGMENT });
    expect(spares.work()).toBe(true);
  });

  test('a segment of another length is removed, and a spare that the store takes meanwhile is no error', () => {
    const disk = new FaultDisk();
    const spares = new SpareSegments(disk, { segmentBytes: SEGMENT });
    const file = disk.open(segmentName(0), 'write');
    file.truncate(4096);
    file.close();
    spares.recycle(segmentName(0));
    expect(disk.list()).toEqual([]);
    spares.ensure();
    const taken = Object.create(disk, { list: { value: () => ['spare-1.tmp', 'spare-9.tmp'] } });
    new SpareSegments(taken, { segmentBytes: SEGMENT }).removeAll();
    expect(disk.list()).toEqual([]);
  });
});

test('a note of expired queues that is damaged is as none', () => {
  const disk = new FaultDisk();
  writeExpired(disk, [{ topicId: 7, partition: 3, nextOffset: 2 ** 40 }]);
  expect(readExpired(disk)).toEqual([{ topicId: 7, partition: 3, nextOffset: 2 ** 40 }]);
  for (let at = 0; at < fileLength(disk, 'expired.json'); at++) {
    disk.flip('expired.json', at, 1);
    expect(readExpired(disk)).toEqual([]);
    disk.flip('expired.json', at, 1);
  }
});
