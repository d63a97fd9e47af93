import { describe, expect, test } from 'vitest';
import { clearClean, readCheckpoint, readDamaged, writeCheckpoint, writeDamaged } from '../../../src/log/checkpoint.ts';
import { openLogIndex } from '../../../src/log/log-open.ts';
import { recoverLog, segmentsToVerify } from '../../../src/log/recovery.ts';
import { runsOf } from '../../../src/log/run-rows.ts';
import { indexName } from '../../../src/log/segment-directory.ts';
import { segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { loadSegmentIndex, writeSegmentIndex } from '../../../src/log/segment-index.ts';
import { verifySegment } from '../../../src/log/segment-verdict.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { SampleLog, type SampleRun, SEGMENT, spansOnDisk } from '../../support/log-batches.ts';

const RECOVER = { onDamage: 'stop', ringBytesMax: 1 << 20 } as const;
const BIG: SampleRun = { bodyBytes: 15_000 };

function logOf(...blocks: readonly (readonly SampleRun[])[]): { disk: FaultDisk; log: SampleLog } {
  const disk = new FaultDisk();
  const log = new SampleLog(disk, 'direct');
  for (const block of blocks) log.append(...block);
  return { disk, log };
}

/** Stops in order, as the log reader does. */
function stopClean(disk: FaultDisk, log: SampleLog): void {
  const base = segmentBases(disk).at(-1)!;
  writeSegmentIndex(disk, base, runsOf(verifySegment(disk, base).runs), log.writer.end);
  writeCheckpoint(disk, { clean: true, end: log.writer.end, previousCrc: log.writer.previousCrc, generation: 1 });
}

/** All but how long it took and how much was read. */
function findings(disk: FaultDisk, options: Parameters<typeof recoverLog>[1] = RECOVER) {
  const { report, ...rest } = recoverLog(disk, options);
  return { ...rest, cutBytes: report.cutBytes, damaged: report.damaged };
}

const readsOf = (disk: FaultDisk, name: string, from: number) =>
  disk.history.slice(from).filter((call) => call === `read ${name}`).length;

test('an empty folder is an empty log', () => {
  const disk = new FaultDisk();
  expect(findings(disk)).toEqual({
    segments: [],
    end: 0,
    previousCrc: 0,
    queues: [],
    clean: false,
    cutBytes: 0,
    damaged: [],
  });
  expect(segmentsToVerify(disk)).toEqual([]);
});

test('the queues are those that were written, oldest and next offsets and tails', () => {
  const { disk } = logOf(
    [
      { topicId: 2, partition: 1, count: 5 },
      { topicId: 1, count: 2 },
    ],
    [{ topicId: 2, partition: 1, count: 3 }],
    [BIG],
    [BIG],
    [BIG],
    [{ topicId: 2, partition: 1, count: 1 }],
  );
  const { queues } = recoverLog(disk, RECOVER);
  expect(queues.map(({ tail, ...queue }) => ({ ...queue, tail: tail.map((run) => run.baseOffset) }))).toEqual([
    { topicId: 1, partition: 0, oldestOffset: 0, nextOffset: 5, tail: [0, 2, 3, 4] },
    { topicId: 2, partition: 1, oldestOffset: 0, nextOffset: 9, tail: [0, 5, 8] },
  ]);
  expect(queues[1].tail[2]).toMatchObject({ topicId: 2, partition: 1, nextOffset: 9, records: 1, epoch: 1 });
});

test('a tail is the newest runs, as many as were asked for', () => {
  const { disk } = logOf(...Array.from({ length: 30 }, () => [{ bodyBytes: 936 }]));
  const size = verifySegment(disk, 0).runs[10];
  const { queues } = recoverLog(disk, { ...RECOVER, recentBytes: 0, ringBytesMax: size * 3 + 5 });
  expect(queues[0].tail.map((run) => run.baseOffset)).toEqual([27, 28, 29]);
  expect(recoverLog(disk, { ...RECOVER, recentBytes: 0, ringBytesMax: 0 }).queues[0].tail).toEqual([]);
});

test('tails are found through index files too, and end with the log that retention has left', () => {
  const { disk } = logOf(...Array.from({ length: 20 }, () => [BIG, { topicId: 2 }]));
  const before = findings(disk);
  expect(segmentBases(disk).every((base) => loadSegmentIndex(disk, base) !== undefined)).toBe(false);
  expect(findings(disk)).toEqual(before);
  const [first, second] = segmentBases(disk);
  disk.remove(segmentName(first));
  disk.remove(indexName(first));
  const oldest = loadSegmentIndex(disk, second)!.directory.firstOffsets[0];
  const { queues } = recoverLog(disk, RECOVER);
  expect(queues).toMatchObject([{ oldestOffset: oldest }, { oldestOffset: oldest }]);
  expect(queues[0].tail[0].baseOffset).toBe(oldest);
  expect(queues[0].tail.at(-1)?.nextOffset).toBe(20);
});

test('sealed segments with a good index are not read; the index of others is made again', () => {
  const { disk } = logOf(...Array.from({ length: 20 }, () => [BIG]));
  const bases = segmentBases(disk);
  expect(segmentsToVerify(disk)).toEqual(bases);
  const before = findings(disk);
  expect(segmentsToVerify(disk)).toEqual([bases.at(-1)]);
  const { report } = recoverLog(disk, RECOVER);
  expect(report.verifiedBlocks).toBe(verifySegment(disk, bases.at(-1)!).blocks);
  disk.bytesOf(indexName(bases[1]))[40] ^= 1;
  disk.remove(indexName(bases[0]));
  expect(segmentsToVerify(disk)).toEqual([bases[0], bases[1], bases.at(-1)]);
  expect(findings(disk)).toEqual(before);
  expect(segmentsToVerify(disk)).toEqual([bases.at(-1)]);
  expect(segmentsToVerify(disk, { verifyAll: true })).toEqual(bases);
  expect(recoverLog(disk, { ...RECOVER, verifyAll: true }).report.verifiedBytes).toBeGreaterThan(20 * 15_000);
});

test('an index file that speaks of more than the log has left is not believed later', () => {
  const { disk, log } = logOf([BIG], [BIG], [BIG]);
  stopClean(disk, log);
  const first = disk.bytesOf(segmentName(0));
  // The note of the stop is lost, and the last block with it: it looks like a torn write.
  disk.remove('checkpoint.json');
  first[2 * 16_384 + 200] ^= 1;
  const found = recoverLog(disk, RECOVER);
  expect(found.end).toBe(2 * 16_384);
  // Another block takes its place, and the process is killed.
  const second = new SampleLog(disk, 'direct', found, { generation: 2 }).continueFrom(found.queues);
  second.append({ topicId: 7, bodyBytes: 15_000 });
  const extent = recoverLog(disk.killed(), RECOVER);
  const index = openLogIndex(disk, extent);
  expect(extent.end).toBe(3 * 16_384);
  expect([index.end(1, 0), index.end(7, 0)]).toEqual([2, 1]);
});

test('index files are left alone if so wanted: a log reader that runs writes them', () => {
  const { disk } = logOf(...Array.from({ length: 20 }, () => [BIG]));
  const names = disk.list();
  const before = findings(disk, { ...RECOVER, writeIndexes: false });
  expect(disk.list()).toEqual(names);
  expect(findings(disk)).toEqual(before);
  expect(disk.list().length).toBeGreaterThan(names.length);
});

test('segments that were verified elsewhere are not read again', () => {
  const { disk } = logOf(...Array.from({ length: 20 }, () => [BIG]));
  const verdicts = new Map(segmentsToVerify(disk).map((base) => [base, structuredClone(verifySegment(disk, base))]));
  const calls = disk.history.length;
  const recovered = recoverLog(disk, { ...RECOVER, verdicts });
  expect(readsOf(disk, segmentName(0), calls)).toBe(0);
  expect(recovered.report.verifiedBlocks).toBe([...verdicts.values()].reduce((sum, one) => sum + one.blocks, 0));
  expect(findings(disk)).toEqual({ ...findings(disk, { ...RECOVER, verdicts }) });
});

test('a verdict that does not know of noted damage does not bring it up again', () => {
  const { disk } = logOf(...Array.from({ length: 4 }, () => [BIG]));
  disk.bytesOf(segmentName(0))[20_000] ^= 1;
  const noted = findings(disk, { ...RECOVER, onDamage: 'quarantine' });
  disk.remove(indexName(0));
  expect(findings(disk, { ...RECOVER, verdicts: new Map([[0, verifySegment(disk, 0)]]) })).toEqual(noted);
});

describe('an orderly stop', () => {
  test('is recognised, and nothing is verified then', () => {
    const { disk, log } = logOf(...Array.from({ length: 20 }, () => [BIG]));
    const before = findings(disk);
    expect(before.clean).toBe(false);
    stopClean(disk, log);
    expect(segmentsToVerify(disk)).toEqual([]);
    expect(findings(disk)).toEqual({ ...before, clean: true });
    expect(recoverLog(disk, RECOVER).report.verifiedBytes).toBe(0);
    expect(findings(disk, { ...RECOVER, verifyAll: true })).toEqual({ ...before, clean: true });
  });

  test('is not mistaken because of a seal block that a loss of power left behind it', () => {
    const disk = new FaultDisk();
    const first = new SampleLog(disk, 'buffered');
    for (let i = 0; i < 3; i++) first.append(BIG);
    first.writer.sync();
    const spans = first.append({ bodyBytes: 11_000 });
    first.stage(BIG);
    disk.plan = { at: 2, code: 'EIO' };
    expect(() => first.writer.append(first.builder)).toThrow('sync');
    disk.plan = undefined;
    const left = disk.killed();
    const end = 3 * 16_384;
    expect(verifySegment(left, 0)).toMatchObject({ blocks: 5, sealPosition: end + 12_288 });
    // The last block is lost, the seal behind it is not; then a block of the same length takes its place.
    left.bytesOf(segmentName(0)).fill(0, end, end + 12_288);
    const start = recoverLog(left, RECOVER);
    expect(start.end).toBe(end);
    const second = new SampleLog(left, 'buffered', start, { generation: 2 }).continueFrom(start.queues);
    expect(second.append({ bodyBytes: 11_000 })).toEqual(spans);
    second.writer.sync();
    stopClean(left, second);
    expect(findings(left)).toMatchObject({ end: end + 12_288, clean: true, segments: [{ sealed: false }] });
  });

  test('of a log without messages is one too', () => {
    const disk = new FaultDisk();
    writeCheckpoint(disk, { clean: true, end: 0, previousCrc: 0, generation: 1 });
    expect(findings(disk)).toMatchObject({ end: 0, clean: true });
  });

  test('is over when the log is opened again, whatever happens then', () => {
    const { disk, log } = logOf([BIG]);
    stopClean(disk, log);
    new SampleLog(disk, 'direct', recoverLog(disk, RECOVER));
    expect(recoverLog(disk, RECOVER).clean).toBe(false);
    expect(recoverLog(disk.crash(3), RECOVER).clean).toBe(false);
  });

  test('does not hide blocks that were written after it', () => {
    const { disk, log } = logOf([BIG]);
    stopClean(disk, log);
    log.append(BIG);
    expect(findings(disk)).toMatchObject({ end: log.writer.end, clean: false, queues: [{ nextOffset: 2 }] });
  });

  test('tells damage from a torn write even in the last block, and of a segment that is gone', () => {
    const torn = logOf([BIG], [BIG]);
    stopClean(torn.disk, torn.log);
    torn.disk.remove(indexName(0));
    torn.disk.bytesOf(segmentName(0))[20_000] ^= 1;
    expect(() => recoverLog(torn.disk, RECOVER)).toThrow('stopped in order');
    const { end, report, clean } = recoverLog(torn.disk, { ...RECOVER, onDamage: 'quarantine' });
    expect({ end, clean, damaged: report.damaged }).toEqual({
      end: torn.log.writer.end,
      clean: false,
      damaged: [{ from: 16_384, to: torn.log.writer.end }],
    });
    const gone = logOf(...Array.from({ length: 5 }, () => [BIG]));
    stopClean(gone.disk, gone.log);
    gone.disk.remove(segmentName(SEGMENT));
    expect(() => recoverLog(gone.disk, RECOVER)).toThrow('its last segment is missing');
    const left = recoverLog(gone.disk, { ...RECOVER, onDamage: 'quarantine' });
    expect(left.end).toBe(gone.log.writer.end);
    const next = new SampleLog(gone.disk, 'direct', left).continueFrom(left.queues);
    next.append(BIG);
    expect(recoverLog(gone.disk, RECOVER)).toMatchObject({ end: next.writer.end, queues: [{ nextOffset: 4 }] });
  });
});

describe('between two segments', () => {
  test('a sealed log without the next segment goes on in a new one', () => {
    const { disk, log } = logOf([BIG], [BIG], [BIG], [BIG]);
    disk.remove(segmentName(SEGMENT));
    const recovered = recoverLog(disk, RECOVER);
    expect(recovered).toMatchObject({ end: SEGMENT, segments: [{ base: 0, sealed: true }] });
    const next = new SampleLog(disk, 'direct', recovered).continueFrom(recovered.queues);
    next.append(BIG);
    expect(spansOnDisk(disk)).toEqual([...log.blocks.slice(0, 3), ...next.blocks].flat());
  });

  test('a new segment without a block, zeros or an old life of it, is where the log goes on', () => {
    for (const junk of [(bytes: Uint8Array) => bytes.fill(0), (bytes: Uint8Array, old: Uint8Array) => bytes.set(old)]) {
      const { disk, log } = logOf([BIG], [BIG], [BIG], [BIG]);
      junk(disk.bytesOf(segmentName(SEGMENT)), disk.bytesOf(segmentName(0)));
      const recovered = recoverLog(disk, RECOVER);
      expect(recovered).toMatchObject({ end: SEGMENT, segments: [{ sealed: true }, { base: SEGMENT, sealed: false }] });
      const next = new SampleLog(disk, 'direct', recovered).continueFrom(recovered.queues);
      next.append(BIG);
      expect(spansOnDisk(disk)).toEqual([...log.blocks.slice(0, 3), ...next.blocks].flat());
    }
  });
});

test('a disk that cannot read is an error, and nothing is cut for it', () => {
  const { disk } = logOf(...Array.from({ length: 6 }, () => [BIG]));
  const expected = findings(disk.killed());
  let reached = false;
  for (let at = 1; !reached; at++) {
    const faulty = disk.killed();
    faulty.plan = { at, code: 'EIO' };
    try {
      expect(findings(faulty)).toEqual(expected);
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO' });
    }
    reached = faulty.faults === 0;
    faulty.plan = undefined;
    expect(findings(faulty)).toEqual(expected);
    for (let seed = 0; seed < 5; seed++) expect(findings(faulty.crash(seed))).toEqual(expected);
  }
});

test('a segment with several damaged places is copied once', () => {
  const { disk } = logOf([BIG], [BIG], [BIG], [BIG], [BIG], [BIG], [BIG]);
  for (const block of [0, 2]) disk.bytesOf(segmentName(0))[block * 16_384 + 200] ^= 1;
  const { report } = recoverLog(disk, { ...RECOVER, onDamage: 'quarantine' });
  expect(report.damaged).toHaveLength(2);
  expect(disk.list('quarantine')).toEqual([`${segmentName(0)}.0`]);
});

test('killed anywhere while it sets damage aside, it finds the same when started again', () => {
  const { disk } = logOf(...Array.from({ length: 8 }, () => [BIG]));
  disk.flip(segmentName(0), 20_000, 1);
  disk.flip(segmentName(SEGMENT), 700, 1);
  const quarantine = { ...RECOVER, onDamage: 'quarantine' } as const;
  const expected = findings(disk.killed(), quarantine);
  expect(expected.damaged.length).toBe(2);
  let reached = false;
  for (let at = 1; !reached; at++) {
    const faulty = disk.killed();
    faulty.plan = { at, code: 'EIO', forever: true };
    try {
      recoverLog(faulty, quarantine);
    } catch {
      // As if it had been killed there.
    }
    reached = faulty.faults === 0;
    expect(findings(faulty.killed(), quarantine)).toEqual(expected);
    for (let seed = 0; seed < 4; seed++) expect(findings(faulty.crash(seed), quarantine)).toEqual(expected);
  }
});

describe('checkpoint.json and damaged.json', () => {
  test('are read as they were written', () => {
    const disk = new FaultDisk();
    expect([readCheckpoint(disk), readDamaged(disk)]).toEqual([undefined, []]);
    const checkpoint = { clean: true, end: 2 ** 40, previousCrc: -5, generation: 3 };
    const ranges = [{ from: 4096, to: 8192, what: 'bits' }];
    writeCheckpoint(disk, checkpoint);
    writeDamaged(disk, ranges);
    expect([readCheckpoint(disk), readDamaged(disk)]).toEqual([checkpoint, ranges]);
    for (let seed = 0; seed < 20; seed++) expect(readCheckpoint(disk.crash(seed))).toEqual(checkpoint);
    clearClean(disk);
    clearClean(disk);
    for (let seed = 0; seed < 20; seed++) expect(readCheckpoint(disk.crash(seed))).toBeUndefined();
  });

  test('that cannot be read count as not there', () => {
    const bad = ['', '{', '[]', 'null', '{"version":2,"clean":true,"end":0}', '{"version":1,"clean":1}', '\u0000'];
    const texts = [
      ...bad,
      '{"version":1,"clean":true,"end":-1,"previousCrc":0,"generation":1}',
      '{"ranges":[{"from":5}]}',
    ];
    for (const text of texts) {
      const disk = new FaultDisk();
      for (const name of ['checkpoint.json', 'damaged.json']) {
        disk.open(name, 'write').write(new TextEncoder().encode(text), 0);
      }
      expect([readCheckpoint(disk), readDamaged(disk)], text).toEqual([undefined, []]);
      expect(recoverLog(disk, RECOVER).clean).toBe(false);
    }
  });
});
