import fc from 'fast-check';
import { expect, test } from 'vitest';
import { writeDamaged } from '../../../src/log/checkpoint.ts';
import { openLogIndex } from '../../../src/log/log-open.ts';
import { inspectLog, verifyLog } from '../../../src/log/log-verify.ts';
import { indexName } from '../../../src/log/segment-directory.ts';
import { segmentName } from '../../../src/log/segment-files.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { SampleLog, T0 } from './sample-log.ts';

const SEGMENT = 4 * 4096;

/** Two queues, nine blocks, three sealed segments of three blocks each. */
function sample(): { log: SampleLog; disk: FaultDisk } {
  const disk = new FaultDisk();
  const log = new SampleLog(SEGMENT, 'buffered', disk);
  for (let i = 0; i < 10; i++) {
    log.block({ topicId: 1, partition: 0, counts: [2, 1] }, { topicId: 2, partition: i % 2, counts: [1] });
  }
  openLogIndex(disk, log.extent());
  return { log, disk };
}

test('a log says what is in it, by its index files or without them', () => {
  const { log, disk } = sample();
  const { segments, queues, damage, end, lengthBytes } = verifyLog(disk);
  expect(damage).toEqual([]);
  expect(segments.map((one) => [one.base, one.sealed, one.index, one.blocks, one.runs, one.records])).toEqual([
    [0, true, 'good', 4, 6, 12],
    [SEGMENT, true, 'good', 4, 6, 12],
    [2 * SEGMENT, true, 'good', 4, 6, 12],
    [3 * SEGMENT, false, 'none', 1, 2, 4],
  ]);
  expect(segments[0]).toMatchObject({ storedFirst: T0 + 1, storedLast: T0 + 9, name: segmentName(0) });
  expect(queues).toMatchObject([
    { topicId: 1, partition: 0, oldestOffset: 0, nextOffset: 30, records: 30 },
    { topicId: 2, partition: 0, oldestOffset: 0, nextOffset: 5, records: 5 },
    { topicId: 2, partition: 1, oldestOffset: 0, nextOffset: 5, records: 5 },
  ]);
  expect(end).toBe(log.writer.end);
  expect(lengthBytes).toBe(4 * SEGMENT);
  const withIndex = inspectLog(disk);
  expect(withIndex.queues).toEqual(queues);
  expect(withIndex.damage).toEqual([]);
  for (let i = 0; i < 3; i++) disk.remove(indexName(i * SEGMENT));
  expect(inspectLog(disk).queues).toEqual(queues);
  expect(verifyLog(disk).damage).toEqual([]);
});

test('verifying changes nothing and tells how far it is', () => {
  const { disk } = sample();
  const before = disk.list().map((name) => [name, Buffer.from(disk.bytesOf(name)).toString('base64')]);
  const told: number[] = [];
  verifyLog(disk, { progress: ({ doneBytes, totalBytes }) => told.push(doneBytes / totalBytes) });
  inspectLog(disk);
  expect(told).toEqual([0.25, 0.5, 0.75, 1]);
  expect(disk.list().map((name) => [name, Buffer.from(disk.bytesOf(name)).toString('base64')])).toEqual(before);
});

test('every flipped bit in a block before the last is found, and where it is', () => {
  const { log, disk } = sample();
  const meant = log.runs.filter((run) => run.position < 3 * SEGMENT);
  fc.assert(
    fc.property(fc.constantFrom(...meant), fc.nat(), fc.integer({ min: 0, max: 7 }), (run, byte, bit) => {
      const place = run.position + (byte % run.size);
      const base = Math.floor(place / SEGMENT) * SEGMENT;
      disk.flip(segmentName(base), place - base, 1 << bit);
      const { damage } = verifyLog(disk);
      disk.flip(segmentName(base), place - base, 1 << bit);
      const from = Math.floor(place / 4096) * 4096;
      expect(damage.find((one) => one.kind === 'block')).toMatchObject({ from, to: from + 4096, known: false });
      expect(damage[0].file).toBe(segmentName(base));
    }),
    { numRuns: 200 },
  );
});

