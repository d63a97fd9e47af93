import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { Disk, DiskFile, DiskMode } from '../../../src/log/disk.ts';
import { alignedBytes, probeDisk } from '../../../src/log/disk-node.ts';
import type { LogIndex } from '../../../src/log/log-index.ts';
import { openLogIndex } from '../../../src/log/log-open.ts';
import type { Run } from '../../../src/log/run.ts';
import { RunReader } from '../../../src/log/run-reader.ts';
import { segmentName } from '../../../src/log/segment-files.ts';
import { expected, recordsIn, SampleLog, T0 } from './sample-log.ts';

const logs: SampleLog[] = [];

function sampleLog(segmentBytes?: number, mode?: 'direct' | 'buffered'): SampleLog {
  const log = new SampleLog(segmentBytes, mode);
  logs.push(log);
  return log;
}

afterEach(() => {
  for (const log of logs.splice(0)) log.remove();
});

function readerOf(log: SampleLog, index = openLogIndex(log.disk, log.extent()), disk: Disk = log.disk): RunReader {
  return new RunReader(disk, index, { cacheBytes: 4 * 1024 * 1024 });
}

/** Reads a queue to its end; returns what came and the ranges that were said to be lost. */
function readAll(
  reader: RunReader,
  topicId: number,
  partition: number,
  from: number,
  maxBytes: number,
): { records: string[]; lost: [number, number][] } {
  const records: string[] = [];
  const lost: [number, number][] = [];
  let offset = from;
  for (;;) {
    const result = reader.read(topicId, partition, offset, maxBytes);
    if (result.status === 'ok' && result.length === 0) return { records, lost };
    expect(result.nextOffset).toBeGreaterThan(offset);
    if (result.status === 'ok') {
      expect(result.at % 8).toBe(0);
      const found = recordsIn(result.bytes, result.at, result.length);
      expect(result.baseOffset).toBeLessThanOrEqual(offset);
      expect(found[0]).toContain(`${result.baseOffset}:`);
      expect(found.at(-1)).toContain(`${result.nextOffset - 1}:`);
      records.push(...found.slice(offset - result.baseOffset));
    } else {
      lost.push([offset, result.nextOffset]);
    }
    offset = result.nextOffset;
  }
}

/** A disk that shows other bytes than are there. */
function showing(disk: Disk, change: (bytes: Uint8Array, position: number, name: string) => void): Disk {
  const open = (name: string, mode: DiskMode): DiskFile => {
    const file = disk.open(name, mode);
    const read = (bytes: Uint8Array, position: number): number => {
      const count = file.read(bytes, position);
      change(bytes.subarray(0, count), position, name);
      return count;
    };
    return Object.create(file, { read: { value: read }, close: { value: () => file.close() } });
  };
  return Object.create(disk, { open: { value: open } });
}

