// Torn writes and damage: what recovery says of a log in which some bytes are not what was written.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BLOCK_HEADER_BYTES } from '../../../native-layout/log.ts';
import { RingmqError } from '../../../src/base/codes.ts';
import { recoverLog } from '../../../src/log/recovery.ts';
import type { RecoveredLog } from '../../../src/log/run.ts';
import { segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { verifySegment } from '../../../src/log/segment-verdict.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { SampleLog, type Span, spansOnDisk } from '../../support/log-batches.ts';
import { fractionsFrom } from '../../support/random.ts';

const RECOVER = { onDamage: 'stop', ringBytesMax: 1 << 20 } as const;
const SECTOR = 4096;

/** Recovers; undefined if the log is said to be damaged. */
function tryRecover(disk: FaultDisk): RecoveredLog | undefined {
  try {
    return recoverLog(disk, RECOVER);
  } catch (error) {
    if (error instanceof RingmqError && error.code === 'log-corrupt') return undefined;
    throw error;
  }
}

/** A log whose last block is still to be written, and the bytes that it will have. */
function logAndLastBlock(mode: 'direct' | 'buffered', junk: number) {
  const disk = new FaultDisk();
  const log = new SampleLog(disk, mode, undefined, { segmentBytes: 32 * 1024 });
  log.append({ count: 2 });
  log.append({ topicId: 2, count: 3, bodyBytes: 500 }, { topicId: 1 });
  log.writer.sync();
  const before = disk.killed();
  const at = log.writer.end;
  // What stood there before: zeros of a new file, or an old life of a recycled one.
  before.bytesOf(segmentName(0)).fill(junk, at);
  const kept = log.blocks.flat();
  const last = log.append({ topicId: 1, count: 2, bodyBytes: 1500 }, { topicId: 3, bodyBytes: 2000 });
  const bytes = disk.bytesOf(segmentName(0)).slice(at, log.writer.end);
  const length = BLOCK_HEADER_BYTES + log.builder.runs.reduce((sum, run) => sum + run.size, 0);
  return { before, at, bytes, length, kept, last };
}

test.each([0, 0xff])('a write that is torn at any byte leaves the log as it was before it (old bytes: %i)', (junk) => {
  const { before, at, bytes, length, kept, last } = logAndLastBlock('direct', junk);
  const file = before.bytesOf(segmentName(0));
  for (let cut = 0; cut <= bytes.length; cut++) {
    file.fill(junk, at, at + bytes.length).set(bytes.subarray(0, cut), at);
    const { end } = recoverLog(before, RECOVER);
    // Nothing is missing once all that means something is there: zeros follow, and nobody reads them.
    const whole = cut >= length || Buffer.compare(file.subarray(at, at + length), bytes.subarray(0, length)) === 0;
    if (end !== (whole ? at + bytes.length : at)) expect.fail(`cut at ${cut} of ${length}: the log ends at ${end}`);
    if (cut % 500 === 0 || cut === length) expect(spansOnDisk(before)).toEqual(whole ? [...kept, ...last] : kept);
  }
});

test('a write that is torn at any byte from behind, its beginning missing, leaves the log as it was too', () => {
  const { before, at, bytes, length } = logAndLastBlock('direct', 0);
  const file = before.bytesOf(segmentName(0));
  for (let cut = 1; cut < length; cut++) {
    file.fill(0, at).set(bytes.subarray(cut), at + cut);
    if (recoverLog(before, RECOVER).end !== at) expect.fail(`without its first ${cut} bytes the block counts`);
  }
});

test('any two of the last blocks may be torn as long as nobody was told of them', () => {
  const disk = new FaultDisk();
  const log = new SampleLog(disk, 'buffered');
  log.append({});
  log.writer.sync();
  const ends = [log.writer.end];
  for (let i = 0; i < 3; i++) {
    log.append({ bodyBytes: 5000 });
    ends.push(log.writer.end);
  }
  for (let torn = 0; torn < 3; torn++) {
    const left = disk.killed();
    left.bytesOf(segmentName(0))[ends[torn] + 700] ^= 1;
    expect(recoverLog(left, RECOVER).end).toBe(ends[torn]);
  }
});

describe('one bit is wrong', () => {
  function twoSegments() {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, 'direct', undefined, { segmentBytes: 16 * 1024 });
    const blocks: { from: number; to: number; spans: Span[] }[] = [];
    for (let i = 0; i < 5; i++) {
      const spans = log.append({ topicId: 1, count: 2, bodyBytes: 300 }, { topicId: 2, bodyBytes: 900 });
      const last = log.builder.runs.at(-1)!;
      blocks.push({ from: log.builder.runs[0].position - BLOCK_HEADER_BYTES, to: last.position + last.size, spans });
    }
    expect(segmentBases(disk)).toEqual([0, 16 * 1024]);
    return { disk, blocks };
  }

  test.each(Array.from({ length: 8 }, (_, i) => i))('wherever it is (part %i of 8)', (part) => {
    const { disk, blocks } = twoSegments();
    const all = blocks.flatMap((block) => block.spans);
    const random = fractionsFrom(part);
    const seal = { from: 12 * 1024, to: 12 * 1024 + BLOCK_HEADER_BYTES };
    for (let place = part; place < 32 * 1024; place += 8) {
      const base = place < 16 * 1024 ? 0 : 16 * 1024;
      const bytes = disk.bytesOf(segmentName(base));
      const bit = 1 << Math.floor(random() * 8);
      bytes[place - base] ^= bit;
      const hit = blocks.findIndex(({ from, to }) => place >= from && place < to);
      const inSeal = place >= seal.from && place < seal.to;
      const recovered = tryRecover(disk.killed());
      const expected = hit === 4 ? blocks[4].from : inSeal || hit >= 0 ? undefined : 16 * 1024 + 8192;
      if (recovered?.end !== expected) expect.fail(`byte ${place}: end ${recovered?.end}, not ${expected}`);
      if (recovered !== undefined) {
        const kept = hit === 4 ? blocks.slice(0, 4).flatMap((block) => block.spans) : all;
        const next = Math.max(...kept.filter((span) => span.topicId === 1).map((span) => span.nextOffset));
        if (recovered.queues[0].nextOffset !== next) expect.fail(`byte ${place}: wrong runs`);
      }
      bytes[place - base] ^= bit;
    }
    expect(tryRecover(disk)?.end).toBe(16 * 1024 + 8192);
  });
});

