import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { LogIndex } from '../../../src/log/log-index.ts';
import { openLogIndex } from '../../../src/log/log-open.ts';
import type { Run } from '../../../src/log/run.ts';
import { RunColumns } from '../../../src/log/run-columns.ts';
import { indexName } from '../../../src/log/segment-directory.ts';
import { fileLength, segmentName } from '../../../src/log/segment-files.ts';
import {
  encodeIndex,
  loadSegmentDirectory,
  loadSegmentIndex,
  writeSegmentIndex,
} from '../../../src/log/segment-index.ts';
import { SampleLog, T0 } from './sample-log.ts';

const logs: SampleLog[] = [];

function sampleLog(segmentBytes?: number): SampleLog {
  const log = new SampleLog(segmentBytes);
  logs.push(log);
  return log;
}

afterEach(() => {
  for (const log of logs.splice(0)) log.remove();
});

/** An index that hears of runs one by one, as the log reader thread does. */
function followed(log: SampleLog, runs: readonly Run[] = log.runs): LogIndex {
  const index = new LogIndex(log.disk);
  index.openSegment(0);
  for (const run of runs) expect(index.add(run)).toBe('added');
  return index;
}

/** What the index should find, by looking at all runs. */
function modelFind(runs: readonly Run[], topicId: number, partition: number, offset: number): Run | undefined {
  return runs.find((run) => run.topicId === topicId && run.partition === partition && run.nextOffset > offset);
}

function modelLocate(runs: readonly Run[], topicId: number, partition: number, time: number): Run | undefined {
  return runs.find(
    (run) => run.topicId === topicId && run.partition === partition && run.storedFirst + run.storedSpan >= time,
  );
}

function expectModel(index: LogIndex, runs: readonly Run[]): void {
  const queues = [...new Set(runs.map((run) => `${run.topicId}/${run.partition}`))].map((q) =>
    q.split('/').map(Number),
  );
  for (const [topicId, partition] of [...queues, [77, 0]]) {
    const own = runs.filter((run) => run.topicId === topicId && run.partition === partition);
    const end = own.at(-1)?.nextOffset ?? 0;
    expect(index.end(topicId, partition)).toBe(end);
    expect(index.oldest(topicId, partition)).toBe(own[0]?.baseOffset ?? 0);
    for (let offset = 0; offset <= end + 1; offset++) {
      expect(index.find(topicId, partition, offset)).toEqual(modelFind(runs, topicId, partition, offset));
    }
    for (const run of own) {
      expect(index.next(run)).toEqual(own[own.indexOf(run) + 1]);
      for (const time of [run.storedFirst - 1, run.storedFirst, run.storedFirst + run.storedSpan + 1]) {
        expect(index.locate(topicId, partition, time)).toEqual(modelLocate(runs, topicId, partition, time));
      }
    }
  }
}

const spec = fc.record({
  topicId: fc.integer({ min: 1, max: 3 }),
  partition: fc.integer({ min: 0, max: 2 }),
  counts: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
  storedAt: fc.integer({ min: T0 - 50, max: T0 + 50 }),
});