describe('reading a queue out of the log', () => {
  test('gives every record once and in order from any offset on, whatever fits an answer', () => {
    const run = fc.record({
      topicId: fc.integer({ min: 1, max: 2 }),
      partition: fc.integer({ min: 0, max: 1 }),
      counts: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
      bodyBytes: fc.constantFrom(0, 0, 700, 70_000),
    });
    const blocks = fc.array(fc.array(run, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(blocks, fc.integer({ min: 1, max: 300_000 }), fc.nat(), (all, maxBytes, seed) => {
        const log = sampleLog(1024 * 1024);
        for (const block of all) log.block(...block);
        const reader = readerOf(log);
        for (const topicId of [1, 2]) {
          for (const partition of [0, 1]) {
            const end = log.end(topicId, partition);
            const from = seed % (end + 1);
            const { records, lost } = readAll(reader, topicId, partition, from, maxBytes);
            expect(lost).toEqual([]);
            expect(records).toEqual(expected(topicId, partition, from, end));
          }
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  test('skips the batches before the offset, takes at least one, and no more than fit', () => {
    const log = sampleLog();
    log.block({ topicId: 1, partition: 0, counts: [2, 2, 2, 2], bodyBytes: 200 });
    const reader = readerOf(log);
    const whole = reader.read(1, 0, 0, 100_000).length;
    const two = reader.read(1, 0, 3, whole / 2 + 10);
    expect([two.baseOffset, two.nextOffset]).toEqual([2, 6]);
    expect(recordsIn(two.bytes, two.at, two.length)).toEqual(expected(1, 0, 2, 6));
    const one = reader.read(1, 0, 4, 1);
    expect([one.baseOffset, one.nextOffset, one.length]).toEqual([4, 6, whole / 4]);
  });

  test('joins following runs of a queue that others lie between', () => {
    const log = sampleLog(256 * 1024);
    for (let i = 0; i < 20; i++) {
      log.block({ topicId: 1, partition: 0, counts: [1] }, { topicId: 2, partition: 0, counts: [3] });
    }
    const result = readerOf(log).read(1, 0, 0, 1_000_000);
    expect([result.baseOffset, result.nextOffset]).toEqual([0, 20]);
    expect(recordsIn(result.bytes, result.at, result.length)).toEqual(expected(1, 0, 0, 20));
  });

  test('an offset behind the end is not there yet, one before the oldest is out of range', () => {
    const log = sampleLog(2 * 4096);
    log.block({ topicId: 1, partition: 0, counts: [5] });
    log.block({ topicId: 1, partition: 0, counts: [5] });
    const index = openLogIndex(log.disk, log.extent());
    const reader = readerOf(log, index);
    expect(reader.read(1, 0, 10, 1000)).toMatchObject({ status: 'ok', length: 0, nextOffset: 10, oldestOffset: 0 });
    expect(reader.read(1, 0, 12, 1000)).toMatchObject({ status: 'ok', length: 0, nextOffset: 12 });
    expect(reader.read(9, 9, 0, 1000)).toMatchObject({ status: 'ok', length: 0, nextOffset: 0 });
    index.dropSegment(0);
    reader.forget(0, 2 * 4096);
    const result = reader.read(1, 0, 4, 1000);
    expect(result).toMatchObject({ status: 'out-of-range', oldestOffset: 5, nextOffset: 5, length: 0 });
    index.setFloor(1, 0, 8);
    expect(reader.read(1, 0, 7, 1000)).toMatchObject({ status: 'out-of-range', oldestOffset: 8 });
    expect(reader.read(1, 0, 8, 1000)).toMatchObject({ status: 'ok', baseOffset: 5, nextOffset: 10 });
  });

  test('sees what was written after the chunk it lies in was read', () => {
    const log = sampleLog();
    log.block({ topicId: 1, partition: 0, counts: [2] });
    const index = openLogIndex(log.disk, log.extent());
    const reader = readerOf(log, index);
    for (let i = 1; i < 12; i++) {
      expect(readAll(reader, 1, 0, 0, 100_000).records).toEqual(expected(1, 0, 0, 2 * i));
      for (const run of log.block({ topicId: 1, partition: 0, counts: [2] })) index.add(run);
    }
  });

  test('large runs are handed out in parts, a batch larger than a block as a whole', () => {
    const log = sampleLog(4 * 1024 * 1024);
    log.block({ topicId: 1, partition: 0, counts: [20, 20, 20], bodyBytes: 10_000 });
    log.block({ topicId: 1, partition: 0, counts: [30], bodyBytes: 120_000 });
    for (let i = 0; i < 12; i++) log.block({ topicId: 1, partition: 0, counts: [10, 10], bodyBytes: 50_000 });
    const reader = readerOf(log);
    const part = reader.read(1, 0, 0, 450_000);
    expect([part.baseOffset, part.nextOffset]).toEqual([0, 40]);
    const giant = reader.read(1, 0, 60, 450_000);
    expect([giant.baseOffset, giant.nextOffset]).toEqual([60, 90]);
    for (let round = 0; round < 2; round++) {
      expect(readAll(reader, 1, 0, 0, 450_000)).toEqual({ records: expected(1, 0, 0, log.end(1, 0)), lost: [] });
    }
  });

  test('reads past the page cache as well, where the file system can do that', () => {
    const mode = probeDisk(sampleLog().folder).mode;
    const log = sampleLog(4 * 1024 * 1024, mode);
    for (let i = 0; i < 30; i++) {
      log.block(
        { topicId: 1, partition: 0, counts: [3, 1], bodyBytes: i * 5_000 },
        { topicId: 2, partition: 0, counts: [1] },
      );
    }
    const index = openLogIndex(log.disk, log.extent());
    const reader = new RunReader(log.disk, index, { mode, allocate: alignedBytes, cacheBytes: 8 * 1024 * 1024 });
    expect(readAll(reader, 1, 0, 5, 50_000)).toEqual({ records: expected(1, 0, 5, 120), lost: [] });
    expect(readAll(reader, 2, 0, 0, 50_000)).toEqual({ records: expected(2, 0, 0, 30), lost: [] });
    reader.close();
  });
});

describe('a time in the log', () => {
  test('is found to the batch', () => {
    const log = sampleLog(3 * 4096);
    const times: [number, number][] = [];
    for (let i = 0; i < 12; i++) {
      const [run] = log.block({ topicId: 1, partition: 0, counts: [2, 3, 1] });
      times.push([run.baseOffset, run.storedFirst], [run.baseOffset + 2, run.storedFirst + 1]);
      times.push([run.baseOffset + 5, run.storedFirst + 2]);
    }
    const index = openLogIndex(log.disk, log.extent());
    const reader = readerOf(log, index);
    for (const [offset, time] of times) expect(reader.locate(1, 0, time)).toBe(offset);
    expect(reader.locate(1, 0, 0)).toBe(0);
    expect(reader.locate(1, 0, T0 + 1_000_000)).toBe(log.end(1, 0));
    expect(reader.locate(8, 0, 0)).toBe(0);
    index.setFloor(1, 0, 9);
    expect(reader.locate(1, 0, 0)).toBe(9);
  });
});

describe('bytes that are not what was written', () => {
  /** Two queues, three blocks, two segments. */
  function smallLog(): { log: SampleLog; index: LogIndex } {
    const log = sampleLog(3 * 4096);
    log.block({ topicId: 1, partition: 0, counts: [1, 1] }, { topicId: 2, partition: 0, counts: [1] });
    log.block({ topicId: 1, partition: 0, counts: [2] });
    log.block({ topicId: 1, partition: 0, counts: [1] }, { topicId: 2, partition: 0, counts: [1] });
    return { log, index: openLogIndex(log.disk, log.extent()) };
  }

  /** Reads both queues: what comes is right, what does not come is said to be lost. */
  function expectRightOrLost(reader: RunReader): number {
    let lostCount = 0;
    for (const [topicId, end] of [
      [1, 5],
      [2, 2],
    ]) {
      const { records, lost } = readAll(reader, topicId, 0, 0, 10_000);
      const isLost = (offset: number): boolean => lost.some(([from, to]) => offset >= from && offset < to);
      const left = expected(topicId, 0, 0, end).filter((_, offset) => !isLost(offset));
      expect(records).toEqual(left);
      lostCount += lost.length;
    }
    return lostCount;
  }

  test('any single bit: the run is lost and said to be, or nothing is', () => {
    const { log, index } = smallLog();
    const told: Run[] = [];
    let flips = 0;
    for (const base of [0, 3 * 4096]) {
      for (const run of log.runs.filter((one) => index.segmentOf(one.position) === base)) {
        for (let bit = -64 * 8; bit < (run.size + 16) * 8; bit++) {
          const place = run.position - base + (bit >> 3);
          const disk = showing(log.disk, (bytes, position, name) => {
            if (name !== segmentName(base) || place < position || place >= position + bytes.length) return;
            bytes[place - position] ^= 1 << (bit & 7);
          });
          const reader = new RunReader(disk, index, { cacheBytes: 1, onDamage: (damaged) => told.push(damaged) });
          const lost = expectRightOrLost(reader);
          expect(lost).toBe(told.length);
          if (bit >= 0 && bit < run.size * 8) expect(lost).toBe(1);
          told.length = 0;
          reader.close();
          flips++;
        }
      }
    }
    expect(flips).toBeGreaterThan(10_000);
  }, 60_000);

  test('any sector zeroed, or two sectors swapped', () => {
    const { log, index } = smallLog();
    const sectors = [0, 3 * 4096].flatMap((base) => [0, 1, 2].map((i) => ({ base, place: i * 4096 })));
    let lost = 0;
    for (const one of sectors) {
      for (const other of sectors) {
        const content = fs.readFileSync(path.join(log.folder, segmentName(other.base)));
        const replacement = other === one ? new Uint8Array(4096) : content.subarray(other.place, other.place + 4096);
        const disk = showing(log.disk, (bytes, position, name) => {
          const at = one.place - position;
          if (name === segmentName(one.base) && at >= 0 && at < bytes.length) bytes.set(replacement, at);
        });
        lost += expectRightOrLost(new RunReader(disk, index, { cacheBytes: 1 }));
      }
    }
    expect(lost).toBeGreaterThan(0);
  });

  test('a segment that was recycled, cut short or removed meanwhile gives nothing', () => {
    const { log, index } = smallLog();
    const file = path.join(log.folder, segmentName(0));
    const good = fs.readFileSync(file);
    for (const change of [
      () => fs.writeFileSync(file, good.subarray(0, 100)),
      () => fs.writeFileSync(file, new Uint8Array(good.length).fill(7)),
      () => fs.renameSync(file, path.join(log.folder, 'spare-1.tmp')),
    ]) {
      fs.writeFileSync(file, good);
      change();
      const { records, lost } = readAll(readerOf(log, index), 1, 0, 0, 10_000);
      expect(records).toEqual(expected(1, 0, 4, 5));
      expect(lost.at(-1)?.[1]).toBe(4);
    }
  });

  test('an older use of the same offsets is another run', () => {
    const log = sampleLog();
    const [run] = log.block({ topicId: 1, partition: 0, counts: [2], epoch: 1 });
    const index = openLogIndex(log.disk, { segments: log.extent().segments, end: 0 });
    index.add({ ...run, epoch: 2 });
    expect(readerOf(log, index).read(1, 0, 0, 1000)).toMatchObject({ status: 'damaged', nextOffset: 2 });
  });

  test('a read that fails is tried once more, then told once; later reads of other runs go on', () => {
    const { log, index } = smallLog();
    let failures = 1;
    const disk = showing(log.disk, () => {
      if (failures-- > 0) throw Object.assign(new Error('input/output error'), { code: 'EIO' });
    });
    const told: string[] = [];
    const reader = new RunReader(disk, index, { onDamage: (run, reason) => told.push(`${run.baseOffset} ${reason}`) });
    expect(readAll(reader, 1, 0, 0, 10_000).lost).toEqual([]);
    expect(told).toEqual([]);
    failures = 2;
    reader.forget(0, 6 * 4096);
    expect(reader.read(1, 0, 0, 10)).toMatchObject({ status: 'damaged', nextOffset: 2 });
    expect(told).toEqual(['0 the disk does not give it']);
    expect(reader.read(1, 0, 0, 10)).toMatchObject({ status: 'ok', baseOffset: 0 });
  });

  test('queues that are read side by side share disk reads; one alone reads only its own', () => {
    const log = sampleLog(16 * 1024 * 1024);
    const queues = 20;
    const specs = Array.from({ length: queues }, (_, partition) => ({
      topicId: 1,
      partition,
      counts: [8],
      bodyBytes: 4_000,
    }));
    for (let i = 0; i < 12; i++) log.block(...specs);
    let reads = 0;
    let readBytes = 0;
    const counting = showing(log.disk, (bytes) => {
      reads++;
      readBytes += bytes.length;
    });
    const index = openLogIndex(log.disk, log.extent());
    const alone = new RunReader(counting, index);
    expect(readAll(alone, 1, 3, 0, 1024 * 1024)).toEqual({ records: expected(1, 3, 0, 96), lost: [] });
    expect(reads).toBe(12);
    expect(readBytes).toBeLessThan(12 * 40_960);
    reads = 0;
    const reader = new RunReader(counting, index);
    for (let partition = 0; partition < queues; partition++) {
      expect(readAll(reader, 1, partition, 0, 1024 * 1024).records).toEqual(expected(1, partition, 0, 96));
    }
    // 240 runs in 8 chunks, the first queues' alone.
    expect(reads).toBeLessThan(60);
  });

  test('a hole in the offsets is damage up to the next run', () => {
    const log = sampleLog();
    for (let i = 0; i < 3; i++) log.block({ topicId: 1, partition: 0, counts: [2] });
    const index = openLogIndex(log.disk, { segments: log.extent().segments, end: 0 });
    index.add(log.runs[0]);
    expect(index.add(log.runs[2])).toBe('gap');
    const { records, lost } = readAll(readerOf(log, index), 1, 0, 0, 10_000);
    expect(lost).toEqual([[2, 4]]);
    expect(records).toEqual([...expected(1, 0, 0, 2), ...expected(1, 0, 4, 6)]);
  });
});
