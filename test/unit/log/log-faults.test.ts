// The promise of the log, under every failure that a disk knows: what was durable is found again, all of it, in order,
// and what is found was written so.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { alignedBytes } from '../../../src/log/disk-node.ts';
import { isDiskFull } from '../../../src/log/log-writer.ts';
import { recoverLog } from '../../../src/log/recovery.ts';
import { segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { type FaultCode, FaultDisk } from '../../support/fault-disk.ts';
import { SampleLog, type SampleRun, SEGMENT, type Span, spansOnDisk } from '../../support/log-batches.ts';
import { fractionsFrom } from '../../support/random.ts';

const RECOVER = { onDamage: 'stop', ringBytesMax: 1 << 20 } as const;
const MODES = ['direct', 'buffered'] as const;
type Mode = (typeof MODES)[number];

/** Blocks with the log position behind each. */
interface Written {
  readonly spans: readonly Span[];
  readonly end: number;
}

interface Life {
  /** What was appended and nobody may lose: durable by the writer's word. */
  readonly promised: readonly Written[];
  /** All that may be found, in order: promised, appended, and the block that was under way. */
  readonly possible: readonly (readonly Span[])[];
}

/** Appends blocks as the store does, until one fails for good; a full disk is tried again some times. */
function live(log: SampleLog, blocks: readonly (readonly SampleRun[])[], syncEvery: number): Life {
  const written: Written[] = [];
  let underWay: readonly Span[] = [];
  let durable = log.writer.durableEnd;
  try {
    blocks.forEach((block, index) => {
      underWay = log.stage(...block);
      appendPatiently(log);
      written.push({ spans: underWay, end: log.writer.end });
      underWay = [];
      durable = log.writer.durableEnd;
      if (index % syncEvery === 0) log.writer.sync();
      durable = log.writer.durableEnd;
    });
  } catch (error) {
    expect(error).toMatchObject({ code: expect.stringMatching(/EIO|ENOSPC/) });
    durable = Math.max(durable, log.writer.durableEnd);
  }
  const promised = written.filter(({ end }) => end <= durable);
  return { promised, possible: [...written.map(({ spans }) => spans), underWay] };
}

function appendPatiently(log: SampleLog): void {
  for (let attempt = 1; ; attempt++) {
    try {
      log.writer.append(log.builder);
      return;
    } catch (error) {
      if (!isDiskFull(error) || attempt === 3) throw error;
    }
  }
}

/** Checks a disk that some end has left against what the life before it promised; returns what is there. */
function expectKept(disk: FaultDisk, earlier: readonly Span[], { promised, possible }: Life): readonly Span[] {
  const recovered = recoverLog(disk, RECOVER);
  const found = spansWithin(disk, recovered.end);
  const least = [...earlier, ...promised.flatMap(({ spans }) => spans)];
  expect(found.slice(0, least.length)).toEqual(least);
  // Beyond the promise there may be more, block by block in order.
  let count = earlier.length;
  const borders = new Set([count, ...possible.map((spans) => (count += spans.length))]);
  expect(borders).toContain(found.length);
  expect(found).toEqual([...earlier, ...possible.flat()].slice(0, found.length));
  expect(recoverLog(disk, RECOVER)).toMatchObject({ end: recovered.end, previousCrc: recovered.previousCrc });
  return found;
}

function spansWithin(disk: FaultDisk, end: number): Span[] {
  expect(segmentBases(disk).every((base) => base <= end)).toBe(true);
  return spansOnDisk(disk);
}

const BLOCKS: readonly (readonly SampleRun[])[] = Array.from({ length: 14 }, (_, i) => [
  { topicId: 1, count: 1 + (i % 3), bodyBytes: 2000 + 1500 * (i % 5) },
  { topicId: 2 + (i % 2), bodyBytes: 300 },
]);

describe.each(MODES)('every call fails once, and for good (%s)', (mode) => {
  test.each([
    ['ENOSPC', false],
    ['ENOSPC', true],
    ['EIO', false],
    ['EIO', true],
  ] as [FaultCode, boolean][])('%s, for good: %s', (code, forever) => {
    let at = 1;
    for (let faults = 1; faults > 0; at++) {
      const disk = new FaultDisk();
      disk.plan = { at, code, forever };
      const log = new SampleLog(disk, mode, undefined, { segmentBytes: 32 * 1024 });
      const life = live(log, BLOCKS, 3);
      faults = disk.faults;
      disk.plan = undefined;
      expectKept(disk.killed(), [], life);
      for (let seed = 0; seed < 4; seed++) expectKept(disk.crash(seed), [], life);
      // A disk that was full for a moment has done no harm.
      const harmless = faults === 0 || (code === 'ENOSPC' && !forever && life.possible.length === BLOCKS.length + 1);
      if (harmless) expect(spansOnDisk(disk)).toEqual(life.possible.flat());
    }
    expect(at).toBeGreaterThan(BLOCKS.length);
  });
});

describe.each(MODES)('the power fails again and again (%s)', (mode) => {
  test('what was durable is there after each loss, in order, over several lives', () => {
    const blocks = fc.array(
      fc.array(
        fc.record({
          topicId: fc.integer({ min: 1, max: 3 }),
          count: fc.integer({ min: 1, max: 4 }),
          bodyBytes: fc.oneof(fc.integer({ min: 8, max: 2000 }), fc.integer({ min: 8, max: 20_000 })),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      { maxLength: 12 },
    );
    const lives = fc.array(
      fc.record({ blocks, syncEvery: fc.integer({ min: 1, max: 9 }), seed: fc.nat(), kill: fc.boolean() }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(lives, fc.boolean(), (all, recycled) => {
        let disk = new FaultDisk();
        let kept: readonly Span[] = [];
        all.forEach(({ blocks: some, syncEvery, seed, kill }, generation) => {
          const start = recoverLog(disk, RECOVER);
          const log = new SampleLog(disk, mode, start, { generation, segmentBytes: 32 * 1024 });
          const life = live(log.continueFrom(start.queues), some, syncEvery);
          if (recycled) makeSpare(disk);
          disk = kill ? disk.killed() : disk.crash(seed);
          kept = expectKept(disk, kept, life);
        });
      }),
      { numRuns: 60 },
    );
  });
});

/** A spare file full of good blocks of this very log. */
function makeSpare(disk: FaultDisk): void {
  const first = segmentBases(disk)[0];
  if (first === undefined) return;
  const file = disk.open('spare-1.tmp', 'write');
  const bytes = alignedBytes(disk.bytesOf(segmentName(first)).length);
  bytes.set(disk.bytesOf(segmentName(first)));
  file.truncate(bytes.length);
  file.write(bytes, 0);
  file.sync();
  file.close();
  disk.syncFolder();
}

test('old blocks in a recycled segment are never taken for new ones', () => {
  const disk = new FaultDisk();
  const first = new SampleLog(disk, 'direct');
  for (let i = 0; i < 30; i++) first.append({ bodyBytes: 3000 });
  const kept = spansOnDisk(disk);
  let left = disk;
  const random = fractionsFrom(11);
  for (let generation = 2; generation < 6; generation++) {
    makeSpare(left);
    const start = recoverLog(left, RECOVER);
    const log = new SampleLog(left, 'direct', start, { generation }).continueFrom(start.queues);
    const blocks = 16 + Math.floor(random() * 10);
    for (let i = 0; i < blocks; i++) kept.push(...log.append({ bodyBytes: 3000 }));
    left = left.crash(generation);
    expect(spansOnDisk(left)).toEqual(kept);
    expect(recoverLog(left, RECOVER).end).toBe(log.writer.end);
  }
  expect(segmentBases(left).length).toBeGreaterThan(4);
  expect(segmentBases(left)).toContain(2 * SEGMENT);
});

test.each(MODES)(
  'a segment is in the folder before its first block, and its predecessor complete before it (%s)',
  (mode: Mode) => {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, mode, undefined, { segmentBytes: 32 * 1024 });
    while (segmentBases(disk).length < 2) log.append({ bodyBytes: 3000 });
    const roll = disk.history.findIndex((call) => call === `rename segment.new ${segmentName(32 * 1024)}`);
    expect(disk.history.slice(roll, roll + 3)).toEqual([
      `rename segment.new ${segmentName(32 * 1024)}`,
      'sync-folder',
      `write ${segmentName(32 * 1024)}`,
    ]);
    const before = disk.history.slice(0, roll);
    const sealed = before.lastIndexOf(`write ${segmentName(0)}`);
    const synced = before.lastIndexOf(`sync ${segmentName(0)}`);
    if (mode === 'buffered') expect(synced).toBeGreaterThan(sealed);
    expect(before.lastIndexOf('sync segment.new')).toBeGreaterThan(sealed);
  },
);