describe('damage before the end', () => {
  /** Blocks of one sector each in two segments and a bit. */
  function sampleLog() {
    const disk = new FaultDisk();
    const log = new SampleLog(disk, 'direct', undefined, { segmentBytes: 16 * 1024 });
    for (let i = 0; i < 8; i++) log.append({});
    return { disk, log };
  }

  test('stops the recovery, changes nothing and says where and what to do', () => {
    const { disk } = sampleLog();
    disk.bytesOf(segmentName(16 * 1024))[SECTOR + 150] ^= 4;
    const calls = disk.history.length;
    expect(() => recoverLog(disk, RECOVER)).toThrow(
      expect.objectContaining({
        code: 'log-corrupt',
        message: expect.stringMatching(
          /016384\.log, byte 4096: the bytes of the run are damaged.*from log position 24576.*quarantine/s,
        ),
      }),
    );
    expect(disk.history.slice(calls).filter((call) => !call.startsWith('read'))).toEqual([]);
  });

  test('is set aside if wanted: all other blocks are there, a copy is kept, and it stays so', () => {
    const { disk, log } = sampleLog();
    disk.bytesOf(segmentName(16 * 1024))[SECTOR + 150] ^= 4;
    const damaged = disk.bytesOf(segmentName(16 * 1024)).slice();
    const recovered = recoverLog(disk, { ...RECOVER, onDamage: 'quarantine' });
    const range = { from: 16 * 1024 + SECTOR, to: 16 * 1024 + 2 * SECTOR };
    expect(recovered.report.damaged).toEqual([range]);
    expect(recovered.end).toBe(log.writer.end);
    expect(recovered.queues).toMatchObject([{ oldestOffset: 0, nextOffset: 8 }]);
    expect(disk.list('quarantine')).toEqual([`${segmentName(16 * 1024)}.${range.from}`]);
    expect(disk.bytesOf(`quarantine/${disk.list('quarantine')[0]}`)).toEqual(damaged);
    for (const options of [RECOVER, { ...RECOVER, verifyAll: true }, { ...RECOVER, onDamage: 'quarantine' }] as const) {
      const again = recoverLog(disk, options);
      expect({ ...again, report: undefined }).toEqual({ ...recovered, report: undefined });
      expect(again.report.damaged).toEqual([range]);
    }
    const next = new SampleLog(disk, 'direct', recovered, { segmentBytes: 16 * 1024 }).continueFrom(recovered.queues);
    for (let i = 0; i < 5; i++) next.append({});
    expect(recoverLog(disk, RECOVER)).toMatchObject({ end: next.writer.end, queues: [{ nextOffset: 13 }] });
  });

  test('of the seal, of a whole segment, of a missing one: the log goes on with the next', () => {
    const damages: ((disk: FaultDisk) => void)[] = [
      (disk) => disk.bytesOf(segmentName(0)).fill(0, 12 * 1024),
      (disk) => disk.bytesOf(segmentName(0)).fill(0xab),
      (disk) => disk.bytesOf(segmentName(16 * 1024)).fill(0),
      (disk) => disk.remove(segmentName(16 * 1024)),
      (disk) => disk.open(segmentName(16 * 1024), 'write').truncate(5000),
      (disk) => disk.open(segmentName(16 * 1024), 'write').truncate(0),
    ];
    for (const damage of damages) {
      const { disk, log } = sampleLog();
      damage(disk);
      expect(tryRecover(disk)).toBeUndefined();
      const recovered = recoverLog(disk, { ...RECOVER, onDamage: 'quarantine' });
      expect(recovered).toMatchObject({ end: log.writer.end, previousCrc: log.writer.previousCrc });
      expect(recovered.report.damaged.length).toBe(1);
      const next = new SampleLog(disk, 'direct', recovered, { segmentBytes: 16 * 1024 }).continueFrom(recovered.queues);
      for (let i = 0; i < 5; i++) next.append({});
      const again = recoverLog(disk, RECOVER);
      expect(again).toMatchObject({ end: next.writer.end, queues: [{ nextOffset: 13 }] });
    }
  });

  test('swapped sectors and segments are damage', () => {
    const { disk } = sampleLog();
    const bytes = disk.bytesOf(segmentName(0));
    const first = bytes.slice(0, SECTOR);
    bytes.copyWithin(0, SECTOR, 2 * SECTOR);
    bytes.set(first, SECTOR);
    expect(tryRecover(disk)).toBeUndefined();
    const other = sampleLog().disk;
    other.rename(segmentName(0), 'x');
    other.rename(segmentName(16 * 1024), segmentName(0));
    other.rename('x', segmentName(16 * 1024));
    expect(tryRecover(other)).toBeUndefined();
  });

  test('a segment of another log does not pass for one of this', () => {
    const { disk } = sampleLog();
    const other = new FaultDisk();
    const log = new SampleLog(other, 'direct', undefined, { segmentBytes: 16 * 1024, generation: 9 });
    for (let i = 0; i < 8; i++) log.append({ count: 2 });
    disk.bytesOf(segmentName(16 * 1024)).set(other.bytesOf(segmentName(16 * 1024)));
    expect(tryRecover(disk)).toBeUndefined();
  });
});

