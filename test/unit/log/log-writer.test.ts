import { describe, expect, test } from 'vitest';
import type { WriteUnderWay } from '../../../src/log/disk.ts';
import { alignedBytes } from '../../../src/log/disk-node.ts';
import { isDiskFull } from '../../../src/log/log-writer.ts';
import { recoverLog } from '../../../src/log/recovery.ts';
import { segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { SampleLog, type SampleRun, SEGMENT, spansOnDisk } from '../../support/log-batches.ts';

const RECOVER = { onDamage: 'stop', ringBytesMax: 1 << 20 } as const;

function spare(disk: FaultDisk, name: string, lengthBytes: number): void {
  const file = disk.open(name, 'write');
  file.write(alignedBytes(lengthBytes).fill(0xee), 0);
  file.sync();
  file.close();
  disk.syncFolder();
}

describe.each(['direct', 'buffered'] as const)('%s', (mode) => {
  test('blocks follow one another, and segments; everything is found again in order', () => {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, mode);
    for (let i = 0; i < 60; i++) log.append({ topicId: 1, count: 3, bodyBytes: 900 }, { topicId: 2, partition: i % 2 });
    expect(segmentBases(disk)).toEqual([0, SEGMENT, 2 * SEGMENT, 3 * SEGMENT]);
    expect(spansOnDisk(disk)).toEqual(log.blocks.flat());
    expect(recoverLog(disk, RECOVER)).toMatchObject({ end: log.writer.end, previousCrc: log.writer.previousCrc });
  });

  test('the log goes on where it was found', () => {
    const disk = new FaultDisk();
    const first = new SampleLog(disk, mode);
    for (let i = 0; i < 20; i++) first.append({ bodyBytes: 5000 });
    first.writer.sync();
    first.writer.close();
    const recovered = recoverLog(disk, RECOVER);
    const second = new SampleLog(disk, mode, recovered, { generation: 2 }).continueFrom(recovered.queues);
    for (let i = 0; i < 20; i++) second.append({ bodyBytes: 5000 });
    expect(spansOnDisk(disk)).toEqual([...first.blocks, ...second.blocks].flat());
  });

  test('the first block behind a full segment goes to a spare file, if one has the right length', () => {
    const disk = new FaultDisk();
    spare(disk, 'spare-1.tmp', SEGMENT / 2);
    spare(disk, 'spare-2.tmp', SEGMENT);
    const log = new SampleLog(disk, mode);
    log.append({});
    expect(disk.list()).toEqual([segmentName(0), 'spare-1.tmp']);
    expect(disk.history.slice(-3)).toEqual([
      `rename spare-2.tmp ${segmentName(0)}`,
      'sync-folder',
      `write ${segmentName(0)}`,
    ]);
    expect(spansOnDisk(disk)).toEqual(log.blocks.flat());
  });

  test('a block larger than a segment gets one that is long enough', () => {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, mode);
    log.append({});
    log.append({ bodyBytes: 3 * SEGMENT });
    log.append({});
    log.append({ bodyBytes: SEGMENT - 4096 - 64 - 64 - 64 - 24 });
    log.append({});
    expect(spansOnDisk(disk)).toEqual(log.blocks.flat());
    expect(recoverLog(disk, RECOVER).end).toBe(log.writer.end);
  });

  test('a full disk: the same block is written at the same place later, again and again if need be', () => {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, mode);
    log.append({ bodyBytes: 10_000 });
    const end = log.writer.end;
    disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    const spans = log.stage({ bodyBytes: 20_000 });
    for (let i = 0; i < 3; i++) expect(() => log.writer.append(log.builder)).toThrow('ENOSPC');
    expect(log.writer.end).toBe(end);
    const sealed = log.builder.sealed!.slice();
    disk.plan = undefined;
    log.writer.append(log.builder);
    expect(Buffer.compare(disk.bytesOf(segmentName(0)).subarray(end, end + sealed.length), sealed)).toBe(0);
    expect(spansOnDisk(disk).slice(1)).toEqual(spans);
  });

  test('after any other error nothing is ever written again', () => {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, mode);
    log.append({});
    disk.plan = { at: 1, code: 'EIO' };
    log.stage({});
    expect(() => log.writer.append(log.builder)).toThrow('EIO');
    expect(disk.faults).toBe(1);
    const calls = disk.history.length;
    expect(() => log.writer.append(log.builder)).toThrow('EIO');
    expect(() => log.writer.sync()).toThrow('EIO');
    expect(disk.history.length).toBe(calls);
  });

  test('a closed writer writes nothing', () => {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, mode);
    log.append({});
    log.writer.close();
    log.stage({});
    expect(() => log.writer.append(log.builder)).toThrow('closed');
  });

  test('opening the log removes the note of an orderly stop', () => {
    const disk = new FaultDisk();
    disk.open('checkpoint.json', 'write').close();
    new SampleLog(disk, mode);
    expect(disk.exists('checkpoint.json')).toBe(false);
    expect(disk.crash(1).exists('checkpoint.json')).toBe(false);
  });
});

test('written directly, a block is durable at once', () => {
  const log = new SampleLog(new FaultDisk(), 'direct');
  log.append({});
  expect(log.writer.durableEnd).toBe(4096);
  log.writer.sync();
});

