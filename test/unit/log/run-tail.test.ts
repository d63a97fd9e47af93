import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { RUN_HEADER_BYTES } from '../../../native-layout/log.ts';
import type { Run } from '../../../src/log/run.ts';
import { readTail } from '../../../src/log/run-tail.ts';
import { segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { expected, recordsIn, SampleLog } from './sample-log.ts';

const logs: SampleLog[] = [];

afterEach(() => {
  for (const log of logs.splice(0)) log.remove();
});

/** A log of several segments in which a partition has one run in each block, between those of another one. */
function sample(blocks = 40): { log: SampleLog; runs: readonly Run[] } {
  const log = new SampleLog(32 * 1024);
  logs.push(log);
  for (let i = 0; i < blocks; i++) {
    log.block({ topicId: 1, partition: 0, counts: [2, 1], bodyBytes: 300 }, { topicId: 2, partition: 3, counts: [5] });
  }
  return { log, runs: log.runs.filter((run) => run.topicId === 1) };
}

function offsetsIn(batches: Uint8Array | undefined): string[] | undefined {
  return batches && recordsIn(batches, 0, batches.length);
}

/** Changes one byte of a run where it stands on the disk. */
function damage(log: SampleLog, run: Run, at: number): void {
  const base = segmentBases(log.disk).findLast((one) => one <= run.position) as number;
  const file = path.join(log.folder, segmentName(base));
  const descriptor = fs.openSync(file, 'r+');
  const byte = new Uint8Array(1);
  fs.readSync(descriptor, byte, 0, 1, run.position - base + at);
  byte[0] ^= 1;
  fs.writeSync(descriptor, byte, 0, 1, run.position - base + at);
  fs.closeSync(descriptor);
}

test('reads all runs, across segments, in the order of their offsets', () => {
  const { log, runs } = sample();
  expect(segmentBases(log.disk).length).toBeGreaterThan(2);
  expect(offsetsIn(readTail(log.disk, runs))).toEqual(expected(1, 0, 0, 120));
});

test('has nothing of no runs, and of runs that are not where they are said to be', () => {
  const { log, runs } = sample();
  const last = runs[runs.length - 1];
  expect(readTail(log.disk, [])).toBeUndefined();
  expect(readTail(log.disk, [{ ...last, position: last.position + 8 }])).toBeUndefined();
  expect(readTail(log.disk, [{ ...last, position: -1 }])).toBeUndefined();
  expect(readTail(log.disk, [{ ...last, size: 0 }])).toBeUndefined();
  expect(readTail(log.disk, [{ ...last, partition: 9 }])).toBeUndefined();
  expect(readTail(log.disk, [{ ...last, position: 2 ** 40 }])).toBeUndefined();
});

test.each([0, 20, RUN_HEADER_BYTES - 1, RUN_HEADER_BYTES + 70])(
  'ends before a run whose byte %i is damaged: what is newer has no hole',
  (at) => {
    const { log, runs } = sample();
    damage(log, runs[30], at);
    expect(offsetsIn(readTail(log.disk, runs))).toEqual(expected(1, 0, 93, 120));
  },
);

test('ends before a segment that retention has removed', () => {
  const { log, runs } = sample();
  const [oldest, next] = segmentBases(log.disk);
  fs.rmSync(path.join(log.folder, segmentName(oldest)));
  const left = runs.filter((run) => run.position >= next);
  const from = left[0].baseOffset;
  expect(from).toBeGreaterThan(0);
  expect(offsetsIn(readTail(log.disk, runs))).toEqual(expected(1, 0, from, 120));
});