test('bytes of any kind are never a run, and never an endless loop', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20_000 }), fc.boolean(), (bytes, begins) => {
      const disk = new FaultDisk();
      const log = new SampleLog(disk, 'direct');
      if (begins) log.append({});
      const from = log.writer.end;
      const file = disk.open(segmentName(0), 'write');
      file.write(bytes, from);
      file.close();
      const verdict = verifySegment(disk, 0);
      expect(verdict).toMatchObject({ end: from, blocks: begins ? 1 : 0, stop: { position: from } });
      expect(recoverLog(disk, RECOVER).end).toBe(from);
    }),
    { numRuns: 100 },
  );
});

test('damaged headers with a right CRC are refused by what they say', () => {
  // Every word of a good block header is set to values that lie, with a CRC that agrees: no length is believed.
  const disk = new FaultDisk();
  const log = new SampleLog(disk, 'direct');
  log.append({ count: 3 });
  const bytes = disk.bytesOf(segmentName(0));
  const good = bytes.slice(0, SECTOR);
  const words = new Int32Array(bytes.buffer, 0, SECTOR / 4);
  for (let word = 0; word < 15; word++) {
    for (const value of [0, 1, -1, 64, 0x7fff_fff8, -0x8000_0000]) {
      bytes.set(good);
      if (words[word] === value) continue;
      words[word] = value;
      words[15] = crcOf(bytes.subarray(0, 60));
      if (word === 1 && (value & 0xffff) !== 1) {
        expect(() => recoverLog(disk, RECOVER)).toThrow(expect.objectContaining({ code: 'data-unknown' }));
        continue;
      }
      const verdict = verifySegment(disk, 0, { previousCrc: 0 });
      // Durable position, time and generation are the writer's to say, and two words say nothing yet.
      const free = [6, 7, 8, 9, 11, 13, 14].includes(word);
      expect(verdict.blocks, `word ${word} = ${value}`).toBe(free ? 1 : 0);
    }
  }
});

function crcOf(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  }
  return ~crc;
}