test('written through the page cache, it is durable after sync(), and so is what a full segment holds', () => {
  const log = new SampleLog(new FaultDisk(), 'buffered');
  log.append({});
  expect([log.writer.durableEnd, log.writer.end]).toEqual([0, 4096]);
  log.writer.sync();
  expect(log.writer.durableEnd).toBe(4096);
  while (log.writer.end < SEGMENT) log.append({});
  expect(log.writer.durableEnd).toBe(SEGMENT);
});

test('what a predecessor may not have synced is synced before it counts as durable', () => {
  const disk = new FaultDisk();
  const first = new SampleLog(disk, 'buffered');
  first.append({});
  const killed = disk.killed();
  const second = new SampleLog(killed, 'buffered', recoverLog(killed, RECOVER));
  expect(second.writer.durableEnd).toBe(4096);
  for (let seed = 0; seed < 20; seed++) expect(spansOnDisk(killed.crash(seed))).toEqual(first.blocks.flat());
});

test('so is a seal that a predecessor wrote last: no segment may be on the disk behind one without an end', () => {
  const disk = new FaultDisk();
  const first = new SampleLog(disk, 'buffered');
  while (segmentBases(disk).length < 2) first.append({ bodyBytes: 5000 });
  // As a process leaves it that was killed between the seal and its sync: the bytes are there, in the page cache alone.
  const kept = disk.bytesOf(segmentName(0)).slice();
  const killed = new FaultDisk();
  const file = killed.open(segmentName(0), 'write');
  file.truncate(kept.length);
  file.sync();
  killed.syncFolder();
  file.write(kept, 0);
  file.close();
  const found = recoverLog(killed, RECOVER);
  expect(found.segments).toMatchObject([{ sealed: true }]);
  const second = new SampleLog(killed, 'buffered', found, { generation: 2 }).continueFrom(found.queues);
  second.append({});
  second.writer.sync();
  const all = spansOnDisk(killed);
  for (let seed = 0; seed < 20; seed++) expect(spansOnDisk(killed.crash(seed))).toEqual(all);
});

test('a sync that fails for want of room is final all the same', () => {
  const disk = new FaultDisk();
  const log = new SampleLog(disk, 'buffered');
  log.append({});
  disk.plan = { at: 1, code: 'ENOSPC' };
  let thrown: unknown;
  try {
    log.writer.sync();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: 'EIO', message: expect.stringContaining('ENOSPC') });
  expect(isDiskFull(thrown)).toBe(false);
  expect(() => log.writer.sync()).toThrow('synced');
});

test('a last segment that somebody cut is made long enough again', () => {
  const disk = new FaultDisk();
  const first = new SampleLog(disk, 'direct');
  first.append({});
  disk.open(segmentName(0), 'write').truncate(4096);
  const second = new SampleLog(disk, 'direct', recoverLog(disk, RECOVER)).continueFrom(
    recoverLog(disk, RECOVER).queues,
  );
  second.append({});
  expect(spansOnDisk(disk)).toEqual([...first.blocks, ...second.blocks].flat());
});

test('segments of a wrong length are refused', () => {
  expect(() => new SampleLog(new FaultDisk(), 'direct', undefined, { segmentBytes: 5000 })).toThrow('4,096');
});

describe('a block written beside the thread', () => {
  function begin(log: SampleLog, disk: FaultDisk, ...runs: SampleRun[]): WriteUnderWay {
    const spans = log.stage(...runs);
    const write = log.writer.begin(log.builder);
    log.blocks.push(spans);
    expect(disk.flying).toBe(1);
    return write;
  }

  function flying(): { disk: FaultDisk; log: SampleLog } {
    const disk = new FaultDisk();
    disk.begins = true;
    const log = new SampleLog(disk, 'direct');
    expect(log.writer.mayBegin).toBe(false);
    log.append({});
    expect(log.writer.mayBegin).toBe(true);
    return { disk, log };
  }

  test('is in the log when it is finished, also where a segment ends', () => {
    const { disk, log } = flying();
    for (let i = 0; i < 60; i++) {
      const { end } = log.writer;
      begin(log, disk, { count: 3, bodyBytes: 900 }, { topicId: 2 });
      expect(log.writer.durableEnd).toBe(log.writer.end);
      expect(log.writer.end % SEGMENT === 0 || log.writer.end === end).toBe(true);
      disk.land();
      log.writer.finish();
      expect(log.writer.end).toBeGreaterThan(end);
    }
    expect(segmentBases(disk).length).toBeGreaterThan(3);
    expect(spansOnDisk(disk)).toEqual(log.blocks.flat());
    expect(recoverLog(disk, RECOVER)).toMatchObject({ end: log.writer.end, previousCrc: log.writer.previousCrc });
  });

  test('nothing else is written meanwhile, and nothing is finished before it has ended', () => {
    const { disk, log } = flying();
    begin(log, disk, {});
    expect(() => log.writer.finish()).toThrow(/has ended/);
  });

  test('without room it is written again as it was; after another failure nothing is', () => {
    const { disk, log } = flying();
    const { end } = log.writer;
    begin(log, disk, { bodyBytes: 9_000 });
    disk.plan = { at: 1, code: 'ENOSPC' };
    disk.land();
    expect(() => log.writer.finish()).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(log.writer.end).toBe(end);
    log.writer.append(log.builder);
    expect(spansOnDisk(disk)).toEqual(log.blocks.flat());
    begin(log, disk, {});
    disk.plan = { at: disk.calls + 1, code: 'EIO' };
    disk.land();
    for (let i = 0; i < 2; i++) {
      expect(() => (i === 0 ? log.writer.finish() : log.writer.append(log.builder))).toThrow(/EIO/);
    }
  });
});