test('a segment that is missing, a damaged index and a note of known damage are told apart', () => {
  const missing = sample().disk;
  missing.remove(segmentName(SEGMENT));
  const { damage } = verifyLog(missing);
  expect(damage.filter((one) => one.kind === 'segment')).toMatchObject([{ from: SEGMENT, to: 2 * SEGMENT }]);
  expect(damage.some((one) => one.kind === 'offsets')).toBe(true);
  const { disk } = sample();
  disk.flip(indexName(0), 100, 1);
  expect(verifyLog(disk).damage).toMatchObject([{ kind: 'index', file: indexName(0) }]);
  expect(inspectLog(disk).segments[0].index).toBe('damaged');
});

test('what follows the last good block is the end of the log, torn or recycled', () => {
  const { log, disk } = sample();
  const place = log.writer.end - 3 * SEGMENT;
  const bytes = disk.bytesOf(segmentName(3 * SEGMENT));
  bytes.set(disk.bytesOf(segmentName(0)).subarray(0, 4096), place);
  bytes.fill(7, place + 4096);
  expect(verifyLog(disk)).toMatchObject({ damage: [], end: log.writer.end });
  expect(inspectLog(disk).queues[0].nextOffset).toBe(30);
});

/** A disk that calls `before` before every read of a file with this name, and may change what is read. */
function watched(disk: FaultDisk, name: string, before: (bytes: Uint8Array, nth: number) => boolean): FaultDisk {
  let nth = 0;
  const open = disk.open.bind(disk);
  disk.open = (file, mode) => {
    const opened = open(file, mode);
    const read = opened.read.bind(opened);
    if (file === name) opened.read = (bytes, at) => (before(bytes, nth++) ? bytes.length : read(bytes, at));
    return opened;
  };
  return disk;
}

test('a block that is being written while it is read is no damage', () => {
  const { disk } = sample();
  const newest = segmentName(3 * SEGMENT);
  const log = new SampleLog(SEGMENT, 'buffered', new FaultDisk());
  for (let i = 0; i < 3; i++) log.block({ topicId: 1, partition: 0, counts: [1] });
  const live = log.disk as FaultDisk;
  // The first look finds a block half written, and those behind it whole.
  let looks = 0;
  const bytes = live.bytesOf(segmentName(0));
  const whole = bytes[4096 + 100];
  bytes[4096 + 100] ^= 1;
  watched(live, segmentName(0), () => {
    if (looks++ === 1) bytes[4096 + 100] = whole;
    return false;
  });
  expect(verifyLog(live).damage).toEqual([]);
  expect(looks).toBeGreaterThan(1);
  expect(disk.exists(newest)).toBe(true);
});

test('a segment that retention takes while it is read, and that has another use then, is no damage', () => {
  const { disk } = sample();
  watched(disk, segmentName(0), () => {
    if (disk.exists(segmentName(0))) disk.rename(segmentName(0), 'spare-1.tmp');
    disk.bytesOf('spare-1.tmp').fill(0xee);
    return false;
  });
  expect(verifyLog(disk).damage).toEqual([]);
});

test('offsets that are missing because of known damage are known', () => {
  const { disk } = sample();
  disk.bytesOf(segmentName(0))[4096 + 200] ^= 1;
  const found = verifyLog(disk).damage.filter((one) => one.kind !== 'index');
  expect(found.map((one) => [one.kind, one.known])).toEqual([
    ['block', false],
    ['offsets', false],
  ]);
  writeDamaged(disk, [{ from: 4096, to: 8192, what: 'damaged' }]);
  const known = verifyLog(disk).damage.filter((one) => one.kind !== 'index');
  expect(known).toEqual(found.map((one) => ({ ...one, known: true })));
});

test('an empty folder is an empty log', () => {
  const disk = new FaultDisk();
  const nothing = { segments: [], queues: [], damage: [], end: 0, lengthBytes: 0, spares: 0 };
  expect(verifyLog(disk)).toEqual(nothing);
  expect(inspectLog(disk)).toEqual(nothing);
});