describe('the index of the log', () => {
  test('finds, goes on and locates as a list of all runs does, followed live or opened from files', () => {
    fc.assert(
      fc.property(fc.array(fc.array(spec, { minLength: 1, maxLength: 4 }), { maxLength: 14 }), (blocks) => {
        const log = sampleLog(5 * 4096);
        for (const block of blocks) log.block(...block);
        if (blocks.length === 0) return;
        const live = followed(log);
        expectModel(live, log.runs);
        // The index files that the live one has written, then none at all.
        expectModel(openLogIndex(log.disk, log.extent()), log.runs);
        for (const name of log.disk.list()) if (name.endsWith('.idx')) log.disk.remove(name);
        expectModel(openLogIndex(log.disk, log.extent()), log.runs);
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  test('a segment that is full gets its index file when the first run of the next one comes', () => {
    const log = sampleLog(3 * 4096);
    for (let i = 0; i < 3; i++) log.block({ topicId: 1, partition: 0, counts: [2, 2] });
    const index = followed(log);
    expect(index.segments.map((segment) => segment.base)).toEqual([0]);
    expect(index.unsealedBase).toBe(3 * 4096);
    expect(loadSegmentIndex(log.disk, 0)?.end).toBe(3 * 4096);
    expect(index.lengthBytes).toBe(6 * 4096);
  });

  test('of a log whose last segment is sealed begins behind it', () => {
    const log = sampleLog(3 * 4096);
    for (let i = 0; i < 3; i++) log.block({ topicId: 1, partition: 0, counts: [2, 2] });
    followed(log); // The first segment is full now, and has its index file.
    const [first] = log.extent().segments;
    const opened = openLogIndex(log.disk, { segments: [first], end: 3 * 4096 });
    expect(opened.unsealedBase).toBe(3 * 4096);
    expect([opened.segmentOf(0), opened.segmentOf(3 * 4096 - 1), opened.segmentOf(3 * 4096)]).toEqual([0, 0, 3 * 4096]);
  });

  test('a run that comes again is left out; a gap, an overlap and a run out of place are told', () => {
    const log = sampleLog();
    const [first] = log.block({ topicId: 1, partition: 0, counts: [10] });
    const [second] = log.block({ topicId: 1, partition: 0, counts: [10] });
    const index = followed(log, [first]);
    expect(index.add(first)).toBe('duplicate');
    expect(index.add({ ...second, baseOffset: 5 })).toBe('overlap');
    expect(index.find(1, 0, 10)?.position).toBe(second.position);
    expect(index.add({ ...second, baseOffset: 30, nextOffset: 40 })).toBe('gap');
    expect(index.find(1, 0, 25)?.baseOffset).toBe(30);
    expect(index.add({ ...second, baseOffset: 40, nextOffset: 50, position: -4096 })).toBe('misplaced');
    expect(index.end(1, 0)).toBe(40);
  });

  test('index files in memory are bounded, and read again when they are wanted', () => {
    const log = sampleLog(2 * 4096);
    for (let i = 0; i < 40; i++) log.block({ topicId: 1, partition: i % 3, counts: [3] });
    const one = new LogIndex(log.disk, { cacheBytes: 1 });
    one.openSegment(0);
    for (const run of log.runs) one.add(run);
    expectModel(one, log.runs);
  });

  test('memory that is used again changes nothing of an index', () => {
    const columns = new RunColumns();
    const log = sampleLog();
    for (let i = 0; i < 7; i++)
      for (const run of log.block({ topicId: i, partition: 0, counts: [i + 1] })) columns.add(run, 0);
    const order = Int32Array.from({ length: columns.count }, (_, i) => i);
    const fresh = encodeIndex(0, columns, order, log.writer.end);
    const used = new ArrayBuffer(fresh.bytes.length + 8);
    new Uint8Array(used).fill(0xff);
    const again = encodeIndex(0, columns, order, log.writer.end, used);
    expect(again.buffer).toBe(used);
    expect(again.bytes).toEqual(fresh.bytes);
    expect([...again.runs()]).toEqual([...fresh.runs()]);
    const small = new ArrayBuffer(fresh.bytes.length - 8);
    const large = new ArrayBuffer(fresh.bytes.length * 2 + 8);
    for (const unfit of [small, large]) expect(encodeIndex(0, columns, order, 0, unfit).buffer).not.toBe(unfit);
  });

  test('an index file that cannot be written stays in memory and is written later', () => {
    const log = sampleLog(2 * 4096);
    log.block({ topicId: 1, partition: 0, counts: [3] });
    log.block({ topicId: 1, partition: 0, counts: [3] });
    const refusing = Object.create(log.disk, {
      open: {
        value: (name: string, mode: 'read') => {
          if (name.includes('.idx') && full) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
          return log.disk.open(name, mode);
        },
      },
    });
    let full = true;
    const index = new LogIndex(refusing, { cacheBytes: 1 });
    index.openSegment(0);
    for (const run of log.runs) index.add(run);
    expect(index.tryWrite()).toBe(false);
    expectModel(index, log.runs);
    full = false;
    expect(index.tryWrite()).toBe(true);
    expect(loadSegmentIndex(log.disk, 0)?.end).toBe(2 * 4096);
  });

  test('the oldest segment can be dropped: its queues begin later, one without anything left keeps its place', () => {
    const log = sampleLog(2 * 4096);
    log.block({ topicId: 1, partition: 0, counts: [3] }, { topicId: 2, partition: 0, counts: [5] });
    log.block({ topicId: 1, partition: 0, counts: [4] });
    const index = followed(log);
    index.dropSegment(0);
    expect([index.oldest(1, 0), index.end(1, 0)]).toEqual([3, 7]);
    expect([index.oldest(2, 0), index.end(2, 0)]).toEqual([5, 5]);
    expect(index.find(1, 0, 0)?.baseOffset).toBe(3);
    expect(index.find(2, 0, 0)).toBeUndefined();
    expect(index.segmentOf(100)).toBeUndefined();
    expect(() => index.dropSegment(0)).toThrow('not the oldest');
  });

  test('at a stop in order the unsealed segment gets a file too, and the next start goes on behind it', () => {
    const log = sampleLog();
    log.block({ topicId: 1, partition: 0, counts: [3] });
    const index = followed(log);
    index.writeOpen(log.writer.end);
    expect(loadSegmentIndex(log.disk, 0)?.end).toBe(log.writer.end);
    log.block({ topicId: 1, partition: 0, counts: [4] });
    // Proof that the file is used: the first block can no longer be read.
    zero(log, segmentName(0), 64, 512);
    const opened = openLogIndex(log.disk, log.extent());
    expectModel(opened, log.runs);
  });

  test('what lies behind a damaged block is still indexed', () => {
    const log = sampleLog(4 * 4096);
    for (let i = 0; i < 4; i++) log.block({ topicId: 1, partition: 0, counts: [2] });
    zero(log, segmentName(0), 4096, 4096);
    const index = openLogIndex(log.disk, log.extent());
    expect(index.find(1, 0, 2)?.baseOffset).toBe(4);
    expect(index.end(1, 0)).toBe(8);
  });
});

function zero(log: SampleLog, name: string, at: number, length: number): void {
  const file = log.disk.open(name, 'write');
  file.write(new Uint8Array(length), at);
  file.close();
}

describe('an index file', () => {
  function smallIndex(): { log: SampleLog; name: string; bytes: Buffer } {
    const log = sampleLog();
    log.block({ topicId: 1, partition: 0, counts: [3] }, { topicId: 2, partition: 1, counts: [1, 1] });
    log.block({ topicId: 1, partition: 0, counts: [3] });
    writeSegmentIndex(log.disk, 0, log.runs, 8192);
    return { log, name: indexName(0), bytes: fs.readFileSync(path.join(log.folder, indexName(0))) };
  }

  test('says what was put into it, whatever the order', () => {
    const { log } = smallIndex();
    const index = loadSegmentIndex(log.disk, 0)!;
    expect([...index.runs()].sort((a, b) => a.position - b.position)).toEqual(log.runs);
    const { directory } = index;
    expect([...directory.topicIds]).toEqual([1, 2]);
    expect([...directory.firstOffsets]).toEqual([0, 0]);
    expect([...directory.nextOffsets]).toEqual([6, 2]);
    expect(directory.storedFirst).toBe(T0 + 1);
    expect(directory.storedLast).toBe(T0 + 4);
    expect(loadSegmentDirectory(log.disk, 0)).toEqual(directory);
    expect(fileLength(log.disk, indexName(0))).toBe(index.buffer.byteLength);
  });

  test('has the bytes of version 1', () => {
    const { bytes } = smallIndex();
    expect(bytes.subarray(0, 32).toString('hex')).toBe(
      '716964780100000002000000030000000000000000000000000000000000c040',
    );
    expect([bytes.length, crc32(bytes)]).toEqual([336, 566041593]);
  });

  test('with any bit flipped, any tail missing, or a byte too many is no index file', () => {
    const { log, name, bytes } = smallIndex();
    const file = path.join(log.folder, name);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const broken = Buffer.from(bytes);
      broken[bit >> 3] ^= 1 << (bit & 7);
      fs.writeFileSync(file, broken);
      expect(loadSegmentIndex(log.disk, 0), `bit ${bit}`).toBeUndefined();
    }
    for (let length = 0; length < bytes.length; length++) {
      fs.writeFileSync(file, bytes.subarray(0, length));
      expect(loadSegmentIndex(log.disk, 0), `length ${length}`).toBeUndefined();
      expect(loadSegmentDirectory(log.disk, 0)).toBeUndefined();
    }
    fs.writeFileSync(file, Buffer.concat([bytes, Buffer.of(0)]));
    expect(loadSegmentIndex(log.disk, 0)).toBeUndefined();
  });

  test('of another segment, or of random bytes, is no index file', () => {
    const { log, name, bytes } = smallIndex();
    fs.writeFileSync(path.join(log.folder, indexName(4096)), bytes);
    expect(loadSegmentIndex(log.disk, 4096)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => {
        fs.writeFileSync(path.join(log.folder, name), random);
        return loadSegmentIndex(log.disk, 0) === undefined && loadSegmentDirectory(log.disk, 0) === undefined;
      }),
    );
  });

  test('that is damaged is made again from its segment, also while the log is in use', () => {
    const log = sampleLog(2 * 4096);
    for (let i = 0; i < 4; i++) log.block({ topicId: 1, partition: 0, counts: [3] });
    followed(log);
    const index = openLogIndex(log.disk, log.extent(), { cacheBytes: 1 });
    for (const { base } of index.segments) fs.writeFileSync(path.join(log.folder, indexName(base)), 'damaged');
    expectModel(index, log.runs);
    expect(index.lostSegments).toBe(0);
  });
});
