// A process that may open no more files: that is no failure of the disk and no damage of the log.
import { afterEach, expect, test } from 'vitest';
import type { Disk } from '../../../src/log/disk.ts';
import { openLogIndex } from '../../../src/log/log-open.ts';
import { isDiskFull } from '../../../src/log/log-writer.ts';
import { recoverLog } from '../../../src/log/recovery.ts';
import { RunReader } from '../../../src/log/run-reader.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { expected, recordsIn, SampleLog } from './sample-log.ts';

const SEGMENT = 4 * 4096;
const logs: SampleLog[] = [];

afterEach(() => {
  for (const log of logs.splice(0)) log.remove();
});

/** A disk where the next `left.refusals` files cannot be opened. */
function scarce(disk: Disk): { readonly disk: Disk; readonly left: { refusals: number } } {
  const left = { refusals: 0 };
  const refuse = (): void => {
    if (left.refusals <= 0) return;
    left.refusals--;
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  };
  const guarded = new Proxy(disk, {
    get: (target, name: keyof Disk) => {
      const value = target[name];
      if (typeof value !== 'function') return value;
      return (...args: never[]) => {
        if (name === 'open' || name === 'syncFolder' || name === 'list') refuse();
        return (value as (...args: never[]) => unknown).apply(target, args);
      };
    },
  });
  return { disk: guarded, left };
}

/** False if there was no file for it. */
function tryWrite(log: SampleLog): boolean {
  try {
    log.write();
    return true;
  } catch (error) {
    expect(isDiskFull(error)).toBe(true);
    return false;
  }
}

test.each(['direct', 'buffered'] as const)(
  'the writer goes on as soon as it finds a file, wherever it stopped (%s)',
  (mode) => {
    for (let refusals = 0; refusals < 12; refusals++) {
      const plain = new FaultDisk();
      const { disk, left } = scarce(plain);
      const log = new SampleLog(SEGMENT, mode, disk);
      let refused = 0;
      for (let i = 0; i < 12; i++) {
        // Blocks 3, 6 and 9 begin a segment.
        if (i === 3) left.refusals = refusals;
        log.stage({ topicId: 1, partition: 0, counts: [1] });
        while (!tryWrite(log)) refused++;
      }
      expect(refused).toBe(refusals);
      const { queues, end } = recoverLog(plain, { onDamage: 'stop', ringBytesMax: 0 });
      expect([queues[0].nextOffset, end]).toEqual([12, log.writer.end]);
    }
  },
);

test('a reader says `later`, and afterwards gives everything', () => {
  const log = new SampleLog(SEGMENT, 'buffered', new FaultDisk());
  logs.push(log);
  for (let i = 0; i < 12; i++) log.block({ topicId: 1, partition: 0, counts: [1] });
  const { disk, left } = scarce(log.disk);
  const index = openLogIndex(disk, log.extent(), { cacheBytes: 1 });
  const told: string[] = [];
  const reader = new RunReader(disk, index, { onDamage: (_, reason) => told.push(reason) });
  left.refusals = 3;
  expect(reader.read(1, 0, 0, 10_000).status).toBe('later');
  left.refusals = 3;
  expect(reader.locate(1, 0, 0)).toBe(undefined);
  left.refusals = 0;
  expect(reader.locate(1, 0, 0)).toBe(0);
  left.refusals = 1;
  const records: string[] = [];
  for (let offset = 0; offset < 12; ) {
    const { status, bytes, at, length, nextOffset } = reader.read(1, 0, offset, 10_000);
    expect(status).toBe('ok');
    records.push(...recordsIn(bytes, at, length));
    offset = nextOffset;
    left.refusals = 1;
  }
  expect([records, told, index.lostSegments]).toEqual([expected(1, 0, 0, 12), [], 0]);
});
